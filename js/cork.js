'use strict';

const native = require('./native');

/** Calls back with a connection corked; `outer` is what corking it gave. */
function runCorked(slot, outer, callback) {
  try {
    callback();
  } finally {
    native.uncork(slot, outer);
  }
}

module.exports = { runCorked };
