// The server processes behind a proxy, as seen from the test.

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../support/freePort.js';
import { deadline } from '../support/wait.js';

/** For a server to start on a loaded machine, where many start at once, in milliseconds. */
const PATIENCE = 60_000;
const PROGRAM = path.join(path.dirname(fileURLToPath(import.meta.url)), 'upstream.js');

export class Upstream extends EventEmitter {
  #child;
  #options;

  /** Starts a server; `options` are those of upstream.js. */
  static async start(owner, options = {}) {
    const upstream = new Upstream();
    // Its own for as long as the test runs. While it is down, no connection of a client may get this port.
    upstream.#options = { ...options, port: await freePort() };
    owner.after(() => upstream.kill());
    await upstream.#start();
    return upstream;
  }

  async #start() {
    this.#child = fork(PROGRAM, [JSON.stringify(this.#options)]);
    this.#child.on('message', (message) => {
      for (const key of Object.keys(message)) this.emit(key, message[key]);
    });
    const ended = once(this.#child, 'exit').then(([code]) => assert.fail(`a server ended with ${code}`));
    this.port = await Promise.race([saidByAny([this], 'port', PATIENCE), ended]);
  }

  get pid() {
    return this.#child.pid;
  }

  setReady(ready) {
    this.#child.send({ ready });
  }

  countConnections() {
    return this.#ask('connections');
  }

  countWebSockets() {
    return this.#ask('webSockets');
  }

  #ask(key) {
    const said = saidByAny([this], key);
    this.#child.send({ ask: true });
    return said;
  }

  async kill() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  /** Shuts it down in order. */
  async shutDown() {
    const exited = once(this.#child, 'exit');
    this.#child.send({ shutdown: true });
    assert.deepEqual(await deadline(exited, 'end of the server'), [0, null]);
  }

  async restart() {
    await this.kill();
    await this.#start();
  }
}

/** Resolves to the value that one of the servers next gives this key in a message. */
export async function saidByAny(upstreams, key, timeout) {
  const { promise, resolve } = withResolvers();
  for (const upstream of upstreams) upstream.once(key, resolve);
  try {
    return await deadline(promise, `'${key}' from a server`, timeout);
  } finally {
    for (const upstream of upstreams) upstream.off(key, resolve);
  }
}

function withResolvers() {
  let resolve;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}
