'use strict';

// The module's exports. `_stats`, not enumerable, is for tests: what it gives may change at any time.

const constants = require('./constants');
const { us_listen_socket_close, us_socket_local_port } = require('./ListenSocket');
const native = require('./native');
const TemplatedApp = require('./App');

/** Works with and without `new`. */
function App(_options) {
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
