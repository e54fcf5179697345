'use strict';

const { requireFunction } = require('./errors');
const native = require('./native');
const { makeNativeLike } = require('./nativeLike');

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
    if (arguments.length > 0) return native.requestQueryValue(this.#serial, key);
    return native.requestQuery(this.#serial);
  }

  getMethod() {
    return native.requestMethod(this.#serial);
  }

  getCaseSensitiveMethod() {
    return native.requestCaseSensitiveMethod(this.#serial);
  }

  getHeader(lowerCaseKey) {
    return native.requestHeader(this.#serial, lowerCaseKey);
  }

  getParameter(indexOrName) {
    return typeof indexOrName === 'number'
      ? native.requestParameterAt(this.#serial, indexOrName)
      : native.requestParameter(this.#serial, indexOrName);
  }

  forEach(callback) {
    requireFunction(callback);
    const headers = native.requestHeaders(this.#serial);
    for (let i = 0; i < headers.length; i += 2) callback(headers[i], headers[i + 1]);
  }

  setYield(yields) {
    native.requestYield(this.#serial, yields);
    return this;
  }
}

makeNativeLike(HttpRequest, 'uWS.HttpRequest');

module.exports = HttpRequest;
