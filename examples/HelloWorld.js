'use strict';

// The smallest server: one route, one response.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

uWS
  .App()
  .get('/', (res) => {
    // The status is 200 OK by default. Date and Content-Length are written automatically.
    res.writeHeader('Content-Type', 'text/plain; charset=utf-8').end('Hello, world!\n');
  })
  // The callback is called synchronously, with false if the port is not available.
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });
