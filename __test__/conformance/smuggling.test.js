'use strict';

// Requests that two servers could parse differently (RFC 9112 section 11.2). Each hides a second request after the
// first. The server must never see it, and the connection must end.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { exchange, BAD_REQUEST, VERSION_NOT_SUPPORTED } = require('../support/http.js');
const { RawSocket } = require('../support/RawSocket.js');
const { serve } = require('../support/server.js');
const { isReference, ours } = require('../support/uws.js');
const { turn } = require('../support/wait.js');

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n';
const post = (...headers) => `POST / HTTP/1.1\r\nHost: h\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked';

const ATTACKS = {
  'Content-Length before Transfer-Encoding (CL.TE)': post('Content-Length: 6', CHUNKED) + `0\r\n\r\n${HIDDEN}`,
  'Transfer-Encoding before Content-Length (TE.CL)': post(CHUNKED, 'Content-Length: 4') + `0\r\n\r\n${HIDDEN}`,
  'Transfer-Encoding twice (TE.TE)': post(CHUNKED, 'Transfer-Encoding: identity') + `0\r\n\r\n${HIDDEN}`,
  'Transfer-Encoding in disguise (TE.TE)': post('Transfer-Encoding: xchunked') + `0\r\n\r\n${HIDDEN}`,
  'Transfer-Encoding behind another coding': post('Transfer-Encoding: gzip, chunked') + `0\r\n\r\n${HIDDEN}`,
  'Transfer-Encoding with white space before the colon': post('Transfer-Encoding : chunked') + `0\r\n\r\n${HIDDEN}`,
  'Transfer-Encoding with a vertical tab': post('Transfer-Encoding: \x0bchunked') + `0\r\n\r\n${HIDDEN}`,
  'two lengths that differ': post('Content-Length: 0', `Content-Length: ${HIDDEN.length}`) + HIDDEN,
  'two lengths that agree': post('Content-Length: 0', 'Content-Length: 0') + HIDDEN,
  'a list of lengths': post(`Content-Length: 0, ${HIDDEN.length}`) + HIDDEN,
  'a length with a sign': post('Content-Length: +0') + HIDDEN,
  'a length that overflows': post('Content-Length: 18446744073709551616') + HIDDEN,
  'a bare LF at the end of a header': `POST / HTTP/1.1\r\nHost: h\r\nX: y\nContent-Length: 0\r\n\r\n${HIDDEN}`,
  'a bare LF at the end of the head': `POST / HTTP/1.1\r\nHost: h\r\n\n${HIDDEN}`,
  'a bare CR in a header': `POST / HTTP/1.1\r\nHost: h\r\nX: y\rContent-Length: 0\r\n\r\n${HIDDEN}`,
  'a folded header (obs-fold)': `POST / HTTP/1.1\r\nHost: h\r\nX: y\r\n ${CHUNKED}\r\n\r\n${HIDDEN}`,
  'a folded first header': `POST / HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n${HIDDEN}`,
  'a chunk extension with a bare LF': post(CHUNKED) + `1;a\nb\r\nx\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk extension with a bare CR': post(CHUNKED) + `1;a\rb\r\nx\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk extension with NUL': post(CHUNKED) + `1;a\0\r\nx\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk size that overflows': post(CHUNKED) + `10000000000000001\r\nx\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk size with a sign': post(CHUNKED) + `+1\r\nx\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk size with a space in it': post(CHUNKED) + `0 1\r\nx\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk size in another notation': post(CHUNKED) + `0x1\r\nx\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk longer than its size': post(CHUNKED) + `1\r\nxy\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk that ends with a bare LF': post(CHUNKED) + `1\r\nx\n0\r\n\r\n${HIDDEN}`,
  'a trailer that ends with a bare LF': post(CHUNKED) + `0\r\nX: y\n\r\n${HIDDEN}`,
  'NUL in a header': `POST / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n${HIDDEN}`,
  "NUL in a header's name": `POST / HTTP/1.1\r\nHost: h\r\nX\0: b\r\n\r\n${HIDDEN}`,
  'NUL in the target': `POST /\0 HTTP/1.1\r\nHost: h\r\n\r\n${HIDDEN}`,
};

/** Requests that uWebSockets.js accepts. */
const TAKEN_ELSEWHERE = new Set([
  'Transfer-Encoding twice (TE.TE)',
  'Transfer-Encoding in disguise (TE.TE)',
  'Transfer-Encoding behind another coding',
  'two lengths that differ',
  'two lengths that agree',
  'a bare CR in a header',
  'a chunk extension with a bare LF',
  'a chunk extension with a bare CR',
  'a chunk extension with NUL',
  'a chunk size with a space in it',
  'a chunk longer than its size',
  'a chunk that ends with a bare LF',
  'a trailer that ends with a bare LF',
]);

/** Returns the error response. uWebSockets.js reports an unsupported version for an invalid request line. */
const refusalOf = (name) => (isReference && name === 'NUL in the target' ? VERSION_NOT_SUPPORTED : BAD_REQUEST);

describe('no second request is seen, and the connection ends, behind', () => {
  for (const [name, bytes] of Object.entries(ATTACKS)) {
    it(name, TAKEN_ELSEWHERE.has(name) ? ours : {}, async (t) => {
      const seen = [];
      const { port } = serve(t, (app) =>
        app.any('/*', (res, req) => {
          seen.push(req.getUrl());
          res.onAborted(() => {});
          res.onData((_, isLast) => isLast && res.end());
        }),
      );
      // The bytes arrive at once, or split at each position that could make a difference.
      assert.ok((await exchange(port, bytes)).endsWith(refusalOf(name)));
      for (const split of new Set([...bytes.matchAll(/[\r\n:;\0]/g)].map(({ index }) => index + 1))) {
        const client = await RawSocket.connect(port);
        await client.writeAndTurn(bytes.slice(0, split));
        client.write(bytes.slice(split));
        assert.ok((await client.readToEnd()).toString().endsWith(refusalOf(name)), `split at ${split}`);
        client.destroy();
      }
      await turn();
      assert.ok(!seen.includes('/hidden'));
    });
  }
});
