'use strict';

// One port, several host names, each with a certificate and routes of its own. A client says in the handshake which one it
// wants. To try it without a name server:
//
//     curl --insecure --connect-to ::localhost:9001 https://blue.example/

const uWS = require('../dist/uws.js');
const { certificateFor } = require('./certificates.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Names that are served as soon as somebody asks for one; a database, in earnest. */
const customers = new Map([
  ['arthur.example', 'tea'],
  ['ford.example', 'towels'],
]);

const app = uWS
  // For clients that ask for no name, or for one that is none of ours.
  .SSLApp(certificateFor('localhost', '127.0.0.1'))
  .get('/*', (res) => {
    res.writeStatus('404 Not Found').end('There is no such site.\n');
  });

app
  .addServerName('blue.example', certificateFor('blue.example'))
  // From here on routes are those of this name,
  .domain('blue.example')
  .get('/', (res) => {
    res.end('This is blue.\n');
  });

app
  // An asterisk stands for one label: for www.green.example, and neither for green.example nor for a.b.green.example.
  .addServerName('*.green.example', certificateFor('*.green.example'))
  .domain('*.green.example')
  .get('/', (res, req) => {
    res.end(`This is ${req.getHeader('host')}.\n`);
  });

// Called in the handshake, which waits for it: what takes time, as a query does, is to be done before.
app.missingServerName((name) => {
  const goods = customers.get(name);
  // Without a certificate of its own the client gets the one of the app, and with a browser a warning.
  if (goods === undefined) return;
  console.log(`Adding ${name}`);
  let certificate;
  try {
    certificate = certificateFor(name);
  } catch (error) {
    // Whoever asks for the name must not be able to end the process.
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
      // Connections that are open stay.
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
