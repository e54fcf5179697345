'use strict';

// One port serves several host names, each with its own certificate and routes. A client says in the handshake which
// name it wants. To try this without a name server:
//
//     curl --insecure --connect-to ::localhost:9001 https://blue.example/

const uWS = require('../dist/uws.js');
const { certificateFor } = require('./certificates.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Names that are added when a client first asks for them. A real program would use a database. */
const customers = new Map([
  ['arthur.example', 'tea'],
  ['ford.example', 'towels'],
]);

const app = uWS
  // For clients that ask for no name, or for an unknown one.
  .SSLApp(certificateFor('localhost', '127.0.0.1'))
  .get('/*', (res) => {
    res.writeStatus('404 Not Found').end('There is no such site.\n');
  });

app
  .addServerName('blue.example', certificateFor('blue.example'))
  // The routes that follow belong to this name.
  .domain('blue.example')
  .get('/', (res) => {
    res.end('This is blue.\n');
  });

app
  // An asterisk matches exactly one label: www.green.example, but neither green.example nor a.b.green.example.
  .addServerName('*.green.example', certificateFor('*.green.example'))
  .domain('*.green.example')
  .get('/', (res, req) => {
    res.end(`This is ${req.getHeader('host')}.\n`);
  });

// This is called in the handshake, which waits for it. Do anything slow, such as a query, in advance.
app.missingServerName((name) => {
  const goods = customers.get(name);
  // The client gets the certificate of the app, and a browser shows a warning.
  if (goods === undefined) return;
  console.log(`Adding ${name}`);
  let certificate;
  try {
    certificate = certificateFor(name);
  } catch (error) {
    // A client that asks for a name must not be able to end the process.
    console.error(error);
    return;
  }
  app
    .addServerName(name, certificate)
    .domain(name)
    .get('/', (res) => {
      res.end(`${name} sells ${goods}.\n`);
    })
    .get('/close', (res) => {
      res.end('Gone\n', true);
      console.log(`Removing ${name}`);
      customers.delete(name);
      // Open connections stay open.
      app.removeServerName(name);
    });
});

app.listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
  if (listenSocket) {
    console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
  } else {
    console.error(error?.message);
    process.exitCode = 1;
  }
});
