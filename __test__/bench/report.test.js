'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs/promises');
const path = require('node:path');
const { describe, it } = require('node:test');
const { root } = require('../support/uws.js');

const report = import('../../bench/report.mjs');
const rows = import('../../bench/rows.mjs');

/** Returns a result with one row, in which ours is a tenth faster. */
function result({ rounds = 6, peerIsRight = true, serverBusy = 1, loadBusy = 0.5 } = {}) {
  const rates = (factor) => Array.from({ length: rounds }, (_, round) => factor * (100_000 + round));
  const samples = (values) => values.map((rate) => ({ rate, cpu: 1e6 / rate, serverBusy, loadBusy }));
  const all = { ours: rates(1.1), uws: rates(1), 'uws-again': rates(1), ws: rates(0.5) };
  return {
    machine: 'a machine',
    node: 'v22.1.0',
    peer: 'some binary',
    peerIsRight,
    rounds,
    seconds: 3,
    rows: [
      {
        name: 'echo',
        title: 'Echo',
        kind: 'load',
        date: '2026-01-02',
        commit: 'abc',
        samples: Object.fromEntries(Object.entries(all).map(([name, values]) => [name, samples(values)])),
      },
    ],
  };
}

describe('the tables of the benchmarks', () => {
  it('say where they are from, and have medians, spread, ratio, noise and verdict', async () => {
    const { renderMarkdown } = await report;
    const text = renderMarkdown(result());
    for (const part of ['2026-01-02', 'commit abc', 'a machine', 'Node v22.1.0', 'some binary', '6 rounds, 3 s each']) {
      assert.ok(text.includes(part), part);
    }
    assert.ok(!text.includes('older'));
    const [echo] = text.split('\n').filter((line) => line.startsWith('| Echo'));
    assert.equal(
      echo,
      '| Echo | 110,000/s ± 0.0 % | 100,000/s ± 0.0 % | 50,000/s ± 0.0 % ' +
        '| 1.10 [1.10, 1.10] | 1.00 [1.00, 1.00] | **better** | 100 %, 50 % |',
    );
  });

  it('say that the peer is the older one, in the head of every table', async () => {
    const { renderMarkdown } = await report;
    const text = renderMarkdown(result({ peerIsRight: false }));
    assert.equal(text.match(/\| uWebSockets\.js \(older binary\) \|/g).length, 2);
    assert.match(text, /\*\*The recent binary of uWebSockets\.js did not run/);
  });

  it('pass no judgement after too few rounds', async () => {
    const { renderMarkdown } = await report;
    const text = renderMarkdown(result({ rounds: 5 }));
    assert.match(text, /too few rounds/);
    assert.ok(!text.includes('**better**'));
  });

  it('do not take the rate of a load that has no time left for that of a server', async () => {
    const { renderMarkdown } = await report;
    const [rate, cpu] = renderMarkdown(result({ serverBusy: 0.8, loadBusy: 0.98 })).match(/^\| Echo.*$/gm);
    assert.match(rate, /\| limited by the load generator \|/);
    assert.match(cpu, /\| \*\*better\*\* \|/);
  });
});

describe('docs/BENCHMARKS.md', () => {
  it('shows what was recorded, of every row', async () => {
    const { renderMarkdown } = await report;
    const { ROWS } = await rows;
    const recorded = JSON.parse(await fs.readFile(path.join(root, 'bench/results/recorded.json'), 'utf8'));
    assert.deepEqual(
      recorded.rows.map(({ name }) => name),
      ROWS.filter(({ name, isNew }) => !isNew || recorded.rows.some((row) => row.name === name)).map(
        ({ name }) => name,
      ),
    );
    const page = await fs.readFile(path.join(root, 'docs/BENCHMARKS.md'), 'utf8');
    const shown = renderMarkdown(recorded, { charts: '../bench/results' });
    // After a change to report.mjs, run: npm run bench -- --render
    assert.ok(page.includes(`\n${shown}\n`), 'the page is not what bench/report.mjs makes of the recorded result');
    for (const [, chart] of shown.matchAll(/\]\(\.\.\/(bench\/results\/\w+\.svg)\)/g)) {
      assert.match(await fs.readFile(path.join(root, chart), 'utf8'), /^<svg /);
    }
  });
});

describe('the rows of the benchmarks', () => {
  it('are chosen by the beginning of their names', async () => {
    const { ROWS, chooseRows } = await rows;
    assert.deepEqual(chooseRows([]), ROWS);
    assert.deepEqual(
      chooseRows(['idle-c', 'http']).map(({ name }) => name),
      ['http-hello', 'http-hello-pipelined', 'idle-cpu'],
    );
    assert.throws(() => chooseRows(['no-such']), /there is no row no-such; the rows are echo-20-200x1/);
  });
});
