'use strict';

// Finds a free port: tries the wanted port and those that follow it, and takes the first one that is free. With PORT=0
// the system chooses a port. Whoever starts this program reads the port from its output.
//
//   node examples/AutomaticPortSelection.js & node examples/AutomaticPortSelection.js

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** The number of ports to try, one after the other. */
const ATTEMPTS = 10;
const LAST_PORT = 65535;

let port = wantedPort;

const app = uWS.App().get('/*', (res) => {
  res.end(`This is port ${port}.\n`);
});

listen(ATTEMPTS);

/** @param {number} attempts how many are left */
function listen(attempts) {
  // Without this option the server would share the port with another server of the same user, and every port would seem
  // free.
  app.listen(port, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      // After listening on port 0, this returns the port that the system has chosen.
      port = uWS.us_socket_local_port(listenSocket);
      console.log(`Listening on port ${port}`);
    } else if (error?.code === 'EADDRINUSE' && port < LAST_PORT && attempts > 1) {
      console.log(`Port ${port} is taken`);
      port += 1;
      // Listening is synchronous and either succeeds or fails as a whole, so this is the place to try again.
      listen(attempts - 1);
    } else {
      console.error(`No port from ${wantedPort} to ${port} is available: ${error?.message}`);
      process.exitCode = 1;
    }
  });
}
