'use strict';

// Valid server names (RFC 6066 section 3), the forms in which they are added and requested, and the handling of names
// that are not host names.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const net = require('node:net');
const tls = require('node:tls');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { makeCertificate, ordinaryCertificate } = require('./support/certificates.js');
const { connectSecure, contents, files, getSecure, readToEnd, serveSecure } = require('./support/secure.js');
const { uWS, ours } = require('./support/uws.js');
const { deadline, noConnectionLeft } = require('./support/wait.js');

const NAMED = makeCertificate({ names: ['named.example'] });
const VERSIONS = ['TLSv1.2', 'TLSv1.3'];

/** Returns the subject of the certificate that a client gets for a name, and the response to its request. */
async function answer(port, servername, options = {}) {
  const { name, body } = await getSecure(port, { servername, rejectUnauthorized: false, ...options });
  return [name, body];
}

/** Serves an app that has this name, with its own route. */
function serveNamed(t, name) {
  return serveSecure(t, (app) => {
    app.get('/*', (res) => res.end('default'));
    app
      .addServerName(name, files(NAMED))
      .domain(name)
      .get('/*', (res) => res.end('named'));
  });
}

describe('a server name', ours, () => {
  const A_LABEL = 'xn--bcher-kva.example';
  for (const [added, ...asked] of [
    ['x.example.', 'x.example', 'x.example.', 'X.EXAMPLE.'],
    ['X.Example', 'x.example', 'x.example.', 'X.EXAMPLE'],
    ['*.Wild.example.', 'a.wild.example', 'A.WILD.EXAMPLE.'],
    ['b\u00fccher.example', A_LABEL, A_LABEL.toUpperCase(), `${A_LABEL}.`],
    ['B\u00dcCHER.example.', A_LABEL],
    ['*.b\u00fccher.example', `a.${A_LABEL}`],
    ['b\u00fccher\u3002example', A_LABEL],
    [A_LABEL.toUpperCase(), A_LABEL],
    ['a_b.example', 'a_b.example'],
    ['*', 'localhost', 'localhost.'],
  ]) {
    it(`that is added as ${added} is had by those who ask for ${asked.join(', ')}`, async (t) => {
      for (const form of [added, Buffer.from(added)]) {
        const { app, port } = serveNamed(t, form);
        for (const name of asked) assert.deepEqual(await answer(port, name), ['named.example', 'named'], name);
        assert.equal(app.removeServerName(form), app);
        assert.deepEqual(await answer(port, asked[0]), ['localhost', 'default']);
      }
    });
  }

  it('is the same one in each of its forms', async (t) => {
    const forms = ['b\u00fccher.example', `${A_LABEL}.`, 'B\u00fccher.Example'];
    const { app, port } = serveNamed(t, forms[0]);
    app.addServerName(forms[1], files(ordinaryCertificate()));
    app.domain(forms[2]).get('/*', (res) => res.end('replaced'));
    assert.deepEqual(await answer(port, A_LABEL), ['localhost', 'replaced']);
    app.removeServerName(forms[1]);
    assert.deepEqual(await answer(port, A_LABEL), ['localhost', 'default']);
  });

  for (const [name, reason] of [
    ['', /empty/],
    ['127.0.0.1', /address/],
    ['::1', /address/],
    ['[::1]', /address/],
    ['\uff11.2.3.4', /address/],
    ['a.*.example', /asterisk/],
    ['*a.example', /asterisk/],
    ['a..example', /no host name/],
    ['-a.example', /no host name/],
    ['a b.example', /no host name/],
    ['a.example:443', /no host name/],
    ['https://a.example/', /no host name/],
    ['a.1', /no host name/],
    [`${'a'.repeat(64)}.example`, /too long/],
    [`${'a.'.repeat(130)}example`, /too long/],
    ['b\u00fccher.example/', /ASCII/],
    ['b\u00fc cher.example', /ASCII/],
    ['xn--a.example', /IDNA/],
    ['xn--.example', /IDNA/],
    ['\u202eb\u00fccher.example', /IDNA/],
  ]) {
    it(`is not ${JSON.stringify(name.slice(0, 30))}, which no client can ask for`, (t) => {
      const { app } = serveSecure(t, () => {});
      assert.throws(
        () => app.addServerName(name, files(NAMED)),
        (error) => {
          assert.equal(error.code, 'ERR_MILLIWAYS_INVALID_SERVER_NAME');
          assert.match(error.message, reason);
          return true;
        },
      );
      // Looking up an invalid name is not an error.
      assert.equal(app.removeServerName(name), app);
      assert.equal(app.domain(name), app);
    });
  }

  after(noConnectionLeft);
});

describe('a client that asks for a name which is no host name', () => {
  // Names that OpenSSL sends unchanged.
  const ODD = [
    'a b.example',
    'b\u00fccher.example',
    '-a.example',
    'a-.example',
    'a..example',
    '.',
    'node.1',
    '1.2.3.4.',
    '[::1]',
    'a.example:443',
    '*.example',
    'a'.repeat(255),
    `${'a'.repeat(64)}.example`,
  ];
  const ADDRESSES = ['127.0.0.1', '::1'];
  const UNKNOWN = ['a_b.example', 'named.example.org'];

  for (const maxVersion of VERSIONS) {
    it(`gets the certificate and the routes of the app, in ${maxVersion}`, async (t) => {
      const { port } = serveNamed(t, 'named.example');
      for (const name of [...ODD, ...ADDRESSES, ...UNKNOWN]) {
        assert.deepEqual(await answer(port, name, { maxVersion }), ['localhost', 'default'], name);
      }
      assert.deepEqual(await answer(port, 'named.example', { maxVersion }), ['named.example', 'named']);
    });

    it(`is known by its certificate, in ${maxVersion}`, async (t) => {
      const authority = makeCertificate({ names: ['authority'] });
      const client = makeCertificate({ names: ['client'], issuer: authority });
      const { port } = serveSecure(t, (app) => app.get('/*', (res) => res.end(res.getX509Certificate())), {
        ...files(ordinaryCertificate()),
        ca_file_name: authority.cert,
      });
      for (const name of ODD.slice(0, 3)) {
        const [, body] = await answer(port, name, { maxVersion, ...contents(client) });
        assert.equal(body, readFileSync(client.cert, 'latin1'), name);
      }
    });

    it(`resumes its session, in ${maxVersion}`, async (t) => {
      const { port } = serveNamed(t, 'named.example');
      const options = { servername: ODD[0], rejectUnauthorized: false, maxVersion };
      const first = await connectSecure(port, options);
      // The ticket comes after the handshake in TLS 1.3, and within it in TLS 1.2.
      const session = maxVersion === 'TLSv1.3' ? once(first, 'session') : [first.getSession()];
      first.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      const [ticket] = await deadline(session, 'ticket');
      await readToEnd(first);
      const second = await connectSecure(port, { ...options, session: ticket });
      assert.equal(second.isSessionReused(), true);
      second.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      assert.match(await readToEnd(second), /\r\n\r\ndefault$/);
    });
  }

  it('is served also when it has to say a second time what it wants', async (t) => {
    const { port } = serveNamed(t, 'named.example');
    // The server does not support the group of the client's first key share.
    const options = { ecdhCurve: 'secp521r1:prime256v1', minVersion: 'TLSv1.3' };
    for (const name of ODD) assert.deepEqual(await answer(port, name, options), ['localhost', 'default'], name);
  });

  it('is served however its first message is cut', ours, async (t) => {
    const { port } = serveNamed(t, 'named.example');
    const slow = net.createServer((client) => {
      const server = net.connect({ port, host: '127.0.0.1', noDelay: true });
      server.pipe(client);
      client.on('error', () => server.destroy());
      server.on('error', () => client.destroy());
      client.on('data', async (bytes) => {
        client.pause();
        for (const byte of bytes) await new Promise((resolve) => server.write(Uint8Array.of(byte), resolve));
        client.resume();
      });
      client.on('end', () => server.end());
    });
    slow.listen(0, '127.0.0.1');
    await once(slow, 'listening');
    t.after(() => slow.close());
    for (const maxVersion of VERSIONS) {
      assert.deepEqual(await answer(slow.address().port, ODD[0], { maxVersion }), ['localhost', 'default']);
    }
  });

  it('is answered also when the name is empty, or longer than OpenSSL sends', ours, async (t) => {
    const { port } = serveNamed(t, 'named.example');
    for (const name of ['', 'a'.repeat(256), 'a'.repeat(5000), 'a\0b.example', '\0']) {
      assert.equal(await firstAnswer(port, await clientHello(Buffer.from(name))), 'ServerHello', name.slice(0, 20));
    }
    assert.equal(await firstAnswer(port, await clientHello(undefined)), 'alert', 'an empty list is none');
  });

  it('is refused when it sends two names, in whichever order', ours, async (t) => {
    const { port } = serveNamed(t, 'named.example');
    for (const names of [
      ['a b.example', 'named.example'],
      ['named.example', 'a b.example'],
      ['a b.example', 'a b.example'],
      ['a b.example', 'a..example', 'named.example'],
    ]) {
      assert.equal(
        await firstAnswer(port, await clientHello(...names.map((name) => Buffer.from(name)))),
        'alert',
        names,
      );
    }
  });

  it('is not asked about', ours, async (t) => {
    const log = new EventLog();
    const { app, port } = serveNamed(t, 'named.example');
    app.missingServerName((name) => log.add('missing', name));
    for (const name of [...ODD, ...ADDRESSES]) await answer(port, name);
    assert.deepEqual(log.all, []);
    for (const name of UNKNOWN) await answer(port, `${name.toUpperCase()}.`);
    assert.deepEqual(
      log.all,
      UNKNOWN.map((name) => ['missing', name]),
    );
  });

  after(noConnectionLeft);
});

/**
 * Returns OpenSSL's ClientHello with other names in it, each in its own extension; `undefined` stands for an empty list
 * of names.
 */
async function clientHello(...names) {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const known = 'placeholder.example';
  const client = tls.connect({ port: server.address().port, host: '127.0.0.1', servername: known });
  client.on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [record] = await once(socket, 'data');
  client.destroy();
  socket.destroy();
  server.close();

  const vector = (bytes) => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
  const list = (host) => vector(host === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0), vector(host)]));
  const extension = (host) => Buffer.concat([Buffer.of(0, 0), vector(list(host))]);
  const [before, replaced] = [extension(Buffer.from(known)), Buffer.concat(names.map(extension))];
  const at = record.indexOf(before);
  assert.ok(at > 0, 'the name is there');
  const changed = Buffer.concat([record.subarray(0, at), replaced, record.subarray(at + before.length)]);
  const more = replaced.length - before.length;
  // Adjusts the lengths of the record, the message and its extensions.
  changed.writeUInt16BE(changed.readUInt16BE(3) + more, 3);
  changed.writeUIntBE(changed.readUIntBE(6, 3) + more, 6, 3);
  let position = 9 + 2 + 32;
  position += 1 + changed[position];
  position += 2 + changed.readUInt16BE(position);
  position += 1 + changed[position];
  changed.writeUInt16BE(changed.readUInt16BE(position) + more, position);
  return changed;
}

async function firstAnswer(port, hello) {
  const socket = net.connect({ port, host: '127.0.0.1' });
  socket.write(hello);
  const [bytes] = await deadline(once(socket, 'data'), 'an answer');
  const ended = once(socket, 'close');
  socket.destroy();
  await ended;
  if (bytes[0] === 21) return 'alert';
  return bytes[0] === 22 && bytes[5] === 2 ? 'ServerHello' : bytes.toString('hex', 0, 16);
}

describe('the guide to TLS', ours, () => {
  it('and index.d.ts say the same of the routes of a name that is removed, and it is so', async (t) => {
    const root = `${__dirname}/..`;
    const flat = (file) => readFileSync(`${root}/${file}`, 'utf8').replaceAll(/\s+(?:\* )?/g, ' ');
    const said = /Connections that use it stay open and get a 404 for every later request/;
    for (const file of ['docs/TLS.md', 'index.d.ts']) assert.match(flat(file), said, file);

    const { app, port } = serveNamed(t, 'named.example');
    const socket = await connectSecure(port, { servername: 'named.example', rejectUnauthorized: false });
    const request = (last) => `GET / HTTP/1.1\r\nHost: x\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
    socket.write(request());
    const [first] = await deadline(once(socket, 'data'), 'an answer');
    assert.match(String(first), /^HTTP\/1\.1 200 [^]*named$/);
    app.removeServerName('named.example');
    app
      .addServerName('named.example', files(NAMED))
      .domain('named.example')
      .get('/*', (res) => res.end('again'));
    socket.write(request(true));
    assert.match(await readToEnd(socket), /^HTTP\/1\.1 404 /);
    assert.deepEqual(await answer(port, 'named.example'), ['named.example', 'again']);
  });

  it('has routes refused that are added to a name which was removed', (t) => {
    const { app } = serveNamed(t, 'named.example');
    app.domain('named.example').removeServerName('named.example');
    const code = 'ERR_MILLIWAYS_INVALID_SERVER_NAME';
    assert.throws(() => app.get('/', () => {}), { code });
    assert.throws(() => app.get('/', null), { code });
    assert.throws(() => app.ws('/', {}), { code });
    assert.equal(
      app.domain('').get('/', () => {}),
      app,
    );
    assert.equal(
      uWS.SSLApp(files(NAMED)).removeServerName('never.example').get('/', null).constructor.name,
      'uWS.SSLApp',
    );
  });
});
