'use strict';

// HTTP requests and responses as bytes.

const assert = require('node:assert/strict');
const { RawSocket } = require('./RawSocket.js');
const { isReference } = require('./uws.js');

/** Returns a request with a Host field and the given header lines. */
function request(target, { method = 'GET', headers = [], body = '' } = {}) {
  const lines = ['Host: localhost', ...headers].map((line) => `${line}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

/** Makes one request on its own connection; returns the response as `RawSocket.readResponse` does. */
async function fetch(port, target, options = {}) {
  const client = await RawSocket.connect(port);
  client.write(request(target, options));
  const response = await client.readResponse({ noBody: options.method === 'HEAD' });
  client.destroy();
  return response;
}

/** Makes one request on its own connection, which the server closes; returns all it sent, with the date replaced. */
async function exchange(port, bytes) {
  const client = await RawSocket.connect(port);
  client.write(bytes);
  const received = await client.readToEnd();
  client.destroy();
  return withoutDate(received.toString('latin1'));
}

/** Replaces each Date in the text with `-`, after checking that it is a valid one. */
function withoutDate(text) {
  return text.replace(/^Date: (.*)\r$/gm, (_, date) => {
    assert.match(date, /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/);
    assert.ok(Math.abs(Date.parse(date) - Date.now()) < 60_000, `${date} is not now`);
    return 'Date: -\r';
  });
}

/**
 * Returns the response to bytes that are not a valid or supported request, after which the server closes the
 * connection.
 */
function errorResponse(status, reason, more = '') {
  return (
    `HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\n\r\n` +
    `<h1>${reason}</h1>${more}<hr><i>uWebSockets/20 Server</i>`
  );
}

const BAD_REQUEST = errorResponse(400, 'Bad Request');
const HEADERS_TOO_LARGE = errorResponse(431, 'Request Header Fields Too Large');
const VERSION_NOT_SUPPORTED = errorResponse(
  505,
  'HTTP Version Not Supported',
  '<p>This server does not support HTTP/1.0.</p>',
);

/** The bytes of a response from `end('ok')`. */
const OK = 'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 2\r\n\r\nok';

/** Returns the text that a response has if the client asked for the connection to be closed. */
function closing(text) {
  return isReference ? text : text.replace('\r\nDate: ', '\r\nConnection: close\r\nDate: ');
}

module.exports = {
  OK,
  closing,
  request,
  fetch,
  exchange,
  withoutDate,
  BAD_REQUEST,
  HEADERS_TOO_LARGE,
  VERSION_NOT_SUPPORTED,
};
