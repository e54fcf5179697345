'use strict';

// Misbehaving peers, byte by byte. Whatever they do ends their own connection and no other.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { Duplex } = require('node:stream');
const { after, describe, it } = require('node:test');
const tls = require('node:tls');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { makeCertificate } = require('./support/certificates.js');
const frames = require('./support/frames.js');
const { request } = require('./support/http.js');
const { noise } = require('./support/noise.js');
const { connectSecure, contents, getSecure, readToEnd, serveSecure } = require('./support/secure.js');
const { ours } = require('./support/uws.js');
const { deadline, noConnectionLeft, turn } = require('./support/wait.js');

/** Types of records (RFC 8446 section 5.1). */
const ALERT = 21;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
/** Bytes of a record's header: type, version and length. */
const HEADER = 5;
const VERSIONS = ['TLSv1.2', 'TLSv1.3'];
/** Milliseconds within which a timeout of 10 s must have taken effect; sweeps may be 4 s apart. */
const PATIENCE = 20_000;

/** Returns a record with this payload and the version that clients write. */
function record(type, payload, length = payload.length) {
  const header = Buffer.from([type, 3, 3, 0, 0]);
  header.writeUInt16BE(length, 3);
  return Buffer.concat([header, payload]);
}

/**
 * The client's end of a connection, which `node:tls` uses in place of a socket. Everything it writes passes through
 * `send(bytes, raw)`, which by default sends it to the server unchanged.
 */
class Wire extends Duplex {
  constructor(raw, send = (bytes) => raw.write(bytes)) {
    super();
    this.raw = raw;
    this.send = send;
    raw.on('data', (bytes) => this.push(bytes));
    raw.on('end', () => this.push(null));
    raw.on('close', () => this.destroy());
    raw.on('error', () => {});
  }

  _read() {}

  async _write(bytes, _encoding, done) {
    await this.send(bytes, this.raw);
    done();
  }

  /** Sends no FIN, so that the server only has the close_notify. */
  _final(done) {
    done();
  }
}

/** Returns a connection after its handshake, and the wire below it. */
async function connectOverWire(t, port, { send, ...options } = {}) {
  const raw = net.connect({ port, host: '127.0.0.1', noDelay: true });
  t.after(() => raw.destroy());
  await deadline(once(raw, 'connect'), 'connection');
  const wire = new Wire(raw, send);
  const socket = await connectSecure(port, { ...options, socket: wire });
  return { socket, wire };
}

/** Returns a client's ClientHello, which is one record. */
async function clientHello(options = {}) {
  const written = new Promise((resolve) => {
    const nowhere = new Duplex({
      read() {},
      write(bytes, encoding, done) {
        resolve(bytes);
        done();
      },
    });
    tls.connect({ socket: nowhere, servername: 'localhost', ...options }).on('error', () => {});
  });
  const hello = await deadline(written, 'hello');
  assert.deepEqual([hello[0], hello.readUInt16BE(3)], [HANDSHAKE, hello.length - HEADER]);
  return hello;
}

/** Reads to the end, and asserts that nothing came but records with an alert, if any. */
async function assertEnded(client) {
  let rest = await client.readToEnd();
  client.destroy();
  while (rest.length > 0) {
    assert.equal(rest[0], ALERT, `not an alert: ${rest.toString('latin1')}`);
    rest = rest.subarray(HEADER + rest.readUInt16BE(3));
  }
}

/** Serves all routes that the tests need, until the end of the suite. */
function serveAll() {
  const log = new EventLog();
  const { port } = serveSecure({ after }, (app) =>
    app
      .ws('/*', log.behavior({ message: (ws, message) => ws.send(message) }))
      .get('/later', (res) => {
        res.onAborted(() => log.add('aborted'));
        log.add('request');
      })
      .post('/*', (res) => {
        res.onAborted(() => log.add('aborted'));
        res.onData((chunk, isLast) => {
          log.add('data', chunk.byteLength);
          if (isLast) res.end('got it');
        });
      })
      .get('/*', (res) => res.end('ok')),
  );
  return { port, log };
}

async function assertOthersAreServed(port) {
  assert.equal((await getSecure(port)).body, 'ok');
}

describe('a client that does not speak TLS', () => {
  const { port } = serveAll();

  const SSL2_HELLO = '802e0100020015000000100100800200800300800400800500800600400700c0';
  for (const [name, bytes] of Object.entries({
    'sends a request of HTTP': request('/'),
    'sends a long request of HTTP': request('/', { headers: [`X: ${'x'.repeat(20_000)}`] }),
    'asks for a WebSocket': 'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'sends the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'sends the hello of SSL 2': Buffer.from(SSL2_HELLO + '00'.repeat(16), 'hex'),
    'sends noise': noise(1000),
    'sends much noise': noise(1 << 20),
    'sends zeros': Buffer.alloc(1000),
    'begins with application data': record(APPLICATION_DATA, noise(100)),
    'begins with a record of an unknown type': record(0x42, noise(100)),
    'begins with an alert': record(ALERT, Buffer.from([2, 40])),
    'begins with a record of another version': Buffer.concat([Buffer.from('1605000005', 'hex'), Buffer.alloc(5)]),
    'begins with a record longer than any may be': record(HANDSHAKE, noise(0x5000)),
    'begins with a message that is no hello': record(HANDSHAKE, Buffer.from('0e000000', 'hex')),
    'begins with a hello that is nonsense': record(
      HANDSHAKE,
      Buffer.concat([Buffer.from('01000064', 'hex'), noise(100)]),
    ),
    'begins with a hello whose length is more than any may be': record(HANDSHAKE, Buffer.from('01ffffff00', 'hex')),
  })) {
    it(`and ${name} is disconnected`, async () => {
      const client = await RawSocket.connect(port);
      client.write(bytes);
      // What was sent so far may be the beginning of something valid.
      client.end();
      await assertEnded(client);
      await assertOthersAreServed(port);
    });
  }

  it('is disconnected without having to end by itself', async () => {
    for (const bytes of [request('/'), noise(1000), record(ALERT, Buffer.from([2, 40]))]) {
      const client = await RawSocket.connect(port);
      client.write(bytes);
      await assertEnded(client);
    }
    await assertOthersAreServed(port);
  });

  it('is disconnected at whatever byte its request is cut', async () => {
    const bytes = Buffer.from('GET / HTTP/1.1\r\n\r\n');
    for (let cut = 1; cut < bytes.length; cut += 1) {
      const client = await RawSocket.connect(port);
      await client.writeAndTurn(bytes.subarray(0, cut));
      client.write(bytes.subarray(cut));
      await assertEnded(client);
    }
    await assertOthersAreServed(port);
  });

  it('and says nothing at all, or leaves at once, is forgotten', async () => {
    for (const leave of ['end', 'reset', 'destroy']) {
      const client = await RawSocket.connect(port);
      client[leave]();
    }
    await assertOthersAreServed(port);
    await noConnectionLeft();
  });

  after(noConnectionLeft);
});

describe('a handshake', () => {
  const { port } = serveAll();

  for (const maxVersion of VERSIONS) {
    it(`of ${maxVersion} is answered at whatever byte its hello is cut`, async () => {
      const hello = await clientHello({ maxVersion });
      for (let cut = 1; cut < hello.length; cut += 1) {
        const client = await RawSocket.connect(port);
        await client.writeAndTurn(hello.subarray(0, cut));
        client.write(hello.subarray(cut));
        assert.equal((await client.read(HEADER))[0], HANDSHAKE);
        client.destroy();
      }
    });

    it(`of ${maxVersion} succeeds byte by byte, and a request after it does`, async (t) => {
      const send = async (bytes, raw) => {
        for (const byte of bytes) {
          raw.write(Buffer.from([byte]));
          await turn();
        }
      };
      const { socket } = await connectOverWire(t, port, { maxVersion, send });
      socket.write(request('/', { headers: ['Connection: close'] }));
      assert.match(await readToEnd(socket), /\r\n\r\nok$/);
    });

    it(`of ${maxVersion} is answered though its hello comes in several records`, async () => {
      const hello = await clientHello({ maxVersion });
      const message = hello.subarray(HEADER);
      for (const size of [100, 32, 5]) {
        const client = await RawSocket.connect(port);
        for (let start = 0; start < message.length; start += size) {
          client.write(record(HANDSHAKE, message.subarray(start, start + size)));
        }
        assert.equal((await client.read(HEADER))[0], HANDSHAKE, `records of ${size}`);
        client.destroy();
      }
    });

    it(`of ${maxVersion} may be given up at any byte, by a FIN or a reset`, async () => {
      const hello = await clientHello({ maxVersion });
      for (const leave of ['end', 'reset']) {
        for (let cut = 1; cut <= hello.length; cut += 40) {
          const client = await RawSocket.connect(port);
          await client.writeAndTurn(hello.subarray(0, cut));
          client[leave]();
          if (leave === 'end') await client.readToEnd();
          client.destroy();
        }
      }
      await assertOthersAreServed(port);
      await noConnectionLeft();
    });

    it(`of ${maxVersion} that the client breaks off, since it does not trust the certificate, harms nobody`, async () => {
      const { cert: ca } = contents(makeCertificate({ names: ['another'] }));
      await assert.rejects(getSecure(port, { ca, maxVersion }), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
      await assert.rejects(getSecure(port, { servername: 'other.example', maxVersion }), {
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      });
      await assertOthersAreServed(port);
      await noConnectionLeft();
    });

    it(`of ${maxVersion} whose last message is not what it should be fails`, async (t) => {
      let count = 0;
      // The first write is the ClientHello; the second one ends with the client's last handshake message.
      const send = (bytes, raw) => {
        count += 1;
        const sent = Buffer.from(bytes);
        if (count === 2) sent[sent.length - 1] ^= 1;
        raw.write(sent);
      };
      const failed = async () => {
        const { socket } = await connectOverWire(t, port, { maxVersion, send });
        await readToEnd(socket);
      };
      await assert.rejects(failed(), /alert bad record mac|alert decrypt error/);
      await assertOthersAreServed(port);
    });
  }

  it('with no cipher in common is refused with an alert', async () => {
    const ciphers = 'ECDHE-RSA-AES128-GCM-SHA256';
    await assert.rejects(getSecure(port, { maxVersion: 'TLSv1.2', ciphers }), /alert handshake failure/);
    await assertOthersAreServed(port);
  });

  describe('that stands still', { concurrency: true }, () => {
    for (const [name, sent] of [
      ['before its first byte', 0],
      ['within its hello', 100],
      ['behind its hello', Infinity],
    ]) {
      it(`${name} is ended after a while`, async () => {
        const hello = await clientHello();
        const client = await RawSocket.connect(port, { deadline: PATIENCE });
        client.write(hello.subarray(0, sent));
        await client.readToEnd();
        client.destroy();
        await assertOthersAreServed(port);
      });
    }

    it('is ended although a byte comes now and then', ours, async (t) => {
      const hello = await clientHello();
      const client = await RawSocket.connect(port, { deadline: PATIENCE });
      let sent = 0;
      const timer = setInterval(() => client.write(hello.subarray(sent, (sent += 1))), 500);
      t.after(() => clearInterval(timer));
      await client.readToEnd();
      client.destroy();
      await assertOthersAreServed(port);
    });
  });

  after(noConnectionLeft);
});

describe('a connection', () => {
  const { port, log } = serveAll();

  for (const maxVersion of VERSIONS) {
    describe(`of ${maxVersion}`, () => {
      /** Returns the socket and the wire of a WebSocket after its handshake. */
      async function openWebSocket(t) {
        const { socket, wire } = await connectOverWire(t, port, { maxVersion });
        socket.write(
          'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
        );
        const [head] = await deadline(once(socket, 'data'), 'response');
        assert.match(String(head), /^HTTP\/1\.1 101 /);
        await log.next('open');
        return { socket, wire };
      }

      for (const [name, bytes] of [
        ['a record that was changed on its way', record(APPLICATION_DATA, noise(100))],
        ['a record that is longer than any may be', record(APPLICATION_DATA, noise(0x4000 + 2049))],
        ['a record that is too short for what it protects', record(APPLICATION_DATA, noise(3))],
        ['a record of an unknown type', record(0x42, noise(100))],
        ['a message in the clear', record(HANDSHAKE, Buffer.from('01000000', 'hex'))],
        ['a request in the clear', Buffer.from(request('/'))],
      ]) {
        it(`ends with ${name}`, async (t) => {
          const { socket, wire } = await openWebSocket(t);
          const ended = deadline(once(wire.raw, 'close'), 'end of the connection');
          wire.raw.write(bytes);
          const [code] = await log.next('close');
          assert.equal(code, 1006);
          await ended;
          socket.destroy();
          await assertOthersAreServed(port);
        });
      }

      it('ends with a record that is cut off by a FIN', async (t) => {
        const { socket, wire } = await openWebSocket(t);
        wire.raw.end(record(APPLICATION_DATA, noise(50), 100));
        const [code] = await log.next('close');
        assert.equal(code, 1006);
        socket.destroy();
        await assertOthersAreServed(port);
      });

      it('ends with a FIN without close_notify, and with a reset', async (t) => {
        for (const leave of ['end', 'resetAndDestroy']) {
          const { wire } = await openWebSocket(t);
          wire.raw[leave]();
          const [code] = await log.next('close');
          assert.equal(code, 1006);
        }
        await assertOthersAreServed(port);
      });

      it('ends with close_notify', async (t) => {
        const { socket } = await openWebSocket(t);
        const ended = deadline(once(socket, 'close'), 'end of the connection');
        socket.end();
        const [code] = await log.next('close');
        assert.equal(code, 1006);
        socket.resume();
        await ended;
      });

      it('closes a WebSocket in its own way before it ends', async (t) => {
        const { socket } = await openWebSocket(t);
        socket.write(frames.close(4001, 'enough'));
        assert.deepEqual(await log.next('close'), [4001, 'enough']);
        const received = await readToEnd(socket);
        assert.equal(received, frames.close(4001, 'enough', { mask: false }).toString('latin1'));
      });

      it('that is cut within a body aborts it, and the part that came was handed over', async (t) => {
        for (const leave of ['end', 'resetAndDestroy', 'destroy']) {
          const { socket, wire } = await connectOverWire(t, port, { maxVersion });
          socket.write(request('/', { method: 'POST', headers: ['Content-Length: 100'], body: 'x'.repeat(60) }));
          assert.deepEqual(await log.next('data'), [60]);
          wire.raw[leave]();
          await log.next('aborted');
          socket.destroy();
        }
      });

      it('that ends while its request waits for an answer aborts it', async (t) => {
        const { socket, wire } = await connectOverWire(t, port, { maxVersion });
        socket.write(request('/later'));
        await log.next('request');
        wire.raw.destroy();
        await log.next('aborted');
        socket.destroy();
      });

      it('takes a request byte by byte, each in a record of its own', async (t) => {
        const { socket } = await connectOverWire(t, port, { maxVersion });
        for (const byte of Buffer.from(request('/', { headers: ['Connection: close'] }))) {
          socket.write(Buffer.from([byte]));
        }
        assert.match(await readToEnd(socket), /\r\n\r\nok$/);
      });

      it('takes records at whatever byte they are cut', async (t) => {
        const sizes = [1, 2, 3, 5, 7, 11, 50];
        let isOpen = false;
        const send = async (bytes, raw) => {
          if (!isOpen) raw.write(bytes);
          const size = sizes.shift();
          for (let start = 0; isOpen && start < bytes.length; start += size) {
            raw.write(bytes.subarray(start, start + size));
            await turn();
          }
          if (isOpen) sizes.push(size);
        };
        const { socket } = await connectOverWire(t, port, { maxVersion, send });
        isOpen = true;
        sizes.splice(0, sizes.length, 1, 2, 3, 5, 7, 11, 50);
        for (let i = 0; i < 7; i += 1) {
          socket.write(request('/'));
          const [response] = await deadline(once(socket, 'data'), 'response');
          assert.match(String(response), /\r\n\r\nok$/);
        }
        socket.destroy();
      });
    });
  }

  it('of TLS 1.2 that begins another handshake is refused that', async (t) => {
    const { socket } = await connectOverWire(t, port, { maxVersion: 'TLSv1.2' });
    const refused = new Promise((resolve) => {
      socket.on('error', resolve);
      socket.on('close', resolve);
    });
    socket.renegotiate({}, (error) => {
      assert.ok(error, 'there was another handshake');
    });
    socket.resume();
    await deadline(refused, 'refusal');
    socket.destroy();
    await assertOthersAreServed(port);
  });

  after(noConnectionLeft);
});
