// Takes one measurement, with a fresh server on one processor and the load on another.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import certificates from '../__test__/support/certificates.js';
import { BuildError, root } from '../scripts/build.mjs';
import { anonymousBytes, cpuSeconds } from './machine.mjs';

/**
 * @typedef {object} Setting shared by all measurements of a run
 * @property {import('./peers.mjs').Runtime} runtime
 * @property {{ server: number, load: number }} cpus
 * @property {string} loadgen the load generator's program
 * @property {number} seconds of measuring
 * @property {number} warmup seconds before measuring
 * @property {number} fewIdle the number of connections at the first memory reading
 * @property {number} manyIdle the number of connections at the second memory reading
 * @property {number} silence seconds that TLS connections are left idle before their memory is measured
 * @property {number} idle the number of connections whose processor time is measured
 * @property {number} idleSeconds the duration of that measurement
 */

const { ordinaryCertificate } = certificates;

/** Flags of the servers' Node, which make measurements repeatable. */
const FLAGS = {
  // Without the last two, the growth of the young generation by megabytes would depend on how the collector's threads
  // happen to be scheduled.
  memory: ['--expose-gc', '--single-threaded-gc', '--max-semi-space-size=1'],
  // V8 would otherwise collect the garbage of connecting some seconds later, which is not a cost of being idle.
  idle: ['--no-memory-reducer'],
  pings: ['--no-memory-reducer'],
};

/**
 * Source addresses used at a time, and in total: the ports of an address stay in use for a while after a connection.
 */
const SOURCES = 8;
const ALL_SOURCES = 240;

/** How long a server or a load generator may take to respond. */
const PATIENCE_MS = 120_000;

let nextSource = 0;

/**
 * Measures a row once for a contender.
 *
 * @returns {Promise<Record<string, number>>} the values by the keys of METRICS, and some additional values
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
    // What the server and V8 allocate for the first messages and connections stays, however many connections are idle.
    await warmUp(server, setting, ['echo', '--connections', 100, ...tls]);
    await warmUp(server, setting, ['connect', '--connections', 100, ...tls]);
    const few = await hold(server, setting, setting.fewIdle, tls);
    if (row.clear !== undefined) await sleep(setting.silence * 1e3);
    const bytesOfFew = await server.settledBytes();
    const more = await hold(server, setting, setting.manyIdle - setting.fewIdle, tls);
    // Keys that can be derived again are freed after some seconds of silence.
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
    if (pings < setting.idle) throw new BuildError(`only ${pings} pings arrived from ${server.name}.`);
    return { cpu: (cpu / pings) * 1e6 };
  },
};

async function warmUp(server, setting, load) {
  const run = new Load(server, setting, [...load, '--seconds', setting.seconds / 2, '--warmup', 0]);
  await run.line();
  await run.end();
}

/** Opens connections that stay open until the load generator ends. */
async function hold(server, setting, connections, more = []) {
  const first = 1 + (nextSource % ALL_SOURCES);
  nextSource += SOURCES;
  const sources = ['--sources', SOURCES, '--first-source', first];
  const load = new Load(server, setting, ['idle', '--connections', connections, ...sources, ...more]);
  const { open } = await load.line();
  if (open !== connections) throw new BuildError(`only ${open} of ${connections} connections are open.`);
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

/** One of our programs, pinned to a processor. */
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
    // Only a caller that is waiting needs the rejection.
    this.#failure.catch(() => {});
  }

  /** Returns the result of `promise`, unless the program ends first or takes too long. */
  expect(promise) {
    return this.inTime(Promise.race([promise, this.#failure]));
  }

  /** Returns the result of `promise`, unless it takes too long. */
  async inTime(promise) {
    const clock = new AbortController();
    const late = sleep(PATIENCE_MS, undefined, { signal: clock.signal }).then(() => {
      throw new BuildError(`${this.name} did not answer in time.`);
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
    // taskset has become the server, with the same process ID.
    server.pid = server.child.pid;
    return server;
  }

  /** Returns the bytes of anonymous memory after a garbage collection. */
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

  /** Returns the next line that the program prints. */
  async line() {
    const { value, done } = await this.inTime(this.#lines.next());
    // The reason is on standard error.
    if (done) throw new BuildError(`${this.name} ended without printing another line.`);
    return JSON.parse(value);
  }

  /** Closes the idle connections, and returns the load generator's final report. */
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
