'use strict';

// The example of cached responses.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Example } = require('./Example.js');

describe('HttpCache', ours, () => {
  const start = (t, env) => Example.start(t, 'HttpCache.js', { env: { LATENCY: '10', ...env } });

  async function get(example, name, options) {
    const response = await fetch(`${example.url}/reports/${name}`, options);
    return { status: response.status, body: await response.text(), headers: response.headers };
  }

  /** Each new report has its own number. */
  const numberOf = async (example, name) => JSON.parse((await get(example, name)).body).number;

  it('makes a report once, for all who ask for it', async (t) => {
    const example = await start(t, { LATENCY: '200' });
    const reports = await Promise.all(Array.from({ length: 10 }, () => get(example, 'towels')));
    reports.push(await get(example, 'towels'));
    for (const { status, body, headers } of reports) {
      assert.deepEqual([status, body], [200, '{"name":"towels","number":1}']);
      assert.match(headers.get('cache-control'), /^max-age=(60|5\d)$/);
      assert.equal(headers.get('etag'), reports[0].headers.get('etag'));
    }
    assert.equal(await numberOf(example, 'tea'), 2);
    assert.equal(example.stderr, '', 'no warning of a write outside of a cork');
  });

  it('makes it anew when it has got too old', async (t) => {
    const example = await start(t, { MAX_AGE: '20' });
    const old = await get(example, 'towels');
    await until(async () => (await get(example, 'towels')).body !== old.body, 'new report');
    const { status, headers } = await get(example, 'towels', { headers: { 'If-None-Match': old.headers.get('etag') } });
    assert.equal(status, 200, 'the old one is no longer the current one');
    assert.equal(headers.get('cache-control'), 'max-age=0');
  });

  it('does not send what the client has', async (t) => {
    const example = await start(t);
    const tag = (await get(example, 'towels')).headers.get('etag');
    for (const known of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
      const client = await RawSocket.connect(example.port);
      // Without a body, the first response is immediately followed by the second.
      client.write(request('/reports/towels', { headers: [`If-None-Match: ${known}`] }) + request('/reports/towels'));
      const { status, headers, head } = await client.readResponse({ noBody: true });
      assert.deepEqual([status, headers.etag], [304, tag], known);
      assert.match(headers['cache-control'], /^max-age=/);
      assert.doesNotMatch(head, /content-length|transfer-encoding|content-type/i);
      assert.equal((await client.readResponse()).body, '{"name":"towels","number":1}');
      client.destroy();
    }
    assert.equal((await get(example, 'towels', { headers: { 'If-None-Match': '"other"' } })).status, 200);
  });

  it('keeps only so many, and of these the ones that are asked for', async (t) => {
    const example = await start(t, { MAX_REPORTS: '2' });
    const numbers = [];
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) numbers.push(await numberOf(example, name));
    assert.deepEqual(numbers, [1, 2, 1, 3, 1, 4]);
  });

  it('does not keep a failure', async (t) => {
    const example = await start(t);
    for (let i = 0; i < 2; i += 1) {
      const { status, headers } = await get(example, 'broken');
      assert.deepEqual([status, headers.get('cache-control')], [503, 'no-store']);
      await example.printed('Making broken');
    }
    await until(() => example.stderr.startsWith('Error: the figures are missing'), 'failure');
  });

  it('does not look for what is no name', async (t) => {
    const example = await start(t);
    for (const name of ['', 'A', '%61', 'a'.repeat(21)]) assert.equal((await get(example, name)).status, 404, name);
    assert.equal(await numberOf(example, 'towels'), 1, 'the first that is made');
  });

  it('outlives a client that leaves while its report is made, and keeps the report', async (t) => {
    const example = await start(t, { LATENCY: '1000' });
    for (const [leave, name] of Object.entries({ destroy: 'towels', reset: 'broken' })) {
      const client = await RawSocket.connect(example.port);
      client.write(request(`/reports/${name}`));
      await example.printed(`Making ${name}`);
      client[leave]();
      await example.printed('The client left.');
    }
    await until(() => example.stderr !== '', 'failure');
    assert.equal(await numberOf(example, 'towels'), 1);
    assert.doesNotMatch(example.stderr, /uWS\.HttpResponse/);
  });
});
