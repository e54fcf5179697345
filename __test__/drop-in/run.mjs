// Runs programs of packages that people use with uWebSockets.js, once with milliways and once with uWebSockets.js
// itself in node_modules, and compares what their clients see:
//
//   npm run test:drop-in                    all of them
//   npm run test:drop-in -- socket.io       these
//   npm run test:drop-in -- --ours          only with milliways
//   npm run test:drop-in -- --lock [name]   asks npm for the newest dependencies that package.json allows, and writes
//                                           package-lock.json
//
// README.md describes the parts of a program. Any difference is our mistake, unless the scenario gives a reason for it.

import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { inspect, isDeepStrictEqual } from 'node:util';
import { preparePeers } from '../../bench/peers.mjs';
import { BuildError, build, isStale, runMain } from '../../scripts/build.mjs';
import { here, install, lock, packBoth } from './parts/install.mjs';
import { play } from './parts/play.mjs';

async function main(words) {
  const options = new Set(words.filter((word) => word.startsWith('--')));
  const all = await programs();
  const chosen = words.filter((word) => !word.startsWith('--'));
  const unknown = chosen.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new BuildError(`there is no program ${unknown}; there are ${all.join(', ')}.`);

  if (await isStale()) await build();
  const runtime = await preparePeers({ mustBeRight: !options.has('--ours'), say: console.log });
  const tarballs = await packBoth();
  const names = chosen.length > 0 ? chosen : all;
  if (options.has('--lock')) {
    for (const name of names) await lock(name, tarballs.ours);
    return;
  }
  console.log(`Node ${runtime.node}; ${runtime.binary}`);
  const variants = options.has('--ours') ? ['ours'] : ['ours', 'theirs'];
  const failed = [];
  for (const name of names) if (!(await judge(name, variants, tarballs, runtime.command))) failed.push(name);
  if (failed.length > 0) throw new BuildError(`not as they should be: ${failed.join(', ')}.`);
}

async function programs() {
  const folders = await readdir(here, { withFileTypes: true });
  return folders.filter((entry) => entry.isDirectory() && entry.name !== 'parts').map(({ name }) => name);
}

/** Runs a program with each variant, and prints what is wrong; returns whether all is well. */
async function judge(name, variants, tarballs, command) {
  const { steps, differences = {} } = await import(path.join(here, name, 'scenario.mjs'));
  const seen = {};
  const started = Date.now();
  for (const variant of variants) {
    const folder = await install(name, variant, tarballs[variant]);
    seen[variant] = await play({ name, folder, command, steps });
  }
  const problems = [...failures(seen.ours), ...(seen.theirs ? deviations(seen, differences) : [])];
  const { version } = JSON.parse(await readFile(path.join(here, name, 'package.json'), 'utf8'));
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  const verdict = problems.length === 0 ? 'equal' : `${problems.length} not as they should be`;
  console.log(`${name} ${version}: ${Object.keys(steps).length} steps, ${verdict}; ${seconds} s`);
  for (const problem of problems) console.log(problem.replace(/^/gm, '    '));
  return problems.length === 0;
}

function failures(observations) {
  return Object.entries(observations)
    .filter(([, observation]) => observation.error !== undefined)
    .map(([step, { error }]) => `${step}\nwith milliways: ${error}`);
}

function deviations({ ours, theirs }, differences) {
  const problems = [];
  for (const step of Object.keys(ours)) {
    const isEqual = isDeepStrictEqual(ours[step], theirs[step]);
    if (isEqual && step in differences) problems.push(`${step}\nis equal, though it has a reason to differ`);
    if (isEqual || step in differences) continue;
    const show = (value) => inspect(value, { depth: 8, breakLength: 120, maxStringLength: 2000 });
    problems.push(`${step}\nmilliways: ${show(ours[step])}\nuWebSockets.js: ${show(theirs[step])}`);
  }
  return problems;
}

await runMain(import.meta.url, main);
