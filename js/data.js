'use strict';

/**
 * Text or data as the addon takes it. Node-API 8 knows no shared memory, and bytes that another thread may be changing
 * are copied before anything depends on them.
 */
function toData(data) {
  return data instanceof SharedArrayBuffer ? new Uint8Array(data).slice() : data;
}

/** Added to what says whether a message is binary. */
const COMPRESS = 8;

/** What a whole message is sent or published as. */
function kindOf(isBinary, compress) {
  return (isBinary ? 1 : 0) + (compress ? COMPRESS : 0);
}

module.exports = { COMPRESS, kindOf, toData };
