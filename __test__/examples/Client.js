'use strict';

// A client of the package ws, for examples that talk JSON.

const { on, once } = require('node:events');
const { WebSocket } = require('ws');
const { deadline } = require('../support/wait.js');

class Client {
  #webSocket;
  #messages;
  #closed;

  /** It is ended by the `after` of the test (`t`) or suite. */
  static async open(owner, address) {
    const client = new Client(address);
    owner.after(() => client.#webSocket.terminate());
    await deadline(once(client.#webSocket, 'open'), `WebSocket at ${address}`);
    return client;
  }

  constructor(address) {
    this.#webSocket = new WebSocket(address);
    // Keeps what comes before it is asked for.
    this.#messages = on(this.#webSocket, 'message', { close: ['close'] });
    this.#closed = new Promise((resolve) => {
      this.#webSocket.on('close', (code, reason) => resolve([code, String(reason)]));
    });
  }

  /** The next message: what its JSON says, or a Buffer if it is binary. */
  async next() {
    const { value, done } = await deadline(this.#messages.next(), 'message');
    if (done) throw new Error(`closed with ${await this.#closed} before the message`);
    const [data, isBinary] = value;
    return isBinary ? data : JSON.parse(String(data));
  }

  /** Sends strings and Buffers as they are, all else as JSON. */
  send(data) {
    this.#webSocket.send(typeof data === 'string' || Buffer.isBuffer(data) ? data : JSON.stringify(data));
  }

  async ask(data) {
    this.send(data);
    return this.next();
  }

  close(code, reason) {
    this.#webSocket.close(code, reason);
  }

  /** Drops the connection, as one whose machine has gone does. */
  terminate() {
    this.#webSocket.terminate();
  }

  /** The code and the reason that it was closed with. */
  closed() {
    return deadline(this.#closed, 'close');
  }
}

module.exports = { Client };
