'use strict';

// The module's exports. `_stats` and `_provoke` are not enumerable and are for tests only: they may change at any time.

const constants = require('./constants');
const DeclarativeResponse = require('./DeclarativeResponse');
const { fail } = require('./errors');
const { us_listen_socket_close, us_socket_local_port } = require('./ListenSocket');
const native = require('./native');
const { metrics, stats } = require('./stats');
const store = require('./store');
const { SSLTemplatedApp, TemplatedApp } = require('./App');

/** Works with and without `new`. */
function App(options) {
  return new TemplatedApp(options);
}
App.prototype = TemplatedApp.prototype;

/** Works with and without `new`. */
function SSLApp(options) {
  return new SSLTemplatedApp(options);
}
SSLApp.prototype = SSLTemplatedApp.prototype;

function H3App() {
  fail(
    'ERR_MILLIWAYS_NOT_SUPPORTED',
    'HTTP/3 is not supported. Use App, or a proxy in front of it that speaks HTTP/3.',
  );
}

function getParts(body, contentType) {
  return native.getParts(body, contentType);
}

/** The sum for the secret key that makes responses omit the server's name. */
const QUIET = 656;

function _cfg(key) {
  let sum = 1;
  for (const character of String(key)) sum += character.codePointAt(0);
  if (sum === QUIET) native.leaveOutName();
}

// uWebSockets.js exports these three, undocumented and without effect. The first two do what their names say.

function setTimeout(callback, delay, ...parameters) {
  return globalThis.setTimeout(callback, delay, ...parameters);
}

function clearTimeout(timeout) {
  globalThis.clearTimeout(timeout);
}

function arm() {}

module.exports = {
  App,
  H3App,
  SSLApp,
  DeclarativeResponse,
  getParts,
  us_listen_socket_close,
  us_socket_local_port,
  _cfg,
  setTimeout,
  clearTimeout,
  arm,
  stats,
  metrics,
  ...store,
  ...constants,
};

Object.defineProperty(module.exports, '_stats', { value: native.stats });
Object.defineProperty(module.exports, '_provoke', { value: native.provoke });
