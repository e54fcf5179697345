'use strict';

// Errors of the JavaScript half. All have a stable code; docs/ERRORS.md lists them.

const { define } = require('./define');

/** An error with a code. */
function errorOf(code, message, Constructor = Error, options = undefined) {
  const error = new Constructor(message, options);
  define(error, 'code', code);
  return error;
}

/** Throws an error with a code. */
function fail(...parameters) {
  throw errorOf(...parameters);
}

/** A value for a message; never throws, whatever the value's own methods do. */
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
 * Throws for a further argument than `most`, which would otherwise have no effect. Not for functions that may be called
 * for each element of an array, as `topics.forEach(ws.subscribe, ws)` does it.
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

/** Throws unless `callback` is a function. */
function requireFunction(callback) {
  if (typeof callback !== 'function') {
    fail('ERR_MILLIWAYS_INVALID_HANDLER', 'Passed callback is not a valid function.');
  }
}

module.exports = { describe, errorOf, fail, refuseArguments, requireArguments, requireFunction };
