// Prometheus reads the metrics, and answers the queries of the dashboard and of docs/METRICS.md.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { BuildError, root } from '../../scripts/build.mjs';
import { debianPackages } from '../../scripts/debian.mjs';
import { Client } from '../examples/Client.js';
import { Example } from '../examples/Example.js';
import { freePort } from '../support/freePort.js';
import { fetch } from '../support/http.js';
import { uWS } from '../support/uws.js';
import { until } from '../support/wait.js';

/** For a program to start or to end on a loaded machine, in milliseconds. */
const PATIENCE = 60_000;

/** Returns the packages with Prometheus, or why they cannot be had. */
async function fetchPrometheus() {
  try {
    return { debian: await debianPackages(path.join(root, 'target', 'debian'), ['prometheus']) };
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return { skip: error.message };
  }
}

const { debian, skip } = await fetchPrometheus();

/** Runs promtool with this input. */
function promtool(args, input) {
  const { status, stdout, stderr } = spawnSync(path.join(debian.root, 'usr/bin/promtool'), args, {
    input,
    env: debian.env,
    encoding: 'utf8',
  });
  return { status, said: `${stdout}${stderr}` };
}

/** The queries of the dashboard, as Grafana sends them, and those of the documentation. */
function queries() {
  const dashboard = JSON.parse(readFileSync(path.join(root, 'examples', 'Metrics.dashboard.json'), 'utf8'));
  const shown = dashboard.panels
    .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    .map((query) =>
      query.replaceAll('$job', 'server').replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m'),
    );
  const text = readFileSync(path.join(root, 'docs', 'METRICS.md'), 'utf8');
  const [, table] = /^## What to watch\n([^]*?)\n## /m.exec(text);
  const documented = [...table.matchAll(/`((?:sum|rate|milliways_)[^`]*)`/g)].map(([, query]) =>
    query.replaceAll('\\|', '|'),
  );
  return { shown, documented };
}

describe('Prometheus', { skip }, () => {
  for (const [name, text] of Object.entries({
    'an app': () => uWS.App().metrics(),
    'a process': () => uWS.metrics(),
  })) {
    it(`finds nothing wrong with the metrics of ${name}`, () => {
      assert.deepEqual(promtool(['check', 'metrics'], text()), { status: 0, said: '' });
    });
  }

  it('would find it', () => {
    const text = uWS.metrics().replaceAll('milliways_http_requests_total', 'milliways_http_requests');
    const { status, said } = promtool(['check', 'metrics'], text);
    assert.notEqual(status, 0);
    assert.match(said, /milliways_http_requests /);
  });

  it('scrapes the example, and answers all queries', async (t) => {
    const [metricsPort, port] = [await freePort(), await freePort()];
    const example = await Example.start(t, 'Metrics.js', { env: { METRICS_PORT: String(metricsPort) } });
    await example.printed(`Metrics on port ${metricsPort}`);
    const [first, second] = [await Client.open(t, example.webSocketUrl), await Client.open(t, example.webSocketUrl)];
    first.send({ hello: 1 });
    assert.deepEqual(await second.next(), { hello: 1 });

    const folder = mkdtempSync(path.join(tmpdir(), 'milliways-prometheus-'));
    const targets = [{ targets: [`127.0.0.1:${metricsPort}`] }];
    // JSON is YAML.
    const configuration = {
      global: { scrape_interval: '1s' },
      scrape_configs: [{ job_name: 'server', static_configs: targets }],
    };
    writeFileSync(path.join(folder, 'prometheus.yml'), JSON.stringify(configuration));
    const child = spawn(
      path.join(debian.root, 'usr/bin/prometheus'),
      [
        `--config.file=${folder}/prometheus.yml`,
        `--storage.tsdb.path=${folder}/data`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { env: debian.env, stdio: 'ignore', cwd: folder },
    );
    const ended = once(child, 'exit');
    t.after(async () => {
      child.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    });

    const ask = async (query) => {
      const { body } = await fetch(port, `/api/v1/query?query=${encodeURIComponent(query)}`);
      return JSON.parse(body);
    };
    const isUp = async () => {
      const answer = await ask('sum_over_time(up{job="server"}[1m]) > 2').catch(() => undefined);
      return answer?.data.result.length === 1;
    };
    await until(isUp, 'successful scrapes', PATIENCE);
    const { shown, documented } = queries();
    assert.ok(shown.length > 30 && documented.length > 8);
    for (const query of [...shown, ...documented]) {
      const { status, error, data } = await ask(query);
      assert.equal(status, 'success', `${query}: ${error}`);
      // A comparison keeps only what it is true for.
      if (!query.includes(' > 0')) assert.ok(data.result.length > 0, `nothing for ${query}`);
    }
    const { data } = await ask('milliways_websocket_messages_received_total');
    assert.deepEqual(
      data.result.map(({ metric, value }) => [metric.job, metric.thread, value[1]]),
      [['server', '0', '1']],
    );
  });
});
