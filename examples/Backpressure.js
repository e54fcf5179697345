'use strict';

// Sends a lot of data to each client, as fast as that client reads. No message is lost, and almost none waits in
// memory.
//
//   node -e "new (require('ws'))('ws://localhost:9001').on('message', (m) => console.log(m.readUInt32BE()))"

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** The number of messages that each client gets, 256 MB in total. */
const MESSAGES = Number(process.env.MESSAGES || 4096);

// One buffer for all messages, because send copies it. A real program would read the data from a file or a database.
const message = Buffer.alloc(64 * 1024);

/**
 * @typedef {object} UserData
 * @property {number} sent messages sent so far
 * @property {number} waits how often the client was not ready for more
 * @property {number} mostWaiting the most bytes that have waited for it in memory
 */

uWS
  .App()
  .ws(
    '/*',
    /** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */ ({
      // While more bytes than this are waiting, messages are dropped. This program never reaches the limit.
      maxBackpressure: 1024 * 1024,
      // A client that accepts nothing for this many seconds does not answer pings either, and is disconnected.
      idleTimeout: 120,

      open: (ws) => {
        Object.assign(ws.getUserData(), { sent: 0, waits: 0, mostWaiting: 0 });
        pump(ws);
      },
      drain: (ws) => {
        // Some of the data has been sent. If this was not all, drain is called again.
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
 * Sends until the client has enough for now. Going on regardless would fill memory up to maxBackpressure and then drop
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
    // 1 means that the message was sent. 0 means that the socket has not accepted all of it: the rest waits and is not
    // lost, but it is time to stop until drain. (2 would mean that the message was dropped.)
    if (status === 0) {
      progress.waits += 1;
      progress.mostWaiting = Math.max(progress.mostWaiting, ws.getBufferedAmount());
      if (progress.waits === 1) console.log(`${ws.getBufferedAmount()} bytes wait for a client`);
      return;
    }
  }
  // This is sent after everything that is still waiting.
  ws.end(1000, 'That is all.');
}
