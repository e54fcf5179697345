'use strict';

const { isSharedArrayBuffer } = require('node:util/types');

const native = require('./native');

// Node-API 8 can read shared memory only through a typed array.
native.setSharedView((value) => (isSharedArrayBuffer(value) ? new Uint8Array(value) : undefined));

/** Added to the kind of a message to compress it. */
const COMPRESS = 8;

/** Returns the kind under which a whole message is sent or published. */
function kindOf(isBinary, compress) {
  return (isBinary ? 1 : 0) + (compress ? COMPRESS : 0);
}

module.exports = { kindOf };
