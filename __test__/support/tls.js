'use strict';

// Whether the tests run over TLS, which MILLIWAYS_TEST_TLS=1 turns on, and what clients and servers need for it. A test
// must not depend on it: it serves with `App` or `serve` of server.js, connects with RawSocket, and configures other
// clients with the exports of this file.

const { readFileSync } = require('node:fs');
const { ordinaryCertificate } = require('./certificates.js');
const { ours } = require('./uws.js');

const overTLS = process.env.MILLIWAYS_TEST_TLS === '1';
/**
 * The beginning of the skip reason of every `clear`. scripts/test.mjs recognizes tests that may be skipped over TLS by
 * it.
 */
const NOT_OVER_TLS = 'not over TLS:';

/** The paths of the certificate and its key (PEM); only over TLS. */
const certificate = overTLS ? sharedCertificate() : undefined;

/**
 * Returns the certificate of the process that started this process or thread, because creating one takes a while and
 * leaves files behind.
 */
function sharedCertificate() {
  const variable = 'MILLIWAYS_TEST_CERTIFICATE';
  process.env[variable] ??= JSON.stringify(ordinaryCertificate());
  return JSON.parse(process.env[variable]);
}

/** Options for a client of node:tls, or for one that passes its options on to node:tls, such as ws or undici. */
const clientOptions = overTLS ? { ca: readFileSync(certificate.cert) } : {};
/** Options for an App. */
const serverOptions = overTLS ? { key_file_name: certificate.key, cert_file_name: certificate.cert } : {};

/** Return the HTTP or WebSocket URL of a server on the loopback address, without a trailing slash. */
const httpUrl = (port) => `${overTLS ? 'https' : 'http'}://127.0.0.1:${port}`;
const webSocketUrl = (port) => `${overTLS ? 'wss' : 'ws'}://127.0.0.1:${port}`;

/** Options for a test that means nothing over TLS, with the reason. */
const clear = (reason) => (overTLS ? { skip: `${NOT_OVER_TLS} ${reason}` } : {});
/** Options for a test that, over TLS, only holds for milliways. */
const oursOverTLS = overTLS ? ours : {};

module.exports = { overTLS, certificate, clientOptions, serverOptions, httpUrl, webSocketUrl, clear, oursOverTLS };
