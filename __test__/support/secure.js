'use strict';

// Servers with TLS, and clients that use Node's own TLS, which is OpenSSL.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { readFileSync, writeFileSync } = require('node:fs');
const tls = require('node:tls');
const { ordinaryCertificate, scratchFile } = require('./certificates.js');
const { uWS, isReference } = require('./uws.js');
const { deadline } = require('./wait.js');

/** Returns the path of a file with this text. */
function fileOf(text) {
  const file = scratchFile('contents.pem');
  writeFileSync(file, text);
  return file;
}

/** Returns the options that name the files of a pair from `makeCertificate`. */
function files({ key, cert }) {
  return { key_file_name: key, cert_file_name: cert };
}

/** Returns the contents of a pair, as options of `node:tls`. */
function contents({ key, cert }) {
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

/**
 * Starts an SSLApp on a free port of the loopback address, with the routes that `routes(app)` adds, and the ordinary
 * certificate unless the options name another. The `after` of the test (`t`) or of the suite closes it.
 */
function serveSecure(owner, routes, options = files(ordinaryCertificate())) {
  const app = uWS.SSLApp(options);
  owner.after(() => {
    app.close();
  });
  routes(app);
  let token;
  app.listen('127.0.0.1', 0, (listenSocket) => {
    token = listenSocket;
  });
  assert.ok(token, 'listening on a free port');
  return { app, token, port: uWS.us_socket_local_port(token) };
}

/**
 * Connects, and verifies that the server's certificate is the ordinary one. The options are those of `tls.connect`;
 * `ca` and `servername` make it verify another certificate. Rejects with the error that ended the handshake. The caller
 * destroys the socket.
 */
async function connectSecure(port, options = {}) {
  const ca = readFileSync(ordinaryCertificate().cert);
  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...options });
  try {
    await deadline(once(socket, 'secureConnect'), 'end of the handshake');
  } catch (error) {
    socket.destroy();
    throw error;
  }
  // A later error makes the reads that wait fail.
  socket.on('error', () => {});
  return socket;
}

/**
 * Makes one request on its own connection from `connectSecure`, and returns the response, if any, and the results of
 * the handshake. Rejects with the error that ended the connection, even if the client considered the handshake
 * complete: in TLS 1.3 the server sees the client's certificate only after that.
 */
async function getSecure(port, { path = '/', host = 'localhost', ...options } = {}) {
  const socket = await connectSecure(port, options);
  const handshake = {
    name: socket.getPeerCertificate().subject?.CN,
    protocol: socket.getProtocol(),
    cipher: socket.getCipher().name,
    alpn: socket.alpnProtocol,
  };
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  const received = await readToEnd(socket);
  if (received === '') return { ...handshake, status: undefined, body: undefined };
  const [, status, body] = /^HTTP\/1\.1 (\d+) [^]*?\r\n\r\n([^]*)$/.exec(received);
  return { ...handshake, status: Number(status), body };
}

/** Reads everything up to the end of the connection, as Latin-1; rejects if an error ends it. */
async function readToEnd(socket) {
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  try {
    // An error rejects `once`.
    await deadline(once(socket, 'end'), 'end of the connection');
  } finally {
    socket.destroy();
  }
  return Buffer.concat(chunks).toString('latin1');
}

/** Asserts that creating an SSLApp with these options fails, and that the message contains each of `reasons`. */
function assertRefused(options, ...reasons) {
  assert.throws(
    () => uWS.SSLApp(options),
    (error) => isRefusal(error, reasons),
  );
}

/** A validator for `assert.throws`: checks that the error is that of an app whose certificate was refused. */
function isRefusal(error, reasons) {
  assert.equal(error.name, 'Error');
  if (isReference) {
    assert.equal(error.message, 'App construction failed');
    return true;
  }
  assert.equal(error.code, 'ERR_MILLIWAYS_TLS', error.stack);
  assert.match(error.message, /^App construction failed: /);
  for (const reason of reasons) {
    if (reason instanceof RegExp) assert.match(error.message, reason);
    else assert.ok(error.message.includes(reason), `${JSON.stringify(reason)} is not in: ${error.message}`);
  }
  return true;
}

module.exports = {
  assertRefused,
  connectSecure,
  contents,
  fileOf,
  files,
  getSecure,
  isRefusal,
  readToEnd,
  serveSecure,
};
