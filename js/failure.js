'use strict';

const native = require('./native');

/**
 * Fails the response of a handler whose promise is rejected: the client gets a 500 if nothing was sent, and is
 * disconnected. What it was rejected with is an unhandled rejection all the same.
 */
function watch(returned, slot, generation) {
  // Most handlers return nothing, or the response.
  if (returned === undefined || returned === null || typeof returned.then !== 'function') return;
  Promise.resolve(returned).then(undefined, (error) => {
    native.responseAbandon(slot, generation);
    throw error;
  });
}

module.exports = { watch };
