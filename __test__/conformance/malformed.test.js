'use strict';

// Clients that violate the protocol or disconnect, in every state of a connection. The connection must end cleanly, the
// handlers must get the code and the reason, the server must keep serving, and nothing must be left behind.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { EventLog } = require('../support/EventLog.js');
const { RawSocket, upgradeRequest } = require('../support/RawSocket.js');
const frames = require('../support/frames.js');
const { request, BAD_REQUEST } = require('../support/http.js');
const { serve } = require('../support/server.js');
const { oursOverTLS } = require('../support/tls.js');
const { ours } = require('../support/uws.js');
const { noConnectionLeft, turn, until } = require('../support/wait.js');

const MEBIBYTE = 1 << 20;
const FIN_FIRST = [1006, 'Received TCP FIN before WebSocket close frame'];
const LOST = [1006, ''];
/** uWebSockets.js treats a close_notify as a lost connection, and discards what precedes it. */
const optionsOf = (how) => (how === 'FIN' ? oursOverTLS : {});

/** Serves every kind of route, and logs the events of the handlers. */
function serveAll(t) {
  const log = new EventLog();
  const { port } = serve(t, (app) =>
    app
      .ws(
        '/ws',
        log.behavior({
          maxPayloadLength: 2 * MEBIBYTE,
          maxBackpressure: 0,
          message: (ws, message, isBinary) => {
            const text = Buffer.from(message).toString();
            if (text === 'end') ws.end(1000, 'done');
            else if (text === 'flood') for (let i = 0; i < 20; i += 1) ws.send(Buffer.alloc(MEBIBYTE), true);
            else ws.send(message, isBinary);
          },
        }),
      )
      .get('/pending', (res) => {
        res.onAborted(() => log.add('aborted'));
        log.add('request');
      })
      .get('/big', (res) => {
        log.add('request');
        res.end(Buffer.alloc(20 * MEBIBYTE));
      })
      .any('/*', (res) => {
        log.add('request');
        res.end('ok');
      }),
  );
  return { port, log };
}

/** Asserts that the server still serves HTTP and WebSockets. */
async function assertAlive(port) {
  const http = await RawSocket.connect(port);
  http.write(request('/alive'));
  assert.equal((await http.readResponse()).body, 'ok');
  http.destroy();
  const webSocket = await RawSocket.upgrade(port, '/ws');
  webSocket.write(frames.text('alive'));
  assert.equal(await webSocket.readText(), 'alive');
  webSocket.write(frames.close(1000));
  await webSocket.readClose();
  webSocket.destroy();
  await noConnectionLeft();
}

/**
 * Each `bring` puts a connection into a state; with `pause` the client does not read in it. `seen` are the events that
 * the handlers have seen once the connection has ended in that state, except for the end itself.
 */
const HTTP_STATES = {
  'before a request': { bring: async () => {}, seen: [] },
  'in the request line': { bring: (client) => client.writeAndTurn('GET /pen'), seen: [] },
  'in the head': { bring: (client) => client.writeAndTurn('GET /pending HTTP/1.1\r\nHost: a\r\nX: '), seen: [] },
  'in the head of an upgrade': { bring: (client) => client.writeAndTurn(upgradeRequest('/ws').slice(0, -1)), seen: [] },
  'in a body that was answered already': {
    bring: async (client) => {
      client.write(request('/', { method: 'POST', headers: ['Content-Length: 10'], body: 'x' }));
      await client.readResponse();
    },
    seen: ['request'],
  },
  'in a chunk that was answered already': {
    bring: async (client) => {
      client.write(request('/', { method: 'POST', headers: ['Transfer-Encoding: chunked'], body: 'a\r\nx' }));
      await client.readResponse();
    },
    seen: ['request'],
  },
  'with a pending response': {
    bring: async (client, log) => {
      client.write(request('/pending'));
      await log.next('request');
    },
    seen: ['request', 'aborted'],
  },
  'with a pending response and a request behind it': {
    ...ours,
    bring: async (client, log) => {
      client.write(request('/pending') + request('/'));
      await log.next('request');
    },
    seen: ['request', 'aborted'],
  },
  'with a response that nobody reads': {
    pause: true,
    bring: async (client, log) => {
      client.write(request('/big'));
      await log.next('request');
    },
    seen: ['request'],
  },
  'after a response': {
    bring: async (client) => {
      client.write(request('/'));
      await client.readResponse();
    },
    seen: ['request'],
  },
};

const WEBSOCKET_STATES = {
  'after the upgrade': { bring: async () => {} },
  'in the first byte of a frame': { bring: (client) => client.writeAndTurn(Buffer.of(0x81)) },
  'in the length of a frame': { bring: (client) => client.writeAndTurn(Buffer.of(0x81, 0xfe, 0x01)) },
  'in the mask of a frame': { bring: (client) => client.writeAndTurn(frames.text('hello').subarray(0, 4)) },
  'in a payload': { bring: (client) => client.writeAndTurn(frames.text('hello').subarray(0, 8)) },
  'in a large payload': {
    bring: (client) => client.writeAndTurn(frames.binary(Buffer.alloc(MEBIBYTE)).subarray(0, MEBIBYTE / 2)),
  },
  'between the fragments of a message': { bring: (client) => client.writeAndTurn(frames.text('a', { fin: false })) },
  'in the second fragment of a message': {
    bring: (client) =>
      client.writeAndTurn(Buffer.concat([frames.text('a', { fin: false }), frames.continuation('bcd').subarray(0, 7)])),
  },
  'in a ping between fragments': {
    bring: (client) =>
      client.writeAndTurn(Buffer.concat([frames.text('a', { fin: false }), frames.ping('bcd').subarray(0, 7)])),
  },
  'in a close frame': { bring: (client) => client.writeAndTurn(frames.close(1000, 'bye').subarray(0, 7)) },
  'after a message': {
    bring: async (client) => {
      client.write(frames.text('x'));
      await client.readText();
    },
    seen: [['message', 'x', false]],
  },
  'with back pressure': {
    pause: true,
    bring: async (client, log) => {
      client.write(frames.text('flood'));
      await log.next('message');
    },
    seen: [['message', 'flood', false]],
  },
};

describe('a connection that ends early, before an upgrade', () => {
  for (const how of ['FIN', 'RST', 'destroy']) {
    for (const [state, { bring, pause, seen, skip }] of Object.entries(HTTP_STATES)) {
      it(`by ${how} ${state}`, { skip }, async (t) => {
        const { port, log } = serveAll(t);
        const client = await RawSocket.connect(port);
        if (pause) client.pause();
        await bring(client, log);
        await end(client, how);
        if (seen.includes('aborted')) await log.next('aborted');
        // A client with a response left to read gets it despite its FIN.
        client.resume();
        if (how === 'FIN') await client.readToEnd();
        client.destroy();
        await noConnectionLeft();
        assert.deepEqual(
          log.all.map(([name]) => name),
          seen,
        );
        await assertAlive(port);
      });
    }
  }
});

describe('a WebSocket that ends early', () => {
  for (const [how, close] of [
    ['FIN', FIN_FIRST],
    ['RST', LOST],
  ]) {
    for (const [state, { bring, pause, seen = [] }] of Object.entries(WEBSOCKET_STATES)) {
      it(`by ${how} ${state}: ${close[0]} '${close[1]}'`, optionsOf(how), async (t) => {
        const { port, log } = serveAll(t);
        const client = await RawSocket.upgrade(port, '/ws');
        if (pause) client.pause();
        await bring(client, log);
        await end(client, how);
        assert.deepEqual(await log.next('close'), close);
        client.resume();
        client.destroy();
        await noConnectionLeft();
        assert.deepEqual(log.all, [['open'], ...seen, ['close', ...close]]);
        await assertAlive(port);
      });
    }
  }

  it('at once, with the request still unread', async (t) => {
    const { port, log } = serveAll(t);
    const clients = await Promise.all(Array.from({ length: 50 }, () => RawSocket.connect(port)));
    for (const [i, client] of clients.entries()) {
      client.write(upgradeRequest('/ws'));
      if (i % 2) client.reset();
      else client.destroy();
    }
    await noConnectionLeft();
    await until(() => log.count('close') === log.count('open'), 'close for each open');
    await assertAlive(port);
  });

  for (const how of ['FIN', 'RST', 'destroy']) {
    it(`by ${how} after its close frame: the code of the frame`, optionsOf(how), async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.upgrade(port, '/ws');
      client.write(frames.close(4000, 'bye'));
      await end(client, how);
      const close = await log.next('close');
      // A reset may overtake what was sent before it.
      if (how !== 'RST' || close[0] !== 1006) assert.deepEqual(close, [4000, 'bye']);
      client.destroy();
      await noConnectionLeft();
      assert.equal(log.count('close'), 1);
      await assertAlive(port);
    });

    it(`by ${how} after the server's close frame: the code of the server`, async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.upgrade(port, '/ws');
      client.write(frames.text('end'));
      assert.deepEqual(await log.next('close'), [1000, 'done']);
      await end(client, how);
      client.destroy();
      await noConnectionLeft();
      assert.equal(log.count('close'), 1);
      await assertAlive(port);
    });

    it(`by ${how} with back pressure, after its close frame`, async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.upgrade(port, '/ws');
      client.pause();
      client.write(frames.text('flood'));
      await log.next('message');
      client.write(frames.close(4000, 'bye'));
      assert.deepEqual(await log.next('close'), [4000, 'bye']);
      await end(client, how);
      client.destroy();
      await noConnectionLeft();
      assert.equal(log.count('close'), 1);
      await assertAlive(port);
    });
  }

  it('is not kept open by a client that never reads, nor answers a close frame', ours, async (t) => {
    const { port, log } = serveAll(t);
    const client = await RawSocket.upgrade(port, '/ws');
    client.write(frames.text('end'));
    assert.deepEqual(await log.next('close'), [1000, 'done']);
    assert.deepEqual(await client.readClose(), { code: 1000, reason: 'done' });
    // The client keeps its side open and continues to send.
    for (let i = 0; i < 10; i += 1) await client.writeAndTurn(frames.text('late'));
    client.destroy();
    await noConnectionLeft();
    assert.equal(log.count('message'), 1);
    await assertAlive(port);
  });
});

describe('a bad frame', () => {
  const INVALID_FRAME = [1002, 'Received invalid WebSocket frame'];
  const TOO_BIG = [1009, 'Received too big message'];
  const INVALID_UTF8 = [1007, 'Received invalid UTF-8'];
  const INVALID_CLOSE = [1002, 'Received invalid close payload'];
  const started = frames.text('a', { fin: false });
  /** The bytes, the code on the wire, and the reason that the handler gets. */
  const CASES = {
    'a reserved opcode': [frames.frame(3, 'x'), INVALID_FRAME],
    'a reserved control opcode': [frames.frame(11, 'x'), INVALID_FRAME],
    'a reserved bit': [frames.text('x', { rsv: frames.RSV1 }), INVALID_FRAME],
    'all reserved bits': [frames.ping('x', { rsv: 0x70 }), INVALID_FRAME],
    'a fragmented ping': [frames.ping('x', { fin: false }), INVALID_FRAME],
    'a fragmented close': [frames.close(1000, '', { fin: false }), INVALID_FRAME],
    'a ping with a length of 16 bits': [frames.ping('x'.repeat(126)), INVALID_FRAME],
    'a continuation of nothing': [frames.continuation('x'), INVALID_FRAME],
    'a last continuation twice': [
      Buffer.concat([started, frames.continuation(''), frames.continuation('')]),
      INVALID_FRAME,
    ],
    'a message inside another': [Buffer.concat([started, frames.text('x')]), INVALID_FRAME],
    'a message of another kind inside another': [Buffer.concat([started, frames.binary('x')]), INVALID_FRAME, ours],
    'an unmasked frame': [frames.text('x', { mask: null }), INVALID_FRAME, ours],
    'a message over the limit': [frames.binary(Buffer.alloc(2 * MEBIBYTE + 1)), TOO_BIG],
    'fragments over the limit': [
      Buffer.concat([
        frames.binary(Buffer.alloc(MEBIBYTE), { fin: false }),
        frames.continuation(Buffer.alloc(MEBIBYTE), { fin: false }),
        frames.continuation('x'),
      ]),
      TOO_BIG,
    ],
    'a length of many GiB': [Buffer.from('82ff000000ffffffffff00000000', 'hex'), TOO_BIG],
    'bad UTF-8': [frames.text(Buffer.of(0x61, 0xff)), INVALID_UTF8],
    'bad UTF-8 in the last fragment': [Buffer.concat([started, frames.continuation(Buffer.of(0x80))]), INVALID_UTF8],
    'a close code that must not be sent': [frames.close(1006, 'x'), INVALID_CLOSE],
    'a close reason of bad UTF-8': [frames.close(1000, Buffer.of(0xc3)), INVALID_CLOSE],
  };

  for (const [name, [bytes, [code, reason], options = {}]] of Object.entries(CASES)) {
    it(`(${name}) ends the connection: 1006 '${reason}', ${code} on the wire`, options, async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.upgrade(port, '/ws');
      client.write(bytes);
      assert.deepEqual(await log.next('close'), [1006, reason]);
      await assertEnded(client, code);
      assert.equal(log.count('message'), name === 'a last continuation twice' ? 1 : 0);
      await assertAlive(port);
    });

    if (bytes.length > 1000) continue;
    it(`(${name}) ends the connection, byte by byte`, options, async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.upgrade(port, '/ws');
      for (const byte of bytes) {
        if (log.count('close') > 0) break;
        await client.writeAndTurn(Buffer.of(byte));
      }
      assert.deepEqual(await log.next('close'), [1006, reason]);
      await assertEnded(client, code);
      await assertAlive(port);
    });

    it(`(${name}) ends the connection, and nothing after it counts`, options, async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.upgrade(port, '/ws');
      client.write(Buffer.concat([frames.text('before'), bytes, frames.text('after'), frames.close(1000)]));
      assert.deepEqual(await log.next('close'), [1006, reason]);
      assert.deepEqual(log.all[1], ['message', 'before', false]);
      assert.ok(!log.all.some(([, text]) => text === 'after'));
      client.destroy();
      await assertAlive(port);
    });
  }

  /** Asserts that the last frame, if any, is a close frame with the code, and that the connection ends after it. */
  async function assertEnded(client, code) {
    let last;
    if (!ours.skip) {
      do last = await client.readFrame();
      while (last.opcode !== frames.OPCODE.CLOSE);
      assert.equal(last.payload.readUInt16BE(), code);
    }
    await client.readToEnd();
    client.destroy();
    await noConnectionLeft();
  }
});

describe('a bad upgrade', () => {
  const CASES = {
    'without a Host': upgradeRequest('/ws', { Host: undefined }),
    'with a NUL in its key': upgradeRequest('/ws', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25\0ZQ==' }),
    'with a folded header': upgradeRequest('/ws', { 'X-Folded': 'a\r\n b' }),
    'with a space before a colon': upgradeRequest('/ws', { 'X-Space ': 'a' }),
  };
  for (const [name, bytes] of Object.entries(CASES)) {
    it(`${name} is a bad request`, async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.connect(port);
      client.write(bytes);
      assert.equal((await client.readToEnd()).toString('latin1'), BAD_REQUEST);
      client.destroy();
      await noConnectionLeft();
      assert.deepEqual(log.all, []);
      await assertAlive(port);
    });
  }

  for (const [name, bytes] of [
    ['with a key of 23 characters', upgradeRequest('/ws', { 'Sec-WebSocket-Key': 'x'.repeat(23) })],
    ['with a key of 25 characters', upgradeRequest('/ws', { 'Sec-WebSocket-Key': 'x'.repeat(25) })],
    ['with an empty key', upgradeRequest('/ws', { 'Sec-WebSocket-Key': '' })],
  ]) {
    it(`${name} is a plain request`, async (t) => {
      const { port, log } = serveAll(t);
      const client = await RawSocket.connect(port);
      client.write(bytes);
      assert.equal((await client.readResponse()).body, 'ok');
      client.destroy();
      await noConnectionLeft();
      assert.deepEqual(log.all, [['request']]);
    });
  }
});

describe('random bytes', () => {
  it('after an upgrade never do more than end the connection', async (t) => {
    const { port, log } = serveAll(t);
    let state = 42;
    // A linear congruential generator, so that every run has the same bytes.
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    };
    for (let round = 0; round < 300; round += 1) {
      const client = await RawSocket.upgrade(port, '/ws');
      client.write(Buffer.from(Array.from({ length: 40 }, next)));
      await turn();
      client.destroy();
    }
    await until(() => log.count('close') === 300, 'the end of each');
    await noConnectionLeft();
    await assertAlive(port);
  });

  it('instead of a request never do more than end the connection', async (t) => {
    const { port } = serveAll(t);
    let state = 4711;
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    };
    const good = Buffer.from(upgradeRequest('/ws'));
    for (let round = 0; round < 300; round += 1) {
      const bytes = Buffer.from(good);
      for (let i = 0; i < 3; i += 1) bytes[next() % bytes.length] = next();
      const client = await RawSocket.connect(port);
      client.write(bytes);
      await turn();
      client.destroy();
    }
    await noConnectionLeft();
    await assertAlive(port);
  });
});

/** Ends the connection, and lets the server notice. */
async function end(client, how) {
  if (how === 'FIN') client.end();
  else if (how === 'RST') client.reset();
  else client.destroy();
  await turn();
}

after(noConnectionLeft);
