'use strict';

// A server that ends without cutting anybody off: SIGTERM (what `kill`, systemd and container runtimes send) stops it
// from taking new connections, and when the last of the others is gone the process ends by itself.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds after which those that are still there have to go. */
const GRACE = Number(process.env.GRACE || 5000);

/** @type {Set<import('../dist/uws.js').WebSocket<unknown>>} */
const webSockets = new Set();
/** @type {import('../dist/uws.js').us_listen_socket | undefined} */
let listening;
let isEnding = false;

// Before anybody can know that we run.
process.on('SIGTERM', shutDown);
process.on('SIGINT', shutDown);

const app = uWS
  .App()
  .ws('/*', {
    open: (ws) => {
      webSockets.add(ws);
      // One that was on its way in when we began to end.
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
  // Takes as long as its client takes to send the body.
  .post('/*', (res, req) => {
    console.log(`Began with ${req.getUrl()}`);
    res.onAborted(() => {});
    res.collectBody(1024 * 1024, (body) => {
      if (body === null) res.writeStatus('413 Content Too Large').end('', true);
      // While we are ending, every response ends its connection, which would wait for the next request otherwise.
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
  // A copy, for each end() calls the close handler, which removes from the set. 1001 says that we are going away.
  for (const ws of [...webSockets]) ws.end(1001, 'shutting down');
  // Connections that wait for another request are closed by idleTimeout (10 s); those that never get ready, by this. The
  // timer does not keep the process running: when all are gone before, it ends before.
  setTimeout(() => app.close(), GRACE).unref();
}
