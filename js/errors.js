'use strict';

// Errors thrown by the JavaScript part. Each has a stable code, listed in docs/ERRORS.md.

const { define } = require('./define');

/** Returns an error with a code. */
function errorOf(code, message, Constructor = Error, options = undefined) {
  const error = new Constructor(message, options);
  define(error, 'code', code);
  return error;
}

/** Throws an error with a code. */
function fail(...parameters) {
  throw errorOf(...parameters);
}

/** Formats a value for an error message. It never throws, whatever the value's own methods do. */
function describe(value) {
  if (value === null) return 'null';
  return ['object', 'function'].includes(typeof value) ? `a value of type ${typeof value}` : String(value);
}

/** Throws unless at least `count` arguments were given. */
function requireArguments(count, given) {
  if (given < count) {
    fail('ERR_MILLIWAYS_MISSING_ARGUMENT', `Function requires at least ${count} arguments.`);
  }
}

/**
 * Throws if an argument beyond the first `most` is given, because it would have no effect. This is not used in
 * functions that are likely to be callbacks of array methods, as in `topics.forEach(ws.subscribe, ws)`.
 */
function refuseArguments(name, most, given) {
  for (let i = most; i < given.length; i += 1) {
    if (given[i] !== undefined) {
      const count = most === 0 ? 'no arguments' : `at most ${most} argument${most === 1 ? '' : 's'}`;
      fail(
        'ERR_MILLIWAYS_NOT_SUPPORTED',
        `${name} takes ${count}, and argument ${i + 1} is of type ${typeof given[i]}.`,
      );
    }
  }
}

function requireFunction(callback) {
  if (typeof callback !== 'function') {
    fail('ERR_MILLIWAYS_INVALID_HANDLER', 'Passed callback is not a valid function.');
  }
}

/** Throws unless the options of a function are an object. */
function requireOptions(name, options) {
  if (typeof options !== 'object' || options === null) {
    fail('ERR_MILLIWAYS_INVALID_OPTIONS', `${name} takes an object with options, not ${describe(options)}.`, TypeError);
  }
}

module.exports = {
  describe,
  errorOf,
  fail,
  refuseArguments,
  requireArguments,
  requireFunction,
  requireOptions,
};
