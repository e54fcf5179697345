'use strict';

const connections = require('./connections');
const { toData } = require('./data');
const { requireFunction } = require('./errors');
const native = require('./native');

/** Tells a response that its connection has gone; not a method, so that it is none of what users see. */
let abort;

class HttpResponse {
  #slot;
  #generation;
  /** What `onAborted` was given; a function, or an array of several. */
  #abortHandlers;

  constructor(slot, generation) {
    this.#slot = slot;
    this.#generation = generation;
  }

  writeStatus(status) {
    native.responseStatus(this.#slot, this.#generation, toData(status));
    return this;
  }

  writeHeader(key, value) {
    native.responseHeader(this.#slot, this.#generation, toData(key), toData(value));
    return this;
  }

  end(body, closeConnection) {
    native.responseEnd(this.#slot, this.#generation, toData(body), closeConnection);
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
    native.responseCheck(this.#slot, this.#generation);
    callback();
    native.flush(this.#slot);
    return this;
  }

  onAborted(handler) {
    requireFunction(handler);
    native.responseAwait(this.#slot, this.#generation);
    this.#abortHandlers = this.#abortHandlers === undefined ? handler : [this.#abortHandlers, handler].flat();
    connections[this.#slot] = this;
    return this;
  }

  #forget() {
    if (this.#abortHandlers !== undefined) {
      connections[this.#slot] = undefined;
      this.#abortHandlers = undefined;
    }
  }

  static {
    abort = (response) => {
      const handlers = [response.#abortHandlers].flat();
      response.#abortHandlers = undefined;
      const errors = [];
      for (const handler of handlers) {
        try {
          handler();
        } catch (error) {
          errors.push(error);
        }
      }
      // One that throws does not keep the others from hearing.
      if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors);
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
