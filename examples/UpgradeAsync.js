'use strict';

// A WebSocket whose client is first looked up in a database, so that the upgrade happens after the handler has
// returned.

const { setTimeout: delay } = require('node:timers/promises');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds that the simulated database takes. */
const LOOKUP = Number(process.env.LOOKUP || 50);

/** @typedef {{ user: string }} UserData */

uWS
  .App()
  .ws(
    '/*',
    /** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */ ({
      upgrade: async (res, req, context) => {
        // The request is valid until the first await, so copy now what is needed later. Strings are copies.
        const key = req.getHeader('sec-websocket-key');
        const protocol = req.getHeader('sec-websocket-protocol');
        const extensions = req.getHeader('sec-websocket-extensions');
        const session = /(?:^|; *)session=([^;]*)/.exec(req.getHeader('cookie'))?.[1] ?? '';

        let isAborted = false;
        res.onAborted(() => {
          isAborted = true;
          console.log('The client left.');
        });

        let user;
        try {
          user = await findUser(session);
        } catch (error) {
          console.error(error);
          if (isAborted) return;
          res.cork(() => {
            res.writeStatus('503 Service Unavailable').end();
          });
          return;
        }
        // The client may have disconnected in the meantime, and then every method of the response throws.
        if (isAborted) return;
        // Use a cork, as for everything that is written after an await.
        res.cork(() => {
          if (user === undefined) res.writeStatus('401 Unauthorized').end('Log in first.\n');
          else res.upgrade({ user }, key, protocol, extensions, context);
        });
      },
      open: (ws) => {
        ws.send(`Hello ${ws.getUserData().user}.`);
      },
      message: (ws, message, isBinary) => {
        ws.send(message, isBinary);
      },
    }),
  )
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

/**
 * Simulates a database.
 *
 * @param {string} session
 * @returns {Promise<string | undefined>}
 */
async function findUser(session) {
  console.log(`Looking up '${session}'`);
  await delay(LOOKUP);
  if (session === 'broken') throw new Error('the database is down');
  return new Map([['42', 'Arthur']]).get(session);
}
