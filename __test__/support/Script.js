'use strict';

// Runs a function in its own Node process, to test what ends a process or must not end it.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const readline = require('node:readline');
const { DEADLINE, deadline } = require('./wait.js');
const { EventLog } = require('./EventLog.js');

const PRELUDE = path.join(__dirname, 'prelude.js');

/** The flags that each process inherits. With the sanitizer, stack frames are large; see scripts/sanitize.mjs. */
const INHERITED = process.execArgv.filter((flag) => flag.startsWith('--stack-size='));

class Script {
  #child;
  #stderr = '';
  #log = new EventLog();
  #exit;

  /**
   * Starts `main(prelude, ...args)`. The function is sent as source text, so it can use its arguments but nothing else
   * of the file that defines it. `descriptors` limits the number of file descriptors of its process.
   */
  constructor(main, { args = [], execArgv = [], env = {}, descriptors } = {}) {
    const list = [`require(${JSON.stringify(PRELUDE)})`, ...args.map((value) => JSON.stringify(value))];
    const command = [process.execPath, ...INHERITED, ...execArgv, '-e', `(${main})(${list})`];
    if (descriptors !== undefined) command.unshift('sh', '-c', `ulimit -n ${descriptors} && exec "$0" "$@"`);
    const [program, ...parameters] = command;
    this.#child = spawn(program, parameters, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stderr.setEncoding('utf8').on('data', (chunk) => {
      this.#stderr += chunk;
    });
    readline.createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#log.add(...JSON.parse(line));
    });
    this.#exit = once(this.#child, 'close');
  }

  /** Runs a function until its process ends. */
  static run(main, options) {
    return new Script(main, options).exit(options?.timeout);
  }

  get pid() {
    return this.#child.pid;
  }

  /** Resolves to the details of the next `report(name, ...details)`; rejects at once if the process ends before it. */
  next(name) {
    const ended = this.#exit.then(([code, signal]) => {
      throw new Error(`the process ended (${code ?? signal}) before it reported '${name}': ${this.#stderr}`);
    });
    return Promise.race([this.#log.next(name), ended]);
  }

  /** Waits for the process to exit by itself. */
  async exit(timeout = DEADLINE) {
    try {
      const [code, signal] = await deadline(this.#exit, 'end of the process', timeout);
      return { code, signal, stderr: this.#stderr, reports: this.#log.all };
    } catch (error) {
      this.#child.kill('SIGKILL');
      error.message += `; reports: ${JSON.stringify(this.#log.all)}; stderr: ${this.#stderr}`;
      throw error;
    }
  }

  kill(signal = 'SIGKILL') {
    this.#child.kill(signal);
  }
}

module.exports = { Script };
