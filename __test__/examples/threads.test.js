'use strict';

// The example of servers in worker threads.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { OPCODE, binary, text } = require('../support/frames.js');
const { fetch, request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { Example } = require('./Example.js');

for (const [way, env] of [
  ['a shared port', {}],
  ['an acceptor', { ACCEPTOR: '1' }],
]) {
  describe(`WorkerThreads with ${way}`, ours, () => tests(env));
}

function tests(env) {
  const start = (t, threads) => Example.start(t, 'WorkerThreads.js', { env: { ...env, THREADS: String(threads) } });

  /** Connects a WebSocket, and finds out which thread it is in. */
  async function connect(t, example) {
    const client = await RawSocket.upgrade(example.port, '/');
    t.after(() => client.destroy());
    client.thread = /^Welcome to thread (\d+)\.$/.exec(await client.readText())[1];
    return client;
  }

  /** Connects until two threads have a client, because the system chooses the thread. */
  async function connectToTwo(t, example) {
    const clients = [await connect(t, example)];
    while (clients.at(-1).thread === clients[0].thread) {
      assert.ok(clients.length < 100, 'all connections are in one thread');
      clients.push(await connect(t, example));
    }
    return clients;
  }

  it('shares the port, and a count of visits, among threads', async (t) => {
    const example = await start(t, 3);
    const threads = new Set();
    for (let visits = 1; threads.size < 3; visits += 1) {
      assert.ok(visits < 200, `only threads ${[...threads]}`);
      const answer = JSON.parse((await fetch(example.port, '/')).body);
      assert.equal(answer.visits, visits);
      threads.add(answer.thread);
    }
    assert.equal(example.stderr, '');
  });

  it('tells everybody in all threads what is said in one', async (t) => {
    const example = await start(t, 2);
    const clients = await connectToTwo(t, example);
    // The first and the last are in different threads.
    for (const [speaker, form, opcode, said] of [
      [clients[0], text, OPCODE.TEXT, Buffer.from('Hello')],
      [clients.at(-1), binary, OPCODE.BINARY, Buffer.of(0xff)],
    ]) {
      speaker.write(form(said));
      for (const client of clients) {
        const heard = await client.readFrame();
        assert.deepEqual([heard.opcode, heard.payload], [opcode, said]);
      }
    }
    assert.equal(example.stderr, '');
  });

  for (const signal of ['SIGTERM', 'SIGINT']) {
    it(`ends by itself on ${signal}, whoever is there`, async (t) => {
      const example = await start(t, 2);
      const clients = await connectToTwo(t, example);
      const idle = await RawSocket.connect(example.port);
      idle.write(request('/'));
      await idle.readResponse();
      example.kill(signal);
      assert.deepEqual(await example.exit(), { code: 0, signal: null, stderr: '' });
      for (const client of [...clients, idle]) await client.readToEnd();
      await assert.rejects(RawSocket.connect(example.port), { code: 'ECONNREFUSED' });
    });
  }

  it('ends when it cannot have the port', async (t) => {
    const other = net.createServer().listen(0);
    t.after(() => other.close());
    await once(other, 'listening');
    const { port } = other.address();
    const { code, stderr } = await Example.run('WorkerThreads.js', { port, env });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^Error: listen EADDRINUSE: .*:${port}$`, 'm'));
  });
}
