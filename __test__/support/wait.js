'use strict';

// Waiting for a condition, always with a deadline, never for a length of time.

const { setTimeout: delay } = require('node:timers/promises');
const { uWS, isReference } = require('./uws.js');

/** Milliseconds after which a wait fails. Generous: a loaded machine is no reason to fail. */
const DEADLINE = 15_000;
/** Milliseconds between two looks at a condition that has no event. */
const POLL_INTERVAL = 5;

/** Resolves as the promise does, or rejects after `timeout` milliseconds; `what` is awaited, or gives it when asked. */
function deadline(promise, what, timeout = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    const tooLate = () => reject(new Error(`no ${typeof what === 'function' ? what() : what} within ${timeout} ms`));
    timer = setTimeout(tooLate, timeout);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Resolves once `condition()` is truthy; for conditions that no event announces. */
async function until(condition, what, timeout = DEADLINE) {
  const end = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`no ${what} within ${timeout} ms`);
    await delay(POLL_INTERVAL);
  }
}

/**
 * One whole turn of the event loop, the poll phase included: what was written to a loopback socket before has then been
 * read by a server of this thread. It is what makes two writes two reads.
 */
function turn() {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}

/** Resolves once the server side has given back every connection of this thread. */
async function noConnectionLeft() {
  if (isReference) return;
  try {
    await until(() => uWS._stats().connections === 0, 'end of all connections');
  } catch (error) {
    error.message += `: ${JSON.stringify(uWS._stats())}`;
    throw error;
  }
}

module.exports = { DEADLINE, deadline, until, turn, noConnectionLeft };
