'use strict';

/**
 * Gives a class its name in uWebSockets.js, and makes its methods enumerable as they are there: programs copy them with
 * `for (const key in res)`.
 */
function makeNativeLike(Class, name) {
  for (const key of Object.getOwnPropertyNames(Class.prototype)) {
    if (key !== 'constructor') Object.defineProperty(Class.prototype, key, { enumerable: true });
  }
  Object.defineProperty(Class, 'name', { value: name });
}

module.exports = { makeNativeLike };
