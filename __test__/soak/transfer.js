'use strict';

// Large bodies must not take memory in either direction: an upload whose handler pauses now and then, and a file
// streamed to a client that reads 20 MB/s.
//
//     node __test__/soak/transfer.js           128 MiB each
//     node __test__/soak/transfer.js --full    2 GiB each, which takes some minutes
//
// It prints the maximal growth of the server's anonymous memory, and exits with code 1 if that exceeds MAX_GROWTH or if
// what arrived is not what was sent.

const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { startServer, anonymousMemory, peakMemory, main } = require('./parts/processes.js');

const MEBIBYTE = 1 << 20;
const SIZE = 128 * MEBIBYTE;
const FULL_SIZE = 2048 * MEBIBYTE;
/** Chunks of bodies belong to handlers, and then become garbage, of which V8 lets 32 MiB accumulate. */
const MAX_GROWTH = (32 + 32) * MEBIBYTE;
/** The rate at which the slow client reads, in bytes per second. */
const RATE = 20_000_000;
/** A piece that is created once; bodies repeat it. */
const PIECE = Buffer.alloc(MEBIBYTE);
for (let i = 0; i < PIECE.length; i += 4) PIECE.writeUInt32LE((i * 2654435761) >>> 0, i);

main(async ({ full }) => {
  const size = full ? FULL_SIZE : SIZE;
  const hash = createHash('sha256');
  for (let sent = 0; sent < size; sent += PIECE.length) hash.update(PIECE);
  const expected = hash.digest('hex');

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'milliways-'));
  const file = path.join(folder, 'file');
  try {
    writeFile(file, size);
    const server = await startServer(`--file=${file}`);
    // Memory that the first transfer of each kind allocates stays allocated.
    await upload(server.port, 4 * MEBIBYTE);
    await download(server.port, '/start', Infinity);
    for (const [name, transfer] of [
      ['upload', () => upload(server.port, size)],
      ['download', () => download(server.port, '/file', RATE)],
    ]) {
      const before = await anonymousMemory(server);
      const watch = peakMemory(server);
      const began = Date.now();
      assert.equal(await transfer(), expected, `the ${name} arrived as something else`);
      const growth = (await watch.stop()) - before;
      const seconds = (Date.now() - began) / 1e3;
      console.log(
        `${name} of ${size / MEBIBYTE} MiB in ${seconds.toFixed(1)} s: ` +
          `the server grew by ${(growth / MEBIBYTE).toFixed(1)} MiB, of at most ${MAX_GROWTH / MEBIBYTE}`,
      );
      assert.ok(growth < MAX_GROWTH, `the server grew by ${growth} bytes during the ${name}`);
    }
    await server.kill();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

function writeFile(file, size) {
  const descriptor = fs.openSync(file, 'w');
  for (let written = 0; written < size; written += PIECE.length) fs.writeSync(descriptor, PIECE);
  fs.closeSync(descriptor);
}

/** Sends `size` bytes as fast as they are accepted; returns the hash that the server computed. */
async function upload(port, size) {
  const socket = net.connect(port, '127.0.0.1');
  socket.write(`PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ${size}\r\n\r\n`);
  for (let sent = 0; sent < size; sent += PIECE.length) {
    if (!socket.write(PIECE)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  let answer = '';
  for await (const chunk of socket) answer += chunk.toString('latin1');
  return answer.split('\r\n\r\n')[1];
}

/** Reads a response at this rate; returns the hash of its body. */
async function download(port, target, rate) {
  const socket = net.connect(port, '127.0.0.1');
  socket.write(`GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
  const hash = createHash('sha256');
  const began = Date.now();
  let head = Buffer.alloc(0);
  let read = -1;
  for await (const chunk of socket) {
    let body = chunk;
    if (read < 0) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) continue;
      body = head.subarray(end + 4);
      read = 0;
    }
    hash.update(body);
    read += body.length;
    // When ahead of its rate, the client waits, and the kernel's buffers fill.
    const early = (read / rate) * 1e3 - (Date.now() - began);
    if (early > 1) await sleep(early);
  }
  return hash.digest('hex');
}
