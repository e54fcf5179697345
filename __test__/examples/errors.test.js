'use strict';

// The example that handles invalid requests.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const {
  BAD_REQUEST,
  HEADERS_TOO_LARGE,
  VERSION_NOT_SUPPORTED,
  exchange,
  fetch,
  request,
} = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Example } = require('./Example.js');

const KIBIBYTE = 1 << 10;

describe('HttpParsingErrorHandling', ours, () => {
  const start = (t) => Example.start(t, 'HttpParsingErrorHandling.js');

  const json = (body, headers = []) => ({
    method: 'POST',
    headers: ['Content-Type: application/json', `Content-Length: ${body.length}`, ...headers],
    body,
  });

  /** Returns the contents of a problem document, after checking that it is one. */
  function problem({ status, statusLine, headers, body }) {
    assert.equal(headers['content-type'], 'application/problem+json');
    const { detail, ...rest } = JSON.parse(body);
    assert.deepEqual(rest, { status, title: statusLine.slice('HTTP/1.1 000 '.length) });
    return [status, detail];
  }

  it('answers by itself what is no HTTP', async (t) => {
    const example = await start(t);
    for (const [wrong, expected] of [
      ['GET / HTTP/1.1\r\n\r\n', BAD_REQUEST],
      ['GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n', BAD_REQUEST],
      [request('/', { headers: ['Content-Length: 1', 'Content-Length: 2'] }), BAD_REQUEST],
      [request('/', { headers: ['Content-Length: x'] }), BAD_REQUEST],
      [request('/', { headers: [`A: ${'a'.repeat(8 * KIBIBYTE)}`] }), HEADERS_TOO_LARGE],
      [request('/', { headers: Array(101).fill('A: a') }), HEADERS_TOO_LARGE],
      ['GET / HTTP/2.0\r\nHost: a\r\n\r\n', VERSION_NOT_SUPPORTED],
      ['hello\r\n\r\n', BAD_REQUEST],
    ]) {
      assert.equal(await exchange(example.port, wrong), expected, wrong.slice(0, 50));
    }
    assert.match(
      await exchange(example.port, request('/', { headers: ['Content-Length: 65537'] })),
      /^HTTP\/1\.1 413 /,
    );
    assert.deepEqual([example.stderr, example.lines.length], ['', 1]);
  });

  it('says what flies, and takes bookings', async (t) => {
    const example = await start(t);
    assert.equal((await fetch(example.port, '/flights/HG%2042')).body, 'HG 42 flies.\n');
    const booked = await fetch(example.port, '/flights/HG%2042/bookings', json('{"seats":2}'));
    assert.deepEqual([booked.status, booked.body], [201, '2 seats on HG 42.\n']);
    assert.equal(example.stderr, '');
  });

  it('says in JSON what is wrong', async (t) => {
    const example = await start(t);
    const bookings = '/flights/HG%2042/bookings';
    const noJson = { method: 'POST', headers: ['Content-Length: 2'], body: '{}' };
    for (const [path, options, status, detail] of [
      ['/flights/%zz', {}, 400, /escape/],
      ['/flights/%ff', {}, 400, /escape/],
      ['/flights/HG%2044', {}, 404, /no flight HG 44/],
      ['/hotels', {}, 404, /nothing/],
      [bookings, noJson, 415, /application\/json/],
      [bookings, json('{'), 400, /not valid JSON/],
      [bookings, json(''), 400, /not valid JSON/],
      [bookings, json('null'), 422, /how many/],
      [bookings, json('{"seats":10}'), 422, /how many/],
      [bookings, json('{"seats":"1"}'), 422, /how many/],
      [bookings, json(' '.repeat(KIBIBYTE + 1)), 413, /at most 1024 bytes/],
    ]) {
      const [is, says] = problem(await fetch(example.port, path, options));
      assert.equal(is, status, path);
      assert.match(says, detail);
    }
    for (const [path, allowed] of Object.entries({ '/flights/x': 'GET', [bookings]: 'POST' })) {
      const response = await fetch(example.port, path, { method: 'DELETE' });
      assert.equal(problem(response)[0], 405);
      assert.equal(response.headers.allow, allowed);
    }
    assert.equal(example.stderr, '');
  });

  it('keeps a mistake of its own to itself, and goes on', async (t) => {
    const example = await start(t);
    assert.deepEqual(problem(await fetch(example.port, '/flights/crash')), [500, 'This is our fault.']);
    await until(() => example.stderr.startsWith('Error: the engine has failed'), 'failure');
    assert.equal((await fetch(example.port, '/flights/HG%2043')).status, 200);
  });

  it('outlives bodies that turn out to be bad, and clients that leave', async (t) => {
    const example = await start(t);
    const headers = ['Content-Type: application/json', 'Transfer-Encoding: chunked', 'Expect: 100-continue'];
    const begin = async () => {
      const client = await RawSocket.connect(example.port);
      t.after(() => client.destroy());
      client.write(request('/flights/HG%2042/bookings', { method: 'POST', headers }));
      // The interim response shows that the handler has run.
      await client.readHead();
      return client;
    };
    const bad = await begin();
    bad.write('zz\r\n');
    assert.equal((await bad.readToEnd()).toString(), BAD_REQUEST);
    await example.printed('A booking was aborted.');
    for (const leave of ['destroy', 'reset']) {
      (await begin())[leave]();
      await example.printed('A booking was aborted.');
    }
    // This body exceeds the limit of the route, which responds.
    const long = await begin();
    long.write(`401\r\n${' '.repeat(KIBIBYTE + 1)}\r\n`);
    assert.equal(problem(await long.readResponse())[0], 413);
    assert.equal(example.stderr, '');
  });
});
