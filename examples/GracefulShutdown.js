'use strict';

// Shuts down without cutting anybody off. On SIGTERM, which `kill`, systemd and container runtimes send, the server
// accepts no new connections. Requests are answered, WebSockets are asked to connect again, and the process ends when
// the last connection has ended.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds after which the remaining connections are cut. */
const GRACE = Number(process.env.GRACE || 5000);

// Install the handlers before anybody can know that the server is running.
process.on('SIGTERM', shutDown);
process.on('SIGINT', shutDown);

const app = uWS
  .App()
  .ws('/*', {
    message: (ws, message, isBinary) => {
      ws.send(message, isBinary);
    },
    close: (ws, code) => {
      console.log(`A WebSocket closed with ${code}`);
    },
  })
  // This takes as long as the client takes to send the body.
  .post('/*', (res, req) => {
    console.log(`Began with ${req.getUrl()}`);
    res.onAborted(() => {});
    res.collectBody(1024 * 1024, (body) => {
      if (body === null) res.writeStatus('413 Content Too Large').end('', true);
      else res.end(`Got ${body.byteLength} bytes\n`);
    });
  })
  .get('/*', (res) => {
    res.end('Here I am\n');
  })
  .listen(wantedPort, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

async function shutDown() {
  // Listening has ended when this returns. A second signal changes nothing: it gets the same promise. The close code is
  // 1001, for a server that goes away. A client that connects again reaches the next process on this port.
  const promise = app.shutdown?.({ reason: 'please reconnect', timeout: GRACE });
  console.log('Shutting down');
  const result = await promise;
  console.log(`Closed ${result?.closed} connections, and cut ${result?.forced}`);
}
