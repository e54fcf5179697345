'use strict';

/** Defines a property as assignment would make it, calling no setter, whatever prototypes have. */
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
