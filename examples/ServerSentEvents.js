'use strict';

// Server-sent events: one endless response for each open page.
//
//   curl -N localhost:9001/events
//   curl -d 'Hello, all' localhost:9001/events

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds between two keep-alive comments. A connection that is silent for 10 s (idleTimeout) is closed. */
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
    // write ends the headers. retry is the number of milliseconds after which the client reconnects.
    res.write('retry: 2000\n\n');
    clients.add(res);
    // This is also called by res.close(). The response must not be used from now on, so remove it.
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
      // Each line of the data is a separate line of the event.
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

// A line that begins with a colon is a comment. It keeps the connection, and any proxies, from timing out.
setInterval(() => broadcast(': still here\n\n'), HEARTBEAT);

/** @param {string} text */
function broadcast(text) {
  for (const res of clients) {
    // Outside of its own handler, write to a response in a cork.
    res.cork(() => {
      // False means that the client does not keep up, and the rest waits in memory. A client that is closed reconnects
      // by itself.
      if (!res.write(text)) res.close();
    });
  }
}
