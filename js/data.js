'use strict';

const { isSharedArrayBuffer } = require('node:util/types');

const native = require('./native');

// Node-API 8 knows no shared memory but that of typed arrays.
native.setSharedView((value) => (isSharedArrayBuffer(value) ? new Uint8Array(value) : undefined));

/** Added to what says whether a message is binary. */
const COMPRESS = 8;

/** What a whole message is sent or published as. */
function kindOf(isBinary, compress) {
  return (isBinary ? 1 : 0) + (compress ? COMPRESS : 0);
}

module.exports = { kindOf };
