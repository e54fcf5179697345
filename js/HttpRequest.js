'use strict';

const { requireFunction } = require('./errors');
const native = require('./native');
const { makeNativeLike } = require('./nativeLike');
const { failReceiver } = require('./receiver');

/** Throws unless the receiver of a method is an HttpRequest. */
let requireRequest;

class HttpRequest {
  /** The request's number, which the addon accepts while the request is valid. */
  #serial;

  constructor(serial) {
    this.#serial = serial;
  }

  getUrl() {
    requireRequest(this);
    return native.requestUrl(this.#serial);
  }

  getQuery(key) {
    requireRequest(this);
    if (arguments.length > 0) return native.requestQueryValue(this.#serial, key);
    return native.requestQuery(this.#serial);
  }

  getMethod() {
    requireRequest(this);
    return native.requestMethod(this.#serial);
  }

  getCaseSensitiveMethod() {
    requireRequest(this);
    return native.requestCaseSensitiveMethod(this.#serial);
  }

  getHeader(lowerCaseKey) {
    requireRequest(this);
    return native.requestHeader(this.#serial, lowerCaseKey);
  }

  getParameter(indexOrName) {
    requireRequest(this);
    return typeof indexOrName === 'number'
      ? native.requestParameterAt(this.#serial, indexOrName)
      : native.requestParameter(this.#serial, indexOrName);
  }

  forEach(callback) {
    requireRequest(this);
    requireFunction(callback);
    const headers = native.requestHeaders(this.#serial);
    for (let i = 0; i < headers.length; i += 2) callback(headers[i], headers[i + 1]);
  }

  setYield(yields) {
    requireRequest(this);
    native.requestYield(this.#serial, yields);
    return this;
  }

  static {
    requireRequest = (value) => {
      if (typeof value !== 'object' || value === null || !(#serial in value)) {
        failReceiver(value, 'uWS.HttpRequest', 'req.getHeader(name)');
      }
    };
  }
}

makeNativeLike(HttpRequest, 'uWS.HttpRequest');

module.exports = HttpRequest;
