'use strict';

// Statistics as objects. The addon passes all numbers at once, and says once where each belongs.

const { threadId } = require('node:worker_threads');

const { define } = require('./define');
const native = require('./native');

/** The number of numbers, of which apps do not have the last ones. */
let count = 0;

/** For each property of an object with all numbers, the place of the number, or the entries of an object. */
const tree = [];

for (const path of native.nameStats(threadId).split(',')) {
  const names = path.split('.');
  let entries = tree;
  for (const name of names.slice(0, -1)) {
    let entry = entries.find(([other]) => other === name);
    if (entry === undefined) {
      entry = [name, []];
      entries.push(entry);
    }
    [, entries] = entry;
  }
  entries.push([names.at(-1), count]);
  count += 1;
}

/** The same for the numbers of an app. */
const treeOfApp = tree.filter(([name]) => name !== 'memory');

/** Returns an object with these numbers. Object.fromEntries defines properties, and calls no setter. */
function toObject(numbers, entries) {
  return Object.fromEntries(
    entries.map(([name, node]) => [name, typeof node === 'number' ? numbers[node] : toObject(numbers, node)]),
  );
}

/** Returns the numbers of an app. */
function statsOf(app) {
  return toObject(new Float64Array(native.appStats(app)), treeOfApp);
}

/** Returns the numbers of the process, and of each of its threads. */
function stats() {
  const all = new Float64Array(native.processStats());
  const threads = [];
  for (let start = count; start < all.length; start += 1 + count) {
    const thread = { threadId: all[start], ...toObject(all.subarray(start + 1), tree) };
    define(threads, threads.length, thread);
  }
  return { ...toObject(all, tree), threads };
}

/** Returns the numbers of all threads as text for Prometheus. */
function metrics() {
  return native.processMetrics();
}

module.exports = { metrics, stats, statsOf };
