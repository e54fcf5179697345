'use strict';

const native = require('./native');

/**
 * Fails the response of a handler whose promise rejects: the client gets a 500 if nothing has been sent, and is
 * disconnected. The rejection counts as an error of a handler, and still becomes an unhandled rejection.
 */
function watch(returned, slot, generation) {
  // Most handlers return undefined or the response.
  if (returned === undefined || returned === null || typeof returned.then !== 'function') return;
  Promise.resolve(returned).then(undefined, (error) => {
    native.responseAbandon(slot, generation);
    throw error;
  });
}

module.exports = { watch };
