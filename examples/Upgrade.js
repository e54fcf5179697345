'use strict';

// A WebSocket with access control: its upgrade handler checks a token, selects a subprotocol, and attaches data to the
// WebSocket.
//
//   new WebSocket('ws://localhost:9001/chat?token=dont-panic', ['chat.v2', 'chat.v1'])

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** The user of each token. Real tokens are long and random. */
const users = new Map([
  ['dont-panic', 'Arthur'],
  ['mostly-harmless', 'Ford'],
]);

/** The supported subprotocols, in order of preference. */
const PROTOCOLS = ['chat.v2', 'chat.v1'];

/** @typedef {{ user: string, protocol: string }} UserData */

uWS
  .App()
  .ws(
    '/chat',
    /** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */ ({
      upgrade: (res, req, context) => {
        // A WebSocket in a browser cannot send custom headers, so the token is part of the URL.
        const user = users.get(req.getQuery('token') ?? '');
        if (user === undefined) {
          res.writeStatus('401 Unauthorized').end('Who are you?\n');
          return;
        }

        const offered = req.getHeader('sec-websocket-protocol').split(',');
        const protocol = PROTOCOLS.find((ours) => offered.some((theirs) => theirs.trim() === ours)) ?? '';
        if (protocol === '') {
          res.writeStatus('400 Bad Request').end(`We speak ${PROTOCOLS.join(' and ')}.\n`);
          return;
        }

        // Write the headers for the client before upgrade, and the status before the headers.
        res.writeStatus('101 Switching Protocols').writeHeader('X-Welcome', user);
        res.upgrade(
          // Becomes the value of ws.getUserData().
          { user, protocol },
          req.getHeader('sec-websocket-key'),
          // The selected subprotocol, not the list that the client sent.
          protocol,
          req.getHeader('sec-websocket-extensions'),
          context,
        );
      },
      open: (ws) => {
        const { user, protocol } = ws.getUserData();
        ws.send(`Hello ${user}, this is ${protocol}.`);
      },
      message: (ws, message) => {
        ws.send(`${ws.getUserData().user}: ${Buffer.from(message)}`);
      },
    }),
  )
  .any('/*', (res) => {
    res.writeStatus('404 Not Found').end();
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });
