'use strict';

// Sends bytes, and returns everything that comes back.
//
// Once the server has read the bytes, another request follows, the sentinel, and immediately after it a FIN. The
// sentinel's response shows whether the connection was kept alive, the FIN completes what is incomplete, and the client
// only has to wait for the end of the connection. A sentinel in the same read would tell less: uWebSockets.js continues
// with what it has read after deciding to close.

const { RawSocket } = require('../../support/RawSocket.js');
const { withoutDate } = require('../../support/http.js');
const { turn } = require('../../support/wait.js');

const SENTINEL = 'GET /sentinel HTTP/1.1\r\nHost: h\r\n\r\n';
const SENTINEL_ANSWER = 'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 8\r\n\r\nSENTINEL';
/** Replaces the sentinel's response at the end of a text. */
const ALIVE = '[alive]';

/**
 * Returns everything the server sends, as Latin-1, with dates replaced, and with `[alive]` at the end if the sentinel
 * got a response. With `splitAt`, the server reads that many bytes before it receives the rest.
 */
async function exchange(port, bytes, splitAt = 0) {
  const client = await RawSocket.connect(port);
  try {
    // The server accepts before it reads.
    await turn();
    for (const part of [bytes.slice(0, splitAt), bytes.slice(splitAt)]) {
      if (part === '' || client.ended || client.closed) continue;
      await client.writeAndTurn(part);
      // The client has to read first: a write that meets a reset would discard what is unread.
      await turn();
    }
    if (!client.ended && !client.closed) client.write(SENTINEL).end();
    const received = withoutDate((await client.readToEnd()).toString('latin1'));
    if (!received.endsWith(SENTINEL_ANSWER)) return received;
    return received.slice(0, -SENTINEL_ANSWER.length) + ALIVE;
  } finally {
    client.destroy();
  }
}

module.exports = { exchange, ALIVE, SENTINEL };
