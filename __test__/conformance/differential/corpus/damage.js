'use strict';

// Valid requests with damage.

const { close } = require('../../../support/frames.js');
const { add, upgrade } = require('./builders.js');

/** Truncates valid requests at every position. */
function truncations() {
  const messages = {
    'a get': 'GET /p/1/2?a=b HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n',
    'an upload': 'POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody',
    'a chunked upload':
      'POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nbody\r\n0\r\nX: y\r\n\r\n',
  };
  for (const [kind, bytes] of Object.entries(messages)) {
    for (let i = 1; i < bytes.length; i += 1) add('truncations', `${kind} after ${i}`, bytes.slice(0, i));
  }
}

/** Replaces, removes or inserts one byte of valid requests, at every position. */
function mutations() {
  const messages = {
    'a get': 'GET /echo?a=1 HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n',
    'an upload': 'POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody',
    'a chunked upload': 'POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n',
    'an upgrade': upgrade({ body: close(1000).toString('latin1') }),
  };
  for (const [kind, bytes] of Object.entries(messages)) {
    // The short requests get all replacements; the upgrade only two, because most of it is a key.
    const isUpgrade = kind === 'an upgrade';
    for (let i = 0; i < bytes.length; i += 1) {
      const [before, at, after] = [bytes.slice(0, i), bytes[i], bytes.slice(i + 1)];
      add('mutations', `${kind} without its byte ${i}`, before + after);
      for (const byte of isUpgrade ? ['\0', 'a'] : ['\0', '\t', '\n', '\r', ' ', 'a', '\xff']) {
        if (byte !== at) add('mutations', `${kind} with ${byte} for its byte ${i}`, before + byte + after);
      }
      if (!isUpgrade) add('mutations', `${kind} with a space before its byte ${i}`, `${before} ${at}${after}`);
    }
  }
}

/** Combines several pieces, drawn by a linear congruential generator, so that every run draws the same. */
function scrambles() {
  let state = 20_250_101;
  const next = (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % limit;
  };
  // prettier-ignore
  const pieces = [
    'GET', 'POST', 'HEAD', ' ', '/echo', '/early', '/nowhere', 'HTTP/1.1', '\r\n', '\r\n', '\r\n\r\n',
    'Host: h\r\n', 'Host: h\r\n', 'Content-Length: 4\r\n', 'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n', 'X: y\r\n', 'Connection: close\r\n', 'X', ':', '\n', '\r', '\t', '\0', 'body',
    '4\r\nbody\r\n', '0\r\n\r\n', '0\r\n', 'Expect: 100-continue\r\n', ';', 'a', '\xe9', '?a=b', ',',
  ];
  const starts = [
    'GET /echo HTTP/1.1\r\n',
    'POST /echo HTTP/1.1\r\nHost: h\r\n',
    'POST /early HTTP/1.1\r\nHost: h\r\n',
    '',
  ];
  for (let i = 0; i < 300; i += 1) {
    let bytes = starts[i % starts.length];
    for (let count = 2 + next(9); count > 0; count -= 1) bytes += pieces[next(pieces.length)];
    add('scrambles', String(i), bytes);
  }
}

module.exports = [truncations, mutations, scrambles];
