'use strict';

// Shuts down without cutting anybody off. On SIGTERM, which `kill`, systemd and container runtimes send, the server
// accepts no new connections. The process ends when the last existing connection has ended.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds after which the remaining connections are closed. */
const GRACE = Number(process.env.GRACE || 5000);

/** @type {Set<import('../dist/uws.js').WebSocket<unknown>>} */
const webSockets = new Set();
/** @type {import('../dist/uws.js').us_listen_socket | undefined} */
let listening;
let isEnding = false;

// Install the handlers before anybody can know that the server is running.
process.on('SIGTERM', shutDown);
process.on('SIGINT', shutDown);

const app = uWS
  .App()
  .ws('/*', {
    open: (ws) => {
      webSockets.add(ws);
      // This client was connecting when the shutdown began.
      if (isEnding) ws.end(1001, 'shutting down');
    },
    message: (ws, message, isBinary) => {
      ws.send(message, isBinary);
    },
    close: (ws, code) => {
      webSockets.delete(ws);
      console.log(`A WebSocket closed with ${code}`);
    },
  })
  // This takes as long as the client takes to send the body.
  .post('/*', (res, req) => {
    console.log(`Began with ${req.getUrl()}`);
    res.onAborted(() => {});
    res.collectBody(1024 * 1024, (body) => {
      if (body === null) res.writeStatus('413 Content Too Large').end('', true);
      // During the shutdown every response closes its connection, which would otherwise wait for the next request.
      else res.end(`Got ${body.byteLength} bytes\n`, isEnding);
    });
  })
  .get('/*', (res) => {
    res.end('Here I am\n', isEnding);
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      listening = listenSocket;
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

function shutDown() {
  if (isEnding || !listening) return;
  isEnding = true;
  uWS.us_listen_socket_close(listening);
  console.log('Shutting down');
  // This iterates over a copy, because each end() calls the close handler, which removes the WebSocket from the set.
  // 1001 means that the server is going away.
  for (const ws of [...webSockets]) ws.end(1001, 'shutting down');
  // idleTimeout (10 s) closes connections that wait for another request, and this timer those that never finish. It
  // does not keep the process running: if all connections end earlier, so does the process.
  setTimeout(() => app.close(), GRACE).unref();
}
