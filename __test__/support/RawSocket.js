'use strict';

// A TCP client that sends exactly the given bytes and keeps exactly the received bytes. Over TLS (see tls.js) these are
// the plaintext bytes, and each write makes one or more records of its own.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const tls = require('node:tls');
const { overTLS, clientOptions } = require('./tls.js');
const { deadline, turn } = require('./wait.js');
const { OPCODE, close } = require('./frames.js');

const HEAD_END = Buffer.from('\r\n\r\n');
/** The example of RFC 6455 section 1.3. */
const SAMPLE_KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const SAMPLE_ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/**
 * Returns the request head of a WebSocket client. `headers` replaces some of its fields or, with undefined, removes
 * them.
 */
function upgradeRequest(path = '/', headers = {}) {
  const fields = {
    Host: 'localhost',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': SAMPLE_KEY,
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== undefined);
  return `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

class RawSocket {
  #socket;
  /** The TCP connection, which without TLS is the socket itself. */
  #tcp;
  #deadline;
  #chunks = [];
  #length = 0;
  #waiting = new Set();

  /** Whether a FIN was received, or over TLS a close_notify. */
  ended = false;
  /** Whether the connection is gone altogether. */
  closed = false;
  /** The code of a socket error, such as ECONNRESET. */
  errorCode = null;

  constructor(socket, tcp, patience) {
    this.#socket = socket;
    this.#tcp = tcp;
    this.#deadline = patience;
    tcp.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('error', (error) => {
      this.errorCode = error.code;
    });
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  /**
   * Connects half-open: a FIN from the server is recorded, not answered. `deadline` is the time that a read may take,
   * in milliseconds; the other options are those of `net.connect`.
   */
  static async connect(port, { deadline: patience, ...options } = {}) {
    const tcp = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, ...options });
    await deadline(once(tcp, 'connect'), `connection to port ${port}`);
    if (!overTLS) return new RawSocket(tcp, tcp, patience);
    const socket = tls.connect({ ...clientOptions, socket: tcp });
    await deadline(once(socket, 'secureConnect'), `handshake with port ${port}`);
    return new RawSocket(socket, tcp, patience);
  }

  /** Connects, upgrades, and reads the response head into `head`. */
  static async upgrade(port, path, { headers, ...options } = {}) {
    const client = await RawSocket.connect(port, options);
    client.write(upgradeRequest(path, headers));
    client.head = await client.readHead();
    assert.match(client.head, /^HTTP\/1\.1 101 /);
    return client;
  }

  /** The bytes that were received but not yet read. */
  get pending() {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  get pendingLength() {
    return this.#length;
  }

  /** Strings are encoded as Latin-1, so that '\xff' is one byte. */
  write(data) {
    this.#socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
    return this;
  }

  /** Writes, and lets the server read the bytes before anything that is written next. */
  async writeAndTurn(data) {
    this.write(data);
    await turn();
  }

  /** Stops reading, so that the peer's writes pile up. */
  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  /** Sends a FIN, over TLS after a close_notify. */
  end() {
    this.#socket.end();
  }

  /** Sends an RST. */
  reset() {
    this.#tcp.resetAndDestroy();
  }

  /** Closes the connection abruptly, over TLS without a close_notify. */
  destroy() {
    this.#socket.destroy();
  }

  /** Reads exactly `length` bytes. */
  async read(length) {
    await this.#until(() => this.#length >= length, `${length} bytes`);
    return this.#take(length);
  }

  /** Reads an HTTP head, including its empty line, as a Latin-1 string. */
  async readHead() {
    await this.#until(() => this.pending.includes(HEAD_END), 'a response head');
    return this.#take(this.pending.indexOf(HEAD_END) + HEAD_END.length).toString('latin1');
  }

  /** Reads a response with a Content-Length; `noBody` is for responses that have no body whatever their head says. */
  async readResponse({ noBody = false } = {}) {
    const head = await this.readHead();
    const [statusLine, ...lines] = head.trimEnd().split('\r\n');
    const headers = {};
    for (const line of lines) {
      const [, name, value] = /^([^:]*): (.*)$/.exec(line);
      headers[name.toLowerCase()] = value;
    }
    const body = noBody ? Buffer.alloc(0) : await this.read(Number(headers['content-length'] ?? 0));
    return { head, status: Number(statusLine.split(' ')[1]), statusLine, headers, body: body.toString('utf8') };
  }

  /** Reads a frame from a server. */
  async readFrame() {
    const [first, second] = await this.read(2);
    assert.equal(second & 0x80, 0, 'a server never masks');
    let length = second;
    if (second === 126) length = (await this.read(2)).readUInt16BE();
    if (second === 127) length = Number((await this.read(8)).readBigUInt64BE());
    const payload = await this.read(length);
    return { fin: (first & 0x80) !== 0, rsv: first & 0x70, opcode: first & 0x0f, payload };
  }

  /** Reads a text message of one frame. */
  async readText() {
    const { fin, rsv, opcode, payload } = await this.readFrame();
    assert.deepEqual({ fin, rsv, opcode }, { fin: true, rsv: 0, opcode: OPCODE.TEXT });
    return payload.toString('utf8');
  }

  /** Reads a close frame, answers it, and reads the FIN after it. */
  async readClose() {
    const { fin, rsv, opcode, payload } = await this.readFrame();
    assert.deepEqual({ fin, rsv, opcode }, { fin: true, rsv: 0, opcode: OPCODE.CLOSE });
    this.write(close());
    assert.equal((await this.readToEnd()).toString('hex'), '', 'nothing follows a close frame');
    if (payload.length === 0) return { code: undefined, reason: '' };
    return { code: payload.readUInt16BE(), reason: payload.toString('utf8', 2) };
  }

  /** Reads everything up to the FIN or the end of the connection. */
  async readToEnd() {
    await this.#until(() => this.ended || this.closed, 'the end of the connection');
    return this.#take(this.#length);
  }

  #take(length) {
    const all = this.pending;
    this.#chunks = length < all.length ? [all.subarray(length)] : [];
    this.#length -= length;
    return all.subarray(0, length);
  }

  #wake() {
    for (const look of this.#waiting) look();
  }

  async #until(condition, what) {
    if (condition()) return;
    let look;
    const met = new Promise((resolve, reject) => {
      look = () => {
        if (condition()) resolve();
        else if (this.ended || this.closed) reject(new Error(`the connection ended before ${what}`));
      };
    });
    this.#waiting.add(look);
    look();
    try {
      await deadline(met, what, this.#deadline);
    } catch (error) {
      const shown = this.pending.subarray(0, 200);
      error.message += `; unread: ${shown.toString('hex')} ${JSON.stringify(shown.toString('latin1'))}`;
      throw error;
    } finally {
      this.#waiting.delete(look);
    }
  }
}

module.exports = { RawSocket, SAMPLE_KEY, SAMPLE_ACCEPT, upgradeRequest };
