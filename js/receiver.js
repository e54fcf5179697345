'use strict';

const { fail } = require('./errors');

/** Throws the error for a method whose `this` is not an object of its class; `call` shows the correct call. */
function failReceiver(receiver, name, call) {
  const object = call.slice(0, call.indexOf('.'));
  const isNothing = receiver === undefined || receiver === null;
  fail(
    'ERR_MILLIWAYS_INVALID_THIS',
    isNothing
      ? `A method of ${name} was called without its object, as in const { method } = ${object}; method(). ` +
          `Call it as ${call}; to pass it on, bind it to its object or wrap it in a function.`
      : `A method of ${name} was called on something else, such as a Proxy, a copy, or an object that inherits from it. ` +
          `Call it as ${call} on the object itself; a Proxy has to bind the methods to its target.`,
    TypeError,
  );
}

module.exports = { failReceiver };
