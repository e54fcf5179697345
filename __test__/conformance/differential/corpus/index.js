'use strict';

// Valid and invalid requests as bytes: `{ group, name, bytes }`, with the bytes as a Latin-1 string. Every run has the
// same.

const { createHash } = require('node:crypto');
const { entries } = require('./builders.js');

const parts = ['request-lines', 'headers', 'bodies', 'conversations', 'damage'];
for (const part of parts) for (const generate of require(`./${part}.js`)) generate();

/** Identifies the corpus, so that responses are never compared with those to other bytes. */
function digest() {
  const hash = createHash('sha256');
  for (const { name, bytes } of entries) hash.update(JSON.stringify([name, bytes]));
  return hash.digest('hex');
}

module.exports = { corpus: entries, digest };
