// A program's server, in its own process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import eventLog from '../../support/EventLog.js';
import { freePort } from '../../support/freePort.js';
import wait from '../../support/wait.js';

const { EventLog } = eventLog;
const { deadline } = wait;

const FILES = ['server.mjs', 'server.cjs'];

export class Server {
  /** The port it listens on, which `restart` keeps. */
  port;
  /** The events that it notes (`serving.cjs`). */
  log = new EventLog();
  #folder;
  #command;
  #child;
  #closed;
  #complaints = '';

  static async start(folder, command) {
    const server = new Server();
    server.#folder = folder;
    server.#command = command;
    // The program must not choose the port: uWebSockets.js cannot listen on such a port again while connections linger.
    server.port = await freePort();
    await server.#start();
    return server;
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  get hasEnded() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Kills the server, as a crash or a deployment would, and starts it again. */
  async restart() {
    this.#child.kill('SIGKILL');
    await this.#closed;
    await this.#start();
  }

  /** Terminates the server, and returns how it ended; output on stderr counts as a complaint. */
  async end() {
    if (!this.hasEnded) this.#child.kill('SIGTERM');
    const ended = await deadline(this.#closed, 'end of the server').catch((error) => {
      this.#child.kill('SIGKILL');
      return [error.message];
    });
    const complaints = this.#complaints.trim();
    if (ended[0] === 0 && complaints === '') return { value: 'it did' };
    return { error: `it ended with ${ended[1] ?? ended[0]}, after this on stderr: ${complaints}` };
  }

  async #start() {
    const [program, ...args] = this.#command;
    const file = FILES.find((name) => existsSync(path.join(this.#folder, name)));
    const child = spawn(program, [...args, file], {
      cwd: this.#folder,
      env: { ...process.env, PORT: String(this.port), NODE_ENV: 'production' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#complaints += text;
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('note ')) this.log.add(...JSON.parse(line.slice('note '.length)));
    });
    this.#child = child;
    this.#closed = once(child, 'close');
    const early = this.#closed.then(([code]) => {
      throw new Error(`the server ended with ${code} before it listened: ${this.#complaints}`);
    });
    await Promise.race([this.log.next('listening'), early]);
    early.catch(() => {});
  }
}
