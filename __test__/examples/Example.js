'use strict';

// Runs a program of examples/ on a free port, as a user would.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const readline = require('node:readline');
const { EventLog } = require('../support/EventLog.js');
const { root } = require('../support/uws.js');
const { deadline } = require('../support/wait.js');

class Example {
  #child;
  #lines = new EventLog();
  #ended;

  /** Everything written to stderr, including warnings. */
  stderr = '';
  port;

  /** Starts an example, and waits until it listens. The `after` of the test (`t`) or suite ends it. */
  static async start(owner, name, { args = [], env = {}, port = 0 } = {}) {
    const example = new Example(name, args, { ...env, PORT: String(port) });
    owner.after(() => example.#child.kill('SIGKILL'));
    const [line] = await example.#orEnd(example.#lines.next('listening'));
    example.port = Number(/\d+/.exec(line)[0]);
    return example;
  }

  /** Runs an example that ends by itself. */
  static run(name, { port, env = {} }) {
    return new Example(name, [], { ...env, PORT: String(port) }).exit();
  }

  constructor(name, args, env) {
    this.#child = spawn(process.execPath, [path.join(root, 'examples', name), ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stderr.setEncoding('utf8').on('data', (chunk) => {
      this.stderr += chunk;
    });
    readline.createInterface({ input: this.#child.stdout }).on('line', (line) => {
      if (line.startsWith('Listening on ')) this.#lines.add('listening', line);
      else this.#lines.add(line);
    });
    this.#ended = once(this.#child, 'close');
  }

  get pid() {
    return this.#child.pid;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get webSocketUrl() {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Waits for the next unread line with this text. */
  async printed(line) {
    await this.#orEnd(this.#lines.next(line));
  }

  /** Every line printed so far. */
  get lines() {
    return this.#lines.all.map(([line]) => line);
  }

  kill(signal) {
    this.#child.kill(signal);
  }

  /** Waits for the example to end by itself. */
  async exit() {
    try {
      const [code, signal] = await deadline(this.#ended, 'end of the example');
      return { code, signal, stderr: this.stderr };
    } finally {
      this.#child.kill('SIGKILL');
    }
  }

  #orEnd(promise) {
    const ended = this.#ended.then(([code, signal]) => {
      throw new Error(`the example ended with ${code ?? signal}: ${this.stderr}`);
    });
    return Promise.race([promise, ended]);
  }
}

module.exports = { Example };
