'use strict';

// The text for Prometheus, its documentation, and the dashboard in examples/. __test__/operations/prometheus.test.mjs
// has Prometheus itself read it.

const assert = require('node:assert/strict');
const fs = require('node:fs/promises');
const path = require('node:path');
const { describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const { request } = require('./support/http.js');
const { parse } = require('./support/prometheus.js');
const { App, serve } = require('./support/server.js');
const { LAYER, flat } = require('./support/stats.js');
const { ours, root, uWS } = require('./support/uws.js');

describe('metrics', ours, () => {
  it('have the numbers of stats', async (t) => {
    const { app, port } = serve(t, (routes) => routes.get('/', (res) => res.end('hello')));
    const client = await RawSocket.connect(port);
    t.after(() => client.destroy());
    client.write(request('/'));
    await client.readResponse();
    const { series } = parse(app.metrics());
    const { sockets } = app.stats();
    assert.equal(series.milliways_http_requests_total, 1);
    assert.equal(series['milliways_http_responses_total{class="2xx"}'], 1);
    assert.equal(series[`milliways_open_connections{protocol="http",tls="${LAYER === 'tls'}"}`], 1);
    assert.equal(series.milliways_socket_sent_bytes_total, sockets.bytesSent);
    assert.equal(series['milliways_http_errors_total{cause="MISSING_HOST"}'], 0);
    assert.equal(Object.keys(series).length, Object.keys(flat(app.stats())).length);
    const ofProcess = parse(uWS.metrics()).series;
    assert.equal(ofProcess['milliways_http_requests_total{thread="0"}'], uWS.stats().threads[0].http.requests);
    assert.ok(ofProcess['milliways_memory_bytes{kind="buffers",thread="0"}'] > 0);
  });

  it('are all in docs/METRICS.md, with type, labels, place and meaning', async () => {
    const text = await fs.readFile(path.join(root, 'docs', 'METRICS.md'), 'utf8');
    const rows = text.split('\n').filter((line) => /^\| `\w+` +\| (counter|gauge)/.test(line));
    const cells = rows.map((line) =>
      line
        .slice(2, -2)
        .split(' | ')
        .map((cell) => cell.trim()),
    );
    const documented = cells.map(([metric, type, labels, , help]) => ({
      metric: metric.replaceAll('`', ''),
      type,
      labels: labels.replaceAll(/[` ]/g, '').split(',').filter(Boolean),
      help,
    }));
    const { metrics } = parse(uWS.metrics());
    const actual = metrics.map(({ labels, ...metric }) => ({
      ...metric,
      labels: labels.filter((label) => label !== 'thread'),
    }));
    const byName = (a, b) => (a.metric < b.metric ? -1 : 1);
    assert.deepEqual(documented.sort(byName), actual.sort(byName));

    // Each number of stats() is at exactly one of the places.
    const places = cells.map(([, , , place]) => place.replaceAll('`', ''));
    const patterns = places.map((place) => new RegExp(`^${place.replaceAll('.', '\\.').replaceAll('*', '\\w+')}$`));
    for (const number of Object.keys(flat(uWS.stats()))) {
      assert.equal(patterns.filter((pattern) => pattern.test(number)).length, 1, number);
    }
  });

  it('that the dashboard shows exist, with the labels that it groups by', async () => {
    const dashboard = JSON.parse(await fs.readFile(path.join(root, 'examples', 'Metrics.dashboard.json'), 'utf8'));
    const { metrics } = parse(uWS.metrics());
    const labelsOf = new Map(metrics.map(({ metric, labels }) => [metric, [...labels, 'job', 'instance']]));
    const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const variables = dashboard.templating.list.map(({ query }) => query.query).filter(Boolean);
    assert.ok(queries.length > 30 && variables.length === 2);
    const shown = new Set();
    for (const query of [...queries, ...variables]) {
      const names = query.match(/\b(milliways|http_server)_\w+/g);
      assert.equal(names?.length, 1, query);
      const [name] = names;
      assert.ok(labelsOf.has(name), `${name} in ${query}`);
      shown.add(name);
      const grouped = /\bby \(([^)]*)\)/.exec(query)?.[1].split(', ') ?? [];
      for (const label of grouped) assert.ok(labelsOf.get(name).includes(label), `${label} in ${query}`);
    }
    // It shows the metrics that are not mere details of others.
    for (const { metric } of metrics) {
      if (!/_(pings|pongs)_|listening|handed_over|http_requests_total|upgrade_requests/.test(metric)) {
        assert.ok(shown.has(metric), `${metric} is not shown`);
      }
    }
  });

  it('of an app have no label for its thread', () => {
    assert.doesNotMatch(App().metrics(), /thread=/);
  });
});
