'use strict';

// Makes certificates to try TLS with, as files beside this one, by the command `openssl`. Nobody but you trusts them: a
// browser warns, and `curl` takes them with `--cacert` or `--insecure`. Others get theirs from an authority such as Let's
// Encrypt.

const { execFileSync } = require('node:child_process');
const { existsSync, mkdirSync } = require('node:fs');
const path = require('node:path');

const folder = process.env.CERTIFICATES || path.join(__dirname, 'certificates');

/**
 * The paths of a key and of a certificate for a host name, and for others. They are made when they are not there.
 *
 * @param {string} name
 * @param {string[]} others Names, and IPv4 addresses.
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
