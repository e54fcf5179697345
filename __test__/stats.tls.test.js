'use strict';

// What an SSLApp counts of TLS. Clients of OpenSSL cause it, with the bytes that go wrong written between their own.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const { writeFileSync } = require('node:fs');
const net = require('node:net');
const { Duplex } = require('node:stream');
const { describe, it } = require('node:test');
const tls = require('node:tls');
const { makeCertificate, openssl, ordinaryCertificate, scratchFile } = require('./support/certificates.js');
const { connectSecure, contents, files, getSecure, serveSecure } = require('./support/secure.js');
const { assertCounts, difference } = require('./support/stats.js');
const { ours } = require('./support/uws.js');
const { deadline, until } = require('./support/wait.js');

const ALERT = 21;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;

/** Milliseconds within which a timeout of 10 s must have taken effect. */
const PATIENCE = 20_000;
/** What is counted for a connection that ends in its handshake. */
const BEGUN = { 'connections.tls.http.total': 1 };
const REFUSED = { ...BEGUN, 'ended.http.tlsError': 1 };

function serve(t, options) {
  return serveSecure(t, (app) => app.get('/*', (res) => res.end('ok')).ws('/*', {}), options);
}

function record(type, payload, length = payload.length) {
  const header = Buffer.from([type, 3, 3, 0, 0]);
  header.writeUInt16BE(length, 3);
  return Buffer.concat([header, payload]);
}

/** Sends bytes over TCP, and waits for the end of the connection. */
async function sendRaw(port, bytes, { end = false } = {}) {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  socket.write(bytes);
  if (end) socket.end();
  await deadline(once(socket, 'close'), 'end of the connection');
}

/** Makes a handshake that is refused. */
const refused = (port, options) => assert.rejects(getSecure(port, options));

/** Returns a connection after its handshake, and the TCP connection below it. */
async function connect(t, port, options) {
  const tcp = net.connect(port, '127.0.0.1');
  tcp.on('error', () => {});
  t.after(() => tcp.destroy());
  await once(tcp, 'connect');
  // The bytes pass through here, because node:tls would take the socket over.
  const wire = new Duplex({
    read() {},
    write(bytes, _, done) {
      tcp.write(bytes, done);
    },
    final(done) {
      tcp.end(done);
    },
  });
  tcp.on('data', (bytes) => wire.push(bytes)).on('end', () => wire.push(null));
  return { tcp, socket: await connectSecure(port, { ...options, socket: wire }) };
}

describe('app.stats() counts', ours, () => {
  it('handshakes, full and resumed ones, and connections with TLS', async (t) => {
    const { app, port } = serve(t);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
      let session;
      const full = { ...BEGUN, 'tls.handshakes.full': 1, 'connections.tls.http.open': 1 };
      let socket;
      await assertCounts(app, full, async () => {
        const { cert: ca } = contents(ordinaryCertificate());
        socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca, maxVersion });
        // In TLS 1.3 it comes after the handshake.
        [session] = await deadline(once(socket, 'session'), 'session');
      });
      await assertCounts(app, { 'connections.tls.http.open': -1, 'ended.http.fin': 1 }, () => socket.end());
      const resumed = { ...BEGUN, 'tls.handshakes.resumed': 1, 'connections.tls.http.open': 1 };
      await assertCounts(app, resumed, async () => {
        socket = await connectSecure(port, { session, maxVersion });
      });
      assert.equal(socket.isSessionReused(), true);
      socket.destroy();
      await until(() => app.stats().connections.tls.http.open === 0, 'end');
    }
  });

  it('requests and bytes on the wire', async (t) => {
    const { app, port } = serve(t);
    const { socket, tcp } = await connect(t, port);
    const before = app.stats();
    const [read, written] = [tcp.bytesRead, tcp.bytesWritten];
    socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await once(socket, 'data');
    const counts = difference(before, app.stats());
    assert.equal(counts['http.requests'], 1);
    const { bytesReceived, bytesSent } = app.stats().sockets;
    await until(() => tcp.bytesRead === bytesSent && tcp.bytesWritten === bytesReceived, 'equal numbers of bytes');
    assert.ok(tcp.bytesRead > read && tcp.bytesWritten > written);
  });

  describe('handshakes that fail', () => {
    const authority = makeCertificate({ names: ['authority'] });
    const stranger = makeCertificate({ names: ['stranger'] });

    it('NOT_TLS', async (t) => {
      const { app, port } = serve(t);
      const counts = { ...REFUSED, 'tls.errors.NOT_TLS': 1 };
      await assertCounts(app, counts, () => sendRaw(port, 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'));
    });

    it('PROTOCOL_VERSION', async (t) => {
      const { app, port } = serve(t);
      const old = { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' };
      await assertCounts(app, { ...REFUSED, 'tls.errors.PROTOCOL_VERSION': 1 }, () => refused(port, old));
    });

    it('HANDSHAKE_FAILURE', async (t) => {
      const { app, port } = serve(t);
      const other = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' };
      await assertCounts(app, { ...REFUSED, 'tls.errors.HANDSHAKE_FAILURE': 1 }, () => refused(port, other));
    });

    it('NO_APPLICATION_PROTOCOL', async (t) => {
      const { app, port } = serve(t);
      const counts = { ...REFUSED, 'tls.errors.NO_APPLICATION_PROTOCOL': 1 };
      await assertCounts(app, counts, () => refused(port, { ALPNProtocols: ['h2'] }));
    });

    it('UNKNOWN_CA', async (t) => {
      const { app, port } = serve(t, { ...files(ordinaryCertificate()), ca_file_name: authority.cert });
      const pair = makeCertificate({ names: ['client'], issuer: stranger });
      await assertCounts(app, { ...REFUSED, 'tls.errors.UNKNOWN_CA': 1 }, () => refused(port, contents(pair)));
    });

    it('CERTIFICATE_EXPIRED', async (t) => {
      const { app, port } = serve(t, { ...files(ordinaryCertificate()), ca_file_name: authority.cert });
      const pair = makeCertificate({ names: ['client'], issuer: authority });
      const [cert, extensions] = [scratchFile('expired.cert.pem'), scratchFile('extensions')];
      writeFileSync(extensions, 'basicConstraints=critical,CA:FALSE\n');
      const request = openssl(['x509', '-x509toreq', '-in', pair.cert, '-signkey', pair.key]);
      const signed = ['-CA', authority.cert, '-CAkey', authority.key, '-set_serial', '77', '-extfile', extensions];
      openssl(['x509', '-req', '-days', '-1', ...signed, '-out', cert], { input: request });
      const counts = { ...REFUSED, 'tls.errors.CERTIFICATE_EXPIRED': 1 };
      await assertCounts(app, counts, () => refused(port, contents({ key: pair.key, cert })));
    });

    it('BAD_CERTIFICATE', async (t) => {
      const { app, port } = serve(t, { ...files(ordinaryCertificate()), ca_file_name: authority.cert });
      // Its name is that of the authority, and its signature is not.
      const impostor = makeCertificate({ names: ['authority'] });
      const pair = makeCertificate({ names: ['client'], issuer: impostor });
      await assertCounts(app, { ...REFUSED, 'tls.errors.BAD_CERTIFICATE': 1 }, () => refused(port, contents(pair)));
    });

    it('DECODE_ERROR', async (t) => {
      const { app, port } = serve(t);
      // A ClientHello of no bytes.
      const hello = record(HANDSHAKE, Buffer.from([1, 0, 0, 0]));
      await assertCounts(app, { ...REFUSED, 'tls.errors.DECODE_ERROR': 1 }, () => sendRaw(port, hello));
    });

    it('HANDSHAKE_TOO_LONG', async (t) => {
      const { app, port } = serve(t);
      // A ClientHello of 16 MiB.
      const part = Buffer.alloc(16_000);
      const begin = record(HANDSHAKE, Buffer.concat([Buffer.from([1, 0xff, 0xff, 0xff]), part]));
      const counts = { ...REFUSED, 'tls.errors.HANDSHAKE_TOO_LONG': 1, 'limits.tlsHandshakeSize': 1 };
      const records = Array.from({ length: 20 }, () => record(HANDSHAKE, part));
      await assertCounts(app, counts, () => sendRaw(port, Buffer.concat([begin, ...records])));
    });

    it('PEER_REFUSED_CERTIFICATE', async (t) => {
      const { app, port } = serve(t);
      const counts = { ...REFUSED, 'tls.errors.PEER_REFUSED_CERTIFICATE': 1 };
      await assertCounts(app, counts, async () => {
        const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-verify_return_error', '-CAfile', stranger.cert];
        const child = execFile('openssl', args, () => {});
        child.stdin.end();
        await deadline(once(child, 'close'), 'end of the client');
      });
    });

    it('ABANDONED', async (t) => {
      const { app, port } = serve(t);
      const begun = record(HANDSHAKE, Buffer.from([1, 0, 1]), 300);
      const counts = { ...BEGUN, 'ended.http.fin': 1, 'tls.errors.ABANDONED': 1 };
      await assertCounts(app, counts, () => sendRaw(port, begun, { end: true }));
    });
  });

  it('a handshake that is not complete in time', async (t) => {
    const { app, port } = serve(t);
    const counts = { ...BEGUN, 'ended.http.timedOut': 1, 'timeouts.tlsHandshake': 1 };
    const socket = net.connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    await assertCounts(app, counts, () => once(socket.resume(), 'end'), PATIENCE);
  });

  describe('sessions that fail', () => {
    const cases = {
      BAD_RECORD_MAC: record(APPLICATION_DATA, Buffer.alloc(40)),
      RECORD_OVERFLOW: record(APPLICATION_DATA, Buffer.alloc(0), 20_000),
      UNEXPECTED_MESSAGE: Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    };
    for (const [cause, bytes] of Object.entries(cases)) {
      it(cause, async (t) => {
        const { app, port } = serve(t);
        const { tcp } = await connect(t, port);
        await until(() => app.stats().tls.handshakes.full === 1, 'handshake');
        const end = { 'connections.tls.http.open': -1, 'ended.http.tlsError': 1, [`tls.errors.${cause}`]: 1 };
        await assertCounts(app, end, async () => {
          tcp.write(bytes);
          await deadline(once(tcp, 'end'), 'end of the connection');
          tcp.destroy();
        });
      });
    }

    it('of a WebSocket', async (t) => {
      const { app, port } = serve(t);
      const { socket, tcp } = await connect(t, port);
      socket.write(
        'GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      await once(socket, 'data');
      const counts = {
        'connections.tls.webSocket.open': -1,
        'ended.webSocket.tlsError': 1,
        'tls.errors.BAD_RECORD_MAC': 1,
      };
      await assertCounts(app, counts, async () => {
        tcp.write(cases.BAD_RECORD_MAC);
        await deadline(once(tcp, 'end'), 'end of the connection');
        tcp.destroy();
      });
    });

    it('NO_RENEGOTIATION', async (t) => {
      const { app, port } = serve(t);
      const socket = await connectSecure(port, { maxVersion: 'TLSv1.2' });
      await until(() => app.stats().tls.handshakes.full === 1, 'handshake');
      const end = { 'connections.tls.http.open': -1, 'ended.http.tlsError': 1, 'tls.errors.NO_RENEGOTIATION': 1 };
      await assertCounts(app, end, async () => {
        socket.on('error', () => {});
        socket.renegotiate({}, () => {});
        // Not by `once`, which an error rejects.
        await deadline(new Promise((resolve) => socket.on('close', resolve)), 'end of the connection');
      });
    });

    it('PEER_ALERT', async (t) => {
      const { app, port } = serve(t);
      // In TLS 1.2, an alert of a client that gives up in the middle of the handshake is not encrypted.
      const counts = { ...REFUSED, 'tls.errors.PEER_ALERT': 1 };
      await assertCounts(app, counts, async () => {
        const tcp = net.connect(port, '127.0.0.1');
        let writes = 0;
        const wire = new Duplex({
          read() {},
          write(bytes, _, done) {
            writes += 1;
            // In place of its second flight.
            tcp.write(writes === 1 ? bytes : record(ALERT, Buffer.from([2, 80])), done);
          },
        });
        tcp.on('data', (bytes) => wire.push(bytes)).on('error', () => {});
        tls.connect({ socket: wire, maxVersion: 'TLSv1.2', rejectUnauthorized: false }).on('error', () => {});
        await deadline(once(tcp, 'close'), 'end of the connection');
      });
    });
  });
});
