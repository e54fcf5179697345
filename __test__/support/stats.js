'use strict';

// What an app counts while something happens.

const assert = require('node:assert/strict');
const { overTLS } = require('./tls.js');
const { turn, until } = require('./wait.js');

/** The property of `stats().connections` with the connections of `serve`, and that of `http.activeRequests`. */
const LAYER = overTLS ? 'tls' : 'plain';

/** Returns the numbers of nested statistics by their paths. */
function flat(stats, prefix = '') {
  const numbers = {};
  for (const [name, value] of Object.entries(stats)) {
    if (typeof value === 'number') numbers[prefix + name] = value;
    else if (!Array.isArray(value)) Object.assign(numbers, flat(value, `${prefix}${name}.`));
  }
  return numbers;
}

/** Bytes on the wire depend on headers and, over TLS, on records. They have tests of their own. */
const NOT_COMPARED = ['sockets.bytesReceived', 'sockets.bytesSent'];

/** Returns the differences between two statistics, by their paths, without those that are 0. */
function difference(before, after) {
  const [old, now] = [flat(before), flat(after)];
  const changes = Object.keys(now).map((path) => [path, now[path] - old[path]]);
  return Object.fromEntries(changes.filter(([path, change]) => change !== 0 && !NOT_COMPARED.includes(path)));
}

/**
 * Asserts that `act` makes an app count this and nothing else. `expected` has the changes of numbers by their paths, in
 * which `*` stands for the kind of connections that the tests use, with or without TLS. It may take `timeout` milliseconds
 * after `act`.
 */
async function assertCounts(app, expected, act, timeout = undefined) {
  const before = app.stats();
  await act();
  const entries = Object.entries(expected).map(([path, change]) => [path.replace('*', LAYER), change]);
  const wanted = Object.fromEntries(entries.sort());
  const sorted = () => Object.fromEntries(Object.entries(difference(before, app.stats())).sort());
  const isReached = () => JSON.stringify(sorted()) === JSON.stringify(wanted);
  try {
    await until(isReached, 'counts', timeout);
  } catch {
    assert.deepEqual(sorted(), wanted);
  }
  // Nothing follows.
  await turn();
  assert.deepEqual(sorted(), wanted);
}

module.exports = { LAYER, assertCounts, difference, flat };
