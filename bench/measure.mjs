// One measurement: a fresh server on one processor, the load on another, and the numbers that come of it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import certificates from '../__test__/support/certificates.js';
import { BuildError, root } from '../scripts/build.mjs';
import { anonymousBytes, cpuSeconds } from './machine.mjs';

/**
 * @typedef {object} Setting what all measurements of a run share
 * @property {import('./peers.mjs').Runtime} runtime
 * @property {{ server: number, load: number }} cpus
 * @property {string} loadgen the load generator's program
 * @property {number} seconds of measuring
 * @property {number} warmup seconds before
 * @property {number} fewIdle connections, between which and `manyIdle` memory is measured
 * @property {number} manyIdle
 * @property {number} silence seconds that connections by TLS are left alone before their memory is measured
 * @property {number} idle connections whose processor time is measured
 * @property {number} idleSeconds for how long
 */

const { ordinaryCertificate } = certificates;

/** Flags of servers, which make runs repeatable. */
const FLAGS = {
  // Without the last two the young generation grows by megabytes or not, as the threads of the collector happen to be
  // scheduled.
  memory: ['--expose-gc', '--single-threaded-gc', '--max-semi-space-size=1'],
  // V8 collects what connecting has left behind some seconds later, which is not what being idle costs.
  idle: ['--no-memory-reducer'],
  pings: ['--no-memory-reducer'],
};

/** Source addresses of idle connections at a time, and of all: ports of one are in use for a while after a connection. */
const SOURCES = 8;
const ALL_SOURCES = 240;

/** How long a server or a load generator may take to say what it has to. */
const PATIENCE_MS = 120_000;

let nextSource = 0;

/**
 * Measures a row once for a contender.
 *
 * @returns {Promise<Record<string, number>>} the values by the keys of METRICS, and what else is good to know
 */
export async function measure(row, contender, setting) {
  const server = await Server.start(contender, setting, row);
  try {
    return await KINDS[row.kind](server, row, setting);
  } finally {
    await server.end();
  }
}

const KINDS = {
  async load(server, row, setting) {
    const load = new Load(server, setting, [
      ...row.load,
      ...['--seconds', setting.seconds, '--warmup', setting.warmup, '--server-pid', server.pid],
    ]);
    const result = await load.line();
    await load.end();
    if (result.errors > 0 || result.count === 0) {
      throw new BuildError(
        `${row.name} against ${server.name}: ${result.count} answers, ${result.errors} of them wrong.`,
      );
    }
    return {
      rate: result.rate,
      cpu: (result.server_cpu_seconds / result.count) * 1e6,
      serverBusy: result.server_cpu_seconds / result.seconds,
      loadBusy: result.load_cpu_seconds / result.seconds,
      p50: result.latency_us.p50,
      p99: result.latency_us.p99,
    };
  },

  async memory(server, row, setting) {
    const tls = row.clear === undefined ? [] : ['--tls'];
    // What a server and V8 get for the first messages and connections stays, and is no matter of how many are idle.
    await warmUp(server, setting, ['echo', '--connections', 100, ...tls]);
    await warmUp(server, setting, ['connect', '--connections', 100, ...tls]);
    const few = await hold(server, setting, setting.fewIdle, tls);
    if (row.clear !== undefined) await sleep(setting.silence * 1e3);
    const bytesOfFew = await server.settledBytes();
    const more = await hold(server, setting, setting.manyIdle - setting.fewIdle, tls);
    // Keys that can be made again are given back after some seconds of silence.
    if (row.clear !== undefined) await sleep(setting.silence * 1e3);
    const bytes = (await server.settledBytes()) - bytesOfFew;
    await Promise.all([few.release(), more.release()]);
    return { bytes: bytes / (setting.manyIdle - setting.fewIdle) };
  },

  async idle(server, _row, setting) {
    const { cpu } = await watchIdle(server, setting);
    return { idle: (cpu / setting.idleSeconds) * 1e3 };
  },

  async pings(server, row, setting) {
    const { cpu, pings } = await watchIdle(server, { ...setting, idleSeconds: 2 * row.idleTimeout });
    if (pings < setting.idle) throw new BuildError(`only ${pings} pings came from ${server.name}.`);
    return { cpu: (cpu / pings) * 1e6 };
  },
};

async function warmUp(server, setting, load) {
  const run = new Load(server, setting, [...load, '--seconds', setting.seconds / 2, '--warmup', 0]);
  await run.line();
  await run.end();
}

/** Opens so many connections, which stay until the load generator ends. */
async function hold(server, setting, connections, more = []) {
  const first = 1 + (nextSource % ALL_SOURCES);
  nextSource += SOURCES;
  const sources = ['--sources', SOURCES, '--first-source', first];
  const load = new Load(server, setting, ['idle', '--connections', connections, ...sources, ...more]);
  const { open } = await load.line();
  if (open !== connections) throw new BuildError(`${open} of ${connections} connections are open.`);
  return load;
}

async function watchIdle(server, setting) {
  const load = await hold(server, setting, setting.idle);
  const before = await cpuSeconds(server.pid);
  await sleep(setting.idleSeconds * 1e3);
  const cpu = (await cpuSeconds(server.pid)) - before;
  const { pings } = await load.release();
  return { cpu, pings };
}

/** A program of ours, pinned to a processor. */
class Pinned {
  #failure;
  #ended = false;

  constructor(name, cpu, command, stdio) {
    this.name = name;
    this.child = spawn('taskset', ['--cpu-list', String(cpu), ...command], { cwd: root, stdio });
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(error.message));
      this.child.once('exit', (code, signal) => resolve(signal ?? code));
    }).then((status) => {
      this.#ended = true;
      return status;
    });
    this.#failure = this.exited.then((status) => {
      throw new BuildError(`${name} ended (${status}).`);
    });
    // Only who waits for something wants to know.
    this.#failure.catch(() => {});
  }

  /** What `promise` gives, unless the program ends before or takes too long. */
  expect(promise) {
    return this.inTime(Promise.race([promise, this.#failure]));
  }

  /** What `promise` gives, unless that takes too long. */
  async inTime(promise) {
    const clock = new AbortController();
    const late = sleep(PATIENCE_MS, undefined, { signal: clock.signal }).then(() => {
      throw new BuildError(`${this.name} does not answer.`);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      late.catch(() => {});
      clock.abort();
    }
  }

  async kill() {
    if (!this.#ended) this.child.kill('SIGKILL');
    await this.exited;
  }
}

class Server extends Pinned {
  static async start(contender, { runtime, cpus }, row) {
    const file = path.join(root, 'bench/servers', `${contender}.js`);
    const args = [];
    if (row.idleTimeout !== undefined) args.push('--idle-timeout', String(row.idleTimeout));
    if (row.clear !== undefined) {
      const { key, cert } = ordinaryCertificate();
      args.push('--key', key, '--cert', cert);
    }
    const command = [...runtime.command, ...(FLAGS[row.kind] ?? []), file, ...args];
    const server = new Server(contender, cpus.server, command, ['ignore', 'inherit', 'inherit', 'ipc']);
    const [{ port }] = await server.expect(once(server.child, 'message'));
    server.port = port;
    // taskset has become the server: it keeps its process id.
    server.pid = server.child.pid;
    return server;
  }

  /** Bytes of anonymous memory after a collection of garbage. */
  async settledBytes() {
    this.child.send('collect');
    await this.expect(once(this.child, 'message'));
    return anonymousBytes(this.pid);
  }

  end() {
    return this.kill();
  }
}

class Load extends Pinned {
  #lines;

  constructor(server, { cpus, loadgen }, [mode, ...options]) {
    const args = [mode, '--address', `127.0.0.1:${server.port}`, ...options].map(String);
    super(`the load on ${server.name}`, cpus.load, [loadgen, ...args], ['pipe', 'pipe', 'inherit']);
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line it prints. */
  async line() {
    const { value, done } = await this.inTime(this.#lines.next());
    // The reason is on standard error.
    if (done) throw new BuildError(`${this.name} ended before it had said something.`);
    return JSON.parse(value);
  }

  /** Lets idle connections go, and gives what it has to say in the end. */
  async release() {
    this.child.stdin.end();
    const last = await this.line();
    await this.end();
    return last;
  }

  async end() {
    const status = await this.exited;
    if (status !== 0) throw new BuildError(`${this.name} ended with ${status}.`);
  }
}
