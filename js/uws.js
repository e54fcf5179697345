'use strict';

// The module's exports. `_stats`, not enumerable, is for tests: what it gives may change at any time.

const constants = require('./constants');
const { fail } = require('./errors');
const { us_listen_socket_close, us_socket_local_port } = require('./ListenSocket');
const native = require('./native');
const TemplatedApp = require('./App');

/** Options of ours that this version does not know yet. Those for TLS are for `SSLApp`, and ignored by every `App`. */
const UNSUPPORTED = ['drainEachMessage', 'proxyProtocol'];

/** Works with and without `new`. */
function App(options) {
  for (const name of UNSUPPORTED) {
    if (options?.[name]) fail('ERR_MILLIWAYS_NOT_SUPPORTED', `This version does not support the option '${name}'.`);
  }
  return new TemplatedApp();
}
App.prototype = TemplatedApp.prototype;

module.exports = {
  App,
  us_listen_socket_close,
  us_socket_local_port,
  ...constants,
};

Object.defineProperty(module.exports, '_stats', { value: native.stats });
