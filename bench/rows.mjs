// The rows of the tables. Each row is an experiment with a server and a load.

/**
 * @typedef {object} Row
 * @property {string} name on the command line
 * @property {string} title in tables
 * @property {'load' | 'memory' | 'idle' | 'pings'} kind the function of measure.mjs that measures it
 * @property {string[]} contenders besides ours and uWebSockets.js, in the order of their columns
 * @property {string[]} [load] arguments of the load generator
 * @property {string} [clear] the name of the same row without TLS; only a row with TLS has it
 * @property {number} [idleTimeout] of the servers, in seconds; 120 by default
 * @property {boolean} [isNew] whether a recorded result may still lack the row
 */

/** Masks are always random, as those of browsers are. */
function echo(name, title, connections, depth, size) {
  const load = ['echo', '--connections', connections, '--depth', depth, '--size', size, '--mask', 'random'];
  return { name, title, kind: 'load', contenders: ['ws'], load: load.map(String) };
}

/** One client publishes to all others; a message counts once for each recipient. */
function broadcast(subscribers) {
  return {
    name: `broadcast-${subscribers}`,
    title: `Broadcast, 100 B, to ${subscribers.toLocaleString('en')}`,
    kind: 'load',
    contenders: ['ws'],
    load: ['subscribe', '--path', '/topic', '--connections', String(subscribers), '--depth', '4', '--size', '100'],
  };
}

/** For each message the server unsubscribes from one of `count` topics, checks that, and subscribes again. */
function topics(count) {
  return {
    name: `topics-${count}`,
    title: `Leave and join a topic, out of ${count.toLocaleString('en')}`,
    kind: 'load',
    contenders: [],
    // All recorded rows come from one machine. These rows join them the next time that all rows are recorded.
    isNew: true,
    load: ['echo', '--path', `/topics/${count}`, '--connections', '4', '--depth', '16', '--size', '20'],
  };
}

/** Returns the same row over TLS 1.3, with a certificate for a P-256 key. */
function overTls(row) {
  const load = row.load && [...row.load, '--tls'];
  return { ...row, name: `tls-${row.name}`, title: `TLS: ${row.title}`, load, clear: row.name };
}

/** @type {Row[]} */
const CLEAR_ROWS = [
  echo('echo-20-200x1', 'Echo, 20 B, 200 connections × 1', 200, 1, 20),
  echo('echo-1k-200x1', 'Echo, 1 KiB, 200 × 1', 200, 1, 1024),
  echo('echo-16k-200x1', 'Echo, 16 KiB, 200 × 1', 200, 1, 16 * 1024),
  echo('echo-20-50x64', 'Echo, 20 B, 50 × 64', 50, 64, 20),
  echo('echo-1k-50x16', 'Echo, 1 KiB, 50 × 16', 50, 16, 1024),
  echo('echo-16k-50x4', 'Echo, 16 KiB, 50 × 4', 50, 4, 16 * 1024),
  {
    // No context takeover, in either direction. ws would need every client to ask for that.
    name: 'echo-deflate-1k-50x16',
    title: 'Echo, compressed, 1 KiB, 50 × 16',
    kind: 'load',
    contenders: [],
    load: [...echo('', '', 50, 16, 1024).load, '--text', '--path', '/deflate', '--offer-deflate'],
  },
  {
    name: 'http-hello',
    title: 'HTTP, `Hello World!`, 100 × 1',
    kind: 'load',
    contenders: ['node'],
    load: ['http', '--connections', '100'],
  },
  {
    name: 'http-hello-pipelined',
    title: 'HTTP, `Hello World!`, 100 × 16',
    kind: 'load',
    contenders: ['node'],
    load: ['http', '--connections', '100', '--depth', '16'],
  },
  broadcast(1000),
  broadcast(10_000),
  topics(1),
  topics(10),
  topics(1000),
  topics(100_000),
  {
    name: 'connections',
    title: 'Connect, upgrade, close; 100 at a time',
    kind: 'load',
    contenders: ['ws'],
    load: ['connect', '--connections', '100'],
  },
  { name: 'idle-memory', title: 'Memory of an idle WebSocket', kind: 'memory', contenders: ['ws'] },
  { name: 'idle-cpu', title: '10,000 idle WebSockets', kind: 'idle', contenders: ['ws'] },
  // ws sends no pings by itself.
  { name: 'idle-pings', title: 'Automatic pings of 10,000 WebSockets', kind: 'pings', contenders: [], idleTimeout: 12 },
];

/** In `connections` each connection does a full handshake: no session is resumed. */
const SECURED = [
  'echo-20-200x1',
  'echo-1k-200x1',
  'echo-16k-200x1',
  'echo-20-50x64',
  'echo-16k-50x4',
  'connections',
  'idle-memory',
];

export const ROWS = [...CLEAR_ROWS, ...CLEAR_ROWS.filter(({ name }) => SECURED.includes(name)).map(overTls)];

/** Returns the rows whose name is one of `names` or begins with one of them, or all rows if `names` is empty. */
export function chooseRows(names) {
  if (names.length === 0) return ROWS;
  for (const name of names) {
    if (!ROWS.some((row) => row.name.startsWith(name))) {
      throw new RangeError(`there is no row ${name}; the rows are ${ROWS.map((row) => row.name).join(', ')}`);
    }
  }
  return ROWS.filter((row) => names.some((name) => row.name.startsWith(name)));
}

/** Describes each number of a sample, by its key. */
export const METRICS = {
  rate: { title: 'Rate', unit: '/s', better: 'higher' },
  cpu: { title: 'Server CPU per message, request, connection or ping', unit: 'µs', better: 'lower' },
  bytes: { title: 'Memory', unit: 'B', better: 'lower' },
  idle: { title: 'CPU of idle connections', unit: 'ms/s', better: 'lower' },
};
