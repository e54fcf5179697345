'use strict';

// Each limit against an attack that it is for. Two well-behaved clients beside the attackers, a WebSocket and one of
// HTTP, must notice nothing.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { describe, it } = require('node:test');
const zlib = require('node:zlib');
const { Agent, fetch } = require('undici');
const { WebSocket } = require('ws');
const { RawSocket } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { serve } = require('./support/server.js');
const { clientOptions, httpUrl, overTLS, webSocketUrl } = require('./support/tls.js');
const { LAYER } = require('./support/stats.js');
const { ours, uWS } = require('./support/uws.js');
const { deadline, noConnectionLeft, until } = require('./support/wait.js');
const { KIBIBYTE, MEBIBYTE } = require('./support/websocket.js');

/** The address of the attackers. The well-behaved clients have another. */
const ATTACKER = { localAddress: '127.0.0.2' };
/** Attackers at a time. */
const MANY = 50;
const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
/** More than the buffers of both kernels take. */
const LARGE = Buffer.alloc(16 * MEBIBYTE, 'x');
/** For timeouts of 10 s, in milliseconds. */
const PATIENCE = 30_000;
const POST = 'POST / HTTP/1.1\r\nHost: h\r\n';

/** Serves what is attacked: an echo, topics that clients choose, uploads and downloads. */
function serveAll(t, options, behavior) {
  return serve(
    t,
    (app) =>
      app
        .ws('/*', {
          maxPayloadLength: 64 * KIBIBYTE,
          compression: uWS.SHARED_COMPRESSOR,
          message: (ws, message, isBinary) => {
            if (message.byteLength > 0) ws.send(message, isBinary);
          },
          ...behavior,
        })
        .get('/large', (res) => {
          res.onAborted(() => {});
          const goOn = (offset) => res.tryEnd(LARGE.subarray(offset), LARGE.length)[0];
          res.onWritable(goOn);
          goOn(0);
        })
        .get('/pending', (res) => res.onAborted(() => {}))
        .any('/*', (res) => {
          let length = 0;
          res.onAborted(() => {});
          res.onData((chunk, isLast) => {
            length += chunk.byteLength;
            if (isLast) res.end(String(length));
          });
        }),
    options,
  );
}

/** Clients that do what clients do, until `stop`, which rejects if one of them has noticed anything. */
class Visitors {
  #stopped = false;
  #visits;
  #leave;
  /** Round trips of each. */
  rounds = [0, 0];

  static async begin(t, port) {
    const visitors = new Visitors();
    const webSocket = new WebSocket(webSocketUrl(port), clientOptions);
    const agent = new Agent({ connect: clientOptions });
    visitors.#leave = async () => {
      webSocket.terminate();
      await agent.destroy();
    };
    t.after(visitors.#leave);
    await deadline(once(webSocket, 'open'), 'WebSocket');
    visitors.#visits = [visitors.#talk(webSocket), visitors.#request(httpUrl(port), agent)];
    // An error is reported by `stop`.
    for (const visit of visitors.#visits) visit.catch(() => {});
    await visitors.goRound();
    return visitors;
  }

  async #talk(webSocket) {
    const closed = once(webSocket, 'close').then(([code]) => assert.fail(`the WebSocket was closed with ${code}`));
    closed.catch(() => {});
    while (!this.#stopped) {
      const message = `round ${this.rounds[0]}`;
      webSocket.send(message);
      const [data] = await deadline(Promise.race([once(webSocket, 'message'), closed]), 'echo');
      assert.equal(data.toString(), message);
      this.rounds[0] += 1;
    }
  }

  async #request(url, dispatcher) {
    while (!this.#stopped) {
      const body = 'x'.repeat(this.rounds[1] % 100);
      const answer = await deadline(fetch(url, { method: 'POST', body, dispatcher }), 'response');
      assert.equal(await answer.text(), String(body.length));
      this.rounds[1] += 1;
    }
  }

  /** Resolves once each has made a whole round trip from now on. */
  async goRound() {
    const before = [...this.rounds];
    const haveGone = () => this.rounds.every((rounds, index) => rounds > before[index] + 1);
    await Promise.race([until(haveGone, 'round trips of others'), ...this.#visits]);
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#visits);
    await this.#leave();
  }
}

/**
 * Runs an attack beside visitors, during which `counted` of the statistics rises by `count` at least. `attack` resolves
 * to how the attackers give up, if they are still there. Nothing of them is left then.
 */
async function withstand(t, { options, behavior, attack, counted, count = MANY }) {
  const { app, port } = serveAll(t, options, behavior);
  const visitors = await Visitors.begin(t, port);
  const read = () => counted.split('.').reduce((numbers, name) => numbers[name], app.stats());
  const giveUp = await attack(port, visitors, app);
  try {
    await until(() => read() >= count, `${count} ${counted}`, PATIENCE).catch((error) => {
      assert.fail(`${error.message}, but ${read()}`);
    });
    await visitors.goRound();
    await visitors.stop();
  } finally {
    giveUp?.();
  }
  await noConnectionLeft();
  assert.deepEqual(app.stats().sockets.bytesWaiting, 0);
}

const connect = (port) => RawSocket.connect(port, ATTACKER);
const upgrade = (port, headers) => RawSocket.upgrade(port, '/', { headers, ...ATTACKER });

/** Lets many attackers send the same bytes at once. */
async function sendAll(port, bytes, begin = connect) {
  const attackers = await Promise.all(Array.from({ length: MANY }, () => begin(port)));
  for (const attacker of attackers) attacker.write(bytes);
  return attackers;
}

/** Lets each attacker send a byte now and then, until the server has ended them all. */
async function trickle(attackers, byte) {
  const timer = setInterval(() => {
    for (const attacker of attackers.filter(({ ended, closed }) => !ended && !closed)) attacker.write(byte);
  }, 100);
  try {
    await until(() => attackers.every(({ ended, closed }) => ended || closed), 'end of the attackers', PATIENCE);
  } finally {
    clearInterval(timer);
    for (const attacker of attackers) attacker.destroy();
  }
}

/** Lets attackers be refused. */
async function beRefused(attackers) {
  await Promise.all(attackers.map((attacker) => attacker.readToEnd().catch(() => {})));
  for (const attacker of attackers) attacker.destroy();
}

const deflated = (message) =>
  zlib.deflateRawSync(message, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);

/** Subscribes to the topic that a client asks for, and echoes what does not ask. */
function choose(ws, message, isBinary) {
  const text = Buffer.from(message).toString();
  if (!text.startsWith('topic')) ws.send(message, isBinary);
  else if (!ws.subscribe(message)) ws.send('too many');
}

const ATTACKS = {
  'heads that never end': {
    options: { idleTimeout: 1 },
    counted: 'timeouts.httpHead',
    attack: async (port) => trickle(await sendAll(port, 'GET / HTTP/1.1\r\nHost: h\r\nX: '), 'y'),
  },
  'bodies that hardly move': {
    options: { idleTimeout: 1 },
    counted: 'timeouts.httpBody',
    attack: async (port) => trickle(await sendAll(port, `${POST}Content-Length: 1000000\r\n\r\n`), 'y'),
  },
  'responses that are not read': {
    options: { idleTimeout: 1 },
    counted: 'timeouts.httpResponse',
    attack: async (port) => {
      const attackers = await Promise.all(Array.from({ length: MANY }, () => connect(port)));
      for (const attacker of attackers) {
        attacker.pause();
        attacker.write('GET /large HTTP/1.1\r\nHost: h\r\n\r\n');
      }
      return () => attackers.forEach((attacker) => attacker.destroy());
    },
  },
  'too many header fields': {
    counted: 'limits.headerCount',
    attack: async (port) =>
      beRefused(await sendAll(port, `GET / HTTP/1.1\r\nHost: h\r\n${'a: b\r\n'.repeat(500)}\r\n`)),
  },
  'long heads': {
    counted: 'limits.maxHeaderSize',
    attack: async (port) => beRefused(await sendAll(port, `GET / HTTP/1.1\r\nX: ${'y'.repeat(64 * KIBIBYTE)}`)),
  },
  'chunks that are all extension': {
    counted: 'limits.chunkFraming',
    attack: async (port) => {
      // What is allowed for a chunk and its data is less.
      const chunks = `1;name="${'v'.repeat(50)}"\r\nx\r\n`.repeat(1000);
      await beRefused(await sendAll(port, `${POST}Transfer-Encoding: chunked\r\n\r\n${chunks}`));
    },
  },
  'bodies over the limit': {
    options: { maxBodySize: MEBIBYTE },
    counted: 'limits.maxBodySize',
    attack: async (port) => beRefused(await sendAll(port, `${POST}Content-Length: 1048577\r\n\r\n`)),
  },
  'messages over the limit': {
    counted: 'limits.maxPayloadLength',
    attack: async (port) => beRefused(await sendAll(port, frames.binary(Buffer.alloc(65 * KIBIBYTE)), upgrade)),
  },
  'a message in too many fragments': {
    counted: 'limits.maxFragments',
    attack: async (port) => {
      const first = frames.binary('', { fin: false });
      const more = frames.continuation('', { fin: false });
      const message = Buffer.concat([first, ...Array.from({ length: 16_384 }, () => more)]);
      await beRefused(await sendAll(port, message, upgrade));
    },
  },
  'compressed messages that are bombs': {
    counted: 'webSocket.errors.INFLATED_MESSAGE_TOO_BIG',
    attack: async (port) => {
      const bomb = frames.binary(deflated(Buffer.alloc(32 * MEBIBYTE)), { rsv: frames.RSV1 });
      await beRefused(await sendAll(port, bomb, (to) => upgrade(to, DEFLATE)));
    },
  },
  'empty messages': {
    counted: 'webSocket.received.messages',
    count: MANY * 5000,
    attack: async (port) => {
      const flood = Buffer.concat(Array.from({ length: 5000 }, () => frames.text('')));
      const attackers = await sendAll(port, flood, upgrade);
      return () => attackers.forEach((attacker) => attacker.destroy());
    },
  },
  'pings whose pongs are not read': {
    counted: 'webSocket.received.pings',
    count: MANY * 5000,
    attack: async (port, visitors, app) => {
      const attackers = await Promise.all(Array.from({ length: MANY }, () => upgrade(port)));
      const flood = Buffer.concat(Array.from({ length: 5000 }, () => frames.ping('x'.repeat(100))));
      for (const attacker of attackers) attacker.pause();
      for (let round = 0; round < 4; round += 1) {
        for (const attacker of attackers) attacker.write(flood);
        await visitors.goRound();
        // One pong waits beside what the kernel's buffer has had no room for: however many pings there are.
        const waiting = app.stats().sockets.bytesWaiting;
        assert.ok(waiting <= MANY * 130 * KIBIBYTE, `${waiting} bytes wait`);
      }
      return () => attackers.forEach((attacker) => attacker.destroy());
    },
  },
  'resets after requests': {
    counted: 'http.aborted',
    count: 10 * MANY,
    attack: async (port, _, app) => {
      for (let round = 0; round < 10; round += 1) {
        const attackers = await sendAll(port, 'GET /pending HTTP/1.1\r\nHost: h\r\n\r\n');
        await until(() => app.stats().http.activeRequests[LAYER] >= MANY, 'requests');
        for (const attacker of attackers) attacker.reset();
      }
    },
  },
  'subscriptions without end': {
    behavior: { maxTopics: 10, message: choose },
    counted: 'limits.maxTopics',
    count: MANY * 90,
    attack: async (port, _, app) => {
      const topics = Array.from({ length: 100 }, (_, number) => frames.text(`topic ${number}`));
      const attackers = await sendAll(port, Buffer.concat(topics), upgrade);
      return () => {
        assert.equal(app.stats().pubSub.subscriptions, 10 * MANY);
        attackers.forEach((attacker) => attacker.destroy());
      };
    },
  },
  'connections of one address': {
    options: { maxConnectionsPerAddress: 10 },
    counted: 'limits.maxConnectionsPerAddress',
    count: 10 * MANY - 10,
    attack: (port) => flood(port, 10 * MANY),
  },
  'more connections than there may be': {
    options: { maxConnections: 10 },
    counted: 'limits.maxConnections',
    count: 10 * MANY - 8,
    attack: (port) => flood(port, 10 * MANY),
  },
};

/** Opens connections that send these bytes of TCP, or nothing. */
async function flood(port, count, bytes = '') {
  const attackers = Array.from({ length: count }, () => {
    const socket = net.connect({ port, host: '127.0.0.1', ...ATTACKER });
    socket.on('error', () => {}).resume();
    socket.write(bytes);
    return socket;
  });
  const begun = (socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  await deadline(Promise.all(attackers.map(begun)), 'connections', PATIENCE);
  return () => attackers.forEach((socket) => socket.destroy());
}

/** Returns a record of a TLS handshake (RFC 8446 section 5.1), which may lack its end. */
function handshakeRecord(payload, length = payload.length) {
  const header = Buffer.from([22, 3, 3, 0, 0]);
  header.writeUInt16BE(length, 3);
  return Buffer.concat([header, payload]);
}

const TLS_ATTACKS = {
  'handshakes that never end': {
    counted: 'timeouts.tlsHandshake',
    attack: (port) => flood(port, MANY, handshakeRecord(Buffer.from([1, 0, 1]), 300)),
  },
  'handshakes that are given up': {
    counted: 'tls.errors.ABANDONED',
    count: 10 * MANY,
    attack: async (port) => {
      for (let round = 0; round < 10; round += 1) {
        const giveUp = await flood(port, MANY, handshakeRecord(Buffer.from([1, 0, 1]), 300));
        giveUp();
      }
    },
  },
  'a ClientHello without end': {
    counted: 'limits.tlsHandshakeSize',
    attack: (port) => {
      const part = Buffer.alloc(16_000);
      const begin = handshakeRecord(Buffer.concat([Buffer.from([1, 0xff, 0xff, 0xff]), part]));
      return flood(port, MANY, Buffer.concat([begin, ...Array.from({ length: 20 }, () => handshakeRecord(part))]));
    },
  },
  'handshakes with rubbish': {
    counted: 'tls.errors.NOT_TLS',
    count: 10 * MANY,
    attack: (port) => flood(port, 10 * MANY, 'GET / HTTP/1.1\r\n\r\n'),
  },
};

describe('an attack beside clients that notice nothing', ours, () => {
  for (const [name, attack] of Object.entries({ ...ATTACKS, ...(overTLS ? TLS_ATTACKS : {}) })) {
    it(name, (t) => withstand(t, attack));
  }

  it('more connections than there may be, which wait', async (t) => {
    const { app, port } = serveAll(t, { maxConnections: 10, onConnectionLimit: 'pause', idleTimeout: 1 });
    const visitors = await Visitors.begin(t, port);
    const giveUp = await flood(port, 10 * MANY);
    await until(() => app.stats().limits.maxConnections > 0, 'limit', PATIENCE);
    const { http, webSocket } = app.stats().connections[LAYER];
    assert.equal(http.open + webSocket.open, 10);
    // The attackers are idle, and make room for each other: all get their turn, 8 at a time.
    await visitors.goRound();
    await visitors.stop();
    giveUp();
    await noConnectionLeft();
    const client = await RawSocket.connect(port);
    client.write(`${POST}Content-Length: 3\r\n\r\nabc`);
    assert.equal((await client.readResponse()).body, '3');
    client.destroy();
  });
});
