'use strict';

// A client process of the soak tests. It opens raw WebSockets, and uses them as its parent asks.

const net = require('node:net');
const { upgradeRequest } = require('../../support/RawSocket.js');
const frames = require('../../support/frames.js');
const sourceAddress = require('./sourceAddress.js');

/** How many connections are opened concurrently: more would overflow the server's backlog. */
const AT_ONCE = 200;
const REQUEST = upgradeRequest('/');
const HEAD_END = '\r\n\r\n';
const HELLO = frames.text('hello');
/** The server's echo of `hello`. */
const ANSWER = Buffer.from('810568656c6c6f', 'hex');
const PING = frames.ping('seen');
const PONG = Buffer.from('8a047365656e', 'hex');
/** The first half of a frame. */
const HALF = frames.binary(Buffer.alloc(2000)).subarray(0, 1000);

const port = Number(process.argv[2]);
const kept = [];

/** Opens a WebSocket that has echoed a message. */
function open() {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: sourceAddress() });
    socket.setNoDelay(true);
    let expected = HEAD_END;
    let received = Buffer.alloc(0);
    const onData = (chunk) => {
      received = Buffer.concat([received, chunk]);
      const at = received.indexOf(expected);
      if (at < 0) return;
      received = received.subarray(at + expected.length);
      if (expected === HEAD_END) {
        expected = ANSWER;
        socket.write(HELLO);
        return;
      }
      socket.off('data', onData);
      socket.off('error', reject);
      resolve(socket);
    };
    socket.on('data', onData);
    socket.on('error', reject);
    socket.write(REQUEST);
  });
}

/** Resolves once as many bytes have arrived. No others may be in flight. */
function expect(socket, bytes) {
  return new Promise((resolve, reject) => {
    let length = 0;
    const onData = (chunk) => {
      length += chunk.length;
      if (length < bytes.length) return;
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
    socket.on('error', reject);
  });
}

/** Runs `run` `count` times, a few concurrently. */
async function each(count, run) {
  let started = 0;
  const next = async () => {
    while (started < count) {
      started += 1;
      await run();
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, AT_ONCE) }, next));
}

const COMMANDS = {
  /** Opens `count` more connections, which stay idle. */
  async open({ count }) {
    await each(count, async () => {
      const socket = await open();
      socket.on('error', () => {});
      // Nothing else is expected, but the end of the server must not go unnoticed.
      socket.on('close', () => process.send({ lost: true }));
      kept.push(socket);
    });
  },
  /**
   * Opens `count` connections, and resets each in the middle of a frame after the server has read the first half of it.
   */
  async reset({ count }) {
    await each(count, async () => {
      const socket = await open();
      // The half is sent with the ping, so the pong shows that the server has read both.
      const seen = expect(socket, PONG);
      socket.write(Buffer.concat([PING, HALF]));
      await seen;
      await new Promise((resolve) => {
        socket.once('close', resolve);
        socket.resetAndDestroy();
      });
    });
  },
  /**
   * Opens `count` connections that never stop: echoes, halves of frames, and unread responses. The parent kills them.
   */
  async chatter({ count }) {
    await each(count, async () => {
      const socket = await open();
      const kind = kept.push(socket) % 4;
      if (kind === 0) socket.write(HALF);
      if (kind === 1) socket.write(frames.text('a', { fin: false }));
      if (kind === 2) {
        socket.pause();
        for (let i = 0; i < 20; i += 1) socket.write(frames.binary(Buffer.alloc(60_000)));
      }
      if (kind === 3) {
        socket.on('data', () => socket.write(HELLO));
        socket.write(HELLO);
      }
    });
  },
};

process.on('message', async ({ command, ...options }) => {
  try {
    await COMMANDS[command](options);
    process.send({ done: command });
  } catch (error) {
    process.send({ failed: `${command}: ${error.stack}` });
  }
});
process.on('disconnect', () => process.exit());
