'use strict';

const { fail, requireArguments } = require('./errors');
const native = require('./native');

class HttpRequest {
  /** The number of the request, which the addon knows as long as its handler runs. */
  #serial;

  constructor(serial) {
    this.#serial = serial;
  }

  getUrl() {
    return native.requestUrl(this.#serial);
  }

  getQuery(key) {
    if (key !== undefined) fail('ERR_MILLIWAYS_NOT_SUPPORTED', 'This version does not support getQuery(key).');
    return native.requestQuery(this.#serial);
  }

  getMethod() {
    return native.requestMethod(this.#serial);
  }

  getCaseSensitiveMethod() {
    return native.requestCaseSensitiveMethod(this.#serial);
  }

  getHeader(lowerCaseKey) {
    requireArguments(1, arguments.length);
    return native.requestHeader(this.#serial, lowerCaseKey);
  }
}

Object.defineProperty(HttpRequest, 'name', { value: 'uWS.HttpRequest' });

module.exports = HttpRequest;
