'use strict';

// Prints the corpus for crates/proto/tests/corpus.rs, an entry a line: the status of the error that milliways answers in
// the end, or 0 if there is none, and what the server gets, as hexadecimal digits.

const { SENTINEL } = require('../exchange.js');
const { answers, entries } = require('../expected.json');
const { corpus } = require('./index.js');

const ERROR = /HTTP\/1\.1 (\d{3}) [^\r]+\r\n(?:[\w-]+: [^\r]+\r\n)*Connection: close\r\n\r\n<h1>[^]*Server<\/i>$/;

for (const { name, bytes } of corpus) {
  const { theirs, ours = theirs } = entries[name];
  const [, status = '0'] = ERROR.exec(answers[ours]) ?? [];
  console.log(`${status} ${Buffer.from(bytes + SENTINEL, 'latin1').toString('hex')}`);
}
