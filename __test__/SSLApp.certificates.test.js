'use strict';

// Client certificates, and the renewal of a server's certificates.

const assert = require('node:assert/strict');
const { copyFileSync, readFileSync } = require('node:fs');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { EventLog } = require('./support/EventLog.js');
const { makeCertificate, ordinaryCertificate, scratchFile } = require('./support/certificates.js');
const { connectSecure, contents, fileOf, files, getSecure, readToEnd, serveSecure } = require('./support/secure.js');
const { ours } = require('./support/uws.js');
const { deadline, noConnectionLeft } = require('./support/wait.js');

const ORDINARY = files(ordinaryCertificate());

const ok = (app) => app.get('/*', (res) => res.end('ok'));

describe('client certificates', () => {
  const authority = makeCertificate({ names: ['authority'] });
  const known = makeCertificate({ names: ['arthur'], issuer: authority });
  const stranger = makeCertificate({ names: ['stranger'], issuer: makeCertificate({ names: ['unknown authority'] }) });
  const options = { ...ORDINARY, ca_file_name: authority.cert };
  const VERSIONS = ['TLSv1.2', 'TLSv1.3'];

  /** Responds with the result of getX509Certificate. */
  const tell = (app) => app.get('/*', (res) => res.end(JSON.stringify(res.getX509Certificate())));

  for (const maxVersion of VERSIONS) {
    describe(`in ${maxVersion}`, () => {
      it('are asked for with ca_file_name, and getX509Certificate gives them as PEM', async (t) => {
        const { port } = serveSecure(t, tell, options);
        const { body } = await getSecure(port, { ...contents(known), maxVersion });
        assert.equal(JSON.parse(body), readFileSync(known.cert, 'latin1'));
      });

      it('need not be there, and getX509Certificate gives an empty string then', async (t) => {
        const { port } = serveSecure(t, tell, options);
        assert.equal((await getSecure(port, { maxVersion })).body, '""');
      });

      it('that nobody known has signed end the handshake', async (t) => {
        const log = new EventLog();
        const { port } = serveSecure(
          t,
          (app) =>
            app.get('/*', (res) => {
              log.add('request');
              res.end();
            }),
          options,
        );
        await assert.rejects(getSecure(port, { ...contents(stranger), maxVersion }), /alert unknown ca/);
        const own = contents(ordinaryCertificate());
        await assert.rejects(getSecure(port, { ...own, maxVersion }), /alert/, 'nor may it be signed by itself');
        assert.equal(log.count('request'), 0);
        assert.equal((await getSecure(port, { maxVersion })).status, 200, 'others are served');
      });

      it('are not asked for without ca_file_name', async (t) => {
        const { port } = serveSecure(t, tell);
        assert.equal((await getSecure(port, { ...contents(known), maxVersion })).body, '""');
      });
    });
  }

  it('may be signed by any of several authorities, and by those between', async (t) => {
    const other = makeCertificate({ names: ['other authority'] });
    const between = makeCertificate({ names: ['between'], issuer: other, isAuthority: true });
    const ford = makeCertificate({ names: ['ford'], issuer: between });
    const authorities = fileOf(readFileSync(authority.cert, 'latin1') + readFileSync(other.cert, 'latin1'));
    const { port } = serveSecure(t, tell, { ...ORDINARY, ca_file_name: authorities });
    const leaf = readFileSync(ford.cert, 'latin1');
    const chain = leaf + readFileSync(between.cert, 'latin1');
    const { body } = await getSecure(port, { key: readFileSync(ford.key), cert: chain });
    assert.equal(JSON.parse(body), leaf, 'the certificate alone, without those behind it');
    const first = await getSecure(port, contents(known));
    assert.equal(JSON.parse(first.body), readFileSync(known.cert, 'latin1'));
  });

  it('are the same for every request of a connection, and for an upgrade', async (t) => {
    const seen = [];
    const note = (res) => seen.push(res.getX509Certificate());
    const { port } = serveSecure(
      t,
      (app) =>
        app
          .ws('/*', {
            upgrade: (res, req, context) => {
              note(res);
              const header = (name) => req.getHeader(`sec-websocket-${name}`);
              res.upgrade({}, header('key'), header('protocol'), header('extensions'), context);
            },
            open: (ws) => ws.end(),
          })
          .get('/*', (res) => {
            note(res);
            res.end();
          }),
      options,
    );
    const socket = await connectSecure(port, contents(known));
    const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n';
    socket.write(`${request}\r\n${request}Connection: close\r\n\r\n`);
    await readToEnd(socket);
    const client = new WebSocket(`wss://127.0.0.1:${port}`, { rejectUnauthorized: false, ...contents(known) });
    await deadline(new Promise((resolve) => client.on('close', resolve)), 'end of the WebSocket');
    assert.deepEqual(seen, Array(3).fill(readFileSync(known.cert, 'latin1')));
  });

  it('are known to a handler that answers later, and unknown to one that has answered', async (t) => {
    const { port } = serveSecure(
      t,
      (app) =>
        app.get('/*', (res) => {
          res.onAborted(() => {});
          setImmediate(() => {
            const certificate = res.getX509Certificate();
            res.cork(() => res.end(certificate));
            assert.throws(() => res.getX509Certificate(), /must not be accessed after/);
          });
        }),
      options,
    );
    assert.equal((await getSecure(port, contents(known))).body, readFileSync(known.cert, 'latin1'));
  });

  it('are checked against contents as well', ours, async (t) => {
    const { port } = serveSecure(t, tell, { ...ORDINARY, ca: readFileSync(authority.cert) });
    const { body } = await getSecure(port, contents(known));
    assert.equal(JSON.parse(body), readFileSync(known.cert, 'latin1'));
    await assert.rejects(getSecure(port, contents(stranger)), /alert unknown ca/);
  });

  after(noConnectionLeft);
});

describe('reloadCertificates', ours, () => {
  /** Returns copies of a pair's files that another pair can overwrite. */
  function renewable() {
    const { key, cert } = ordinaryCertificate();
    const pair = { key: scratchFile('renewed.key.pem'), cert: scratchFile('renewed.cert.pem') };
    const install = (next) => {
      copyFileSync(next.key, pair.key);
      copyFileSync(next.cert, pair.cert);
    };
    install({ key, cert });
    return { options: files(pair), pair, install };
  }

  it('has new connections get the new files, and open ones live on', async (t) => {
    const { options, install } = renewable();
    const { app, port } = serveSecure(t, ok, options);
    const open = await connectSecure(port);
    t.after(() => open.destroy());

    const renewed = makeCertificate({ names: ['renewed.example'], key: 'RSA-2048' });
    install(renewed);
    assert.equal((await getSecure(port)).name, 'localhost', 'not before it is called');
    assert.equal(app.reloadCertificates(), app);
    const fresh = await getSecure(port, { servername: 'renewed.example', ca: readFileSync(renewed.cert) });
    assert.deepEqual([fresh.name, fresh.body], ['renewed.example', 'ok']);

    open.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    assert.match(await readToEnd(open), /\r\n\r\nok$/);
  });

  it('keeps what there is when the new files are wrong, and says what is', async (t) => {
    const { options, pair, install } = renewable();
    const { app, port } = serveSecure(t, ok, options);
    install({ key: makeCertificate().key, cert: ordinaryCertificate().cert });
    assert.throws(
      () => app.reloadCertificates(),
      (error) => error.code === 'ERR_MILLIWAYS_TLS' && error.message.includes(pair.key),
    );
    assert.equal((await getSecure(port)).body, 'ok');
    install(ordinaryCertificate());
    app.reloadCertificates();
    assert.equal((await getSecure(port)).body, 'ok');
  });

  it('reads those of server names again, too', async (t) => {
    const { options, install } = renewable();
    const { app, port } = serveSecure(t, (routes) => {
      ok(routes).addServerName('renewed.example', options);
    });
    const renewed = makeCertificate({ names: ['renewed.example'] });
    install(renewed);
    app.reloadCertificates();
    const { name } = await getSecure(port, { servername: 'renewed.example', ca: readFileSync(renewed.cert) });
    assert.equal(name, 'renewed.example');
    assert.equal((await getSecure(port)).name, 'localhost');
  });

  it('reads authorities again, too', async (t) => {
    const ca_file_name = scratchFile('authorities.pem');
    const [before, later] = ['before', 'later'].map((name) => makeCertificate({ names: [name] }));
    const client = makeCertificate({ names: ['client'], issuer: later });
    copyFileSync(before.cert, ca_file_name);
    const { app, port } = serveSecure(t, ok, { ...ORDINARY, ca_file_name });
    await assert.rejects(getSecure(port, contents(client)), /alert unknown ca/);
    copyFileSync(later.cert, ca_file_name);
    app.reloadCertificates();
    assert.equal((await getSecure(port, contents(client))).body, 'ok');
  });

  it('may be in any memory', ours, async (t) => {
    const shared = (bytes) => {
      const memory = new SharedArrayBuffer(bytes.length);
      bytes.copy(Buffer.from(memory));
      return memory;
    };
    const FORMS = {
      ArrayBuffer: (bytes) => Uint8Array.from(bytes).buffer,
      Uint8Array: (bytes) => new Uint8Array(shared(bytes)),
      SharedArrayBuffer: shared,
    };
    for (const [name, form] of Object.entries(FORMS)) {
      const { key, cert } = contents(ordinaryCertificate());
      const { port } = serveSecure(t, ok, { key: form(key), cert: form(cert) });
      assert.equal((await getSecure(port)).body, 'ok', name);
      const { key: keyFile, cert: certFile } = ordinaryCertificate();
      const named = { key_file_name: form(Buffer.from(keyFile)), cert_file_name: form(Buffer.from(certFile)) };
      assert.equal((await getSecure(serveSecure(t, ok, named).port)).body, 'ok', name);
    }
  });

  it('has nothing to read where the contents were given', async (t) => {
    const { app, port } = serveSecure(t, ok, contents(ordinaryCertificate()));
    assert.equal(app.reloadCertificates(), app);
    assert.equal((await getSecure(port)).body, 'ok');
  });

  after(noConnectionLeft);
});
