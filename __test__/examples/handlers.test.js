'use strict';

// The examples of handlers that respond later, and of ports.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Example } = require('./Example.js');

async function answer(url) {
  const response = await fetch(url);
  return { status: response.status, body: await response.text() };
}

describe('AsyncFunction', ours, () => {
  it('answers after an await', async (t) => {
    const example = await Example.start(t, 'AsyncFunction.js');
    assert.deepEqual(await answer(`${example.url}/users/2`), { status: 200, body: 'Ford\n' });
    assert.deepEqual(await answer(`${example.url}/users/3`), { status: 404, body: '404 Not Found\n' });
    assert.deepEqual(await answer(`${example.url}/search?for=the%20tea`), {
      status: 200,
      body: '{"books":["A history of the tea"],"guides":["the tea: mostly harmless"]}',
    });
    assert.equal(example.stderr, '', 'no warning of a write outside of a cork');
  });

  it('answers what fails with 500, and goes on', async (t) => {
    const example = await Example.start(t, 'AsyncFunction.js');
    assert.equal((await answer(`${example.url}/users/broken`)).status, 500);
    const search = await answer(`${example.url}/search?for=broken`);
    assert.deepEqual(search, { status: 500, body: '{"error":"Try again later."}' });
    const failures = /^Error: the database is down[^]*^Error: the index is gone/m;
    await until(() => failures.test(example.stderr), 'both failures');
    assert.equal((await answer(`${example.url}/users/1`)).body, 'Arthur\n');
  });

  it('outlives a client that leaves meanwhile, and calls off what was for it', async (t) => {
    // This is long enough for the client to leave first.
    const example = await Example.start(t, 'AsyncFunction.js', { env: { LATENCY: '1000' } });
    for (const leave of ['destroy', 'reset']) {
      for (const [path, begun, left] of [
        ['/users/1', 'Looking up 1', 'The client left.'],
        ['/users/broken', 'Looking up broken', 'The client left.'],
        ['/search?for=tea', 'Searching for tea', 'No longer searching for tea'],
      ]) {
        const client = await RawSocket.connect(example.port);
        client.write(request(path));
        await example.printed(begun);
        client[leave]();
        await example.printed(left);
      }
    }
    // This is answered after the earlier requests.
    assert.equal((await answer(`${example.url}/users/1`)).body, 'Arthur\n');
    assert.doesNotMatch(example.stderr, /uWS\.HttpResponse|AbortError/);
  });
});

describe('AutomaticPortSelection', ours, () => {
  it('takes the next port if one is taken', async (t) => {
    const first = await Example.start(t, 'AutomaticPortSelection.js');
    const second = await Example.start(t, 'AutomaticPortSelection.js', { port: first.port });
    assert.equal(second.lines[0], `Port ${first.port} is taken`);
    assert.ok(second.port > first.port && second.port < first.port + 10, `${second.port} after ${first.port}`);
    for (const { url, port, stderr } of [first, second]) {
      assert.equal((await answer(url)).body, `This is port ${port}.\n`);
      assert.equal(stderr, '');
    }
  });

  it('gives up when there is none', async (t) => {
    const last = net.createServer().listen(65535);
    t.after(() => last.close());
    // If another program has the port, that is just as good.
    await once(last, 'listening').catch((error) => assert.equal(error.code, 'EADDRINUSE'));
    const { code, stderr } = await Example.run('AutomaticPortSelection.js', { port: 65535 });
    assert.deepEqual(
      [code, stderr],
      [1, 'No port from 65535 to 65535 is available: listen EADDRINUSE: address already in use :::65535\n'],
    );
  });
});
