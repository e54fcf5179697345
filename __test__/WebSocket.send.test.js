'use strict';

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { serve } = require('./support/server.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft, until } = require('./support/wait.js');
const { CLOSED, INVALID_DATA, KIBIBYTE, MEBIBYTE, ECHO, connectLogged } = require('./support/websocket.js');

describe('send', () => {
  it('gives 1 when the message went out, and nothing is buffered', async (t) => {
    const { client, ws } = await connectLogged(t);
    assert.equal(ws.send('text'), 1);
    assert.equal(ws.send(new Uint8Array([1]), true), 1);
    assert.equal(ws.getBufferedAmount(), 0);
    assert.equal((await client.read(9)).toString('hex'), '810474657874' + '820101');
  });

  it('gives the same inside a handler', async (t) => {
    const seen = [];
    const { client } = await connectLogged(t, {
      message: (ws) => seen.push(ws.send('a'), ws.getBufferedAmount(), ws.send('b'), ws.getBufferedAmount()),
    });
    client.write(frames.text('go'));
    assert.equal(await client.readText(), 'a');
    assert.equal(await client.readText(), 'b');
    assert.deepEqual(seen, [1, 0, 1, 0]);
  });

  it('gives 0 for a client that has gone without a word', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.reset();
    // The first send discovers that the client has gone.
    ws.send(new Uint8Array(MEBIBYTE), true);
    assert.equal(ws.send('text'), 0);
    assert.equal((await log.next('close'))[0], 1006);
  });

  it('counts what a client that has gone without a word can get no more', async (t) => {
    const dropped = [];
    const { app, client, ws, log } = await connectLogged(t, {
      maxBackpressure: 4 * MEBIBYTE,
      dropped: (_, message) => dropped.push(message.byteLength),
    });
    client.reset();
    ws.send(new Uint8Array(MEBIBYTE), true);
    const before = ws.getBufferedAmount();
    assert.ok(before > 0);
    assert.equal(ws.send(new Uint8Array(1000), true), 0);
    assert.equal(ws.getBufferedAmount(), before + 1004);
    ws.cork(() => ws.send(new Uint8Array(1000), true));
    assert.equal(ws.getBufferedAmount(), before + 2008);
    ws.subscribe('topic');
    for (const size of [1000, 40_000]) {
      const published = ws.getBufferedAmount();
      assert.equal(app.publish('topic', new Uint8Array(size), true), true);
      // Published messages are written before what is sent next.
      ws.send('x');
      assert.ok(ws.getBufferedAmount() >= published + size + 7);
    }
    while (ws.send(new Uint8Array(MEBIBYTE), true) !== 2) assert.ok(ws.getBufferedAmount() < 8 * MEBIBYTE);
    assert.ok(ws.getBufferedAmount() > 4 * MEBIBYTE);
    assert.deepEqual(dropped, [MEBIBYTE]);
    assert.equal((await log.next('close'))[0], 1006);
  });

  it('takes text and bytes of every kind, and sends text unless told otherwise', async (t) => {
    const { client, ws } = await connectLogged(t);
    const bytes = new Uint8Array([0x21, 0x61, 0x62, 0x63, 0x21]);
    const shared = new SharedArrayBuffer(3);
    new Uint8Array(shared).set([0x61, 0x62, 0x63]);
    for (const message of [
      'abc',
      bytes.buffer.slice(1, 4),
      bytes.subarray(1, 4),
      Buffer.from('abc'),
      new Int8Array(bytes.buffer, 1, 3),
      shared,
      new Uint8Array(shared),
    ]) {
      ws.send(message);
      assert.equal((await client.read(5)).toString('hex'), '8103616263');
      ws.send(message, true);
      assert.equal((await client.read(5)).toString('hex'), '8203616263');
      ws.send(message, false);
      assert.equal((await client.read(5)).toString('hex'), '8103616263');
    }
    ws.send(new Uint16Array([0x6261, 0x6463]), true);
    assert.equal((await client.read(6)).toString('hex'), '820461626364');
  });

  it('takes undefined as an empty text', async (t) => {
    const { client, ws } = await connectLogged(t);
    ws.send(undefined);
    ws.send('');
    assert.equal((await client.read(4)).toString('hex'), '81008100');
  });

  it('refuses everything else, and sends nothing', async (t) => {
    const { client, ws } = await connectLogged(t);
    for (const wrong of [null, 5, {}, [], true, new DataView(new ArrayBuffer(1)), () => {}]) {
      assert.throws(() => ws.send(wrong), INVALID_DATA);
    }
    ws.send('end');
    assert.equal(await client.readText(), 'end');
  });

  it('writes UTF-8, of any string', async (t) => {
    const { client, ws } = await connectLogged(t);
    for (const text of [
      'ascii',
      'latin1 \u00e9\u00ff',
      'two bytes \u0416',
      '\u20ac',
      '\u{1f600}',
      'a\0b',
      'x'.repeat(100_000),
      '\u00e9'.repeat(100_000),
      '\u20ac'.repeat(50_000),
    ]) {
      ws.send(text);
      assert.equal(await client.readText(), text);
    }
  });

  it('writes a lone surrogate as the replacement character', ours, async (t) => {
    const { client, ws } = await connectLogged(t);
    ws.send('a\ud800b');
    assert.equal((await client.readFrame()).payload.toString('hex'), '61efbfbd62');
  });

  it('may be called at any time: in a timer, an immediate, a promise', async (t) => {
    const { client, ws } = await connectLogged(t);
    await new Promise((resolve) => setTimeout(resolve, 1));
    ws.send('timer');
    assert.equal(await client.readText(), 'timer');
    await new Promise((resolve) => setImmediate(resolve));
    ws.send('immediate');
    assert.equal(await client.readText(), 'immediate');
    await null;
    ws.send('promise');
    assert.equal(await client.readText(), 'promise');
  });

  it('to another connection may be called in a handler', async (t) => {
    const all = [];
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        open: (ws) => all.push(ws),
        message: (ws, message) => all.forEach((other) => other !== ws && other.send(message)),
      }),
    );
    const first = await RawSocket.upgrade(port, '/');
    const second = await RawSocket.upgrade(port, '/');
    first.write(frames.text('from first'));
    assert.equal(await second.readText(), 'from first');
    second.write(frames.text('from second'));
    assert.equal(await first.readText(), 'from second');
    first.destroy();
    second.destroy();
  });

  it('takes the compress flag, which changes nothing where no compression was negotiated', async (t) => {
    const { client, ws } = await connectLogged(t);
    assert.equal(ws.send('abc', false, true), 1);
    assert.equal((await client.read(5)).toString('hex'), '8103616263');
  });
});

describe('ping and pong', () => {
  it('ping sends a ping frame, and the pong of the client reaches the pong handler', async (t) => {
    const { client, ws, log } = await connectLogged(t);
    assert.equal(ws.ping('payload'), 1);
    assert.equal((await client.read(9)).toString('hex'), '89077061796c6f6164');
    client.write(frames.pong('payload'));
    assert.deepEqual(await log.next('pong'), ['payload']);
  });

  it('ping needs no message', async (t) => {
    const { client, ws } = await connectLogged(t);
    assert.equal(ws.ping(), 1);
    assert.equal((await client.read(2)).toString('hex'), '8900');
  });

  it('a ping of the client is answered before its handler runs', async (t) => {
    const { client, log } = await connectLogged(t, { ping: (ws) => ws.send('handler') });
    client.write(frames.ping('x'.repeat(125)));
    assert.equal((await client.read(2)).toString('hex'), '8a7d');
    assert.equal((await client.read(125)).toString(), 'x'.repeat(125));
    assert.equal(await client.readText(), 'handler');
    assert.deepEqual(await log.next('ping'), ['x'.repeat(125)]);
  });

  it('a pong that nobody asked for reaches the handler, and nothing is sent', async (t) => {
    const { client, log } = await connectLogged(t, ECHO);
    client.write(Buffer.concat([frames.pong(''), frames.text('next')]));
    assert.equal(await client.readText(), 'next');
    assert.deepEqual(log.all, [['open'], ['pong', ''], ['message', 'next', false]]);
  });
});

describe('back pressure', () => {
  const MESSAGE = Buffer.alloc(MEBIBYTE, 'x');

  /**
   * Sends MESSAGE to a client that does not read until send returns `status`; returns how often it returned each
   * status.
   */
  function sendUntil(ws, status) {
    const counts = { 0: 0, 1: 0, 2: 0 };
    for (let i = 0; i < 100; i += 1) {
      const result = ws.send(MESSAGE, true);
      counts[result] += 1;
      if (result === status) return counts;
    }
    throw new Error(`send never gave ${status}: ${JSON.stringify(counts)}`);
  }

  it('makes send give 0, and what is buffered arrives, and drain runs', async (t) => {
    const log = new EventLog();
    const { client, ws } = await connectLogged(t, {
      maxBackpressure: 64 * MEBIBYTE,
      drain: (drained) => log.add('drain', drained.getBufferedAmount()),
      dropped: () => log.add('dropped'),
    });
    client.pause();
    const counts = sendUntil(ws, 0);
    assert.ok(ws.getBufferedAmount() > 0);
    assert.ok(ws.getBufferedAmount() <= MEBIBYTE + 10);
    assert.equal(ws.send('last'), 0);
    client.resume();
    for (let i = 0; i < counts[0] + counts[1]; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
    assert.equal(await client.readText(), 'last');
    await until(() => log.all.some(([, amount]) => amount === 0), 'drain of everything');
    assert.equal(log.count('dropped'), 0);
    assert.equal(ws.getBufferedAmount(), 0);
    assert.equal(ws.send('again'), 1);
    assert.equal(await client.readText(), 'again');
  });

  it('has a message that is dropped cost the same whatever its length', ours, async (t) => {
    const { app, client, ws } = await connectLogged(t, {
      maxBackpressure: KIBIBYTE,
      compression: uWS.SHARED_COMPRESSOR,
    });
    client.pause();
    ws.subscribe('topic');
    while (ws.send(Buffer.alloc(MEBIBYTE), true) !== 2);
    assert.equal(ws.sendFirstFragment('dropped'), 2);
    const binary = new Uint8Array(64 * MEBIBYTE);
    const shared = new SharedArrayBuffer(64 * MEBIBYTE);
    const messages = [binary, '\u20ac'.repeat(32 * MEBIBYTE), shared, new Uint8Array(shared)];
    const began = performance.now();
    for (let i = 0; i < 100; i += 1) {
      for (const message of messages) {
        assert.equal(ws.sendFragment(message), 2);
        assert.equal(ws.ping(message), 2);
        assert.equal(app.publish('topic', message, true), true);
        assert.equal(app.publish('a topic of nobody', message), false);
        assert.equal(ws.publish('topic', message, true), false);
      }
    }
    assert.equal(ws.sendLastFragment(shared), 2);
    for (let i = 0; i < 100; i += 1) {
      for (const message of messages) {
        assert.equal(ws.send(message, true), 2);
        assert.equal(ws.send(message, true, true), 2);
        assert.equal(ws.send(message), 2);
      }
    }
    // Copying or encoding one of the messages takes some hundredths of a second.
    assert.ok(performance.now() - began < 5000);
    client.reset();
  });

  it('above maxBackpressure makes send give 2 and dropped run, and the rest arrives', async (t) => {
    const log = new EventLog();
    const { client, ws } = await connectLogged(t, {
      maxBackpressure: 2 * MEBIBYTE,
      dropped: (from, message, isBinary) => log.add('dropped', from === ws, message.byteLength, isBinary),
      drain: () => log.add('drain'),
    });
    client.pause();
    const counts = sendUntil(ws, 2);
    assert.ok(counts[0] >= 2, 'a message is dropped only when the buffer is above the limit already');
    assert.ok(ws.getBufferedAmount() > 2 * MEBIBYTE);
    assert.ok(ws.getBufferedAmount() <= 3 * MEBIBYTE + 20);
    assert.equal(ws.send('dropped, too'), 2);
    assert.equal(ws.ping('dropped, too'), 2);
    assert.deepEqual(log.all.slice(0, 2), [
      ['dropped', true, MEBIBYTE, true],
      ['dropped', true, 12, false],
    ]);
    client.resume();
    for (let i = 0; i < counts[0] + counts[1]; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
    await until(() => ws.getBufferedAmount() === 0, 'drain of everything');
    assert.equal(ws.send('again'), 1);
    assert.equal(await client.readText(), 'again');
  });

  it('hands a message to dropped that it may keep', ours, async (t) => {
    const kept = [];
    const { client, ws } = await connectLogged(t, {
      maxBackpressure: 1,
      dropped: (from, message) => kept.push(message),
    });
    client.pause();
    sendUntil(ws, 0);
    ws.send('text');
    ws.send('more');
    assert.deepEqual(
      kept.map((message) => Buffer.from(message).toString()),
      ['text', 'more'],
    );
  });

  it('has a limit of 64 KiB unless told otherwise', async (t) => {
    const { client, ws } = await connectLogged(t);
    client.pause();
    sendUntil(ws, 2);
    assert.ok(ws.getBufferedAmount() > 64 * KIBIBYTE && ws.getBufferedAmount() <= MEBIBYTE + 64 * KIBIBYTE + 20);
  });

  it('has no limit with a maxBackpressure of 0', async (t) => {
    const { client, ws } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    for (let i = 0; i < 40; i += 1) assert.notEqual(ws.send(MESSAGE, true), 2);
    assert.ok(ws.getBufferedAmount() > 16 * MEBIBYTE);
    client.resume();
    for (let i = 0; i < 40; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
  });

  it('above the limit closes the WebSocket with closeOnBackpressureLimit', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: MEBIBYTE, closeOnBackpressureLimit: true });
    client.pause();
    for (let i = 0; i < 100 && log.count('close') === 0; i += 1) {
      try {
        if (ws.send(MESSAGE, true) === 2) break;
      } catch {
        break;
      }
    }
    const [code] = await log.next('close');
    assert.equal(code, 1006);
    assert.throws(() => ws.send('x'), CLOSED);
    client.resume();
    await client.readToEnd();
  });

  it('does not keep end() from sending what is buffered, then the close frame', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    const counts = sendUntil(ws, 0);
    ws.end(1000, 'bye');
    assert.deepEqual(log.all.at(-1), ['close', 1000, 'bye']);
    client.resume();
    for (let i = 0; i < counts[0] + counts[1]; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
    assert.deepEqual(await client.readClose(), { code: 1000, reason: 'bye' });
    client.destroy();
    await noConnectionLeft();
  });

  it('does not keep close() from ending the connection at once', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    sendUntil(ws, 0);
    ws.close();
    assert.deepEqual(log.all.at(-1), ['close', 1006, '']);
    client.resume();
    await client.readToEnd();
    client.destroy();
    await noConnectionLeft();
  });

  it('of a client that goes is forgotten', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    for (let i = 0; i < 30; i += 1) ws.send(MESSAGE, true);
    client.reset();
    assert.deepEqual(await log.next('close'), [1006, '']);
    await noConnectionLeft();
  });

  it('lets messages of the client through', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    sendUntil(ws, 0);
    client.write(frames.text('still here'));
    assert.deepEqual(await log.next('message'), ['still here', false]);
  });

  it('in a handler counts what is corked', async (t) => {
    const seen = [];
    const { client, log } = await connectLogged(t, {
      maxBackpressure: 0,
      message: (ws) => {
        for (let i = 0; i < 40; i += 1) seen.push(ws.send(MESSAGE, true));
        seen.push(ws.getBufferedAmount());
      },
    });
    client.pause();
    client.write(frames.text('go'));
    await log.next('message');
    assert.ok(seen.includes(0));
    assert.ok(seen.at(-1) > 16 * MEBIBYTE);
    client.resume();
    for (let i = 0; i < 40; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
  });
});

describe('cork', () => {
  for (const method of ours.skip ? ['cork'] : ['cork', 'experimental_cork']) {
    it(`${method} runs its callback at once, returns the WebSocket, and keeps the order`, async (t) => {
      const { client, ws } = await connectLogged(t);
      const seen = [];
      const returned = ws[method](() => {
        seen.push(ws.send('one'), ws.send('two'));
        ws.ping('three');
      });
      seen.push('after');
      assert.equal(returned, ws);
      assert.deepEqual(seen, [1, 1, 'after']);
      ws.send('four');
      assert.equal((await client.read(5 + 5 + 7)).toString('hex'), '81036f6e65' + '810374776f' + '89057468726565');
      assert.equal(await client.readText(), 'four');
    });
  }

  it('lets an exception of its callback through, and what was sent in it is sent', async (t) => {
    const { client, ws } = await connectLogged(t);
    const call = () =>
      ws.cork(() => {
        ws.send('before');
        throw new TypeError('of the callback');
      });
    assert.throws(call, { name: 'TypeError', message: 'of the callback' });
    assert.equal(await client.readText(), 'before');
    ws.send('after');
    assert.equal(await client.readText(), 'after');
  });

  it('may stand in another, of the same WebSocket or of another one', async (t) => {
    const all = [];
    const { port } = serve(t, (app) => app.ws('/*', { open: (ws) => all.push(ws) }));
    const first = await RawSocket.upgrade(port, '/');
    const second = await RawSocket.upgrade(port, '/');
    all[0].cork(() => {
      all[0].send('a');
      all[1].cork(() => {
        all[1].send('b');
        all[0].cork(() => all[0].send('c'));
      });
      all[0].send('d');
    });
    for (const text of ['a', 'c', 'd']) assert.equal(await first.readText(), text);
    assert.equal(await second.readText(), 'b');
    first.destroy();
    second.destroy();
  });

  it('may end the WebSocket', ours, async (t) => {
    const { client, ws, log } = await connectLogged(t);
    ws.cork(() => {
      ws.send('last');
      ws.end(1000);
      assert.throws(() => ws.send('x'), CLOSED);
    });
    assert.equal(await client.readText(), 'last');
    assert.deepEqual(await client.readClose(), { code: 1000, reason: '' });
    assert.equal(log.count('close'), 1);
  });

  it('may close the WebSocket', async (t) => {
    const { client, ws, log } = await connectLogged(t);
    assert.equal(
      ws.cork(() => ws.close()),
      ws,
    );
    assert.equal((await client.readToEnd()).length, 0);
    assert.equal(log.count('close'), 1);
  });

  it('of more than any buffer holds keeps the order, too', async (t) => {
    const { client, ws } = await connectLogged(t, { maxBackpressure: 0 });
    const parts = Array.from({ length: 200 }, (_, i) => Buffer.alloc(i % 2 ? 10 : 40_000, `${i} `));
    client.pause();
    ws.cork(() => parts.forEach((part) => ws.send(part, true)));
    client.resume();
    for (const part of parts) assert.ok(part.equals((await client.readFrame()).payload));
  });

  it('throws on what is no function', ours, async (t) => {
    const { ws } = await connectLogged(t);
    for (const wrong of [undefined, null, 5, {}, 'text']) {
      assert.throws(() => ws.cork(wrong), { name: 'Error', code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
    }
  });
});

after(noConnectionLeft);
