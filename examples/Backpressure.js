'use strict';

// A lot of data for each client, as fast as that client reads, with none of it lost and next to none of it waiting in
// memory.
//
//   node -e "new (require('ws'))('ws://localhost:9001').on('message', (m) => console.log(m.readUInt32BE()))"

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Messages that each client gets: 256 MB of them. */
const MESSAGES = Number(process.env.MESSAGES || 4096);

// One for all, since send copies it. In earnest this would be what was read from a file or a database.
const message = Buffer.alloc(64 * 1024);

/**
 * @typedef {object} UserData
 * @property {number} sent messages
 * @property {number} waits how often the client was not ready for more
 * @property {number} mostWaiting the most bytes that have waited for it in memory
 */

uWS
  .App()
  .ws(
    '/*',
    /** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */ ({
      // While more than this (bytes) are waiting, messages are dropped. We never let it come to that.
      maxBackpressure: 1024 * 1024,
      // A client that stands still for this long (seconds) does not answer pings either, and is disconnected.
      idleTimeout: 120,

      open: (ws) => {
        Object.assign(ws.getUserData(), { sent: 0, waits: 0, mostWaiting: 0 });
        pump(ws);
      },
      drain: (ws) => {
        // Some of it is on its way. Another drain follows if this was not all.
        if (ws.getBufferedAmount() === 0) pump(ws);
      },
      close: (ws, code) => {
        const { sent, waits, mostWaiting } = ws.getUserData();
        console.log(`close: ${code} after ${sent} messages, ${waits} waits, at most ${mostWaiting} bytes in memory`);
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
 * Sends until the client has enough for now. To go on regardless would fill memory up to maxBackpressure, and then lose
 * messages.
 *
 * @param {import('../dist/uws.js').WebSocket<UserData>} ws
 */
function pump(ws) {
  const progress = ws.getUserData();
  while (progress.sent < MESSAGES) {
    message.writeUInt32BE(progress.sent);
    const status = ws.send(message, true);
    progress.sent += 1;
    // 1 says that it was sent. 0 that the socket has not taken all of it: the rest waits, so nothing is lost. But it is
    // time to stop, until drain. (2 would say that it was dropped.)
    if (status === 0) {
      progress.waits += 1;
      progress.mostWaiting = Math.max(progress.mostWaiting, ws.getBufferedAmount());
      if (progress.waits === 1) console.log(`${ws.getBufferedAmount()} bytes wait for a client`);
      return;
    }
  }
  // Goes out behind what is still waiting.
  ws.end(1000, 'That is all.');
}
