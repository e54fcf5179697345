'use strict';

// Several processes on one port: those that node:cluster starts, and any others. One that is killed takes its own
// connections with it, and no others.

const assert = require('node:assert/strict');
const { execFile, fork, spawn, spawnSync } = require('node:child_process');
const cluster = require('node:cluster');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const readline = require('node:readline');
const { describe, it } = require('node:test');
const { promisify } = require('node:util');
const { listeningSockets } = require('./support/listening.js');
const { LoopingRequests, LoopingWebSocket } = require('./support/looping.js');
const { clear, clientOptions, httpUrl, webSocketUrl } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { deadline, until } = require('./support/wait.js');

const SERVING = path.join(__dirname, 'support', 'serving.js');
const QUEUED = path.join(__dirname, 'support', 'queued.js');
/** Processes on a port. */
const PROCESSES = 3;
/** Clients of each kind that each process has, at least. */
const CLIENTS = 3;
/** Connections after which chance is ruled out that a process has got none or too few. */
const MAX_CLIENTS = 200;
/** Echoes and responses that each client gets before the process is killed, and as many again afterwards. */
const ROUNDS = 200;

/** Starts a process that serves on a port, or on any if it is 0. Returns its child process, and the port. */
const START = {
  'that is a worker of node:cluster': async (t, port) => {
    cluster.setupPrimary({ exec: SERVING, args: [] });
    const worker = cluster.fork({ SERVING_PORT: port });
    t.after(() => worker.process.kill('SIGKILL'));
    const [address] = await deadline(once(worker, 'listening'), 'worker that listens');
    return { child: worker.process, port: address.port };
  },
  'that somebody else has started': async (t, port) => {
    const child = fork(SERVING, [String(port)]);
    t.after(() => child.kill('SIGKILL'));
    const [message] = await deadline(once(child, 'message'), 'process that listens');
    return { child, port: message.port };
  },
};

/** Starts all processes, and connects clients of one kind until each process has enough of them. */
async function startAll(t, start) {
  const first = await start(t, 0);
  const others = await Promise.all(Array.from({ length: PROCESSES - 1 }, () => start(t, first.port)));
  return { port: first.port, children: [first, ...others].map(({ child }) => child) };
}

async function connectToAll(t, Client, url, children) {
  const clients = [];
  const served = (pid) => clients.filter((client) => client.pid === pid).length;
  while (children.some(({ pid }) => served(pid) < CLIENTS)) {
    assert.ok(clients.length < MAX_CLIENTS, `after ${clients.length} connections, a process has too few`);
    clients.push(await Client.open(t, url, clientOptions));
  }
  return clients;
}

describe('a process', ours, () => {
  for (const [kind, start] of Object.entries(START)) {
    it(`${kind} is killed under load, and only its own clients notice`, async (t) => {
      const { port, children } = await startAll(t, start);
      const [victim, ...survivors] = children;
      const clients = [
        ...(await connectToAll(t, LoopingWebSocket, webSocketUrl(port), children)),
        ...(await connectToAll(t, LoopingRequests, httpUrl(port), children)),
      ];
      const lucky = clients.filter(({ pid }) => pid !== victim.pid);
      const unlucky = clients.filter(({ pid }) => pid === victim.pid);

      await Promise.all(clients.map((client) => client.reach(ROUNDS)));
      const exited = once(victim, 'exit');
      victim.kill('SIGKILL');
      assert.deepEqual(await exited, [null, 'SIGKILL']);
      await Promise.all(clients.map((client) => client.reach(client.count + ROUNDS)));
      await Promise.all(clients.map((client) => client.stop()));

      // Each message was echoed once, and in its turn: a client checks that itself.
      for (const client of lucky) {
        assert.deepEqual(client.losses, []);
        assert.equal(client.connections, 1);
      }
      for (const client of unlucky) {
        assert.equal(client.losses.length, 1);
        assert.equal(client.connections, 2);
        assert.ok(survivors.map(({ pid }) => pid).includes(client.pid), `${client.pid} has taken over`);
      }
    });
  }
});

/** Starts a primary with workers, in a process of its own. Reads which they are. */
async function startPrimary(t, policy) {
  const child = spawn(process.execPath, [SERVING, '0', String(PROCESSES)], {
    env: { ...process.env, NODE_CLUSTER_SCHED_POLICY: policy },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await deadline(once(readline.createInterface({ input: child.stdout }), 'line'), 'report of a primary');
  return { child, ...JSON.parse(line) };
}

describe('the primary of node:cluster', ours, () => {
  const POLICIES = { none: cluster.SCHED_NONE, rr: cluster.SCHED_RR };
  for (const [name, policy] of Object.entries(POLICIES)) {
    it(`takes no part in connections, although its schedulingPolicy is ${name}`, async (t) => {
      const primary = await startPrimary(t, name);
      assert.equal(primary.policy, policy);
      assert.equal(listeningSockets().filter(({ port }) => port === primary.port).length, PROCESSES);
      primary.child.kill('SIGSTOP');
      const served = new Set();
      for (let connections = 0; served.size < PROCESSES; connections += 1) {
        assert.ok(connections < MAX_CLIENTS, `only ${[...served]} have served, of ${primary.pids}`);
        const client = await LoopingRequests.open(t, httpUrl(primary.port), clientOptions);
        await client.stop();
        served.add(client.pid);
      }
      assert.deepEqual([...served].sort(), [...primary.pids].sort());
      primary.child.kill('SIGCONT');
    });
  }

  it('takes its workers with it when it is killed', async (t) => {
    const { child, pids, port } = await startPrimary(t, 'rr');
    child.kill('SIGKILL');
    const isRunning = (pid) => fs.existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(statusOf(pid));
    await until(() => !pids.some(isRunning), 'end of the workers');
    const refused = net.connect(port, '127.0.0.1');
    assert.equal((await once(refused, 'error'))[0].code, 'ECONNREFUSED');
  });
});

function statusOf(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return 'State:\tZ';
  }
}

/** Returns why there are no network namespaces, or false. */
function reasonToSkip() {
  const { status, error, stderr } = spawnSync('unshare', ['--map-root-user', '--net', 'true'], { encoding: 'utf8' });
  return status === 0 ? false : `no network namespace: ${error ?? stderr}`;
}

const namespaces = { skip: reasonToSkip(), ...ours, ...clear('TCP') };

describe('connections that wait to be accepted by a process when it is killed', namespaces, () => {
  /** Kills a process with connections in its queue, in a network of its own; returns what became of the connections. */
  async function kill(migrates) {
    const command = ['--map-root-user', '--net', process.execPath, QUEUED, SERVING, migrates];
    const { stdout } = await promisify(execFile)('unshare', command, { timeout: 60_000 });
    return JSON.parse(stdout);
  }

  it('are reset', async () => {
    const { queued, codes, answered } = await kill('0');
    assert.ok(queued > 0);
    assert.deepEqual(codes, Array(queued).fill('ECONNRESET'));
    assert.equal(answered, 0);
  });

  it('are served by another if net.ipv4.tcp_migrate_req is set', async () => {
    const { queued, codes, answered } = await kill('1');
    assert.ok(queued > 0);
    assert.deepEqual(codes, []);
    assert.equal(answered, queued);
  });
});
