'use strict';

// Prints the corpus for crates/proto/tests/corpus.rs, one entry per line: the status of the error with which milliways
// ends the connection, or 0, and the bytes that the server receives, in hexadecimal.

const { SENTINEL } = require('../exchange.js');
const { answers, entries } = require('../expected.json');
const { corpus } = require('./index.js');

const ERROR = /HTTP\/1\.1 (\d{3}) [^\r]+\r\n(?:[\w-]+: [^\r]+\r\n)*Connection: close\r\n\r\n<h1>[^]*Server<\/i>$/;

for (const { name, bytes } of corpus) {
  const { theirs, ours = theirs } = entries[name];
  const [, status = '0'] = ERROR.exec(answers[ours]) ?? [];
  console.log(`${status} ${Buffer.from(bytes + SENTINEL, 'latin1').toString('hex')}`);
}
