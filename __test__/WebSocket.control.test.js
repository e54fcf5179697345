'use strict';

// Control frames to slow clients do not wait behind messages.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const frames = require('./support/frames.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, until } = require('./support/wait.js');
const { MEBIBYTE, connectLogged } = require('./support/websocket.js');

const { BINARY, CLOSE, PONG } = frames.OPCODE;

/** Connects a client that has read nothing of a message of 8 MiB and of ten short ones after it. */
async function connectSlow(t, behavior = {}) {
  const connected = await connectLogged(t, { maxBackpressure: 0, ...behavior });
  const { client, ws } = connected;
  client.pause();
  assert.equal(ws.send(Buffer.alloc(8 * MEBIBYTE), true), 0);
  for (let i = 0; i < 10; i += 1) ws.send(Buffer.from([i]), true);
  return connected;
}

/** Reads frames up to one with this opcode, and returns the opcodes and payload lengths. */
async function readUntil(client, last) {
  const seen = [];
  for (;;) {
    const { opcode, payload } = await client.readFrame();
    seen.push(opcode === BINARY ? payload.length : [opcode, payload.toString('latin1')]);
    if (opcode === last) return seen;
  }
}

describe('a client with much to read', () => {
  it('gets the answer to its newest ping as the next frame', ours, async (t) => {
    const { client, ws, log } = await connectSlow(t);
    for (const payload of ['1', '2', '3']) client.write(frames.ping(payload));
    await until(() => log.count('ping') === 3, 'three pings');
    ws.send('end');
    client.resume();
    assert.deepEqual(await readUntil(client, PONG), [8 * MEBIBYTE, [PONG, '3']]);
    for (let i = 0; i < 10; i += 1) assert.equal((await client.readFrame()).payload[0], i);
    assert.equal(await client.readText(), 'end');
    client.write(frames.ping('4'));
    assert.deepEqual(await readUntil(client, PONG), [[PONG, '4']]);
  });

  it('cannot fill memory with pings', ours, async (t) => {
    const { client, ws, log } = await connectSlow(t);
    const before = ws.getBufferedAmount();
    for (let i = 0; i < 100; i += 1) client.write(frames.ping('x'.repeat(125)));
    await until(() => log.count('ping') === 100, 'a hundred pings');
    // The kernel may have taken some of the message.
    assert.ok(ws.getBufferedAmount() <= before + 127);
    client.resume();
    assert.equal((await readUntil(client, PONG)).length, 2);
    for (let i = 0; i < 10; i += 1) assert.equal((await client.readFrame()).opcode, BINARY);
  });

  it('gets the answers between the fragments of a message, too', ours, async (t) => {
    const { app, client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    ws.subscribe('news');
    ws.sendFirstFragment(Buffer.alloc(8 * MEBIBYTE), true);
    ws.sendFragment('middle');
    app.publish('news', 'held');
    client.write(frames.ping('?'));
    await log.next('ping');
    ws.sendLastFragment('last');
    client.resume();
    const seen = [];
    for (let i = 0; i < 5; i += 1) {
      const { opcode, payload } = await client.readFrame();
      seen.push([opcode, payload.length]);
    }
    assert.deepEqual(seen, [
      [BINARY, 8 * MEBIBYTE],
      [PONG, 1],
      [frames.OPCODE.CONTINUATION, 6],
      [frames.OPCODE.CONTINUATION, 4],
      [frames.OPCODE.TEXT, 4],
    ]);
  });

  it('gets answers also when its WebSocket is being closed', ours, async (t) => {
    const { client, ws } = await connectSlow(t);
    ws.end(1000, 'done');
    // The close handler has run, so no handler is called for this ping.
    await client.writeAndTurn(frames.ping('still there?'));
    client.resume();
    assert.deepEqual(await readUntil(client, PONG), [8 * MEBIBYTE, [PONG, 'still there?']]);
    for (let i = 0; i < 10; i += 1) assert.equal((await client.readFrame()).payload[0], i);
    assert.deepEqual(await client.readClose(), { code: 1000, reason: 'done' });
  });

  it('is told why it is closed', ours, async (t) => {
    for (const [bad, code] of [
      [frames.frame(3), 1002],
      [frames.text(Buffer.from([0xff])), 1007],
      [frames.binary(Buffer.alloc(20_000)), 1009],
    ]) {
      const { client, log } = await connectSlow(t);
      client.write(bad);
      assert.equal((await log.next('close'))[0], 1006);
      client.resume();
      const [message, [, payload], ...others] = await readUntil(client, CLOSE);
      assert.equal(message, 8 * MEBIBYTE);
      assert.equal(Buffer.from(payload, 'latin1').readUInt16BE(), code);
      assert.deepEqual(others, []);
      assert.equal((await client.readToEnd()).length, 0);
    }
  });
});

after(noConnectionLeft);
