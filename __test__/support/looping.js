'use strict';

// Clients that keep a server busy, count, and connect again when they are disconnected.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { WebSocket } = require('ws');
const { deadline } = require('./wait.js');

/** Messages of a WebSocket that are under way. */
const WINDOW = 8;
/** For answers to a client that is one of many, by processes on a loaded machine, in milliseconds. */
const PATIENCE = 60_000;

/** Counts answers, and wakes whoever waits for a number of them. */
class Looping {
  #waiting = [];

  /** The process that serves this client. */
  pid = 0;
  /** Answers so far. */
  count = 0;
  connections = 0;
  /** Why connections ended or requests failed. */
  losses = [];
  isStopping = false;

  /** Resolves once there have been that many answers. */
  reach(count) {
    if (this.count >= count) return Promise.resolve();
    const reached = new Promise((resolve, reject) => this.#waiting.push({ count, resolve, reject }));
    const what = () => `answer number ${count} (of process ${this.pid}, after ${this.count})`;
    return deadline(reached, what, PATIENCE);
  }

  countAnswer() {
    this.count += 1;
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.count >= count) resolve();
      return this.count < count;
    });
  }

  fail(error) {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/**
 * A WebSocket of the package ws to a server that first sends its process id and then echoes. Messages are numbered, and
 * some of them are always under way; their echoes have to come in the same order, with none missing. After a loss, all
 * that was not echoed is sent again.
 */
class LoopingWebSocket extends Looping {
  #url;
  #options;
  #webSocket;
  #sent = 0;

  /** Connects, with options of ws, and begins to send. The `after` of the test (`t`) ends it. */
  static async open(t, url, options) {
    const client = new LoopingWebSocket();
    client.#url = url;
    client.#options = options;
    t.after(() => {
      client.isStopping = true;
      client.#webSocket.terminate();
    });
    client.#connect();
    await client.reach(1);
    return client;
  }

  #connect() {
    this.#webSocket = new WebSocket(this.#url, this.#options);
    this.connections += 1;
    this.#sent = this.count;
    this.#webSocket.on('error', () => {});
    this.#webSocket.once('message', (pid) => {
      this.pid = Number(pid);
      this.#webSocket.on('message', (data) => this.#handle(Number(data)));
      this.#send();
    });
    this.#webSocket.on('close', (code) => {
      if (this.isStopping) return;
      this.losses.push(code);
      this.#connect();
    });
  }

  #send() {
    while (!this.isStopping && this.#sent < this.count + WINDOW) {
      this.#webSocket.send(String(this.#sent));
      this.#sent += 1;
    }
  }

  #handle(number) {
    if (number !== this.count) this.fail(new assert.AssertionError({ actual: number, expected: this.count }));
    this.countAnswer();
    this.#send();
  }

  /** Sends nothing more, and resolves when everything has been echoed. */
  async stop() {
    this.isStopping = true;
    await this.reach(this.#sent);
    const closed = once(this.#webSocket, 'close');
    this.#webSocket.close();
    await closed;
  }
}

/** Makes one request after the other on a kept connection of node:http; a response is the server's process id. */
class LoopingRequests extends Looping {
  #url;
  #module;
  #agent;
  #ended;

  /** Begins to make requests, with options of node:tls. The `after` of the test (`t`) ends it. */
  static async open(t, url, options) {
    const client = new LoopingRequests();
    client.#url = url;
    client.#module = url.startsWith('https:') ? https : http;
    client.#agent = new client.#module.Agent({ keepAlive: true, maxSockets: 1, ...options });
    t.after(() => {
      client.isStopping = true;
      client.#agent.destroy();
    });
    client.#ended = client.#run();
    await client.reach(1);
    return client;
  }

  async #run() {
    while (!this.isStopping) {
      try {
        this.pid = Number(await this.#request());
        this.countAnswer();
      } catch (error) {
        this.losses.push(error.code);
      }
    }
  }

  async #request() {
    const request = this.#module.get(this.#url, { agent: this.#agent });
    request.once('socket', () => {
      if (!request.reusedSocket) this.connections += 1;
    });
    const [response] = await once(request, 'response');
    assert.equal(response.statusCode, 200);
    return Buffer.concat(await response.toArray()).toString();
  }

  /** Makes no more requests, and resolves when the last one has been answered. */
  async stop() {
    this.isStopping = true;
    await deadline(this.#ended, 'last response');
    this.#agent.destroy();
  }
}

module.exports = { LoopingRequests, LoopingWebSocket };
