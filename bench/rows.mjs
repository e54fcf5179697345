// What is measured. Each row is an experiment: a server, a load, and the numbers that come of it.

/**
 * @typedef {object} Row
 * @property {string} name on the command line
 * @property {string} title in tables
 * @property {'load' | 'memory' | 'idle' | 'pings'} kind which function of measure.mjs does it
 * @property {string[]} contenders beside ours and uWebSockets.js, in the order of their columns
 * @property {string[]} [load] arguments of the load generator
 * @property {string} [clear] the row that is the same without TLS; this one is with it
 * @property {number} [idleTimeout] seconds, of the servers; 120 unless said
 */

/** Always with random masks, as browsers have. */
function echo(name, title, connections, depth, size) {
  const load = ['echo', '--connections', connections, '--depth', depth, '--size', size, '--mask', 'random'];
  return { name, title, kind: 'load', contenders: ['ws'], load: load.map(String) };
}

/** What one client publishes to all others; a message counts once for each that gets it. */
function broadcast(subscribers) {
  return {
    name: `broadcast-${subscribers}`,
    title: `Broadcast, 100 B, to ${subscribers.toLocaleString('en')}`,
    kind: 'load',
    contenders: ['ws'],
    load: ['subscribe', '--path', '/topic', '--connections', String(subscribers), '--depth', '4', '--size', '100'],
  };
}

/** For each message one topic of so many is left, asked for and joined again. */
function topics(count) {
  return {
    name: `topics-${count}`,
    title: `Leave and join a topic, of ${count.toLocaleString('en')}`,
    kind: 'load',
    contenders: [],
    // All rows of the page come from one machine. These join it when all are recorded anew.
    isNew: true,
    load: ['echo', '--path', `/topics/${count}`, '--connections', '4', '--depth', '16', '--size', '20'],
  };
}

/** The same by TLS 1.3, with a certificate for a key on P-256. */
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
    // Each message for itself, both ways; ws would have to be told to forget the last ones by every client.
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
  // ws sends none by itself.
  { name: 'idle-pings', title: 'Automatic pings of 10,000 WebSockets', kind: 'pings', contenders: [], idleTimeout: 12 },
];

/** Each connection of `connections` does a whole handshake: no session is resumed. */
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

/** The rows that `names` mean: each is a name or the beginning of some. All of them if there is none. */
export function chooseRows(names) {
  if (names.length === 0) return ROWS;
  for (const name of names) {
    if (!ROWS.some((row) => row.name.startsWith(name))) {
      throw new RangeError(`there is no row ${name}; rows are ${ROWS.map((row) => row.name).join(', ')}`);
    }
  }
  return ROWS.filter((row) => names.some((name) => row.name.startsWith(name)));
}

/** What a number means, by its key in a sample. */
export const METRICS = {
  rate: { title: 'Rate', unit: '/s', better: 'higher' },
  cpu: { title: 'Server CPU for each message, request, connection or ping', unit: 'µs', better: 'lower' },
  bytes: { title: 'Memory', unit: 'B', better: 'lower' },
  idle: { title: 'CPU of idle connections', unit: 'ms/s', better: 'lower' },
};
