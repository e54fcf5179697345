'use strict';

// Mistakes in keys and certificates: those that are tolerated, the messages for those that are not, and that no error
// contains any part of a key or a passphrase.

const assert = require('node:assert/strict');
const { X509Certificate, createPrivateKey } = require('node:crypto');
const { readFileSync, writeFileSync } = require('node:fs');
const { after, describe, it } = require('node:test');
const { inspect } = require('node:util');
const { encryptKey, makeCertificate, openssl, ordinaryCertificate, scratchFile } = require('./support/certificates.js');
const { assertRefused, contents, fileOf, files, getSecure, serveSecure } = require('./support/secure.js');
const { uWS, ours } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

const PASSPHRASE = 'CANARY-correct-horse';
const ORDINARY = files(ordinaryCertificate());
const { key: KEY, cert: CERT } = Object.fromEntries(
  Object.entries(contents(ordinaryCertificate())).map(([name, bytes]) => [name, String(bytes)]),
);

const ok = (app) => app.get('/*', (res) => res.end('ok'));

const escaped = (pem, escape = '\\n') => pem.replaceAll('\n', escape);
const joined = (pem) => pem.replaceAll('\n', '');

/** Creates a root, an intermediate authority signed by it, and a server's certificate signed by that. */
function makeChain() {
  const root = makeCertificate({ names: ['root'] });
  const between = makeCertificate({ names: ['between'], issuer: root, isAuthority: true });
  const leaf = makeCertificate({ issuer: between });
  const text = (pair) => readFileSync(pair.cert, 'latin1');
  return { ca: text(root), between: text(between), leaf: text(leaf), key: readFileSync(leaf.key, 'latin1') };
}

describe('a PEM whose line breaks are lost', ours, () => {
  const forms = {
    'written as \\n': escaped,
    'written as \\r\\n': (pem) => escaped(pem, '\\r\\n'),
    'written as \\n and quoted twice': (pem) => `"${escaped(pem, '\\\\n')}"`,
    'replaced by spaces': (pem) => pem.replaceAll('\n', ' '),
    'left out': joined,
    'those of old Macs': (pem) => pem.replaceAll('\n', '\r'),
  };

  for (const [name, form] of Object.entries(forms)) {
    it(`is read with line breaks ${name}, as contents and from files`, async (t) => {
      for (const options of [
        { key: form(KEY), cert: form(CERT) },
        { key: Buffer.from(form(KEY)), cert: Buffer.from(form(CERT)), ca: form(CERT) },
        { key_file_name: fileOf(form(KEY)), cert_file_name: fileOf(form(CERT)) },
      ]) {
        const { port } = serveSecure(t, ok, options);
        assert.equal((await getSecure(port)).body, 'ok');
      }
    });

    it(`is read with line breaks ${name}, also when a passphrase protects it`, async (t) => {
      for (const traditional of [false, true]) {
        const key = readFileSync(encryptKey(ordinaryCertificate().key, PASSPHRASE, { traditional }), 'latin1');
        // The encryption headers of the traditional format need lines of their own.
        if (traditional && name === 'left out') continue;
        const { port } = serveSecure(t, ok, { key: form(key), cert: CERT, passphrase: PASSPHRASE });
        assert.equal((await getSecure(port)).body, 'ok');
      }
    });
  }

  after(noConnectionLeft);
});

describe('a chain of certificates', () => {
  it('is read without a line break between its certificates', async (t) => {
    const { ca, between, leaf, key } = makeChain();
    const cert = leaf.trimEnd() + between.trimEnd();
    assert.match(cert, /-----END CERTIFICATE----------BEGIN CERTIFICATE-----/);
    const { port } = serveSecure(t, ok, { key_file_name: fileOf(key), cert_file_name: fileOf(cert) });
    assert.equal((await getSecure(port, { ca })).body, 'ok');
  });

  it('is read with the labels that OpenSSL and old programs give certificates', async (t) => {
    const { ca, between, leaf, key } = makeChain();
    const trusted = (pem) => String(openssl(['x509', '-trustout', '-addtrust', 'serverAuth'], { input: pem }));
    assert.match(trusted(leaf), /^-----BEGIN TRUSTED CERTIFICATE-----\n/);
    const old = (pem) => pem.replaceAll(' CERTIFICATE-----', ' X509 CERTIFICATE-----');
    for (const cert of [trusted(leaf) + trusted(between), old(leaf) + between, leaf + old(between)]) {
      const { port } = serveSecure(t, ok, { key_file_name: fileOf(key), cert_file_name: fileOf(cert) });
      assert.equal((await getSecure(port, { ca })).body, 'ok');
    }
  });

  it('may stand beside keys, requests, parameters and text', async (t) => {
    const { ca, between, leaf, key } = makeChain();
    const text = String(openssl(['x509', '-text'], { input: leaf }));
    const parameters = String(openssl(['ecparam', '-name', 'prime256v1']));
    const request = String(openssl(['req', '-new', '-key', fileOf(key), '-subj', '/CN=x']));
    const title = 'Some Root Certification Authority\n=================================================\n';
    const all = fileOf(
      `${parameters}${key}${request}${text}Bag Attributes\n  localKeyID: 01\n${title}${between}\n# The end\n****\n`,
    );
    const { port } = serveSecure(t, ok, { key_file_name: all, cert_file_name: all });
    assert.equal((await getSecure(port, { ca })).body, 'ok');
  });

  const { between, leaf, key } = makeChain();
  const lines = between.split('\n');
  const crl = '-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n';
  for (const [what, follows, reason] of [
    ['that is cut off', between.slice(0, 200), /line \d+ has no end/],
    ['whose first mark has lost a dash', between.slice(1), /damaged mark/],
    [
      'whose first mark has lost its last dashes',
      between.replace('CERTIFICATE-----', 'CERTIFICATE'),
      /line \d+ .*dashes/,
    ],
    ['whose first mark is lost', lines.slice(1).join('\n'), /base64 without/],
    ['whose last mark is lost', lines.slice(0, -2).join('\n'), /line \d+ has no end/],
    ['whose marks do not agree', between.replace('END CERT', 'END X509 CERT'), /another name/],
    ['whose base64 is damaged', between.replace(/\n(.)/, '\n*$1'), /base64 .* damaged/],
    ['whose DER is damaged', between.replace(/^(-----BEGIN.*\n)(.*\n)/, '$1$2$2'), /certificate .*line \d+ is damaged/],
    ['of another label', between.replaceAll(' CERTIFICATE-----', ' CERTIFICAT-----'), /unknown kind/],
    ['in PKCS #7', '-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n', /PKCS7.*openssl pkcs7/],
    ['that is a list of revoked ones', crl, /X509 CRL.*revoked/],
    ['that shares its first dashes with the last', joined(between).slice(5), /damaged mark/],
    ['whose first mark is lost, in one line', joined(lines.slice(1).join('\n')), /damaged mark/],
    ['that is encoded for a URL', encodeURIComponent(between), /damaged mark/],
    [
      'without marks, in short lines',
      joined(lines.slice(1, -2).join('\n')).replaceAll(/.{24}/g, '$&\n'),
      /base64 without/,
    ],
    ['in DER', new X509Certificate(between).raw.toString('latin1'), /no text/],
    ['that is nothing but text', 'garbage', /text behind .* line \d+/],
  ]) {
    it(`is refused when something follows ${what}`, ours, () => {
      const cert = leaf + follows;
      const at = [fileOf(key), fileOf(cert)];
      assertRefused({ key_file_name: at[0], cert_file_name: at[1] }, 'cert_file_name', at[1], reason);
      assertRefused({ key, cert }, /: cert: /, reason);
      assertRefused({ ...ORDINARY, ca: cert }, /: ca: /, reason);
    });
  }

  it('is read as a whole or refused, wherever it is cut off', ours, () => {
    const ends = new Set();
    for (let end = leaf.length; end < leaf.length + between.length; end += 1) {
      try {
        uWS.SSLApp({ key, cert: (leaf + between).slice(0, end) });
        ends.add(end);
      } catch (error) {
        assert.equal(error.code, 'ERR_MILLIWAYS_TLS');
      }
    }
    assert.deepEqual([...ends], [leaf.length, leaf.length + between.length - 1]);
  });

  after(noConnectionLeft);
});

describe('a key that is refused', ours, () => {
  const refuses = (key, ...reasons) => assertRefused({ key, cert: CERT }, /: key: /, ...reasons);
  const generate = (...args) => String(openssl(['genpkey', ...args]));
  const traditional = (pem) => String(openssl(['pkey', '-traditional'], { input: pem }));
  const curve = (name) => generate('-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${name}`);
  const rsa = (bits, ...more) => generate('-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${bits}`, ...more);
  const WHAT_TO_DO = [/P-256/, /2048/, /openssl genpkey/];

  for (const name of ['P-521', 'P-224', 'secp256k1', 'brainpoolP256r1']) {
    it(`is named as one of ECDSA with ${name}, with what to do`, () => {
      const named = name.startsWith('brain') ? /Brainpool/ : name;
      refuses(curve(name), named, ...WHAT_TO_DO);
      refuses(traditional(curve(name)), named, ...WHAT_TO_DO);
    });
  }

  for (const bits of [512, 1024, 2047, 2560]) {
    it(`is named as one of RSA with ${bits} bits, with what to do`, () => {
      refuses(rsa(bits), `RSA key of ${bits} bits`, ...WHAT_TO_DO);
      refuses(traditional(rsa(bits)), `RSA key of ${bits} bits`, ...WHAT_TO_DO);
    });
  }

  it('is named as what else it is', () => {
    refuses(rsa(2048, '-pkeyopt', 'rsa_keygen_pubexp:3'), /exponent below 65537/);
    refuses(rsa(2048, '-pkeyopt', 'rsa_keygen_primes:3'), /more than two primes/);
    refuses(generate('-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'), /RSASSA-PSS/);
    refuses(generate('-algorithm', 'ED448'), /Ed448/);
    refuses(generate('-algorithm', 'X25519'), /X25519/);
  });

  it('is named as encrypted by PBES1, with what to do, which does', async (t) => {
    const old = scratchFile('old.key.pem');
    for (const cipher of ['PBE-SHA1-3DES', 'PBE-SHA1-RC2-40', 'PBE-MD5-DES']) {
      const args = [
        'pkcs8',
        '-topk8',
        '-v1',
        cipher,
        '-in',
        ordinaryCertificate().key,
        '-passout',
        `pass:${PASSPHRASE}`,
      ];
      const encrypted = openssl(['version']).includes('OpenSSL 3')
        ? openssl([...args, '-provider', 'legacy', '-provider', 'default'])
        : openssl(args);
      assertRefused(
        { key: encrypted, cert: CERT, passphrase: PASSPHRASE },
        /PBES1/,
        /openssl pkey -in .* -aes256 -out/,
      );
      writeFileSync(old, encrypted);
    }
    const pass = [
      '-passin',
      `pass:${PASSPHRASE}`,
      '-passout',
      `pass:${PASSPHRASE}`,
      '-provider',
      'legacy',
      '-provider',
      'default',
    ];
    const key = openssl(['pkey', '-in', old, '-aes256', ...pass]);
    const { port } = serveSecure(t, ok, { key, cert: CERT, passphrase: PASSPHRASE });
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('is told from other things that are given in its place', () => {
    const der = openssl(['pkey', '-outform', 'DER'], { input: KEY });
    refuses(der, /DER/, /openssl pkey -inform DER/);
    refuses('', /empty/);
    refuses(Buffer.from(KEY).toString('base64'), /base64 once more/);
    refuses(joined(KEY).replaceAll(/-----[A-Z ]+-----/g, ''), /base64 without the lines/);
    refuses(JSON.stringify(createPrivateKey(KEY).export({ format: 'jwk' })), /JWK/);
    refuses(Buffer.from(`\ufeff${KEY}`, 'utf16le'), /UTF-8/);
    refuses(CERT, /private key/, /a section "CERTIFICATE"/);
    refuses(KEY.replaceAll('PRIVATE KEY', 'OPENSSH PRIVATE KEY'), /OpenSSH/, /ssh-keygen/);
    refuses(ORDINARY.key_file_name, /key_file_name/);
    assertRefused({ key: KEY, cert: ORDINARY.cert_file_name }, /: cert: /, /cert_file_name/);
    assertRefused({ key: KEY, cert: new X509Certificate(CERT).raw }, /: cert: /, /DER/);
  });

  it('is told that PEM itself is no path', () => {
    assertRefused(
      { key_file_name: KEY, cert_file_name: ORDINARY.cert_file_name },
      /: key_file_name: /,
      /given as key$/,
    );
    assertRefused({ ...ORDINARY, cert_file_name: CERT }, /: cert_file_name: /, /given as cert$/);
    assertRefused({ ...ORDINARY, ca_file_name: escaped(CERT) }, /: ca_file_name: /, /given as ca$/);
  });

  after(noConnectionLeft);
});

describe('no error has anything of a secret in it', ours, () => {
  const rsa = makeCertificate({ key: 'RSA-2048' });
  const pairs = [contents(ordinaryCertificate()), contents(rsa), contents(makeCertificate({ key: 'Ed25519' }))];
  const encrypted = [false, true].map((traditional) =>
    readFileSync(encryptKey(ordinaryCertificate().key, PASSPHRASE, { traditional }), 'latin1'),
  );
  const keys = [...pairs.map(({ key }) => String(key)), ...encrypted];
  const OPTIONS = ['key_file_name', 'cert_file_name', 'ca_file_name', 'key', 'cert', 'ca', 'passphrase', 'ssl_ciphers'];

  /** Returns forms in which a key may be passed by mistake. */
  function mistaken(pem) {
    const lines = pem.trimEnd().split('\n');
    const body = lines.slice(1, -1).join('\n');
    const der = Buffer.from(body.split('\n\n').at(-1), 'base64');
    return [
      pem,
      escaped(pem),
      joined(pem),
      pem.replaceAll('\n', ' '),
      body,
      escaped(body),
      joined(body),
      lines.slice(1).join('\n'),
      lines[2],
      lines.at(-2),
      `/etc/ssl/${lines.at(-2)}`,
      `/etc/ssl/${lines[1]}`,
      lines.slice(0, -1).join('\n'),
      pem.slice(0, pem.length / 2),
      pem.slice(1),
      pem.replace('-----\n', '\n'),
      pem.replace('-----\n', ''),
      pem.replace('-----\n', '- '),
      pem.replace('-----BEGIN ', '-----BEGIN'),
      pem.replaceAll('-----', '--'),
      pem.replaceAll('PRIVATE KEY', 'SECRET'),
      pem.replace('\n', '\n*'),
      pem.replaceAll(/[a-z]/g, '_'),
      pem + pem,
      pem + CERT,
      CERT + pem.slice(0, -40),
      Buffer.from(pem).toString('base64'),
      Buffer.from(pem).toString('hex'),
      encodeURIComponent(pem),
      `data:application/x-pem-file;base64,${Buffer.from(pem).toString('base64')}`,
      JSON.stringify({ key: pem }),
      Buffer.from(pem, 'utf16le'),
      der,
      der.toString('base64'),
      der.toString('hex'),
    ];
  }

  /** The parts of keys that no error may contain, in an encoding without separators. */
  const WINDOW = 12;
  const secrets = new Set([PASSPHRASE]);
  for (const pem of keys) {
    const body = pem.trimEnd().split('\n').slice(1, -1).join('\n').split('\n\n').at(-1).replaceAll('\n', '');
    const der = Buffer.from(body, 'base64');
    for (const text of [
      body,
      der.toString('hex'),
      Buffer.from(pem).toString('base64'),
      Buffer.from(pem).toString('hex'),
    ]) {
      for (let i = 0; i + WINDOW <= text.length; i += 1) secrets.add(text.slice(i, i + WINDOW));
    }
  }

  function assertClean(error, what) {
    const texts = [error.message, error.stack, error.cause?.message, error.cause?.stack, inspect(error, { depth: 9 })];
    const text = texts.join('\n');
    for (let i = 0; i + WINDOW <= text.length; i += 1) {
      const part = text.slice(i, i + WINDOW);
      assert.ok(!secrets.has(part), `${what}: ${part} in ${text}`);
    }
    assert.ok(!text.includes(PASSPHRASE), `${what}: ${text}`);
    assert.doesNotMatch(text, /(\d{1,3}, ){4}/, `${what}: a list of bytes`);
  }

  const attempts = (options, what, call = uWS.SSLApp) => {
    try {
      call(options);
    } catch (error) {
      assertClean(error, what);
      return 1;
    }
    return 0;
  };

  for (const option of OPTIONS) {
    it(`by a key in any form as ${option}`, () => {
      let refused = 0;
      for (const [number, pem] of keys.entries()) {
        for (const [form, value] of mistaken(pem).entries()) {
          const what = `${option}, key ${number}, form ${form}`;
          const contentsOf = { key: KEY, cert: CERT };
          for (const others of [ORDINARY, contentsOf, { ...contentsOf, key: encrypted[0], passphrase: PASSPHRASE }]) {
            refused += attempts({ ...others, [option]: value }, what);
          }
          if (option.endsWith('_file_name')) refused += attempts({ ...ORDINARY, [option]: fileOf(value) }, what);
        }
      }
      // A passphrase is ignored if no key needs it.
      assert.ok(refused > (option === 'passphrase' ? 20 : 100), `${refused} refused`);
    });
  }

  it('by a passphrase, whatever it is given as', () => {
    for (const option of OPTIONS) {
      for (const value of [PASSPHRASE, Buffer.from(PASSPHRASE), `${PASSPHRASE}\n`, `/etc/${PASSPHRASE}.pem`]) {
        const options = { key: encrypted[0], cert: CERT, passphrase: PASSPHRASE, [option]: value };
        if (option.endsWith('_file_name')) delete options[option.replace('_file_name', '')];
        if (!attempts(options, option)) assert.equal(option, 'passphrase');
      }
      attempts({ key: encrypted[1], cert: CERT, passphrase: `${PASSPHRASE}x`, [option]: PASSPHRASE.repeat(2) }, option);
    }
  });

  it('from addServerName and reloadCertificates', () => {
    const app = uWS.SSLApp(ORDINARY);
    const pair = { key: fileOf(KEY), cert: fileOf(CERT) };
    const renewable = uWS.SSLApp(files(pair)).addServerName('a.example', files(pair));
    for (const form of mistaken(keys[1])) {
      for (const option of OPTIONS) {
        attempts({ ...ORDINARY, [option]: form }, `addServerName, ${option}`, (options) =>
          app.addServerName('a.example', options),
        );
      }
      for (const file of Object.values(pair)) {
        const before = readFileSync(file);
        writeFileSync(file, form);
        attempts(undefined, 'reloadCertificates', () => renewable.reloadCertificates());
        writeFileSync(file, before);
      }
    }
    renewable.reloadCertificates();
  });
});
