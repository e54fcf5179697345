// Measures milliways beside uWebSockets.js, ws and node:http.
//
//   npm run bench                     all rows, in full: about half an hour
//   npm run bench -- echo http-hello  rows whose names begin with these
//   npm run bench -- --record         all rows; writes the result to docs/BENCHMARKS.md
//   npm run bench -- --record echo    these rows, replacing those recorded before
//
// The result is written to bench/results/last.{json,md} with charts beside them or, if recorded, to
// bench/results/recorded.json and the charts that docs/BENCHMARKS.md shows. See bench/README.md for the method.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BuildError, DEVELOP_NODE, build, isStale, requireNode, root, runMain } from '../scripts/build.mjs';
import { buildLoadgen } from './loadgen.mjs';
import { choosePair, describeCommit, describeMachine, watchSteal } from './machine.mjs';
import { measure } from './measure.mjs';
import { preparePeers } from './peers.mjs';
import { Progress } from './progress.mjs';
import { renderCharts, renderMarkdown } from './report.mjs';
import { ROWS, chooseRows } from './rows.mjs';

/**
 * Six values are the fewest that give a 95 % interval of the median. With an even number, no contender goes first more
 * often than another.
 */
const ROUNDS = 6;
const SECONDS = 3;
const WARMUP_SECONDS = 1;
/**
 * A measurement is repeated, up to this many attempts, if the hypervisor gave more than this share of the time to
 * others.
 */
const MAX_STEAL = 0.01;
const ATTEMPTS = 3;

/** The settings of --quick, which shows that everything works, but measures nothing useful. */
const QUICK = {
  rounds: 1,
  seconds: 1,
  warmup: 0.2,
  fewIdle: 200,
  manyIdle: 1000,
  idle: 500,
  idleSeconds: 1,
  silence: 0,
};
const FULL = {
  seconds: SECONDS,
  warmup: WARMUP_SECONDS,
  fewIdle: 5000,
  manyIdle: 18_000,
  silence: 5,
  idle: 10_000,
  idleSeconds: 12,
};

const USAGE = `usage: npm run bench [-- [row...] [options]]

  --rounds N     rounds for each row (default ${ROUNDS})
  --seconds S    seconds of measuring (default ${SECONDS})
  --warmup S     seconds of load before measuring (default ${WARMUP_SECONDS})
  --quick        run each row once for a second, to show that it works
  --right-peer   fail rather than fall back to the older binary of uWebSockets.js
  --record       write the result to docs/BENCHMARKS.md
  --render       measure nothing; rewrite docs/BENCHMARKS.md from the recorded result

rows: ${ROWS.map((row) => row.name).join(', ')}`;

const results = path.join(root, 'bench/results');
const docs = path.join(root, 'docs/BENCHMARKS.md');

await runMain(import.meta.url, async (args) => {
  const { values, positionals } = readArguments(args);
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  if (values.render) return record(JSON.parse(await readFile(path.join(results, 'recorded.json'), 'utf8')));
  if (process.platform !== 'linux')
    throw new BuildError('the benchmarks need Linux: they read /proc and pin processes to processors.');
  requireNode(DEVELOP_NODE, 'The benchmarks');
  const rows = choose(positionals);

  const result = await run(rows, {
    rounds: values.quick ? QUICK.rounds : Number(values.rounds),
    mustBeRight: values['right-peer'],
    setting: values.quick ? QUICK : { ...FULL, seconds: Number(values.seconds), warmup: Number(values.warmup) },
  });
  if (values.record) await record(await mergeRecorded(result));
  else await writeResult('last', result);
  const file = values.record ? 'docs/BENCHMARKS.md' : 'bench/results/last.md';
  process.stdout.write(`\n${renderMarkdown(result)}\nWritten to ${file}.\n`);
});

function readArguments(args) {
  const flag = { type: 'boolean', default: false };
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: String(ROUNDS) },
        seconds: { type: 'string', default: String(SECONDS) },
        warmup: { type: 'string', default: String(WARMUP_SECONDS) },
        quick: flag,
        'right-peer': flag,
        record: flag,
        render: flag,
        help: flag,
      },
    });
  } catch (error) {
    throw new BuildError(`${error.message}\n\n${USAGE}`, { cause: error });
  }
}

function choose(names) {
  try {
    return chooseRows(names);
  } catch (error) {
    throw new BuildError(error.message, { cause: error });
  }
}

async function run(rows, { rounds, mustBeRight, setting }) {
  if (await isStale()) await build();
  const loadgen = await buildLoadgen();
  const runtime = await preparePeers({ mustBeRight, say });
  const cpus = choosePair();

  const [date, commit] = [new Date().toISOString().slice(0, 10), describeCommit()];
  const result = {
    machine: describeMachine(),
    node: runtime.node,
    peer: runtime.binary,
    peerIsRight: runtime.isRight,
    rounds,
    seconds: setting.seconds,
    rows: rows.map(({ name, title, kind }) => ({ name, title, kind, date, commit, samples: {} })),
  };
  const progress = new Progress(rounds * rows.reduce((sum, row) => sum + contendersOf(row).length, 0));
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, row] of rows.entries()) {
      const order = contendersOf(row);
      if (round % 2 === 1) order.reverse();
      for (const { key, server } of order) {
        const sample = await measureInQuiet(row, server, { ...setting, runtime, cpus, loadgen });
        (result.rows[index].samples[key] ??= []).push(sample);
        progress.step(`round ${round + 1} of ${rounds}: ${row.name}, ${key}: ${brief(sample)}`);
      }
    }
  }
  progress.end();
  return result;
}

/** Returns the contenders of a row by their names in the samples. The second uWebSockets.js is the noise floor. */
function contendersOf(row) {
  const names = ['ours', 'uws', ...row.contenders];
  return [...names.map((name) => ({ key: name, server: name })), { key: 'uws-again', server: 'uws' }];
}

async function measureInQuiet(row, server, setting) {
  let best;
  for (let attempt = 0; attempt < ATTEMPTS && !(best?.steal <= MAX_STEAL); attempt += 1) {
    const stolen = watchSteal();
    const sample = await measure(row, server, setting);
    sample.steal = stolen();
    if (best === undefined || sample.steal < best.steal) best = sample;
  }
  return Object.fromEntries(Object.entries(best).map(([key, value]) => [key, Number(value.toPrecision(6))]));
}

async function writeResult(name, result) {
  await mkdir(results, { recursive: true });
  await writeFile(path.join(results, `${name}.json`), `${JSON.stringify(result, null, 1)}\n`);
  if (name === 'last') await writeFile(path.join(results, 'last.md'), renderMarkdown(result));
  for (const [chart, svg] of Object.entries(renderCharts(result))) {
    await writeFile(path.join(results, name === 'last' ? `last-${chart}.svg` : `${chart}.svg`), svg);
  }
}

/** Returns the recorded result with the rows of `result` replaced. All rows must come from the same machine. */
async function mergeRecorded(result) {
  if (result.rows.length === ROWS.length) return result;
  const recorded = JSON.parse(await readFile(path.join(results, 'recorded.json'), 'utf8'));
  for (const key of ['machine', 'node', 'peer', 'rounds', 'seconds']) {
    if (recorded[key] === result[key]) continue;
    throw new BuildError(
      `the recorded rows have a different ${key}: ${recorded[key]}, not ${result[key]}. Record all rows again.`,
    );
  }
  const byName = new Map([...recorded.rows, ...result.rows].map((row) => [row.name, row]));
  return { ...result, rows: ROWS.map(({ name }) => byName.get(name)).filter(Boolean) };
}

async function record(result) {
  await writeResult('recorded', result);
  const text = await readFile(docs, 'utf8');
  await writeFile(docs, replaceResults(text, renderMarkdown(result, { charts: '../bench/results' })));
}

/** Returns the page with the text between its two marks replaced. */
export function replaceResults(page, markdown) {
  const [begin, end] = ['<!-- results: begin, written by npm run bench -->\n', '<!-- results: end -->'];
  const from = page.indexOf(begin) + begin.length;
  const to = page.indexOf(end);
  if (from < begin.length || to < from)
    throw new BuildError('docs/BENCHMARKS.md has lost the marks around its results.');
  return `${page.slice(0, from)}\n${markdown}\n${page.slice(to)}`;
}

function brief({ rate, cpu, bytes, idle }) {
  if (rate !== undefined) return `${Math.round(rate)}/s`;
  if (bytes !== undefined) return `${bytes.toFixed(1)} B`;
  return idle === undefined ? `${cpu.toFixed(2)} µs` : `${idle.toFixed(3)} ms/s`;
}

function say(line) {
  process.stderr.write(`${line}\n`);
}
