'use strict';

// Builds WebSocket frames as bytes, including malformed ones. The tests have their own code for this, so that no bug
// can hide on both sides.

const OPCODE = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };
const RSV1 = 0x40;
const RSV2 = 0x20;
const RSV3 = 0x10;
const MASK = [0x37, 0xfa, 0x21, 0x3d];

/**
 * Builds a frame as a client sends it. `mask: null` leaves it unmasked; `lengthBytes` (0, 2, 8) forces a length
 * encoding.
 */
function frame(opcode, payload = '', { fin = true, rsv = 0, mask = MASK, lengthBytes } = {}) {
  const data = Buffer.from(payload);
  const form = lengthBytes ?? (data.length < 126 ? 0 : data.length < 65536 ? 2 : 8);
  const head = Buffer.alloc(2 + form + (mask ? 4 : 0));
  head[0] = (fin ? 0x80 : 0) | rsv | opcode;
  head[1] = (mask ? 0x80 : 0) | (form === 0 ? data.length : form === 2 ? 126 : 127);
  if (form === 2) head.writeUInt16BE(data.length, 2);
  if (form === 8) head.writeBigUInt64BE(BigInt(data.length), 2);
  if (mask) {
    head.set(mask, 2 + form);
    for (let i = 0; i < data.length; i += 1) data[i] ^= mask[i & 3];
  }
  return Buffer.concat([head, data]);
}

const text = (payload, options) => frame(OPCODE.TEXT, payload, options);
const binary = (payload, options) => frame(OPCODE.BINARY, payload, options);
const continuation = (payload, options) => frame(OPCODE.CONTINUATION, payload, options);
const ping = (payload, options) => frame(OPCODE.PING, payload, options);
const pong = (payload, options) => frame(OPCODE.PONG, payload, options);

/** Returns the payload of a close frame, empty without a code. */
function closePayload(code, reason = '') {
  if (code === undefined) return Buffer.alloc(0);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return Buffer.concat([head, Buffer.from(reason)]);
}

const close = (code, reason, options) => frame(OPCODE.CLOSE, closePayload(code, reason), options);

module.exports = { OPCODE, RSV1, RSV2, RSV3, frame, text, binary, continuation, ping, pong, close, closePayload };
