'use strict';

const native = require('./native');

/** Numbers that go between the addon and here with no call of its own for each; `src/registers.rs` has the rules. */
const registers = new Uint32Array(native.registers);

const SLOT = 0;
const GENERATION = 1;
const VALUE = 2;

/** Tells whether a handler that was lent bytes has returned a promise, and goes on with them. */
function lent(returned) {
  registers[VALUE] = typeof returned === 'object' && returned !== null ? 1 : 0;
}

module.exports = { GENERATION, SLOT, VALUE, lent, registers };
