'use strict';

// Key-value pairs shared by all threads of the process.

const { requireArguments } = require('./errors');
const native = require('./native');

/** The functions, with the number of arguments that each requires. The collection is optional. */
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
