'use strict';

// Server-sent events: a response that never ends, one for each page that is open.
//
//   curl -N localhost:9001/events
//   curl -d 'Hello, all' localhost:9001/events

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds between two signs of life. A connection that is silent for 10 s (idleTimeout) is closed. */
const HEARTBEAT = Number(process.env.HEARTBEAT || 5000);

/** @type {Set<import('../dist/uws.js').HttpResponse>} */
const clients = new Set();
let lastId = 0;

uWS
  .App()
  .get('/', (res) => {
    res.writeHeader('Content-Type', 'text/html; charset=utf-8')
      .end(`<!doctype html><title>Events</title><ul></ul><script>
      new EventSource('/events').onmessage = (event) => {
        document.querySelector('ul').append(Object.assign(document.createElement('li'), { textContent: event.data }));
      };
    </script>`);
  })
  .get('/events', (res) => {
    res.writeHeader('Content-Type', 'text/event-stream').writeHeader('Cache-Control', 'no-store');
    // write ends the headers. How long the client waits before it connects again is in milliseconds.
    res.write('retry: 2000\n\n');
    clients.add(res);
    // Also called by res.close(). From here on the response may not be used, so nobody may find it any more.
    res.onAborted(() => {
      clients.delete(res);
      console.log(`${clients.size} clients`);
    });
    console.log(`${clients.size} clients`);
  })
  .post('/events', (res) => {
    res.onAborted(() => {});
    res.collectBody(16 * 1024, (body) => {
      if (body === null) {
        res.writeStatus('413 Content Too Large').end('That is no news, that is a novel.\n', true);
        return;
      }
      lastId += 1;
      // Each line of the data is a line of the event.
      const lines = Buffer.from(body)
        .toString('utf8')
        .split(/\r\n|\r|\n/);
      broadcast(`id: ${lastId}\n${lines.map((line) => `data: ${line}\n`).join('')}\n`);
      res.writeStatus('202 Accepted').end(`${clients.size} heard it.\n`);
    });
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

// A line that begins with a colon is a comment. It keeps the connection, and those in between, from timing out.
setInterval(() => broadcast(': still here\n\n'), HEARTBEAT);

/** @param {string} text */
function broadcast(text) {
  for (const res of clients) {
    // Outside of the handler that it was given to, a response is written to in a cork.
    res.cork(() => {
      // False says that the client does not keep up, and the rest waits in memory. Let go, it connects again by itself.
      if (!res.write(text)) res.close();
    });
  }
}
