'use strict';

// The example that limits rates.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');
const { RawSocket, upgradeRequest } = require('../support/RawSocket.js');
const { text } = require('../support/frames.js');
const { request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Client } = require('./Client.js');
const { Example } = require('./Example.js');

describe('RateLimit', ours, () => {
  /** So slow that a bucket never fills while a test runs. */
  const SLOW = { RATE: '0.001', BURST: '3' };

  const start = (t, env) => Example.start(t, 'RateLimit.js', { env });

  async function connect(t, example, options) {
    const client = await RawSocket.connect(example.port, options);
    t.after(() => client.destroy());
    return client;
  }

  async function ask(client) {
    client.write(request('/'));
    return client.readResponse();
  }

  const statuses = async (client, count) => {
    const all = [];
    for (let i = 0; i < count; i += 1) all.push((await ask(client)).status);
    return all;
  };

  const status = async ({ url }) => (await fetch(`${url}/status`)).json();

  it('lets so many requests pass, and says when the next may come', async (t) => {
    const example = await start(t, SLOW);
    const client = await connect(t, example);
    assert.deepEqual(await statuses(client, 3), [200, 200, 200]);
    const refused = await ask(client);
    assert.equal(refused.status, 429);
    const seconds = Number(refused.headers['retry-after']);
    assert.ok(seconds > 990 && seconds <= 1000, `${seconds} seconds`);
    // Neither another connection nor a WebSocket gets around the limit.
    assert.equal((await ask(await connect(t, example))).status, 429);
    const webSocket = await connect(t, example);
    webSocket.write(upgradeRequest('/'));
    assert.equal((await webSocket.readResponse()).status, 429);
    assert.equal(example.stderr, '');
  });

  it('lets others pass meanwhile', async (t) => {
    const example = await start(t, SLOW);
    assert.deepEqual(await statuses(await connect(t, example), 4), [200, 200, 200, 429]);
    const neighbour = await connect(t, example, { localAddress: '127.0.0.2' });
    assert.deepEqual(await statuses(neighbour, 4), [200, 200, 200, 429]);
    const other = await connect(t, example, { host: '::1' });
    assert.deepEqual(await statuses(other, 4), [200, 200, 200, 429]);
  });

  it('lets a client that has waited pass again, and forgets one that has waited long', async (t) => {
    const example = await start(t, { RATE: '5', BURST: '1' });
    const client = await connect(t, example);
    // Both arrive at once, so the bucket cannot fill in between.
    client.write(request('/') + request('/'));
    assert.deepEqual([(await client.readResponse()).status, (await client.readResponse()).status], [200, 429]);
    await until(async () => (await ask(client)).status === 200, 'full bucket');
    await until(async () => {
      await ask(await connect(t, example, { localAddress: '127.0.0.2' }));
      return (await status(example)).requests === 1;
    }, 'end of the other bucket');
  });

  it('remembers only so many addresses, those that came last', async (t) => {
    const example = await start(t, { ...SLOW, BURST: '1', MAX_ADDRESSES: '3' });
    const seen = [];
    // The arrival of 4 evicts 2, because 1 has come again; that of 2 then evicts 3, so 4 is still known at the end.
    for (const host of [1, 2, 3, 1, 4, 1, 2, 4]) {
      const client = await connect(t, example, { localAddress: `127.0.1.${host}` });
      seen.push((await ask(client)).status);
    }
    assert.deepEqual(seen, [200, 200, 200, 429, 200, 429, 200, 429]);
    assert.deepEqual(await status(example), { requests: 3, messages: 0 });
  });

  it('tells a WebSocket once that it sends too much, and closes it when it goes on', async (t) => {
    const example = await start(t, SLOW);
    const client = await Client.open(t, example.webSocketUrl);
    for (const text of ['1', '2', '3']) assert.equal(await client.ask(text), Number(text));
    const { error, retryAfter } = await client.ask('4');
    assert.equal(error, 'too many messages');
    assert.ok(retryAfter > 990 && retryAfter <= 1000, `${retryAfter} seconds`);
    for (let i = 0; i < 20; i += 1) client.send('5');
    await assert.rejects(client.next(), /closed with 1008,too many messages/);

    // Its bucket is still empty.
    const again = await Client.open(t, example.webSocketUrl);
    assert.equal((await again.ask('6')).error, 'too many messages');
    assert.equal(example.stderr, '');
  });

  it('forgives a WebSocket that has waited', async (t) => {
    const example = await start(t, { RATE: '5', BURST: '1' });
    const client = await RawSocket.upgrade(example.port, '/');
    t.after(() => client.destroy());
    // Each round exceeds the limit by the greatest number of messages allowed.
    const messages = Buffer.concat(Array.from({ length: 11 }, (_, i) => text(String(i))));
    for (let round = 0; round < 3; round += 1) {
      client.write(messages);
      assert.equal(await client.readText(), '0');
      const { retryAfter } = JSON.parse(await client.readText());
      // This delay does not wait for an event: the server has demanded it. A timer may fire a millisecond early.
      await delay(retryAfter * 1000 + 1);
    }
    assert.equal(example.stderr, '');
  });
});
