'use strict';

const assert = require('node:assert/strict');
const { overTLS, serverOptions } = require('./tls.js');
const { uWS } = require('./uws.js');

/**
 * Creates an App from the module under test or another one. If the tests run over TLS, it is an SSLApp with a
 * certificate.
 */
function App(options, module = uWS) {
  return overTLS ? module.SSLApp({ ...serverOptions, ...options }) : module.App(options);
}

/**
 * Starts an App with these options on a free port of the loopback address, with the routes that `routes(app)` adds. The
 * `after` of the test (`t`) or of the suite (`{ after }` of node:test) closes it.
 */
function serve(owner, routes, options = undefined) {
  const app = App(options ?? {});
  routes(app);
  let token;
  app.listen('127.0.0.1', 0, (listenSocket) => {
    token = listenSocket;
  });
  assert.ok(token, 'listening on a free port');
  owner.after(() => {
    app.close();
  });
  return { app, token, port: uWS.us_socket_local_port(token) };
}

module.exports = { App, serve };
