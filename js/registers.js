'use strict';

const native = require('./native');

/** Numbers exchanged with the addon without a Node-API call for each; see `src/registers.rs` for the protocol. */
const registers = new Uint32Array(native.registers);

const SLOT = 0;
const GENERATION = 1;
const VALUE = 2;

/**
 * Tells the addon whether a handler is asynchronous, that is, returned a promise. If so, the handler resumes before the
 * next event.
 */
function noteAsync(returned) {
  registers[VALUE] = typeof returned === 'object' && returned !== null ? 1 : 0;
}

module.exports = { GENERATION, SLOT, VALUE, noteAsync, registers };
