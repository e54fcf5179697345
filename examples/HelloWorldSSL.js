'use strict';

// The smallest server with TLS: an SSLApp instead of an App, and a certificate. To try it:
//
//     curl --cacert examples/certificates/localhost.cert.pem https://localhost:9001/

const uWS = require('../dist/uws.js');
const { certificateFor } = require('./certificates.js');

const wantedPort = Number(process.env.PORT || 9001);

const app = uWS
  .SSLApp({
    // Paths of PEM files: the key, and the certificate followed by its chain. If a file is wrong, the error says why.
    ...certificateFor('localhost', '127.0.0.1'),
  })
  .get('/', (res) => {
    res.writeHeader('Content-Type', 'text/plain; charset=utf-8').end('Hello, world, and nobody else!\n');
  })
  .ws('/*', {
    message: (ws, message, isBinary) => {
      ws.send(message, isBinary);
    },
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

// The program that renews certificates can send this signal (`kill -HUP`) after it has written the new files. Open
// connections keep the old certificate.
process.on('SIGHUP', () => {
  try {
    app.reloadCertificates?.();
    console.log('Read the certificate again');
  } catch (error) {
    // The old certificate stays in use.
    console.error(String(error));
  }
});
