'use strict';

// The processes of a soak test, and measurements of their memory.

const { fork } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { once } = require('node:events');

/** Milliseconds that a process may take to answer. */
const PATIENCE = 120_000;

/**
 * The flags that a server is started with. The last two make measurements repeatable: without them, the growth of the
 * young generation by megabytes depends on how the collector's threads happen to be scheduled.
 */
const SERVER_FLAGS = ['--expose-gc', '--single-threaded-gc', '--max-semi-space-size=1'];

/**
 * Additions to a server's environment. Large messages are kept until they are garbage collected. Depending on chance,
 * glibc keeps megabytes of fragmented free memory between the blocks still in use; with this threshold, blocks of such
 * lengths are returned to the system.
 */
const SERVER_ENV = { MALLOC_MMAP_THRESHOLD_: '16384' };

class Process {
  #child;
  #answers = [];
  #waiting = [];
  #failure = null;

  constructor(file, args, execArgv = [], env = {}, execPath = process.execPath) {
    this.#child = fork(path.join(__dirname, file), args, { execPath, execArgv, env: { ...process.env, ...env } });
    this.#child.on('message', (message) => {
      if (message.failed) this.#fail(new Error(message.failed));
      else if (message.lost) this.#fail(new Error('the server closed a connection that should stay'));
      else if (this.#waiting.length > 0) this.#waiting.shift().resolve(message);
      else this.#answers.push(message);
    });
    this.#child.on('exit', (code, signal) => this.#fail(new Error(`${file} ended (${code ?? signal})`)));
    this.exited = once(this.#child, 'exit');
  }

  get pid() {
    return this.#child.pid;
  }

  /** Resolves to the next message from the process. */
  async answer() {
    if (this.#failure) throw this.#failure;
    if (this.#answers.length > 0) return this.#answers.shift();
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('a process does not answer')), PATIENCE);
    });
    const answer = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  }

  /** Sends a message, and resolves to the next answer. */
  ask(message) {
    this.#child.send(message);
    return this.answer();
  }

  async kill(signal = 'SIGKILL') {
    this.#child.kill(signal);
    await this.exited;
  }

  #fail(error) {
    this.#failure = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/** Starts a program of this folder whose memory is to be measured. */
function startMeasured(file, args = [], env = {}) {
  return new Process(file, args, SERVER_FLAGS, { ...SERVER_ENV, ...env });
}

/** Starts a program of this folder that may have this many open descriptors. */
function startLimited(descriptors, file, args) {
  // The shell becomes the program.
  const command = ['-c', `ulimit -n ${descriptors} && exec "$0" "$@"`, process.execPath, ...SERVER_FLAGS];
  return new Process(file, args, command, {}, '/bin/sh');
}

/** Starts any other program of this folder. */
function startProgram(file, args = []) {
  return new Process(file, args);
}

/** Starts server.js; `port` is its port. */
async function startServer(...args) {
  const server = startMeasured('server.js', args);
  server.port = (await server.answer()).port;
  return server;
}

function startClient(port) {
  return startProgram('client.js', [String(port)]);
}

/** Returns the bytes of anonymous memory that the process has in RAM after a garbage collection. */
async function anonymousMemory(server) {
  await server.ask({ ask: 'collect' });
  return residentMemory(server);
}

/** Returns the bytes of anonymous memory that the process has in RAM. */
function residentMemory(server) {
  const status = fs.readFileSync(`/proc/${server.pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
}

/** Samples the anonymous memory that the process has in RAM, at short intervals; `stop()` returns the maximum. */
function peakMemory(server) {
  let most = 0;
  const look = () => {
    most = Math.max(most, residentMemory(server));
  };
  const timer = setInterval(look, 20);
  return {
    stop() {
      clearInterval(timer);
      look();
      return most;
    },
  };
}

/** Runs a soak test. An exception is a failure; the test is skipped on systems other than Linux. */
async function main(test) {
  if (process.platform !== 'linux') {
    console.log('Skipped: this reads /proc, which only Linux has.');
    return;
  }
  try {
    await test({ full: process.argv.includes('--full') });
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    // Other processes exit when the channel to this one closes.
    process.exit();
  }
}

module.exports = {
  startLimited,
  startMeasured,
  startProgram,
  startServer,
  startClient,
  anonymousMemory,
  residentMemory,
  peakMemory,
  main,
};
