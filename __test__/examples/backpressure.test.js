'use strict';

// The examples of clients that read more slowly than the server sends.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { OPCODE } = require('../support/frames.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Client } = require('./Client.js');
const { Example } = require('./Example.js');

const KIBIBYTE = 1 << 10;

/** Returns a connected client that does not read. */
async function connectPaused(t, example, path) {
  const client = await RawSocket.upgrade(example.port, path);
  t.after(() => client.destroy());
  client.pause();
  return client;
}

/** Waits until the example has printed `count` lines that match, and returns the match of the last. */
async function printedLike(example, pattern, count = 1) {
  const found = () => example.lines.filter((line) => pattern.test(line));
  await until(() => found().length >= count, `line like ${pattern}`);
  return pattern.exec(found()[count - 1]);
}

describe('Backpressure', ours, () => {
  /** 64 MiB, which is more than the kernel's buffers hold. */
  const MESSAGES = 1024;
  const MESSAGE = 64 * KIBIBYTE;
  const WAIT = /^(\d+) bytes wait for a client$/;
  const CLOSE = /^close: (\d+) after (\d+) messages, (\d+) waits, at most (\d+) bytes in memory$/;

  const start = (t) => Example.start(t, 'Backpressure.js', { env: { MESSAGES: String(MESSAGES) } });

  async function readAll(example, t) {
    const client = await Client.open(t, example.webSocketUrl);
    for (let number = 0; number < MESSAGES; number += 1) {
      const message = await client.next();
      assert.deepEqual([message.length, message.readUInt32BE()], [MESSAGE, number]);
    }
    assert.deepEqual(await client.closed(), [1000, 'That is all.']);
  }

  it('sends all of it, in order, and closes', async (t) => {
    const example = await start(t);
    await readAll(example, t);
    const [, code, sent] = (await printedLike(example, CLOSE)).map(Number);
    assert.deepEqual([code, sent], [1000, MESSAGES]);
    assert.equal(example.stderr, '');
  });

  it('waits for a client that stands still, with one message in memory, and serves others meanwhile', async (t) => {
    const example = await start(t);
    const slow = await connectPaused(t, example, '/');
    const [, waiting] = await printedLike(example, WAIT);
    assert.ok(Number(waiting) > 0);
    await readAll(example, t);

    slow.resume();
    for (let number = 0; number < MESSAGES; number += 1) {
      const { fin, opcode, payload } = await slow.readFrame();
      assert.deepEqual([fin, opcode, payload.length], [true, OPCODE.BINARY, MESSAGE]);
      assert.equal(payload.readUInt32BE(), number);
    }
    assert.deepEqual(await slow.readClose(), { code: 1000, reason: 'That is all.' });
    const [, code, sent, waits, most] = (await printedLike(example, CLOSE, 2)).map(Number);
    assert.deepEqual([code, sent], [1000, MESSAGES]);
    assert.ok(waits > 0);
    // The header of such a frame has 10 bytes.
    assert.ok(most >= Number(waiting) && most <= MESSAGE + 10, `${most} bytes`);
    assert.equal(example.stderr, '');
  });

  it('forgets a client that leaves in the middle', async (t) => {
    const example = await start(t);
    for (const [index, leave] of ['destroy', 'reset'].entries()) {
      const client = await connectPaused(t, example, '/');
      await printedLike(example, WAIT, index + 1);
      client[leave]();
      const [, code, sent] = (await printedLike(example, CLOSE, index + 1)).map(Number);
      assert.equal(code, 1006);
      assert.ok(sent < MESSAGES, `${sent} messages`);
    }
    await readAll(example, t);
    assert.equal(example.stderr, '');
  });
});

describe('SlowReceiver', ours, () => {
  const start = (t) => Example.start(t, 'SlowReceiver.js', { env: { INTERVAL: '1' } });

  /** Reads up to the first picture after a report of missed ones, and returns their number, after checking it. */
  async function readPastGap(client) {
    let reported = 0;
    let missing = 0;
    let last = 0;
    for (;;) {
      const { opcode, payload } = await client.readFrame();
      if (opcode === OPCODE.TEXT) {
        reported += JSON.parse(payload).missed;
        continue;
      }
      assert.deepEqual([opcode, payload.length], [OPCODE.BINARY, 64 * KIBIBYTE]);
      const number = payload.readUInt32BE();
      if (last > 0) missing += number - last - 1;
      last = number;
      if (reported > 0 && reported === missing) return reported;
      assert.ok(reported === 0, `${reported} reported, ${missing} missing`);
    }
  }

  it('tells a client how much it has missed', async (t) => {
    const example = await start(t);
    const slow = await connectPaused(t, example, '/');
    await example.printed('A client is too slow');
    // Meanwhile other clients keep getting pictures, from the one that was current when they connected.
    const other = await Client.open(t, example.webSocketUrl);
    const first = (await other.next()).readUInt32BE();
    assert.equal((await other.next()).readUInt32BE(), first + 1);

    slow.resume();
    const missed = await readPastGap(slow);
    await example.printed(`It missed ${missed} pictures`);
    assert.equal(example.stderr, '');
  });

  it('disconnects a client that is too slow for /strict', async (t) => {
    const example = await start(t);
    const slow = await connectPaused(t, example, '/strict');
    const [, code] = await printedLike(example, /^close: (\d+)/);
    assert.equal(code, '1006');
    slow.resume();
    // What had been sent may arrive, but nothing after it.
    await slow.readToEnd();
    assert.ok(example.lines.every((line) => !line.startsWith('It missed')));

    const next = await Client.open(t, `${example.webSocketUrl}/strict`);
    const first = (await next.next()).readUInt32BE();
    assert.equal((await next.next()).readUInt32BE(), first + 1);
    assert.equal(example.stderr, '');
  });
});
