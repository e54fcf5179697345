'use strict';

// Requests, good and bad, as bytes: `{ group, name, bytes }`, the bytes as a Latin-1 string. The same in every run.

const { createHash } = require('node:crypto');
const { entries } = require('./builders.js');

const parts = ['request-lines', 'headers', 'bodies', 'conversations', 'damage'];
for (const part of parts) for (const generate of require(`./${part}.js`)) generate();

/** Tells one corpus from another, so that answers are never compared with what other bytes got. */
function digest() {
  const hash = createHash('sha256');
  for (const { name, bytes } of entries) hash.update(JSON.stringify([name, bytes]));
  return hash.digest('hex');
}

module.exports = { corpus: entries, digest };
