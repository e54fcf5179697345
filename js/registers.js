'use strict';

const native = require('./native');

/** Numbers that go between the addon and here with no call of its own for each; `src/registers.rs` has the rules. */
const registers = new Uint32Array(native.registers);

const SLOT = 0;
const GENERATION = 1;
const VALUE = 2;

/** Tells what a handler that was lent bytes has returned: if anything, it may go on with them. */
function lent(returned) {
  registers[VALUE] = returned === undefined ? 0 : 1;
}

module.exports = { GENERATION, SLOT, VALUE, lent, registers };
