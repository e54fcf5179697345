'use strict';

/** Collects all garbage of this thread, which needs --expose-gc. */
module.exports = async function collect() {
  // What a finalizer releases is freed only in the next turn of the loop, by the collection after that.
  for (let i = 0; i < 4; i += 1) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
};
