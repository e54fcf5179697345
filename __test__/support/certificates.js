'use strict';

// Certificates for tests only. Each process creates its own with the command `openssl`, and removes them when it ends.

const { execFileSync } = require('node:child_process');
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

let folder;
let count = 0;

/** Returns a path in a folder that is removed when the process ends. */
function scratchFile(name) {
  if (folder === undefined) {
    folder = mkdtempSync(path.join(tmpdir(), 'milliways-certificates-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  }
  count += 1;
  return path.join(folder, `${count}-${name}`);
}

function openssl(args, options = {}) {
  return execFileSync('openssl', args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
}

/** The arguments of `openssl genpkey` for each type of key. */
const KEYS = {
  'P-256': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'P-384': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  'RSA-2048': ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  Ed25519: ['-algorithm', 'ED25519'],
};

/**
 * Returns the paths of a certificate for these host names (the first is its subject) and of its key, both PEM files. It
 * is signed by `issuer`, another such pair, or self-signed. With `isAuthority` it may sign others.
 */
function makeCertificate({ names = ['localhost'], key = 'P-256', issuer, isAuthority = issuer === undefined } = {}) {
  const file = scratchFile(names[0].replaceAll('*', 'any'));
  const pair = { key: `${file}.key.pem`, cert: `${file}.cert.pem` };
  openssl(['genpkey', ...KEYS[key], '-out', pair.key]);
  const alternatives = names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`));
  const extensions = `${file}.extensions`;
  writeFileSync(
    extensions,
    `subjectAltName=${alternatives.join(',')}\nbasicConstraints=critical,CA:${isAuthority ? 'TRUE' : 'FALSE'}\n`,
  );
  const request = openssl(['req', '-new', '-key', pair.key, '-subj', `/CN=${names[0]}`, '-config', '-'], {
    input: '[req]\ndistinguished_name=name\n[name]\n',
  });
  const signer = issuer ? ['-CA', issuer.cert, '-CAkey', issuer.key] : ['-signkey', pair.key];
  openssl(
    [
      'x509',
      '-req',
      '-days',
      '2',
      '-extfile',
      extensions,
      '-set_serial',
      String(count + 1),
      ...signer,
      '-out',
      pair.cert,
    ],
    {
      input: request,
    },
  );
  return pair;
}

let ordinary;

/**
 * Returns the self-signed certificate for `localhost`, `127.0.0.1` and `example.com`. It is created once per process.
 */
function ordinaryCertificate() {
  ordinary ??= makeCertificate({ names: ['localhost', '127.0.0.1', 'example.com'] });
  return ordinary;
}

/** Encrypts a copy of a key with a passphrase, as PKCS #8 or in OpenSSL's traditional format. */
function encryptKey(key, passphrase, { traditional = false, cipher = 'aes-256-cbc' } = {}) {
  const file = scratchFile('encrypted.key.pem');
  const args = traditional ? ['pkey', '-traditional'] : ['pkcs8', '-topk8', '-v2', cipher];
  openssl([
    ...args,
    '-in',
    key,
    '-out',
    file,
    '-passout',
    `pass:${passphrase}`,
    ...(traditional ? [`-${cipher}`] : []),
  ]);
  return file;
}

module.exports = { encryptKey, makeCertificate, openssl, ordinaryCertificate, scratchFile };
