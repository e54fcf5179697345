'use strict';

// Waits for conditions, always with a deadline, never for a length of time.

const { setTimeout: delay } = require('node:timers/promises');
const { uWS, isReference } = require('./uws.js');

/** Milliseconds after which a wait fails. This is generous, so that no test fails because the machine is loaded. */
const DEADLINE = 15_000;
/** Milliseconds between two checks of a condition that no event announces. */
const POLL_INTERVAL = 5;

/**
 * Settles like the promise, but rejects after `timeout` milliseconds; `what` names what was awaited, or returns its
 * name.
 */
function deadline(promise, what, timeout = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    const tooLate = () => reject(new Error(`no ${typeof what === 'function' ? what() : what} within ${timeout} ms`));
    timer = setTimeout(tooLate, timeout);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Resolves once `condition()` is truthy. Use it only for conditions that no event announces. */
async function until(condition, what, timeout = DEADLINE) {
  const end = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`no ${what} within ${timeout} ms`);
    await delay(POLL_INTERVAL);
  }
}

/**
 * Waits for a whole turn of the event loop, including the poll phase. A server in this thread has then read what was
 * written to a loopback socket before, so that two writes are received by two reads.
 */
function turn() {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}

/** Resolves once the server side has released every connection of this thread. */
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
