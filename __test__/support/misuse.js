'use strict';

// Calls every method of an object with every kind of wrong argument, and judges what comes back. For scripts.

const fs = require('node:fs');
const path = require('node:path');

/** The codes that docs/ERRORS.md lists. */
const CODES = new Set(
  fs
    .readFileSync(path.join(__dirname, '../../docs/ERRORS.md'), 'utf8')
    .match(/^## (ERR_MILLIWAYS_[A-Z_]+)$/gm)
    .map((line) => line.slice(3)),
);

/** What the values below throw when they are converted. */
class OwnError extends Error {}

function own() {
  throw new OwnError('a conversion of the program');
}

function detached(wrap = (buffer) => buffer) {
  const buffer = new ArrayBuffer(8);
  const value = wrap(buffer);
  structuredClone(buffer, { transfer: [buffer] });
  return value;
}

/** Values of every kind, made anew for each use. */
const VALUES = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  0: () => 0,
  '-1': () => -1,
  1.5: () => 1.5,
  NaN: () => NaN,
  Infinity: () => Infinity,
  '2^53': () => 2 ** 53,
  '1n': () => 1n,
  "''": () => '',
  text: () => 'text',
  path: () => '/x',
  'line break': () => 'a\r\nb: c',
  NUL: () => '\0',
  surrogate: () => '\ud800',
  symbol: () => Symbol('s'),
  function: () => () => {},
  'function that throws': () => own,
  object: () => ({}),
  array: () => [1, 2],
  proxy: () => new Proxy({}, { get: own, has: own, ownKeys: own }),
  'object with throwing conversions': () => ({ toString: own, valueOf: own, [Symbol.toPrimitive]: own }),
  'object with throwing getters': () => Object.defineProperty({}, 'idleTimeout', { get: own, enumerable: true }),
  ArrayBuffer: () => new ArrayBuffer(4),
  'detached ArrayBuffer': () => detached(),
  SharedArrayBuffer: () => new SharedArrayBuffer(4),
  Uint8Array: () => new Uint8Array([1, 2, 3]),
  'detached Uint8Array': () => detached((buffer) => new Uint8Array(buffer)),
  DataView: () => new DataView(new ArrayBuffer(4)),
  Date: () => new Date(NaN),
  promise: () => Promise.resolve(),
};

/** Lists of arguments: none, each value in each place, and each value in all places. */
function* argumentLists(places) {
  yield ['nothing', []];
  for (const [name, make] of Object.entries(VALUES)) {
    for (let place = 0; place < places; place += 1) {
      const list = Array.from({ length: place + 1 }, (_, i) => (i === place ? make() : 'a'));
      yield [`${name} in place ${place}`, list];
    }
    yield [`${name} everywhere`, Array.from({ length: places }, make)];
  }
}

/** The names of all methods of an object. */
function methodsOf(object) {
  const names = new Set();
  for (let it = object; it !== null && it !== Object.prototype; it = Object.getPrototypeOf(it)) {
    for (const name of Object.getOwnPropertyNames(it)) {
      const { value } = Object.getOwnPropertyDescriptor(it, name);
      if (typeof value === 'function' && name !== 'constructor') names.add(name);
    }
  }
  return [...names];
}

/** What the own conversion of a detached typed array throws. */
const DETACHED = 'Cannot perform %TypedArray%.prototype.join on a detached ArrayBuffer';

/** Whether an error is documented, or one that the program's own value has thrown. */
function isGood(error) {
  const isOwn = (it) => it instanceof OwnError || it?.message === DETACHED;
  return CODES.has(error?.code) || isOwn(error) || isOwn(error?.cause);
}

class Judge {
  calls = 0;
  /** What should not have happened, as text. */
  problems = [];

  constructor() {
    process.on('uncaughtException', (error) => this.see(error, 'uncaughtException'));
    process.on('unhandledRejection', (error) => this.see(error, 'unhandledRejection'));
    process.on('warning', () => {});
  }

  see(error, where) {
    if (!isGood(error) && this.problems.length < 20) this.problems.push(`${where}: ${error?.stack ?? String(error)}`);
  }

  /** Calls a method; an error has to be documented. Returns whether the call succeeded. */
  call(object, name, list, where) {
    this.calls += 1;
    try {
      const result = Reflect.apply(object[name], object, list);
      // What is rejected is seen by the listener above.
      if (typeof result?.then === 'function') result.then(undefined, (error) => this.see(error, `${where}, rejected`));
      return true;
    } catch (error) {
      this.see(error, where);
      return false;
    }
  }

  /** Calls all methods but those to be left out, with all lists; `isDone` ends this early. */
  all(object, where, { without = [], places = 3, isDone = () => false } = {}) {
    for (const name of methodsOf(object)) {
      if (without.includes(name)) continue;
      for (const [label, list] of argumentLists(places)) {
        if (isDone()) return;
        this.call(object, name, list, `${where}: ${name}(${label})`);
      }
    }
  }
}

module.exports = { Judge, VALUES, argumentLists, methodsOf };
