'use strict';

// Keys, certificates, authorities and ciphers with which an SSLApp can be created, and those with which it cannot.

const assert = require('node:assert/strict');
const { mkdirSync, readFileSync } = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { Script } = require('./support/Script.js');
const { encryptKey, makeCertificate, openssl, ordinaryCertificate, scratchFile } = require('./support/certificates.js');
const { assertRefused, contents, fileOf, files, getSecure, serveSecure } = require('./support/secure.js');
const { uWS, ours } = require('./support/uws.js');
const { deadline, noConnectionLeft, turn } = require('./support/wait.js');

const KEYS = ['P-256', 'P-384', 'RSA-2048', 'Ed25519'];
const PASSPHRASE = 'correct h\u00f6rse';
const ORDINARY = files(ordinaryCertificate());

/** Ciphers of encrypted keys: the defaults of OpenSSL 3 and 1.1, and that of the `req` of 3.0. */
const KEY_CIPHERS = ['aes-256-cbc', 'aes-128-cbc', 'des-ede3-cbc'];

const pairs = new Map();

/** Returns a self-signed certificate with a key of this type. It is created once per type. */
function pairOf(key) {
  if (!pairs.has(key)) pairs.set(key, makeCertificate({ key }));
  return pairs.get(key);
}

const ok = (app) => app.get('/*', (res) => res.end('ok'));

/** Returns a view of the same bytes that begins in the middle of its memory. */
function inTheMiddle(bytes) {
  return Buffer.concat([Buffer.from('xxx'), bytes, Buffer.from('yyy')]).subarray(3, 3 + bytes.length);
}

describe('SSLApp', () => {
  it('works as a function and as a constructor, and its classes have the names that uWebSockets.js gives them', async (t) => {
    const names = { app: uWS.SSLApp(ORDINARY).constructor.name, new: new uWS.SSLApp(ORDINARY).constructor.name };
    const { port } = serveSecure(t, (app) =>
      app
        .ws('/*', {
          open: (ws) => {
            names.ws = ws.constructor.name;
            ws.end();
          },
        })
        .any('/*', (res, req) => {
          Object.assign(names, { res: res.constructor.name, req: req.constructor.name });
          res.end('ok');
        }),
    );
    assert.equal((await getSecure(port)).body, 'ok');
    const client = new WebSocket(`wss://127.0.0.1:${port}`, { rejectUnauthorized: false });
    await deadline(new Promise((resolve) => client.on('close', resolve)), 'end of the WebSocket');
    assert.deepEqual(names, {
      app: 'uWS.SSLApp',
      new: 'uWS.SSLApp',
      res: 'uWS.SSLHttpResponse',
      req: 'uWS.HttpRequest',
      ws: 'uWS.SSLWebSocket',
    });
  });

  it('lives beside an App of the same process', async (t) => {
    const { port } = serveSecure(t, (app) => app.get('/*', (res) => res.end('secure')));
    const plain = uWS.App().get('/*', (res) => res.end('plain'));
    t.after(() => plain.close());
    let token;
    plain.listen('127.0.0.1', 0, (listenSocket) => {
      token = listenSocket;
    });
    const response = await fetch(`http://127.0.0.1:${uWS.us_socket_local_port(token)}/`);
    assert.equal(await response.text(), 'plain');
    assert.equal((await getSecure(port)).body, 'secure');
  });

  it('speaks TLS 1.3 and 1.2, and nothing older', async (t) => {
    const { port } = serveSecure(t, ok);
    assert.equal((await getSecure(port)).protocol, 'TLSv1.3');
    assert.equal((await getSecure(port, { maxVersion: 'TLSv1.2' })).protocol, 'TLSv1.2');
    for (const version of ['TLSv1', 'TLSv1.1']) {
      const older = { minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' };
      await assert.rejects(getSecure(port, older), /alert protocol version/);
    }
  });

  after(noConnectionLeft);
});

describe('the key and the certificate', () => {
  for (const key of KEYS) {
    it(`may be of ${key}, in TLS 1.2 and in TLS 1.3`, async (t) => {
      const pair = pairOf(key);
      const { port } = serveSecure(t, ok, files(pair));
      for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const { body, protocol } = await getSecure(port, { ca: readFileSync(pair.cert), maxVersion: version });
        assert.deepEqual([body, protocol], ['ok', version]);
      }
    });

    it(`may be of ${key} with a passphrase`, async (t) => {
      const pair = pairOf(key);
      for (const cipher of KEY_CIPHERS) {
        const encrypted = encryptKey(pair.key, PASSPHRASE, { cipher });
        assert.match(readFileSync(encrypted, 'latin1'), /^-----BEGIN ENCRYPTED PRIVATE KEY-----$/m);
        const options = { ...files({ ...pair, key: encrypted }), passphrase: PASSPHRASE };
        const { port } = serveSecure(t, ok, options);
        assert.equal((await getSecure(port, { ca: readFileSync(pair.cert) })).body, 'ok', cipher);
      }
    });
  }

  // Ed25519 keys have no traditional form.
  for (const [key, form] of [
    ['P-256', 'EC'],
    ['P-384', 'EC'],
    ['RSA-2048', 'RSA'],
  ]) {
    it(`may be of ${key} in the traditional form of OpenSSL`, async (t) => {
      const pair = pairOf(key);
      const text = String(openssl(['pkey', '-traditional', '-in', pair.key]));
      assert.match(text, new RegExp(`^-----BEGIN ${form} PRIVATE KEY-----\n`));
      const { port } = serveSecure(t, ok, { key_file_name: fileOf(text), cert_file_name: pair.cert });
      assert.equal((await getSecure(port, { ca: readFileSync(pair.cert) })).body, 'ok');
    });

    it(`may be of ${key} in the traditional form with a passphrase`, async (t) => {
      const pair = pairOf(key);
      for (const cipher of KEY_CIPHERS) {
        const encrypted = encryptKey(pair.key, PASSPHRASE, { traditional: true, cipher });
        assert.match(readFileSync(encrypted, 'latin1'), /^Proc-Type: 4,ENCRYPTED$/m);
        const options = { ...files({ ...pair, key: encrypted }), passphrase: PASSPHRASE };
        const { port } = serveSecure(t, ok, options);
        assert.equal((await getSecure(port, { ca: readFileSync(pair.cert) })).body, 'ok', cipher);
      }
    });
  }

  it('may stand behind the parameters of its curve, as `openssl ecparam -genkey` has it', async (t) => {
    const key = String(openssl(['ecparam', '-name', 'prime256v1', '-genkey']));
    assert.match(key, /^-----BEGIN EC PARAMETERS-----\n/);
    const key_file_name = fileOf(key);
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const cert = openssl(['req', '-x509', '-key', key_file_name, '-days', '2', ...subject]);
    const { port } = serveSecure(t, ok, { key_file_name, cert_file_name: fileOf(cert) });
    assert.equal((await getSecure(port, { ca: cert })).body, 'ok');
  });

  it('may have a passphrase that is not needed', async (t) => {
    const { port } = serveSecure(t, ok, { ...ORDINARY, passphrase: PASSPHRASE });
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('may be named by bytes', async (t) => {
    const { port } = serveSecure(t, ok, {
      key_file_name: Buffer.from(ORDINARY.key_file_name),
      cert_file_name: new TextEncoder().encode(ORDINARY.cert_file_name).buffer,
      passphrase: Buffer.from('none'),
    });
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('may be in one file, with text around them', async (t) => {
    const { key, cert } = contents(ordinaryCertificate());
    const both = fileOf(`The certificate:\n${cert}\nand its key:\n${key}\n`);
    const { port } = serveSecure(t, ok, { key_file_name: both, cert_file_name: both });
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('may have line ends of Windows', async (t) => {
    const { key, cert } = contents(ordinaryCertificate());
    const { port } = serveSecure(t, ok, {
      key_file_name: fileOf(String(key).replaceAll('\n', '\r\n')),
      cert_file_name: fileOf(String(cert).replaceAll('\n', '\r\n')),
    });
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('are sent with the chain that stands behind the certificate', async (t) => {
    const root = makeCertificate({ names: ['root'] });
    const between = makeCertificate({ names: ['between'], issuer: root, isAuthority: true });
    const leaf = makeCertificate({ issuer: between });
    const ca = readFileSync(root.cert);
    const chain = fileOf(readFileSync(leaf.cert, 'latin1') + readFileSync(between.cert, 'latin1'));

    const whole = serveSecure(t, ok, { key_file_name: leaf.key, cert_file_name: chain });
    assert.equal((await getSecure(whole.port, { ca })).body, 'ok');
    assert.equal((await getSecure(whole.port, { ca, maxVersion: 'TLSv1.2' })).body, 'ok');

    const alone = serveSecure(t, ok, files(leaf));
    await assert.rejects(getSecure(alone.port, { ca }), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
  });

  it('may be given as contents, strings or bytes', ours, async (t) => {
    const { key, cert } = contents(ordinaryCertificate());
    for (const options of [
      { key, cert },
      { key: String(key), cert: String(cert) },
      { key: inTheMiddle(key), cert: inTheMiddle(cert) },
      { key, cert_file_name: ORDINARY.cert_file_name },
      { key_file_name: ORDINARY.key_file_name, cert },
      { key: readFileSync(encryptKey(ordinaryCertificate().key, PASSPHRASE)), cert, passphrase: PASSPHRASE },
    ]) {
      const { port } = serveSecure(t, ok, options);
      assert.equal((await getSecure(port)).body, 'ok');
    }
  });

  it('are read when the app is made: what is done with the options and bytes then has no effect', ours, async (t) => {
    const { key, cert } = contents(ordinaryCertificate());
    const options = { key, cert };
    const { port } = serveSecure(t, ok, options);
    key.fill(0);
    cert.fill(0);
    delete options.key;
    assert.equal((await getSecure(port)).body, 'ok');
  });

  after(noConnectionLeft);
});

describe('SSLApp refuses', () => {
  const pair = ordinaryCertificate();
  const missing = path.join(path.dirname(pair.key), 'missing.pem');
  const folder = scratchFile('folder.pem');
  mkdirSync(folder);
  const noPem = fileOf('This is no PEM.\n');
  const empty = fileOf('');

  for (const option of ['key_file_name', 'cert_file_name', 'ca_file_name']) {
    it(`a ${option} that is not there`, () => {
      assertRefused({ ...ORDINARY, [option]: missing }, missing, /no such file/i);
    });

    it(`a ${option} that is a folder`, () => {
      assertRefused({ ...ORDINARY, [option]: folder }, folder, /director|folder/i);
    });

    it(`a ${option} that is no PEM`, () => {
      assertRefused({ ...ORDINARY, [option]: noPem }, noPem);
    });

    it(`a ${option} that is empty`, () => {
      assertRefused({ ...ORDINARY, [option]: empty }, empty);
    });
  }

  it('a file that is not there with the reason of the system as cause', ours, () => {
    assert.throws(
      () => uWS.SSLApp({ ...ORDINARY, key_file_name: missing }),
      ({ cause }) => cause instanceof Error && /no such file/i.test(cause.message),
    );
  });

  it('a key where the certificate should be, and the other way round', () => {
    assertRefused({ ...ORDINARY, cert_file_name: pair.key }, pair.key, /certificate/i);
    assertRefused({ ...ORDINARY, key_file_name: pair.cert }, pair.cert, /key/i);
    assertRefused({ ...ORDINARY, ca_file_name: pair.key }, pair.key, /certificate/i);
  });

  it('a certificate or a key that is damaged', () => {
    const { key, cert } = contents(pair);
    // Duplicates the first line of the Base64 text.
    const damage = (pem) => fileOf(String(pem).replace(/^(-----BEGIN.*\n)(.*\n)/, '$1$2$2'));
    // Truncates the file.
    const cut = (pem) => fileOf(String(pem).slice(0, 150));
    for (const damaged of [damage(key), cut(key)]) {
      assertRefused({ ...ORDINARY, key_file_name: damaged }, damaged, /key/i);
    }
    for (const damaged of [damage(cert), cut(cert)]) {
      assertRefused({ ...ORDINARY, cert_file_name: damaged }, damaged, /certificate/i);
    }
  });

  it('a key and a certificate that do not belong together', () => {
    for (const key of KEYS) {
      const other = pairOf(key);
      assertRefused({ ...ORDINARY, key_file_name: other.key }, other.key, /certificate/i);
    }
  });

  it('a wrong passphrase', () => {
    for (const traditional of [false, true]) {
      const key = encryptKey(pair.key, PASSPHRASE, { traditional });
      assertRefused({ ...ORDINARY, key_file_name: key, passphrase: 'wrong' }, key, /passphrase/i);
    }
  });

  // uWebSockets.js asks for a passphrase on the terminal.
  it('an encrypted key without a passphrase', ours, () => {
    for (const traditional of [false, true]) {
      const key = encryptKey(pair.key, PASSPHRASE, { traditional });
      assertRefused({ ...ORDINARY, key_file_name: key }, key, /passphrase/i);
    }
  });

  it('to be without a key or a certificate', ours, () => {
    assertRefused(undefined, 'key_file_name', 'cert_file_name');
    assertRefused({}, 'key_file_name', 'cert_file_name');
    assertRefused({ key_file_name: undefined, cert_file_name: undefined }, 'key_file_name', 'cert_file_name');
    assertRefused({ key_file_name: pair.key }, 'cert_file_name');
    assertRefused({ cert_file_name: pair.cert }, 'key_file_name');
  });

  it('contents that are none', ours, () => {
    const { key, cert } = contents(pair);
    assertRefused({ key: 'no PEM', cert }, /\bkey\b/);
    assertRefused({ key, cert: 'no PEM' }, /\bcert\b/);
    assertRefused({ key, cert, ca: 'no PEM' }, /\bca\b/);
  });

  it('a path, a passphrase and ciphers that are neither text nor bytes', () => {
    for (const option of ['key_file_name', 'cert_file_name', 'ca_file_name', 'passphrase', 'ssl_ciphers']) {
      for (const value of [5, {}, null]) {
        assert.throws(() => uWS.SSLApp({ ...ORDINARY, [option]: value }), {
          message: 'Text and data can only be passed by String, ArrayBuffer or TypedArray.',
          ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_INVALID_DATA' }),
        });
      }
    }
  });

  it('without harm: the next one is made, and serves', async (t) => {
    assertRefused({ ...ORDINARY, key_file_name: missing });
    const { port } = serveSecure(t, ok);
    assert.equal((await getSecure(port)).body, 'ok');
  });
});

describe('ssl_ciphers', () => {
  const version12 = { maxVersion: 'TLSv1.2' };

  it('are those that a connection of TLS 1.2 may have, whichever the client prefers', async (t) => {
    const named = 'ECDHE-ECDSA-AES256-GCM-SHA384';
    const { port } = serveSecure(t, ok, { ...ORDINARY, ssl_ciphers: named });
    assert.equal((await getSecure(port, version12)).cipher, named);
    const offers = `ECDHE-ECDSA-AES128-GCM-SHA256:${named}`;
    assert.equal((await getSecure(port, { ...version12, ciphers: offers })).cipher, named);
    for (const cipher of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305']) {
      await assert.rejects(getSecure(port, { ...version12, ciphers: cipher }), /alert handshake failure/);
    }
  });

  it('leave TLS 1.3 alone where they name none of it', async (t) => {
    const { port } = serveSecure(t, ok, { ...ORDINARY, ssl_ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' });
    assert.equal((await getSecure(port)).protocol, 'TLSv1.3');
  });

  it('may be several', async (t) => {
    const named = ['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-ECDSA-AES128-GCM-SHA256'];
    const { port } = serveSecure(t, ok, { ...ORDINARY, ssl_ciphers: named.join(':') });
    for (const cipher of named) {
      assert.equal((await getSecure(port, { ...version12, ciphers: cipher })).cipher, cipher);
    }
    const other = { ...version12, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' };
    await assert.rejects(getSecure(port, other), /alert handshake failure/);
  });

  it('may be of TLS 1.3, by the names that OpenSSL gives them', ours, async (t) => {
    for (const named of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
      const { port } = serveSecure(t, ok, { ...ORDINARY, ssl_ciphers: named });
      const { cipher, protocol } = await getSecure(port);
      assert.deepEqual([cipher, protocol], [named, 'TLSv1.3']);
    }
  });

  it('of TLS 1.3 alone leave TLS 1.2 out', ours, async (t) => {
    const { port } = serveSecure(t, ok, { ...ORDINARY, ssl_ciphers: 'TLS_AES_128_GCM_SHA256' });
    await assert.rejects(getSecure(port, version12), { message: /alert/ });
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('may be of both versions', ours, async (t) => {
    const named = ['TLS_CHACHA20_POLY1305_SHA256', 'ECDHE-ECDSA-AES128-GCM-SHA256'];
    const { port } = serveSecure(t, ok, { ...ORDINARY, ssl_ciphers: named.join(':') });
    assert.equal((await getSecure(port)).cipher, named[0]);
    assert.equal((await getSecure(port, version12)).cipher, named[1]);
  });

  it('that are unknown make the app fail, and are named', () => {
    for (const unknown of ['NONSENSE', 'TLS_AES_512_GCM_SHA1024']) {
      assertRefused({ ...ORDINARY, ssl_ciphers: unknown }, unknown);
    }
  });

  it('that are not there make the app fail, also beside others, and are named', ours, () => {
    for (const unsupported of [
      'NONSENSE',
      'HIGH',
      '!aNULL',
      'AES128-SHA',
      'DHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES128-SHA',
      'TLS_AES_128_CCM_SHA256',
    ]) {
      assertRefused({ ...ORDINARY, ssl_ciphers: `ECDHE-ECDSA-AES128-GCM-SHA256:${unsupported}` }, unsupported);
    }
  });
});

describe('options that have no effect here', () => {
  it('ssl_prefer_low_memory_usage is taken', async (t) => {
    const { port } = serveSecure(t, ok, { ...ORDINARY, ssl_prefer_low_memory_usage: true });
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('dh_params_file_name is taken, whatever it names, with a warning once a process', ours, async () => {
    const { code, reports } = await Script.run(
      async ({ uWS: loaded, report }, options) => {
        process.on('warning', (warning) => report(warning.code));
        for (const dh_params_file_name of ['missing.pem', 'another.pem']) {
          const app = loaded.SSLApp({ ...options, dh_params_file_name });
          report(app.constructor.name);
        }
      },
      { args: [ORDINARY] },
    );
    const expected = [['uWS.SSLApp'], ['uWS.SSLApp'], ['WARN_MILLIWAYS_DH_PARAMS']];
    assert.deepEqual({ code, reports }, { code: 0, reports: expected });
  });
});

describe('proxyProtocol of an SSLApp', ours, () => {
  const header = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000201c63364071f9001bb', 'hex');
  const line = Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 8080 443\r\n');
  const source = (res) =>
    res.end(Buffer.concat([Buffer.from(res.getProxiedRemoteAddressAsText()), Buffer.from(' ok')]));

  it('has the header of a proxy before the handshake, wherever it is cut, or none', async (t) => {
    const { port } = serveSecure(t, (app) => app.get('/*', source), { ...ORDINARY, proxyProtocol: true });
    for (const bytes of [header, line]) {
      for (let cut = 0; cut <= bytes.length; cut += 1) {
        const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
        socket.write(bytes.subarray(0, cut));
        await turn();
        socket.write(bytes.subarray(cut));
        assert.equal((await getSecure(port, { socket })).body, '192.0.2.1 ok');
      }
    }
    assert.equal((await getSecure(port)).body, ' ok');
  });

  it('ends a connection whose header is no good, and one that has a header where there is to be none', async (t) => {
    const bad = Buffer.from(header);
    bad[12] = 0x51;
    for (const [proxyProtocol, bytes] of [
      [true, bad],
      [true, Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 8080\r\n')],
      [false, header],
      [false, line],
    ]) {
      const { port } = serveSecure(t, ok, { ...ORDINARY, proxyProtocol });
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.write(bytes);
      await assert.rejects(getSecure(port, { socket }));
    }
  });

  after(noConnectionLeft);
});
