'use strict';

// Servers with TLS, and clients of Node's own TLS, which is OpenSSL.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { readFileSync, writeFileSync } = require('node:fs');
const tls = require('node:tls');
const { ordinaryCertificate, scratchFile } = require('./certificates.js');
const { uWS, isReference } = require('./uws.js');
const { deadline } = require('./wait.js');

/** A file with this text. */
function fileOf(text) {
  const file = scratchFile('contents.pem');
  writeFileSync(file, text);
  return file;
}

/** The options that name the files of a pair of `makeCertificate`. */
function files({ key, cert }) {
  return { key_file_name: key, cert_file_name: cert };
}

/** A pair's contents, as `node:tls` takes them. */
function contents({ key, cert }) {
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

/**
 * An SSLApp on a free port of the loopback address, with the routes that `routes(app)` adds, and the ordinary certificate
 * unless the options name another. It is closed by the `after` of the test (`t`) or of the suite.
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
 * A connection after its handshake, in which the client has checked that the server's certificate is the ordinary one.
 * The options are those of `tls.connect`; with `ca` or `servername` it is another that is checked. Rejects with what
 * ended the handshake. The caller destroys it.
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
  // What comes later fails the reads of whoever waits for something.
  socket.on('error', () => {});
  return socket;
}

/**
 * One request on a connection of its own, as `connectSecure` makes it: the response, if there is one, and what the
 * handshake came to. It rejects with what ends the connection, also where that is a handshake which the client believed to be over: in TLS 1.3
 * a server sees the client's certificate only then.
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

/** Everything up to the end of the connection, as Latin-1; rejects when an error ends it. */
async function readToEnd(socket) {
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  try {
    // An error rejects it.
    await deadline(once(socket, 'end'), 'end of the connection');
  } finally {
    socket.destroy();
  }
  return Buffer.concat(chunks).toString('latin1');
}

/** Asserts that making an SSLApp of these options fails, and that the text says each of `reasons`. */
function assertRefused(options, ...reasons) {
  assert.throws(
    () => uWS.SSLApp(options),
    (error) => isRefusal(error, reasons),
  );
}

/** For `assert.throws`: whether it is the error of an app that cannot have its certificate. */
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
