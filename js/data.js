'use strict';

/**
 * Text or data as the addon takes it. Node-API 8 knows no shared memory, and bytes that another thread may be changing
 * are copied before anything depends on them.
 */
function toData(data) {
  return data instanceof SharedArrayBuffer ? new Uint8Array(data).slice() : data;
}

module.exports = { toData };
