'use strict';

// Sends bytes, and tells all that comes back.
//
// One more request, the sentinel, follows once the server has read the bytes, and a FIN right behind it. So whether the
// connection was kept alive shows in whether the sentinel was answered, what is incomplete comes to an end, and nothing
// has to be waited for but the end of the connection. In the same read the sentinel would tell less: uWebSockets.js goes
// on with what it has read after it decided to close.

const { RawSocket } = require('../../support/RawSocket.js');
const { withoutDate } = require('../../support/http.js');
const { turn } = require('../../support/wait.js');

const SENTINEL = 'GET /sentinel HTTP/1.1\r\nHost: h\r\n\r\n';
const SENTINEL_ANSWER = 'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 8\r\n\r\nSENTINEL';
/** What stands for the sentinel's answer at the end of a text. */
const ALIVE = '[alive]';

/**
 * Everything the server sends, as Latin-1, dates replaced, and with `[alive]` at the end if the sentinel was answered.
 * With `splitAt` the server reads that many of the bytes before it gets the rest.
 */
async function exchange(port, bytes, splitAt = 0) {
  const client = await RawSocket.connect(port);
  try {
    // The server accepts before it reads.
    await turn();
    for (const part of [bytes.slice(0, splitAt), bytes.slice(splitAt)]) {
      if (part === '' || client.ended || client.closed) continue;
      await client.writeAndTurn(part);
      // The client reads too: a write that meets a reset would lose what is unread.
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
