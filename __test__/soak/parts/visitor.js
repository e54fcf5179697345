'use strict';

// The client process of endurance.js. Visitors connect, say what visits.js has for them, compare the answers byte for
// byte, and leave in one way or another.

const assert = require('node:assert/strict');
const net = require('node:net');
const tls = require('node:tls');
const frames = require('../../support/frames.js');
const sourceAddress = require('./sourceAddress.js');
const { plan } = require('./visits.js');

/** How many visitors there are at a time. */
const AT_ONCE = 100;
/** One in this many visitors comes with TLS. */
const SECURE_EVERY = 10;
/** The ways to leave. Many are resets, which leave nothing behind in the kernel. */
const ENDS = ['reset', 'reset', 'close', 'reset', 'fin', 'reset', 'reset'];
const HEAD_END = '\r\n\r\n';
const CLOSE = frames.close(1000);
const CLOSE_ECHO = frames.close(1000, '', { mask: null });
const NOTHING = Buffer.alloc(0);

/** What has been done, which the server must have counted as well. */
const totals = {
  connections: { plain: 0, tls: 0 },
  handshakes: { full: 0, resumed: 0 },
  webSockets: 0,
  requests: 0,
  messages: 0,
  bytes: 0,
};
/** The last TLS session of each version, with the port that it is good for. */
const sessions = new Map();
const held = new Set();
let visits = 0;

function connect(port) {
  totals.connections.plain += 1;
  return net.connect({ port, host: '127.0.0.1', localAddress: sourceAddress() });
}

/** Connects with TLS 1.2 or 1.3; every other time it resumes an earlier session. */
function connectSecurely(port, number) {
  totals.connections.tls += 1;
  const version = number % 4 < 2 ? 'TLSv1.2' : 'TLSv1.3';
  const name = `${version} ${port}`;
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    localAddress: sourceAddress(),
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    session: number % 2 === 0 ? sessions.get(name) : undefined,
  });
  socket.on('session', (session) => sessions.set(name, session));
  socket.on('secureConnect', () => {
    totals.handshakes[socket.isSessionReused() ? 'resumed' : 'full'] += 1;
  });
  return socket;
}

function leave(socket, how) {
  if (how === 'close') socket.write(CLOSE);
  else if (how === 'fin') socket.end();
  else if (socket.encrypted) socket.destroy();
  else socket.resetAndDestroy();
}

/** Visits the server; resolves once the visitor has left. */
function visit({ port, securePort }) {
  visits += 1;
  const number = Math.floor(visits / SECURE_EVERY);
  const isSecure = visits % SECURE_EVERY === 0;
  const kind = plan[isSecure ? number % plan.length : visits % plan.length];
  const end = ENDS[visits % ENDS.length];
  // HTTP has no Close frames.
  const how = end === 'close' && kind.request === undefined ? 'fin' : end;
  const socket = isSecure ? connectSecurely(securePort, number) : connect(port);
  return new Promise((resolve, reject) => {
    let stage = kind.request === undefined ? 'answers' : 'head';
    let received = NOTHING;
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      if (stage === 'head') {
        const at = received.indexOf(HEAD_END);
        if (at < 0) return;
        assert.ok(received.subarray(0, at).toString('latin1').startsWith('HTTP/1.1 101 '), 'not upgraded');
        received = received.subarray(at + HEAD_END.length);
        stage = 'answers';
        socket.write(kind.said);
      } else if (stage === 'answers' && isAnswered(kind, received)) {
        received = NOTHING;
        stage = 'leaving';
        leave(socket, how);
      }
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const seen = `${received.length} bytes of its ${stage}${isSecure ? ', with TLS' : ''}`;
      if (stage !== 'leaving') reject(new Error(`closed by the server after ${seen}: ${kind.request ?? 'HTTP'}`));
      else if (how === 'close' && !received.equals(CLOSE_ECHO)) reject(new Error('no Close frame came back'));
      else resolve(count(kind));
    });
    socket.write(kind.request ?? kind.said);
  });
}

function isAnswered(kind, received) {
  if (kind.expected === undefined && kind.isComplete(received)) kind.expected = Buffer.from(kind.same(received));
  if (kind.expected === undefined || received.length < kind.expected.length) return false;
  assert.ok(kind.same(received).equals(kind.expected), `something else came back: ${kind.request ?? 'HTTP'}`);
  return true;
}

function count({ counts }) {
  for (const [name, number] of Object.entries(counts)) totals[name] += number;
}

const COMMANDS = {
  async visit({ count: wanted, ...ports }) {
    let started = 0;
    const next = async () => {
      while (started < wanted) {
        started += 1;
        await visit(ports);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  },
  /** Opens WebSockets that stay until the server ends them, in whatever way. */
  async hold({ count: wanted, port }) {
    const [kind] = plan;
    const open = () =>
      new Promise((resolve, reject) => {
        const socket = connect(port);
        let isOpen = false;
        socket.once('data', () => {
          isOpen = true;
          held.add(socket);
          totals.webSockets += 1;
          totals.requests += 1;
          resolve();
        });
        socket.on('error', (error) => isOpen || reject(error));
        socket.on('close', () => held.delete(socket));
        socket.write(kind.request);
      });
    await Promise.all(Array.from({ length: wanted }, open));
  },
  /** Resolves once the server has ended all that were held. */
  async released() {
    await Promise.all([...held].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  },
};

process.on('message', async ({ command, ...options }) => {
  try {
    await COMMANDS[command](options);
    process.send({ totals });
  } catch (error) {
    process.send({ failed: `${command}: ${error.stack}` });
  }
});
process.on('disconnect', () => process.exit());
