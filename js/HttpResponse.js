'use strict';

const connections = require('./connections');
const { runCorked } = require('./cork');
const { toData } = require('./data');
const { requireFunction } = require('./errors');
const native = require('./native');
const { warnUncorked } = require('./warnings');

/** Tells a response that its connection has gone; not a method, so that it is none of what users see. */
let abort;

class HttpResponse {
  #slot;
  #generation;
  /** What `onAborted` was given last. */
  #abortHandler;

  constructor(slot, generation) {
    this.#slot = slot;
    this.#generation = generation;
  }

  writeStatus(status) {
    if (native.responseStatus(this.#slot, this.#generation, toData(status))) warnUncorked();
    return this;
  }

  writeHeader(key, value) {
    if (native.responseHeader(this.#slot, this.#generation, toData(key), toData(value))) warnUncorked();
    return this;
  }

  end(body, closeConnection) {
    if (native.responseEnd(this.#slot, this.#generation, toData(body), closeConnection)) warnUncorked();
    this.#forget();
    return this;
  }

  close() {
    // Runs the abort handlers before it returns.
    native.responseClose(this.#slot, this.#generation);
    return this;
  }

  cork(callback) {
    requireFunction(callback);
    runCorked(this.#slot, native.responseCork(this.#slot, this.#generation), callback);
    return this;
  }

  onAborted(handler) {
    requireFunction(handler);
    native.responseAwait(this.#slot, this.#generation);
    this.#abortHandler = handler;
    connections[this.#slot] = this;
    return this;
  }

  #forget() {
    if (this.#abortHandler !== undefined) {
      connections[this.#slot] = undefined;
      this.#abortHandler = undefined;
    }
  }

  static {
    abort = (response) => {
      const handler = response.#abortHandler;
      response.#abortHandler = undefined;
      handler();
    };
  }
}

Object.defineProperty(HttpResponse, 'name', { value: 'uWS.HttpResponse' });

native.setAbortHandler((slot) => {
  const response = connections[slot];
  connections[slot] = undefined;
  abort(response);
});

module.exports = HttpResponse;
