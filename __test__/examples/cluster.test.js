'use strict';

// The example of servers in processes of node:cluster.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { OPCODE, binary, close, text } = require('../support/frames.js');
const { fetch, request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Example } = require('./Example.js');

const PROCESSES = 2;

const start = (t, env) => Example.start(t, 'Cluster.js', { env: { WORKERS: String(PROCESSES), ...env } });

/** Connects a WebSocket, and finds out which process it is in. */
async function connect(t, example) {
  const client = await RawSocket.upgrade(example.port, '/');
  t.after(() => client.destroy());
  client.process = Number(/^Welcome to process (\d+)\.$/.exec(await client.readText())[1]);
  return client;
}

/** Connects WebSockets until one of them is in a process that is wanted. */
async function connectUntil(t, example, isWanted) {
  let client;
  const connectOne = async () => {
    client?.destroy();
    client = await connect(t, example);
    return isWanted(client.process);
  };
  await until(connectOne, 'client of the wanted process');
  return client;
}

async function connectToTwo(t, example) {
  const first = await connect(t, example);
  return [first, await connectUntil(t, example, (pid) => pid !== first.process)];
}

async function assertHeard(clients, said) {
  for (const client of clients) {
    const { opcode, payload } = await client.readFrame();
    assert.deepEqual([opcode, payload], [OPCODE.TEXT, Buffer.from(said)]);
  }
}

describe('Cluster', ours, () => {
  it('tells everybody in all processes what is said in one', async (t) => {
    const example = await start(t);
    const clients = await connectToTwo(t, example);
    for (const [index, speaker] of clients.entries()) {
      speaker.write(text(`from ${index}`));
      await assertHeard(clients, `from ${index}`);
    }
    clients[0].write(binary(Buffer.of(0xff)));
    for (const client of clients) assert.deepEqual((await client.readFrame()).payload, Buffer.of(0xff));
    assert.equal(example.stderr, '');
  });

  it('replaces a process that is killed, and the clients of the other stay', async (t) => {
    const example = await start(t);
    const [survivor, victim] = await connectToTwo(t, example);
    const answer = JSON.parse((await fetch(example.port, '/')).body);
    assert.equal(answer.primary, example.pid);
    process.kill(victim.process, 'SIGKILL');
    await victim.readToEnd();
    // Until the process has ended, the kernel may still give it connections.
    await until(() => example.stderr !== '', 'end of the process');
    const known = [survivor.process, victim.process];
    const stranger = await connectUntil(t, example, (pid) => !known.includes(pid));
    stranger.write(text('new here'));
    await assertHeard([survivor, stranger], 'new here');
    assert.equal(example.stderr, `Process ${victim.process} ended with SIGKILL\n`);
  });

  it('replaces all processes on SIGHUP, and closes their WebSockets in order', async (t) => {
    const example = await start(t);
    const clients = await connectToTwo(t, example);
    example.kill('SIGHUP');
    const leave = async (client) => {
      assert.deepEqual(await client.readClose(), { code: 1001, reason: 'please reconnect' });
      client.end();
    };
    await Promise.all(clients.map(leave));
    for (const { process: pid } of clients) await example.printed(`Replaced process ${pid}`);
    const known = clients.map((client) => client.process);
    const others = await connectToTwo(t, example);
    assert.ok(others.every((client) => !known.includes(client.process)));
    assert.equal(example.stderr, '');
  });

  for (const signal of ['SIGTERM', 'SIGINT']) {
    it(`ends on ${signal}, in order with whoever closes, and by force with whoever does not`, async (t) => {
      const example = await start(t, { GRACE: '500' });
      const [polite, deaf] = await connectToTwo(t, example);
      const idle = await RawSocket.connect(example.port);
      idle.write(request('/'));
      await idle.readResponse();
      example.kill(signal);
      assert.equal((await polite.readClose()).code, 1001);
      polite.end();
      const { opcode } = await deaf.readFrame();
      assert.equal(opcode, OPCODE.CLOSE);
      assert.deepEqual(await example.exit(), { code: 0, signal: null, stderr: '' });
      for (const client of [deaf, idle]) await client.readToEnd();
      await assert.rejects(RawSocket.connect(example.port), { code: 'ECONNREFUSED' });
      deaf.write(close());
    });
  }

  it('ends when it cannot have the port', async (t) => {
    const other = net.createServer().listen(0);
    t.after(() => other.close());
    await once(other, 'listening');
    const { port } = other.address();
    const { code, stderr } = await Example.run('Cluster.js', { port });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^Error: listen EADDRINUSE: .*:${port}$`, 'm'));
  });
});
