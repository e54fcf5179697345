'use strict';

// Whether the tests run over TLS, which they do with the variable MILLIWAYS_TEST_TLS=1, and what clients and servers need
// for it. A test says neither how it serves nor how it connects: it takes `App` or `serve` of server.js, RawSocket, and
// for other clients what stands here.

const { readFileSync } = require('node:fs');
const { ordinaryCertificate } = require('./certificates.js');
const { ours } = require('./uws.js');

const overTLS = process.env.MILLIWAYS_TEST_TLS === '1';
/** What the reason of every `clear` begins with; scripts/test.mjs knows by it which tests may be skipped over TLS. */
const NOT_OVER_TLS = 'not over TLS:';

/** The certificate and its key, as paths of PEM files; only over TLS. */
const certificate = overTLS ? sharedCertificate() : undefined;

/** That of the process which started this one or this thread, since making one takes a while and leaves files behind. */
function sharedCertificate() {
  const variable = 'MILLIWAYS_TEST_CERTIFICATE';
  process.env[variable] ??= JSON.stringify(ordinaryCertificate());
  return JSON.parse(process.env[variable]);
}

/** Options of a client of node:tls, or of one that hands its options to it, such as ws or undici. */
const clientOptions = overTLS ? { ca: readFileSync(certificate.cert) } : {};
/** Options of an App. */
const serverOptions = overTLS ? { key_file_name: certificate.key, cert_file_name: certificate.cert } : {};

/** A URL of a server on the loopback address, without a slash at its end, for HTTP or for WebSockets. */
const httpUrl = (port) => `${overTLS ? 'https' : 'http'}://127.0.0.1:${port}`;
const webSocketUrl = (port) => `${overTLS ? 'wss' : 'ws'}://127.0.0.1:${port}`;

/** Test options of a test that means nothing over TLS, for this reason. */
const clear = (reason) => (overTLS ? { skip: `${NOT_OVER_TLS} ${reason}` } : {});
/** Test options of a test that over TLS only holds for milliways. */
const oursOverTLS = overTLS ? ours : {};

module.exports = { overTLS, certificate, clientOptions, serverOptions, httpUrl, webSocketUrl, clear, oursOverTLS };
