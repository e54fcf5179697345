'use strict';

/** Returns bytes that do not repeat themselves, the same each time. */
function noise(size) {
  const bytes = Buffer.alloc(size);
  let state = 1;
  for (let i = 0; i < size; i += 1) {
    // The constants are those of Numerical Recipes; the high bits are the good ones.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

module.exports = { noise };
