'use strict';

// The example of health checks.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { fetch } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Client } = require('./Client.js');
const { Example } = require('./Example.js');

describe('HealthChecks', ours, () => {
  const status = async ({ port }, path) => (await fetch(port, path)).status;

  it('is alive and ready, then alive and not ready while it serves its clients, and then gone', async (t) => {
    const example = await Example.start(t, 'HealthChecks.js', { env: { NOTICE: '2000' } });
    await until(async () => (await status(example, '/ready')) === 200, 'readiness');
    assert.equal(await status(example, '/live'), 200);
    const client = await Client.open(t, example.webSocketUrl);
    assert.equal(await client.ask(1), 1);

    example.kill('SIGTERM');
    await example.printed('Not ready any more');
    assert.equal(await status(example, '/ready'), 404);
    assert.equal(await status(example, '/live'), 200);
    assert.equal(await client.ask(2), 2);
    // Somebody who has not noticed yet.
    const late = await Client.open(t, example.webSocketUrl);
    assert.equal(await late.ask(3), 3);

    for (const one of [client, late]) assert.deepEqual(await one.closed(), [1001, '']);
    assert.deepEqual(await example.exit(), { code: 0, signal: null, stderr: '' });
    assert.equal(example.lines.at(-1), 'Shut down');
  });
});
