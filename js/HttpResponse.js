'use strict';

const connections = require('./connections');
const { runCorked } = require('./cork');
const { requireArguments, requireFunction } = require('./errors');
const { watch } = require('./failure');
const native = require('./native');
const { makeNativeLike } = require('./nativeLike');
const { failReceiver } = require('./receiver');
const { attach, attachAlone } = require('./scope');
const { contextOf } = require('./SocketContext');
const { originOfWritable, warnUncorked, warnWritable } = require('./warnings');

// Bit flags that the addon returns from a write.
const UNCORKED = 1;
const IS_TAKEN = 2;
const IS_COMPLETE = 4;

/** The `maxRemainingBodyLength` of a body of unknown length. */
const UNKNOWN_LENGTH = 2n ** 64n - 1n;

// The addon calls a response through these symbols. Where this file is evaluated more than once, as in jest, each
// evaluation has its own class, but all share one addon, which calls the functions that were set last.
const ABORTED = Symbol.for('milliways.response.aborted');
const ANSWERED = Symbol.for('milliways.response.answered');
const DATA = Symbol.for('milliways.response.data');
const COLLECTED = Symbol.for('milliways.response.collected');
const WRITABLE = Symbol.for('milliways.response.writable');

// The next two are not methods, so that users do not see them.

/**
 * Returns the response of a request: the existing one if a handler that yielded attached something to it, otherwise a
 * new one.
 */
let responseAt;
/** Returns the certificate of a response's client. */
let certificateOf;

/** Throws unless the receiver of a method is an HttpResponse. */
let requireResponse;

class HttpResponse {
  #slot;
  #generation;
  /** The attached event handlers; undefined until the first is attached. */
  #handlers;

  constructor(slot, generation) {
    this.#slot = slot;
    this.#generation = generation;
  }

  writeStatus(status) {
    requireResponse(this);
    note(native.responseStatus(this.#slot, this.#generation, status));
    return this;
  }

  writeHeader(key, value) {
    requireResponse(this);
    note(native.responseHeader(this.#slot, this.#generation, key, value));
    return this;
  }

  beginWrite() {
    requireResponse(this);
    note(native.responseBeginWrite(this.#slot, this.#generation));
    return this;
  }

  write(chunk) {
    requireResponse(this);
    return (note(native.responseWrite(this.#slot, this.#generation, chunk)) & IS_TAKEN) !== 0;
  }

  end(body, closeConnection) {
    requireResponse(this);
    note(native.responseEnd(this.#slot, this.#generation, body, closeConnection));
    this.#forget();
    return this;
  }

  endWithoutBody(reportedContentLength, closeConnection) {
    requireResponse(this);
    note(native.responseEndWithoutBody(this.#slot, this.#generation, reportedContentLength, closeConnection));
    this.#forget();
    return this;
  }

  tryEnd(fullBodyOrChunk, totalSize, closeConnection) {
    requireResponse(this);
    const flags = note(
      native.responseTryEnd(this.#slot, this.#generation, fullBodyOrChunk, totalSize, closeConnection),
    );
    const isComplete = (flags & IS_COMPLETE) !== 0;
    if (isComplete) this.#forget();
    return [(flags & IS_TAKEN) !== 0, isComplete];
  }

  getWriteOffset() {
    requireResponse(this);
    return native.responseWriteOffset(this.#slot, this.#generation);
  }

  close() {
    requireResponse(this);
    // This calls the abort handler before it returns.
    native.responseClose(this.#slot, this.#generation);
    return this;
  }

  pause() {
    requireResponse(this);
    native.responsePause(this.#slot, this.#generation);
    return this;
  }

  resume() {
    requireResponse(this);
    native.responseResume(this.#slot, this.#generation);
    return this;
  }

  cork(callback) {
    requireResponse(this);
    requireFunction(callback);
    runCorked(this.#slot, native.responseCork(this.#slot, this.#generation), callback);
    return this;
  }

  upgrade(userData, secWebSocketKey, secWebSocketProtocol, secWebSocketExtensions, context) {
    requireResponse(this);
    // This throws if the response is already done, which takes precedence over all other errors.
    native.responseWriteOffset(this.#slot, this.#generation);
    requireArguments(5, arguments.length);
    // Getters may throw, so they are read before anything is sent.
    const properties = propertiesOf(userData);
    const [slot, generation, handlers] = [this.#slot, this.#generation, this.#handlers];
    // The slot belongs to the WebSocket from now on.
    this.#forget();
    try {
      native.responseUpgrade(
        slot,
        generation,
        contextOf(context),
        secWebSocketKey,
        secWebSocketProtocol,
        secWebSocketExtensions,
        properties,
      );
    } catch (error) {
      if (handlers !== undefined) this.#attach(handlers);
      throw error;
    }
  }

  onAborted(handler) {
    requireResponse(this);
    requireFunction(handler);
    native.responseAwait(this.#slot, this.#generation);
    this.#attach({ aborted: attach(handler) });
    return this;
  }

  onWritable(handler) {
    requireResponse(this);
    requireFunction(handler);
    native.responseWantWritable(this.#slot, this.#generation);
    this.#attach({ writable: attachAlone(handler), origin: originOfWritable() });
    return this;
  }

  onData(handler) {
    requireResponse(this);
    requireFunction(handler);
    native.responseReceive(this.#slot, this.#generation);
    const run = attachAlone(handler);
    this.#attach({ data: (chunk, remaining) => run(chunk, remaining === 0) });
    return this;
  }

  onDataV2(handler) {
    requireResponse(this);
    requireFunction(handler);
    native.responseReceive(this.#slot, this.#generation);
    const run = attachAlone(handler);
    this.#attach({ data: (chunk, remaining) => run(chunk, remaining < 0 ? UNKNOWN_LENGTH : BigInt(remaining)) });
    return this;
  }

  collectBody(maxSize, handler) {
    requireResponse(this);
    requireArguments(2, arguments.length);
    requireFunction(handler);
    native.responseCollect(this.#slot, this.#generation, maxSize);
    this.#attach({ collected: attachAlone(handler) });
    return this;
  }

  getRemoteAddress() {
    requireResponse(this);
    return native.responseAddress(this.#slot, this.#generation, false, false);
  }

  getRemoteAddressAsText() {
    requireResponse(this);
    return native.responseAddress(this.#slot, this.#generation, false, true);
  }

  getRemotePort() {
    requireResponse(this);
    return native.responsePort(this.#slot, this.#generation, false);
  }

  getProxiedRemoteAddress() {
    requireResponse(this);
    return native.responseAddress(this.#slot, this.#generation, true, false);
  }

  getProxiedRemoteAddressAsText() {
    requireResponse(this);
    return native.responseAddress(this.#slot, this.#generation, true, true);
  }

  getProxiedRemotePort() {
    requireResponse(this);
    return native.responsePort(this.#slot, this.#generation, true);
  }

  [ABORTED]() {
    const { aborted } = this.#handlers;
    connections[this.#slot] = undefined;
    aborted?.();
  }

  [ANSWERED]() {
    this.#forget();
  }

  [DATA](chunk, remaining) {
    // A handler that fails before the last chunk may recover: it is called again.
    if (remaining === 0) this.#callLast('data', chunk, remaining);
    else this.#handlers.data(chunk, remaining);
  }

  [COLLECTED](body) {
    this.#callLast('collected', body);
  }

  [WRITABLE](offset) {
    // The handler may complete the response, which clears this field.
    const { writable, origin } = this.#handlers;
    if (typeof writable(offset) !== 'boolean') warnWritable(origin);
  }

  /**
   * Passes the last chunk of a body, or the whole body, to a handler. If the handler fails, now or later, the response
   * fails with it.
   */
  #callLast(name, ...parameters) {
    // The handler may complete the response, which clears these fields.
    const [slot, generation] = [this.#slot, this.#generation];
    let hasReturned = false;
    try {
      const returned = this.#handlers[name](...parameters);
      watch(returned, slot, generation);
      hasReturned = true;
    } finally {
      if (!hasReturned) native.responseAbandon(slot, generation);
    }
  }

  #attach(handlers) {
    // `aborted` is read even if it was never attached, and must not be found on Object.prototype.
    this.#handlers = { aborted: undefined, ...this.#handlers, ...handlers };
    connections[this.#slot] = this;
  }

  #forget() {
    if (this.#handlers !== undefined) {
      connections[this.#slot] = undefined;
      this.#handlers = undefined;
    }
  }

  static {
    requireResponse = (value) => {
      if (typeof value !== 'object' || value === null || !(#slot in value)) {
        failReceiver(value, 'uWS.HttpResponse', 'res.end(body)');
      }
    };
    certificateOf = (response) => native.responseCertificate(response.#slot, response.#generation);
    responseAt = (slot, generation, Response) => {
      const known = connections[slot];
      const isIt = known !== undefined && #generation in known && known.#generation === generation;
      return isIt ? known : new Response(slot, generation);
    };
  }
}

/** Warns if a write was made outside a cork. */
function note(flags) {
  if ((flags & UNCORKED) !== 0) warnUncorked();
  return flags;
}

/** Returns an object's own string and symbol keys with their values, or an empty array for anything but an object. */
function propertiesOf(object) {
  if (object === null || typeof object !== 'object') return [];
  return Reflect.ownKeys(object).map((key) => [key, object[key]]);
}

/** The former name of `cork`. */
HttpResponse.prototype.collect = HttpResponse.prototype.cork;
makeNativeLike(HttpResponse, 'uWS.HttpResponse');

native.setResponseHandlers(
  (slot) => connections[slot][ABORTED](),
  (slot, chunk, remaining) => connections[slot][DATA](chunk, remaining),
  (slot, body) => connections[slot][COLLECTED](body),
  (slot, offset) => connections[slot][WRITABLE](offset),
  (slot) => connections[slot][ANSWERED](),
);

class SSLHttpResponse extends HttpResponse {
  getX509Certificate() {
    requireResponse(this);
    return certificateOf(this);
  }
}
makeNativeLike(SSLHttpResponse, 'uWS.SSLHttpResponse');

module.exports = { HttpResponse, SSLHttpResponse, responseAt };
