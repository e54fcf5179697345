'use strict';

// The lines that the environment variable MILLIWAYS_DEBUG turns on; docs/DIAGNOSTICS.md describes their format.

const { writeSync } = require('node:fs');
const { threadId } = require('node:worker_threads');

const { warnDebug } = require('./warnings');

const CATEGORIES = ['connections', 'http', 'ws', 'tls', 'limits'];

/** The descriptor of stderr. Writing to it is synchronous, so that nothing is lost if the process crashes next. */
const STDERR = 2;

/** The maximum length of a value in UTF-16 code units. */
const LONGEST = 200;

/** The categories that are turned on. */
const enabled = new Set();

for (const given of (process.env.MILLIWAYS_DEBUG ?? '').split(',')) {
  const name = given.trim().toLowerCase();
  if (CATEGORIES.includes(name)) enabled.add(name);
  else if (name !== '') warnDebug(given.trim(), CATEGORIES);
}

/** Returns whether a category is turned on, or any if none is named. */
function isEnabled(category) {
  return category === undefined ? enabled.size > 0 : enabled.has(category);
}

/**
 * Writes a line for an event that belongs to these categories, if one is turned on. `fields` are the names and values
 * of its details; those that are undefined are left out.
 */
function write(categories, event, fields) {
  const category = categories.find(isEnabled);
  if (category === undefined) return;
  const known = Object.entries(fields).filter(([, value]) => value !== undefined);
  const details = known.map(([name, value]) => ` ${name}=${shown(value)}`).join('');
  const line = `milliways[${process.pid}/${threadId}] ${new Date().toISOString()} ${category} ${event}${details}\n`;
  try {
    // One call for the whole line, between which lines of other threads may come.
    writeSync(STDERR, line);
  } catch {
    // Nobody reads stderr, or not fast enough. A server must not fail for that.
  }
}

/** Returns a value as text without spaces or line ends, or in quotes. */
function shown(value) {
  const text = String(value).slice(0, LONGEST);
  return /^[\w.:/[\]+-]+$/.test(text) ? text : JSON.stringify(text);
}

module.exports = { isEnabled, write };
