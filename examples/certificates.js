'use strict';

// Creates certificates for testing TLS with the command `openssl`, as files in a folder next to this file. Only you
// trust them: a browser warns, and `curl` accepts them with `--cacert` or `--insecure`. Get real certificates from an
// authority such as Let's Encrypt.

const { execFileSync } = require('node:child_process');
const { existsSync, mkdirSync } = require('node:fs');
const path = require('node:path');

const folder = process.env.CERTIFICATES || path.join(__dirname, 'certificates');

/**
 * Returns the paths of a key and a certificate for a host name and for others. Creates them if they do not exist.
 *
 * @param {string} name
 * @param {string[]} others Names and IPv4 addresses.
 */
function certificateFor(name, ...others) {
  const file = path.join(folder, name.replace('*', 'any'));
  const pair = { key_file_name: `${file}.key.pem`, cert_file_name: `${file}.cert.pem` };
  if (existsSync(pair.key_file_name) && existsSync(pair.cert_file_name)) return pair;

  // Nobody else may read a key.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const alternatives = [name, ...others].map((other) => (/^[\d.]+$/.test(other) ? `IP:${other}` : `DNS:${other}`));
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
      ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=${alternatives.join(',')}`],
      ...['-keyout', pair.key_file_name, '-out', pair.cert_file_name],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  return pair;
}

module.exports = { certificateFor };
