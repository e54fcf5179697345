'use strict';

// A port that is free. From the wanted one on, the first that nobody else has is taken; with PORT=0 the system chooses.
// Whoever has started this program reads from its output which it is.
//
//   node examples/AutomaticPortSelection.js & node examples/AutomaticPortSelection.js

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Ports that are tried, one after the other. */
const ATTEMPTS = 10;
const LAST_PORT = 65535;

let port = wantedPort;

const app = uWS.App().get('/*', (res) => {
  res.end(`This is port ${port}.\n`);
});

listen(ATTEMPTS);

/** @param {number} attempts how many there are left */
function listen(attempts) {
  // Without the option it would share the port with a server of the same user, and no port would ever seem to be taken.
  app.listen(port, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      // The way to know which it is after listening on port 0.
      port = uWS.us_socket_local_port(listenSocket);
      console.log(`Listening on port ${port}`);
    } else if (error?.code === 'EADDRINUSE' && port < LAST_PORT && attempts > 1) {
      console.log(`Port ${port} is taken`);
      port += 1;
      // Listening is all or nothing and done at once, so this is the place to try again.
      listen(attempts - 1);
    } else {
      console.error(`No port from ${wantedPort} to ${port} is to be had: ${error?.message}`);
      process.exitCode = 1;
    }
  });
}
