'use strict';

// permessage-deflate (RFC 7692), tested with the client of the npm package ws and with raw sockets.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, describe, it } = require('node:test');
const zlib = require('node:zlib');
const { WebSocket: Client } = require('ws');
const { RawSocket } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { noise } = require('./support/noise.js');
const { serve } = require('./support/server.js');
const { clientOptions, webSocketUrl } = require('./support/tls.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft, turn, until } = require('./support/wait.js');

const COMPRESSIONS = {
  'shared contexts': uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR,
  'a shared compressor alone': uWS.SHARED_COMPRESSOR,
  'a shared decompressor alone': uWS.SHARED_DECOMPRESSOR,
  'a dedicated decompressor alone': uWS.DEDICATED_DECOMPRESSOR_4KB,
  'dedicated contexts': uWS.DEDICATED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR,
  'the smallest contexts': uWS.DEDICATED_COMPRESSOR_3KB | uWS.DEDICATED_DECOMPRESSOR_512B,
  'contexts in between': uWS.DEDICATED_COMPRESSOR_16KB | uWS.DEDICATED_DECOMPRESSOR_4KB,
};
const MEBIBYTE = 1 << 20;

/** Returns repetitive text. */
const text = (length) => 'The answer to everything is 42. '.repeat(length / 32 + 1).slice(0, length);

function serveEcho(t, compression, more = {}) {
  return serve(t, (app) =>
    app.ws('/*', {
      compression,
      maxPayloadLength: 16 * MEBIBYTE,
      maxBackpressure: 0,
      message: (ws, message, isBinary) => ws.send(message, isBinary, true),
      ...more,
    }),
  );
}

async function connect(t, port, options = {}) {
  const client = new Client(webSocketUrl(port), { ...clientOptions, perMessageDeflate: { threshold: 0, ...options } });
  t.after(() => client.terminate());
  await once(client, 'open');
  return client;
}

async function next(client) {
  const [message, isBinary] = await once(client, 'message');
  return isBinary ? message : message.toString();
}

describe('echo with a client that compresses', () => {
  for (const [name, compression] of Object.entries(COMPRESSIONS)) {
    for (const [offer, options] of Object.entries({
      anything: {},
      'no context takeover': { serverNoContextTakeover: true, clientNoContextTakeover: true },
      'small windows': { serverMaxWindowBits: 10, clientMaxWindowBits: 9 },
    })) {
      it(`${name}, offered ${offer}`, async (t) => {
        const { port } = serveEcho(t, compression);
        const client = await connect(t, port, options);
        assert.match(client.extensions, /permessage-deflate/);
        for (let round = 0; round < 3; round += 1) {
          for (const message of ['', 'x', text(125), text(126), text(65_536), text(MEBIBYTE), 'é😀'.repeat(1000)]) {
            client.send(message);
            assert.ok((await next(client)) === message);
          }
          for (const message of [Buffer.alloc(0), noise(1), noise(65_535), noise(MEBIBYTE), Buffer.alloc(MEBIBYTE)]) {
            client.send(message);
            assert.ok((await next(client)).equals(message));
          }
        }
      });
    }
  }

  it('several at once keep their contexts apart', async (t) => {
    const { port } = serveEcho(t, COMPRESSIONS['dedicated contexts']);
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect(t, port)));
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        clients.map(async (client, i) => {
          const message = `${i} of ${round}: ${text(100 * i)}`;
          client.send(message);
          assert.equal(await next(client), message);
        }),
      );
    }
  });
});

/** Connects a raw client with permessage-deflate. */
async function connectRaw(t, port, offer = 'permessage-deflate') {
  const client = await RawSocket.upgrade(port, '/', { headers: { 'Sec-WebSocket-Extensions': offer } });
  t.after(() => client.destroy());
  return client;
}

const deflated = (data) => zlib.deflateRawSync(data, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
const compressed = (opcode, payload, fin = true) => frames.frame(opcode, payload, { fin, rsv: 0x40 });

describe('what is agreed on', () => {
  for (const compression of [uWS.SHARED_COMPRESSOR, uWS.DEDICATED_COMPRESSOR, uWS.DEDICATED_COMPRESSOR_3KB]) {
    for (let bits = 9; bits <= 15; bits += 1) {
      it(
        `names the window of ${bits} bits that the client asks for, or a smaller one: ${compression}`,
        ours,
        async (t) => {
          const { port } = serveEcho(t, compression);
          const client = await connectRaw(t, port, `permessage-deflate; server_max_window_bits=${bits}`);
          const [, named] = /permessage-deflate;.* server_max_window_bits=(\d+)[;\r]/.exec(client.head);
          assert.equal(Number(named), compression === uWS.DEDICATED_COMPRESSOR_3KB ? 9 : bits);
        },
      );
    }
  }

  const MAC = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)';
  const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)';
  const UPGRADES = {
    'without an upgrade handler': undefined,
    'with an upgrade handler': (res, req, context) => {
      const [key, extensions] = ['key', 'extensions'].map((name) => req.getHeader(`sec-websocket-${name}`));
      res.upgrade({}, key, '', extensions, context);
    },
    'with an upgrade handler that takes its time': async (res, req, context) => {
      const [key, extensions] = ['key', 'extensions'].map((name) => req.getHeader(`sec-websocket-${name}`));
      res.onAborted(() => {});
      await turn();
      res.cork(() => res.upgrade({}, key, '', extensions, context));
    },
  };
  for (const [title, upgrade] of Object.entries(UPGRADES)) {
    for (const [userAgent, isBroken, options = {}] of [
      [`${MAC} Version/15.0 Safari/605.1.15`, true],
      [`${MAC} Version/15.3 Safari/605.1.15`, true],
      [`${IPHONE} Version/15.0 Mobile/15E148 Safari/604.1`, true],
      [`${IPHONE} Version/15.2 Mobile/15E148 Safari/604.1`, true],
      [`${IPHONE} CriOS/96.0.4664.53 Mobile/15E148 Safari/604.1`, true, ours],
      [`${IPHONE} Mobile/15E148`, true, ours],
      [`${MAC} Version/15.4 Safari/605.1.15`, false],
      [`${MAC} Version/14.1 Safari/605.1.15`, false],
      [`${MAC} Version/16.0 Safari/605.1.15`, false],
      ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36', false],
    ]) {
      it(
        `is ${isBroken ? 'nothing' : 'compression'} ${title}: ${userAgent.split('Gecko) ')[1]}`,
        options,
        async (t) => {
          const { port } = serveEcho(t, uWS.SHARED_COMPRESSOR, { upgrade });
          const headers = { 'User-Agent': userAgent, 'Sec-WebSocket-Extensions': 'permessage-deflate' };
          const client = await RawSocket.upgrade(port, '/', { headers });
          t.after(() => client.destroy());
          assert.equal(/Sec-WebSocket-Extensions/i.test(client.head), !isBroken);
          client.write(frames.text('y'.repeat(100)));
          if (isBroken) assert.equal(await client.readText(), 'y'.repeat(100));
          else assert.equal((await client.read(1)).toString('hex'), 'c1');
        },
      );
    }
  }
});

describe('on the wire', () => {
  it('only what was negotiated and asked for is compressed', async (t) => {
    const { port } = serveEcho(t, uWS.SHARED_COMPRESSOR, {
      message: (ws, message) => {
        ws.send('plain');
        ws.send('compressed, compressed, compressed', false, true);
        ws.send('', false, true);
        ws.send(message, true, true);
      },
    });
    const client = await connectRaw(t, port);
    assert.match(
      client.head,
      /\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no/,
    );
    client.write(compressed(frames.OPCODE.TEXT, deflated(text(100))));
    assert.equal((await client.read(7)).toString('latin1'), '\x81\x05plain');
    const [first, length] = await client.read(2);
    assert.equal(first, 0xc1);
    assert.ok(length < 34);
    const payload = Buffer.concat([await client.read(length), Buffer.from([0, 0, 0xff, 0xff])]);
    const inflated = zlib.inflateRawSync(payload, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
    assert.equal(inflated.toString(), 'compressed, compressed, compressed');
    assert.equal((await client.read(2)).toString('hex'), '8100');
    assert.equal((await client.read(1)).toString('hex'), 'c2');

    const without = await RawSocket.upgrade(port, '/');
    t.after(() => without.destroy());
    assert.doesNotMatch(without.head, /Extensions/);
    without.write(frames.text('go'));
    assert.equal((await without.read(7)).toString('latin1'), '\x81\x05plain');
    assert.equal(await without.readText(), 'compressed, compressed, compressed');
  });

  it('compressionThreshold: shorter messages are sent as they are', ours, async (t) => {
    const { port } = serveEcho(t, uWS.SHARED_COMPRESSOR, { compressionThreshold: 100 });
    const client = await connectRaw(t, port);
    client.write(frames.text('y'.repeat(99)));
    assert.equal(await client.readText(), 'y'.repeat(99));
    client.write(frames.text('y'.repeat(100)));
    assert.equal((await client.read(1)).toString('hex'), 'c1');
  });

  it('a message that is empty, or has kept the end of its flush, is taken', ours, async (t) => {
    for (const compression of [
      uWS.SHARED_COMPRESSOR,
      uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR,
      uWS.DEDICATED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR,
    ]) {
      const { port } = serveEcho(t, compression, { message: (ws, message, isBinary) => ws.send(message, isBinary) });
      const client = await connectRaw(t, port);
      const kept = Buffer.concat([deflated('kept'), Buffer.from([0, 0, 0xff, 0xff])]);
      for (let i = 0; i < 2; i += 1) {
        client.write(compressed(frames.OPCODE.TEXT, ''));
        client.write(compressed(frames.OPCODE.TEXT, kept));
        client.write(compressed(frames.OPCODE.TEXT, kept.subarray(0, 3), false));
        client.write(frames.continuation(kept.subarray(3)));
        client.write(compressed(frames.OPCODE.TEXT, '', false));
        client.write(frames.continuation(''));
        client.write(compressed(frames.OPCODE.TEXT, deflated('as it should be')));
        for (const expected of ['', 'kept', 'kept', '', 'as it should be']) {
          assert.equal(await client.readText(), expected);
        }
      }
    }
  });

  it('fragments of a compressed message are put together', async (t) => {
    const { port } = serveEcho(t, uWS.DEDICATED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR, {
      message: (ws, message) => ws.send(message),
    });
    const client = await connectRaw(t, port);
    const payload = deflated(text(1000));
    client.write(compressed(frames.OPCODE.TEXT, payload.subarray(0, 10), false));
    client.write(frames.ping('between'));
    client.write(frames.frame(frames.OPCODE.CONTINUATION, payload.subarray(10)));
    assert.equal((await client.read(9)).toString('latin1'), '\x8a\x07between');
    assert.equal(await client.readText(), text(1000));
  });

  it('what is wrong closes the connection, with the code that says how', ours, async (t) => {
    const reasons = [];
    const { port } = serveEcho(t, uWS.SHARED_COMPRESSOR, {
      maxPayloadLength: 10_000,
      close: (ws, code, message) => reasons.push([code, Buffer.from(message).toString()]),
    });
    const inflation = 'Received too big message, or other inflation error';
    for (const [frame, code, reason] of [
      [compressed(frames.OPCODE.BINARY, deflated(Buffer.alloc(10_001))), 1009, inflation],
      [compressed(frames.OPCODE.BINARY, Buffer.from([0xff, 0xff])), 1007, inflation],
      [compressed(frames.OPCODE.TEXT, deflated(Buffer.from([0xff]))), 1007, 'Received invalid UTF-8'],
      [compressed(frames.OPCODE.PING, ''), 1002, 'Received invalid WebSocket frame'],
      [frames.frame(frames.OPCODE.BINARY, Buffer.alloc(10_001)), 1009, 'Received too big message'],
    ]) {
      const client = await connectRaw(t, port);
      client.write(frame);
      const received = await client.readToEnd();
      assert.equal(received.readUInt16BE(2), code);
      assert.deepEqual(reasons.pop(), [1006, reason]);
    }
    // An incompressible message of the greatest allowed length.
    const client = await connectRaw(t, port);
    client.write(compressed(frames.OPCODE.BINARY, deflated(noise(10_000))));
    assert.equal((await client.read(1)).toString('hex'), 'c2');
  });

  it('a bomb takes no memory', ours, async (t) => {
    const { port } = serveEcho(t, uWS.SHARED_COMPRESSOR, { maxPayloadLength: 1000 });
    const bomb = compressed(frames.OPCODE.BINARY, deflated(Buffer.alloc(600_000)));
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 100; i += 1) {
      const client = await connectRaw(t, port);
      client.write(bomb);
      assert.equal((await client.readToEnd()).readUInt16BE(2), 1009);
      client.destroy();
    }
    assert.ok(process.memoryUsage().rss - before < 32 * MEBIBYTE);
  });
});

describe('publish', () => {
  for (const [name, compression] of Object.entries(COMPRESSIONS)) {
    it(`compresses for those who can take it: ${name}`, async (t) => {
      const { app, port } = serve(t, (routes) =>
        routes.ws('/*', { compression, open: (ws) => ws.subscribe('all'), message: (ws, message) => ws.send(message) }),
      );
      const clients = [
        await connect(t, port),
        await connect(t, port, { serverMaxWindowBits: 9 }),
        await connect(t, port, { serverNoContextTakeover: true }),
        new Client(webSocketUrl(port), { ...clientOptions, perMessageDeflate: false }),
      ];
      await once(clients[3], 'open');
      t.after(() => clients[3].terminate());
      await until(() => app.numSubscribers('all') === 4);
      const seen = clients.map((client) => {
        const messages = [];
        client.on('message', (message) => messages.push(message.toString()));
        return messages;
      });
      const expected = [];
      for (let i = 0; i < 20; i += 1) {
        expected.push(`${i}: ${text(50 * i)}`, `plain ${i}`);
        app.publish('all', expected.at(-2), false, true);
        app.publish('all', expected.at(-1));
      }
      await until(() => seen.every((messages) => messages.length === expected.length));
      for (const messages of seen) assert.deepEqual(messages, expected);
      // What is sent to one client still fits its compression context.
      for (const client of clients) {
        client.send('directly');
        assert.equal(await next(client), 'directly');
      }
    });
  }
});

after(noConnectionLeft);
