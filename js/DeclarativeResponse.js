'use strict';

const { define } = require('./define');
const { fail, requireArguments } = require('./errors');
const { failReceiver } = require('./receiver');

// Opcodes of the binary form of a response. Each is one byte; its operands follow, each prefixed with its length.
const END = 0;
const HEADER = 1;
const BODY = 2;
const QUERY_VALUE = 3;
const HEADER_VALUE = 4;
const WRITE = 5;
const PARAMETER_VALUE = 6;
const STATUS = 7;

/** Throws unless the receiver of a method is a DeclarativeResponse. */
let requireDeclaration;

/** Builds a response that is the same for every request, except for the values it copies from the request. */
class DeclarativeResponse {
  #parts = [];

  writeStatus(status) {
    requireDeclaration(this);
    requireArguments(1, arguments.length);
    return this.#add(STATUS, short(status));
  }

  writeHeader(key, value) {
    requireDeclaration(this);
    requireArguments(2, arguments.length);
    return this.#add(HEADER, short(key), short(value));
  }

  writeBody() {
    requireDeclaration(this);
    return this.#add(BODY);
  }

  writeQueryValue(key) {
    requireDeclaration(this);
    requireArguments(1, arguments.length);
    return this.#add(QUERY_VALUE, short(key));
  }

  writeHeaderValue(lowerCaseKey) {
    requireDeclaration(this);
    requireArguments(1, arguments.length);
    return this.#add(HEADER_VALUE, short(lowerCaseKey));
  }

  writeParameterValue(name) {
    requireDeclaration(this);
    requireArguments(1, arguments.length);
    return this.#add(PARAMETER_VALUE, short(name));
  }

  write(value) {
    requireDeclaration(this);
    requireArguments(1, arguments.length);
    return this.#add(WRITE, long(value));
  }

  end(value = '') {
    requireDeclaration(this);
    const bytes = Buffer.concat([...this.#parts, Buffer.of(END), long(value)]);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  }

  #add(opcode, ...operands) {
    // push() assigns, which would call setters on Array.prototype.
    for (const part of [Buffer.of(opcode), ...operands]) define(this.#parts, this.#parts.length, part);
    return this;
  }

  static {
    requireDeclaration = (value) => {
      if (typeof value !== 'object' || value === null || !(#parts in value)) {
        failReceiver(value, 'DeclarativeResponse', 'response.write(value)');
      }
    };
  }
}

/** Encodes a value as UTF-8, prefixed with its length in one byte. */
function short(value) {
  const bytes = Buffer.from(String(value));
  if (bytes.length > 0xff) tooLong(255);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

/** Encodes a value as UTF-8, prefixed with its length in two bytes, little-endian. */
function long(value) {
  const bytes = Buffer.from(String(value));
  if (bytes.length > 0xffff) tooLong(65535);
  return Buffer.concat([Buffer.of(bytes.length & 0xff, bytes.length >> 8), bytes]);
}

function tooLong(limit) {
  fail('ERR_MILLIWAYS_OUT_OF_RANGE', `Data length exceeds ${limit}`, RangeError);
}

module.exports = DeclarativeResponse;
