'use strict';

// Key-value pairs that all threads of the process share.

const { requireArguments } = require('./errors');
const native = require('./native');

/** Functions by how many of their arguments must be given; a collection may be left out. */
const FUNCTIONS = {
  getString: 1,
  setString: 2,
  getInteger: 1,
  setInteger: 2,
  incInteger: 2,
  getStringKeys: 0,
  getIntegerKeys: 0,
  deleteString: 1,
  deleteInteger: 1,
  deleteStringCollection: 0,
  deleteIntegerCollection: 0,
  lock: 0,
  unlock: 0,
};

for (const [name, count] of Object.entries(FUNCTIONS)) {
  const call = native[`store_${name}`];
  module.exports[name] = {
    [name](...parameters) {
      requireArguments(count, parameters.length);
      return call(...parameters);
    },
  }[name];
}
