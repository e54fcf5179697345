'use strict';

// Among 1,000 subscribers, 10 never read, and messages are published as fast as the others read them. The others must
// get all of them in order, and the 10 must not take more memory than their limits allow.
//
//     node __test__/soak/slow-subscribers.js           16 MiB to each
//     node __test__/soak/slow-subscribers.js --full    616 MiB to each
//
// It exits with code 1 if the server grew by more than that, or if a subscriber got anything else.

const assert = require('node:assert/strict');
const net = require('node:net');
const { setImmediate: turn } = require('node:timers/promises');
const { RawSocket, upgradeRequest } = require('../support/RawSocket.js');
const frames = require('../support/frames.js');
const { startServer, anonymousMemory, peakMemory, main } = require('./parts/processes.js');

const MEBIBYTE = 1 << 20;
const SUBSCRIBERS = 1000;
const SLOW = 10;
const MAX_BACKPRESSURE = 256 * 1024;
/** The lengths of the messages, in bytes, over and over again. */
const LENGTHS = [100, 1000, 16_000, 32_000];
const LARGEST = Math.max(...LENGTHS) + 4;
/** Messages belong to handlers, and then become garbage, of which V8 lets this much accumulate. */
const GARBAGE = 32 * MEBIBYTE;
const MAX_GROWTH = SLOW * (MAX_BACKPRESSURE + LARGEST) + GARBAGE + 16 * MEBIBYTE;
/** Bytes in flight, few enough that no reading subscriber comes near the limit. */
const WINDOW = MAX_BACKPRESSURE / 2;
/** How many connect concurrently: more would overflow the server's backlog. */
const AT_ONCE = 200;

main(async ({ full }) => {
  const { messages, stream } = make((full ? 64 : 16) * MEBIBYTE);
  const server = await startServer(`--max-backpressure=${MAX_BACKPRESSURE}`);
  const publisher = await RawSocket.upgrade(server.port, '/publisher');
  const subscribers = [];
  while (subscribers.length < SUBSCRIBERS) {
    const connect = () => subscribe(server.port, stream);
    subscribers.push(...(await Promise.all(Array.from({ length: AT_ONCE }, connect))));
  }
  for (const { socket } of subscribers.slice(0, SLOW)) socket.pause();
  const readers = subscribers.slice(SLOW);

  const before = await anonymousMemory(server);
  const watch = peakMemory(server);
  const began = performance.now();
  let published = 0;
  for (const message of messages) {
    publisher.write(frames.binary(message));
    published += sizeOnTheWire(message);
    while (published - slowest(readers) > WINDOW) await turn();
  }
  while (slowest(readers) < stream.length) await turn();
  const seconds = (performance.now() - began) / 1e3;
  const growth = watch.stop() - before;
  const { dropped } = await server.ask({ ask: 'counts' });
  await server.kill();

  console.log(
    `${messages.length} messages of ${(stream.length / MEBIBYTE).toFixed(0)} MiB to ${readers.length} subscribers in ` +
      `${seconds.toFixed(1)} s, ${dropped} dropped for ${SLOW} that do not read: the server grew by ` +
      `${(growth / MEBIBYTE).toFixed(1)} MiB, of at most ${(MAX_GROWTH / MEBIBYTE).toFixed(1)}`,
  );
  // Otherwise the slow subscribers did not reach their limits.
  assert.ok(dropped > messages.length, `only ${dropped} messages were dropped`);
  assert.ok(growth < MAX_GROWTH, `the server grew by ${growth} bytes`);
});

/** Makes distinct messages, and the stream that each subscriber is to receive. */
function make(total) {
  const messages = [];
  for (let length = 0; length < total; length += messages.at(-1).length) {
    const message = Buffer.alloc(LENGTHS[messages.length % LENGTHS.length], `${messages.length} `);
    messages.push(message);
  }
  const stream = Buffer.concat(messages.map((message) => frames.binary(message, { mask: null })));
  return { messages, stream };
}

function sizeOnTheWire({ length }) {
  return length + (length < 126 ? 2 : 4);
}

/** Connects a subscriber that compares what it receives with the stream. */
async function subscribe(port, stream) {
  const socket = net.connect(port, '127.0.0.1');
  const subscriber = { socket, position: 0 };
  socket.write(upgradeRequest('/subscriber'));
  await new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once('data', (head) => {
      if (head.toString('latin1').endsWith('\r\n\r\n')) resolve();
      else reject(new Error(`not the head of a response: ${head.toString('latin1')}`));
    });
  });
  socket.on('data', (chunk) => {
    const { position } = subscriber;
    subscriber.position += chunk.length;
    assert.ok(chunk.equals(stream.subarray(position, subscriber.position)), `something else at ${position}`);
  });
  socket.on('close', () => assert.ok(socket.isPaused() || subscriber.position === stream.length, 'closed too early'));
  return subscriber;
}

function slowest(readers) {
  let least = Infinity;
  for (const { position } of readers) least = Math.min(least, position);
  return least;
}
