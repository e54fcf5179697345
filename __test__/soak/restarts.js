'use strict';

// Rolling restarts. Two server processes share a port. Again and again, a new one starts and an old one gets SIGTERM and
// shuts down, while WebSocket clients send and receive, and connect again when they are asked to. No message may be
// lost that one side was told has been taken:
//
//   - what `send` returned 1 or 0 for in a server arrives at its client;
//   - what a server has acknowledged to a client was handled by a server, once for each acknowledgement.
//
//     node __test__/soak/restarts.js            40 clients, 4 restarts
//     node __test__/soak/restarts.js --full     200 clients, 20 restarts

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const WebSocket = require('ws');
const { main } = require('./parts/processes.js');

const SHORT = { clients: 40, restarts: 4 };
const FULL = { clients: 200, restarts: 20 };
/** Milliseconds between two messages of a client, and of a server to each client. */
const INTERVAL = 100;
/** Milliseconds between two restarts, in which both processes serve. */
const PAUSE = 500;

/** What was sent, received, acknowledged and handled. */
class Ledger {
  /** By connection: the number of messages that the server was told had been taken, and that the client received. */
  #accepted = new Map();
  #received = new Map();
  /** The messages of clients, by `client:number`: how often they were handled, and acknowledged. */
  #handled = new Map();
  #acknowledged = new Map();

  accept(connection, count) {
    this.#accepted.set(connection, count);
  }

  receive(connection) {
    add(this.#received, connection);
  }

  handle(message) {
    add(this.#handled, message);
  }

  acknowledge(message) {
    add(this.#acknowledged, message);
  }

  balance() {
    const balance = { sent: 0, lost: 0, acknowledged: 0, unhandled: 0 };
    for (const [connection, accepted] of this.#accepted) {
      balance.sent += accepted;
      balance.lost += Math.max(0, accepted - (this.#received.get(connection) ?? 0));
    }
    for (const [message, times] of this.#acknowledged) {
      balance.acknowledged += times;
      balance.unhandled += Math.max(0, times - (this.#handled.get(message) ?? 0));
    }
    return balance;
  }
}

function add(counts, key) {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

class Server {
  #child;
  #result;

  static async start(port, ledger) {
    const server = new Server(port, ledger);
    await server.listening;
    return server;
  }

  constructor(port, ledger) {
    this.#child = fork(path.join(__dirname, 'parts', 'restarted.js'), [String(port), String(INTERVAL)]);
    this.listening = new Promise((resolve, reject) => {
      this.#child.once('exit', (code, signal) => reject(new Error(`a server ended (${code ?? signal})`)));
      this.#child.on('message', (message) => {
        if (message.port !== undefined) {
          this.port = message.port;
          resolve();
        } else if (message.accepted !== undefined) ledger.accept(message.connection, message.accepted);
        else if (message.handled !== undefined) for (const one of message.handled) ledger.handle(one);
        else this.#result = message.result;
      });
    });
  }

  /** Ends the server as an operator would; resolves to the result of `shutdown`. */
  async shutDown() {
    this.#child.kill('SIGTERM');
    const [code, signal] = await once(this.#child, 'exit');
    assert.deepEqual([code, signal], [0, null], 'how a server ended');
    return this.#result;
  }
}

/** A client that sends a message again until it is acknowledged, and connects again when it is asked to. */
class Client {
  connections = 0;
  failures = 0;
  #number;
  #port;
  #ledger;
  #socket;
  #isStopped = false;
  #next = 0;
  #unacknowledged = new Set();
  #timer = setInterval(() => this.#say(), INTERVAL);

  constructor(number, port, ledger) {
    this.#number = number;
    this.#port = port;
    this.#ledger = ledger;
    this.connected = new Promise((resolve) => this.#connect(resolve));
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  stop() {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  #connect(onOpen = () => {}) {
    const connection = `${this.#number}/${this.connections}`;
    this.#socket = new WebSocket(`ws://127.0.0.1:${this.#port}/${connection}`);
    this.#socket.on('open', () => {
      this.connections += 1;
      for (const message of this.#unacknowledged) this.#socket.send(message);
      onOpen();
    });
    this.#socket.on('message', (data) => {
      const text = String(data);
      if (!text.startsWith('ack ')) return this.#ledger.receive(connection);
      this.#ledger.acknowledge(text.slice(4));
      this.#unacknowledged.delete(text.slice(4));
    });
    this.#socket.on('error', () => {
      this.failures += 1;
    });
    this.#socket.on('close', () => (this.#isStopped ? this.end() : this.#connect(onOpen)));
  }

  #say() {
    const message = `${this.#number}:${this.#next}`;
    this.#next += 1;
    this.#unacknowledged.add(message);
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(message);
  }
}

main(async ({ full }) => {
  const { clients: count, restarts } = full ? FULL : SHORT;
  const ledger = new Ledger();
  const first = await Server.start(0, ledger);
  const { port } = first;
  let servers = [first, await Server.start(port, ledger)];
  const clients = Array.from({ length: count }, (_, number) => new Client(number, port, ledger));
  await Promise.all(clients.map((client) => client.connected));

  const results = [];
  for (let i = 0; i < restarts; i += 1) {
    await delay(PAUSE);
    const [old, other] = servers;
    servers = [other, await Server.start(port, ledger)];
    results.push(await old.shutDown());
  }
  await delay(PAUSE);
  for (const client of clients) client.stop();
  for (const server of servers) results.push(await server.shutDown());
  await Promise.all(clients.map((client) => client.ended));

  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const reconnects = sum(clients.map((client) => client.connections - 1));
  const failures = sum(clients.map((client) => client.failures));
  const { sent, lost, acknowledged, unhandled } = ledger.balance();
  const closed = sum(results.map((result) => result.closed));
  const forced = sum(results.map((result) => result.forced));
  console.log(
    `${restarts} restarts, ${count} clients: ${reconnects} reconnections, ${failures} attempts that failed; ` +
      `${closed} connections closed in order, ${forced} cut`,
  );
  console.log(
    `${sent} messages to clients, ${lost} of them lost; ${acknowledged} acknowledged, ${unhandled} not handled`,
  );
  assert.deepEqual({ lost, unhandled, forced }, { lost: 0, unhandled: 0, forced: 0 });
  assert.equal(failures, 0, 'attempts to connect failed although a server was listening');
  assert.ok(sent >= count * restarts && acknowledged >= count * restarts, 'hardly anything was sent');
  assert.ok(reconnects >= restarts, 'hardly anybody had to connect again');
});
