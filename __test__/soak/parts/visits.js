'use strict';

// What a visitor of endurance.js says, and what it expects to be answered, byte for byte.

const assert = require('node:assert/strict');
const zlib = require('node:zlib');
const { upgradeRequest } = require('../../support/RawSocket.js');
const { OPCODE, RSV1, ...build } = require('../../support/frames.js');

/** The lengths of the messages of a WebSocket, in bytes. */
const LENGTHS = [0, 5, 20, 125, 126, 700, 60, 20, 5000, 300, 1, 40];
/** The message that is sent in two fragments, with a Ping between them. */
const FRAGMENTED = 5;
/** What a flushed block of DEFLATE ends with, and messages leave out (RFC 7692 section 7.2.1). */
const TAIL = Buffer.from('0000ffff', 'hex');

const messages = LENGTHS.map((length, index) => Buffer.alloc(length, `message ${index} of a visitor, `));
const messageBytes = LENGTHS.reduce((sum, length) => sum + length, 0);
const body = Buffer.alloc(3000, 'the body of a request, ');

const builder = (index) => (index % 2 === 0 ? build.text : build.binary);

/** Returns the frames of a client. */
function said(compress, withPing) {
  return Buffer.concat(
    messages.map((message, index) => {
      const payload = compress ? deflated(message) : message;
      const options = compress ? { rsv: RSV1 } : {};
      if (index !== FRAGMENTED) return builder(index)(payload, options);
      return Buffer.concat([
        builder(index)(payload.subarray(0, 11), { ...options, fin: false }),
        withPing ? build.ping('between') : Buffer.alloc(0),
        build.continuation(payload.subarray(11)),
      ]);
    }),
  );
}

function deflated(message) {
  const compressed = zlib.deflateRawSync(message, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
  return compressed.subarray(0, -TAIL.length);
}

/** Returns what a server echoes without compression. */
function echoed(withPing) {
  return Buffer.concat(
    messages.flatMap((message, index) => [
      ...(index === FRAGMENTED && withPing ? [build.pong('between', { mask: null })] : []),
      builder(index)(message, { mask: null }),
    ]),
  );
}

/**
 * Returns whether all messages have come, where some may be compressed: one after the other in one stream, or each in a
 * stream of its own, which reads the same.
 */
function areEchoed(bytes) {
  const frames = dataFrames(bytes);
  if (frames.length < messages.length) return false;
  const isCompressed = ({ first }) => (first & RSV1) !== 0;
  const stream = frames.filter(isCompressed).flatMap(({ payload }) => [payload, TAIL]);
  const inflated = zlib.inflateRawSync(Buffer.concat(stream), { finishFlush: zlib.constants.Z_SYNC_FLUSH });
  const compressed = messages.filter((_, index) => isCompressed(frames[index]));
  const isSame = frames.every((frame, index) => isCompressed(frame) || frame.payload.equals(messages[index]));
  assert.ok(isSame && inflated.equals(Buffer.concat(compressed)), 'messages came back as something else');
  return true;
}

/** Returns the complete frames of a server that are neither Pings nor Pongs. */
function dataFrames(bytes) {
  const found = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const [first, short] = bytes.subarray(at, at + 2);
    const start = at + (short === 126 ? 4 : 2);
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short;
    at = start + length;
    if (at <= bytes.length && (first & 0x0f) <= OPCODE.BINARY)
      found.push({ first, payload: bytes.subarray(start, at) });
  }
  return found;
}

/** Returns whether the responses to `requests` have come. */
function areAnswered(bytes) {
  const text = bytes.toString('latin1');
  if (text.split('HTTP/1.1 200 OK\r\n').length < 5 || !text.endsWith(body.toString())) return false;
  assert.equal(text.split(body.toString()).length, 3, 'bodies came back as something else');
  return true;
}

/** Returns responses with the same date. */
function undated(bytes) {
  return Buffer.from(bytes.toString('latin1').replace(/^Date: .{29}$/gm, `Date: ${'.'.repeat(29)}`), 'latin1');
}

const requests = Buffer.concat([
  Buffer.from('GET /hello HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(2)),
  Buffer.from('POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n'),
  body.subarray(0, 1000),
  Buffer.from('\r\n7d0\r\n'),
  body.subarray(1000),
  Buffer.from(`\r\n0\r\n\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n`),
  body,
]);

/**
 * A kind of visit: `request` is sent first, and `said` once that has been accepted. `expected` is what is answered; if
 * nobody knows it yet, `isComplete` judges the first answer, which is then expected of all others. `same` takes away
 * what may differ.
 */
function webSocket(path, { compress = false, withPing = true } = {}) {
  const extension = compress ? { 'Sec-WebSocket-Extensions': 'permessage-deflate' } : {};
  return {
    request: upgradeRequest(path, extension),
    said: said(compress, withPing),
    expected: compress ? undefined : echoed(withPing),
    isComplete: areEchoed,
    same: (bytes) => bytes,
    counts: { webSockets: 1, requests: 1, messages: messages.length, bytes: messageBytes },
  };
}

const http = {
  said: requests,
  isComplete: areAnswered,
  same: undated,
  counts: { webSockets: 0, requests: 4, messages: 0, bytes: 0 },
};

/** The kinds of visits, each as often as it is to come among the others. */
const PLAN = [
  [4, webSocket('/plain')],
  [2, webSocket('/shared', { compress: true })],
  [1, webSocket('/dedicated', { compress: true })],
  // What is published is sent at the end of a turn, and a Pong at once, so their order is not certain.
  [2, webSocket('/topic', { withPing: false })],
  [1, http],
];

module.exports = { plan: PLAN.flatMap(([times, kind]) => Array(times).fill(kind)) };
