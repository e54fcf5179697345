'use strict';

// The server process of the soak tests: echoes, counts, and tells its parent when asked. Started with --expose-gc.

const { uWS } = require('../../support/uws.js');

const withClose = !process.argv.includes('--without-close');
let opened = 0;
let closed = 0;

const app = uWS.App().ws('/*', {
  maxPayloadLength: 1 << 20,
  open: () => {
    opened += 1;
  },
  message: (ws, message, isBinary) => {
    ws.send(message, isBinary);
  },
  // Left out where the memory of a server with the other two is measured.
  close: withClose
    ? () => {
        closed += 1;
      }
    : undefined,
});

app.listen(0, (token) => {
  process.send({ port: uWS.us_socket_local_port(token) });
});

process.on('message', async ({ ask }) => {
  if (ask === 'counts') process.send({ opened, closed, connections: uWS._stats?.().connections });
  if (ask === 'collect') {
    // What a finalizer frees is free only after the next turn, and the collection after that.
    for (let i = 0; i < 4; i += 1) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    process.send({ collected: true });
  }
});
process.on('disconnect', () => process.exit());
