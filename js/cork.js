'use strict';

const native = require('./native');

/** Calls a function while a connection is corked; `outer` is what corking it returned. */
function runCorked(slot, outer, callback) {
  try {
    callback();
  } finally {
    native.uncork(slot, outer);
  }
}

module.exports = { runCorked };
