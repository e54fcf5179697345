'use strict';

const native = require('./native');

/** Numbers that go between the addon and here with no call of its own for each; `src/registers.rs` has the rules. */
const registers = new Uint32Array(native.registers);

const SLOT = 0;
const GENERATION = 1;
const VALUE = 2;

/** Notes whether a handler is asynchronous: it has returned a promise, and goes on before the next event. */
function noteAsync(returned) {
  registers[VALUE] = typeof returned === 'object' && returned !== null ? 1 : 0;
}

module.exports = { GENERATION, SLOT, VALUE, noteAsync, registers };
