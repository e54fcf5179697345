'use strict';

// A WebSocket that is not for everyone: its upgrade handler checks a token, picks a subprotocol, and gives the WebSocket
// data of its own.
//
//   new WebSocket('ws://localhost:9001/chat?token=dont-panic', ['chat.v2', 'chat.v1'])

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Who comes with which token. In earnest these are long and random. */
const users = new Map([
  ['dont-panic', 'Arthur'],
  ['mostly-harmless', 'Ford'],
]);

/** What we speak, best first. */
const PROTOCOLS = ['chat.v2', 'chat.v1'];

/** @typedef {{ user: string, protocol: string }} UserData */

uWS
  .App()
  .ws(
    '/chat',
    /** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */ ({
      upgrade: (res, req, context) => {
        // In a browser a WebSocket cannot send headers of its own, so the token is a part of the address.
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

        // Headers for the client go before upgrade, and the status before the headers.
        res.writeStatus('101 Switching Protocols').writeHeader('X-Welcome', user);
        res.upgrade(
          // Becomes what ws.getUserData() gives.
          { user, protocol },
          req.getHeader('sec-websocket-key'),
          // The one we picked, not the list that the client sent.
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
