'use strict';

// Errors of the JavaScript half. All have a stable code; docs/ERRORS.md lists them.

/** An error with a code. */
function errorOf(code, message, Constructor = Error, options = undefined) {
  const error = new Constructor(message, options);
  error.code = code;
  return error;
}

/** Throws an error with a code. */
function fail(...parameters) {
  throw errorOf(...parameters);
}

/** Throws unless at least `count` arguments were given. */
function requireArguments(count, given) {
  if (given < count) {
    fail('ERR_MILLIWAYS_MISSING_ARGUMENT', `Function requires at least ${count} arguments.`);
  }
}

/** Throws unless `callback` is a function. */
function requireFunction(callback) {
  if (typeof callback !== 'function') {
    fail('ERR_MILLIWAYS_INVALID_HANDLER', 'Passed callback is not a valid function.');
  }
}

module.exports = { fail, requireArguments, requireFunction };
