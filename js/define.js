'use strict';

/** Defines a property as an assignment would, but never calls a setter, whatever the prototypes contain. */
function define(object, key, value) {
  return Reflect.defineProperty(object, key, {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

module.exports = { define };
