'use strict';

// One process serves many connections in turns: WebSockets without and with compression, with topics, HTTP, a tenth of
// them with TLS, while worker threads with the same servers start and end at random. Nothing may be left behind: after
// each round, stats() must have counted what the clients have, nothing may be open, and from half of the rounds on,
// memory may not grow.
//
//     node __test__/soak/endurance.js            10,000 connections, 100,000 messages and 10 workers
//     node __test__/soak/endurance.js --full     a hundred times as many, and 100 workers
//
// `--seed=NUMBER` repeats a run's random decisions. It prints its measurements, and exits with code 1 if anything is
// left behind or if memory has grown by more than its limits.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { ordinaryCertificate } = require('../support/certificates.js');
const { until } = require('../support/wait.js');
const { anonymousMemory, main, startMeasured, startProgram } = require('./parts/processes.js');

const SHORT = { connections: 10_000, rounds: 4, workers: 10 };
const FULL = { connections: 1_000_000, rounds: 100, workers: 100 };
/** Connections to each worker that is running, in each round: visits, and those that are open when it ends. */
const WORKER_VISITS = 40;
const HELD = 20;
const WAYS_TO_END = ['close', 'exit', 'throw', 'terminate'];
/**
 * The limits for the growth in the second half of the rounds, in bytes, however long they are. Anonymous memory varies
 * by a MiB or two between collections, and that of threads depends on chance. 64 bytes of each connection would be
 * 32 MB in the full run, and the smallest object of JavaScript for each message 80 MB.
 */
const MAX_GROWTH = 12 << 20;
/**
 * The heap of JavaScript varies by less: by 270 KB in the full run. The smallest object for each message would be 900 KB
 * in the short run.
 */
const MAX_HEAP_GROWTH = 600_000;
/** Tables that stats() knows of may grow once more connections than ever before happen to come at a time. */
const MAX_NATIVE_GROWTH = 32 << 10;
/** Milliseconds for the server to notice that the last client has left. */
const PATIENCE = 30_000;

/** Returns a function that returns numbers from 0 to 1: a linear congruential generator. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The worker threads of the server. */
class Workers {
  started = 0;
  #server;
  #client;
  #random;
  /** The ports and the open connections of those that are running, by their ids. */
  #running = new Map();

  constructor(server, client, next) {
    this.#server = server;
    this.#client = client;
    this.#random = next;
  }

  async start() {
    this.started += 1;
    this.#running.set(this.started, { ...(await this.#server.ask({ ask: 'start', id: this.started })), held: 0 });
  }

  /** Has clients visit all workers, and stay in some. */
  async visit() {
    for (const worker of this.#running.values()) {
      const { port, securePort, threadId } = worker;
      await this.#client.ask({ command: 'visit', count: WORKER_VISITS, port, securePort });
      await this.#client.ask({ command: 'hold', count: HELD, port });
      worker.held += HELD;
      const haveLeft = async () => {
        const { stats } = await this.#server.ask({ ask: 'stats' });
        return openIn(stats.threads.find((thread) => thread.threadId === threadId)) === worker.held;
      };
      await until(haveLeft, 'end of the visits to a worker', PATIENCE);
    }
  }

  /** Ends each of them in one of the ways, with this probability. */
  async end(probability) {
    for (const id of this.#running.keys()) {
      if (this.#random() >= probability) continue;
      const how = WAYS_TO_END[Math.floor(this.#random() * WAYS_TO_END.length)];
      this.#running.delete(id);
      await this.#server.ask({ ask: 'end', id, how });
    }
  }
}

/** Returns the number of connections that are open in a thread or a process. */
function openIn({ connections: { plain, tls } }) {
  return [plain, tls].reduce((sum, { http, webSocket, closing }) => sum + http.open + webSocket.open + closing, 0);
}

function sum(counters) {
  return Object.values(counters).reduce((total, number) => total + number, 0);
}

/** Returns what is to be compared of `stats()` with what clients have counted. */
function counted(stats) {
  const { connections, ended, webSocket, pubSub, http, tls } = stats;
  return {
    connections: { plain: connections.plain.http.total, tls: connections.tls.http.total },
    ended: sum(ended.http) + sum(ended.webSocket),
    handshakes: tls.handshakes,
    webSockets: connections.plain.webSocket.total + connections.tls.webSocket.total,
    requests: http.requests,
    received: webSocket.received.messages,
    receivedBytes: webSocket.received.bytes,
    sent: webSocket.sent.messages,
    sentBytes: webSocket.sent.bytes,
    isDelivered: pubSub.delivered === pubSub.published,
    errors: [webSocket.errors, http.errors, tls.errors, stats.limits, stats.timeouts].map(sum),
    internalErrors: stats.internalErrors + stats.handlerErrors + connections.acceptErrors,
    // What is held at present.
    open: openIn(stats),
    waiting: stats.sockets.bytesWaiting,
    topics: pubSub.topics + pubSub.subscriptions,
    activeRequests: sum(http.activeRequests),
  };
}

function expected(totals) {
  return {
    connections: totals.connections,
    ended: totals.connections.plain + totals.connections.tls,
    handshakes: totals.handshakes,
    webSockets: totals.webSockets,
    requests: totals.requests,
    received: totals.messages,
    receivedBytes: totals.bytes,
    sent: totals.messages,
    sentBytes: totals.bytes,
    isDelivered: true,
    errors: [0, 0, 0, 0, 0],
    internalErrors: 0,
    open: 0,
    waiting: 0,
    topics: 0,
    activeRequests: 0,
  };
}

/** Waits until the server has noticed that everybody has left; returns what it has and holds then. */
async function quiet(server, want) {
  let last;
  const isQuiet = async () => {
    last = await server.ask({ ask: 'stats' });
    const { open, ended } = counted(last.stats);
    return open === 0 && ended === want.ended;
  };
  await until(isQuiet, 'end of all connections', PATIENCE).catch(() => {});
  assert.deepEqual(counted(last.stats), want, 'what the server has counted, and what the clients have');
  return last;
}

async function measure(server, want) {
  await quiet(server, want);
  const memory = await anonymousMemory(server);
  const { stats, heap } = await quiet(server, want);
  return {
    memory,
    heap,
    native: stats.memory,
    threads: stats.threads.length,
    descriptors: fs.readdirSync(`/proc/${server.pid}/fd`).length,
  };
}

function report(name, { memory, heap, descriptors, native }, { connections, messages }, { started }) {
  const mebibytes = (bytes) => (bytes / (1 << 20)).toFixed(2);
  const held = Object.entries(native).map(([kind, bytes]) => `${kind} ${bytes}`);
  console.log(
    `${name}: ${connections.plain + connections.tls} connections, ${messages} messages, ${started} workers; ` +
      `memory ${mebibytes(memory)} MiB, heap ${mebibytes(heap)} MiB, ${descriptors} descriptors; ${held.join(', ')}`,
  );
}

/** Fails if anything has grown from the half to the end. */
function compare(half, end) {
  const growth = {
    memory: end.memory - half.memory,
    heap: end.heap - half.heap,
    native: sum(end.native) - sum(half.native),
  };
  console.log(
    `in the second half, memory has grown by ${growth.memory} bytes, of at most ${MAX_GROWTH}, the heap of JavaScript ` +
      `by ${growth.heap}, of at most ${MAX_HEAP_GROWTH}, and what stats() knows of by ${growth.native}, of at most ` +
      `${MAX_NATIVE_GROWTH}`,
  );
  assert.ok(growth.memory <= MAX_GROWTH, `memory has grown by ${growth.memory} bytes`);
  assert.ok(growth.heap <= MAX_HEAP_GROWTH, `the heap of JavaScript has grown by ${growth.heap} bytes`);
  assert.ok(growth.native <= MAX_NATIVE_GROWTH, `what stats() knows of has grown by ${growth.native} bytes`);
  assert.deepEqual([half.threads, end.threads], [1, 1], 'threads');
  assert.equal(end.descriptors, half.descriptors, 'open descriptors');
}

/** Prints all counters that are not 0, to find out why a run has failed. */
function explain(stats, name = 'stats') {
  for (const [key, value] of Object.entries(stats)) {
    if (typeof value === 'object') explain(value, `${name}.${key}`);
    else if (value !== 0) console.log(`${name}.${key}: ${value}`);
  }
}

main(async ({ full }) => {
  const plan = full ? FULL : SHORT;
  const given = process.argv.find((argument) => argument.startsWith('--seed='));
  const seed = given ? Number(given.slice('--seed='.length)) : Date.now() % 2 ** 32;
  console.log(`--seed=${seed}`);

  const { cert, key } = ordinaryCertificate();
  const server = startMeasured('enduring.js', [cert, key], { MALLOC_ARENA_MAX: '1' });
  const ports = await server.answer();
  try {
    await run(plan, server, ports, random(seed));
  } catch (error) {
    const { stats } = await server.ask({ ask: 'stats' });
    explain({ ...stats, threads: {} });
    throw error;
  }
  console.log('Nothing was left behind.');
});

async function run({ connections, rounds, workers: workersInAll }, server, ports, next) {
  const client = startProgram('visitor.js');
  const workers = new Workers(server, client, next);

  let half;
  for (let round = 1; round <= rounds; round += 1) {
    const isLast = round === rounds;
    // The number of workers that have started by the end of this round: some more or less than its share.
    const goal = isLast ? workersInAll : Math.min(workersInAll, (workersInAll / rounds) * (round - 1 + 2 * next()));
    while (workers.started < Math.round(goal)) await workers.start();
    await workers.visit();
    await client.ask({ command: 'visit', count: connections / rounds, ...ports });
    await workers.end(isLast || round === rounds / 2 ? 1 : 0.5);
    if (!isLast && round !== rounds / 2) continue;

    const { totals } = await client.ask({ command: 'released' });
    const now = await measure(server, expected(totals));
    report(`after round ${round} of ${rounds}`, now, totals, workers);
    if (!isLast) half = now;
    else compare(half, now);
  }
}
