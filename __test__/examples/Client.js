'use strict';

// A client based on the package ws, for examples that exchange JSON.

const { on, once } = require('node:events');
const { WebSocket } = require('ws');
const { deadline } = require('../support/wait.js');

class Client {
  #webSocket;
  #messages;
  #closed;

  /** The `after` of the test (`t`) or suite terminates it. */
  static async open(owner, address) {
    const client = new Client(address);
    owner.after(() => client.#webSocket.terminate());
    await deadline(once(client.#webSocket, 'open'), `WebSocket at ${address}`);
    return client;
  }

  constructor(address) {
    this.#webSocket = new WebSocket(address);
    // Messages are queued until they are read.
    this.#messages = on(this.#webSocket, 'message', { close: ['close'] });
    this.#closed = new Promise((resolve) => {
      this.#webSocket.on('close', (code, reason) => resolve([code, String(reason)]));
    });
  }

  /** Resolves to the next message: its parsed JSON, or a Buffer if it is binary. */
  async next() {
    const { value, done } = await deadline(this.#messages.next(), 'message');
    if (done) throw new Error(`closed with ${await this.#closed} before the message`);
    const [data, isBinary] = value;
    return isBinary ? data : JSON.parse(String(data));
  }

  /** Sends strings and Buffers unchanged, and anything else as JSON. */
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

  /** Drops the connection without a close frame. */
  terminate() {
    this.#webSocket.terminate();
  }

  /** Resolves to the code and the reason of the close. */
  closed() {
    return deadline(this.#closed, 'close');
  }
}

module.exports = { Client };
