// Runs the cases of the Autobahn suite against our server in each of its modes:
//
//   npm run autobahn                    all of them (about ten minutes)
//   npm run autobahn -- --quick         groups 1 to 10, and a few cases of 12 and 13 (compression)
//   npm run autobahn -- shared plain    these modes only
//
// The PyPI package kosoku drives the cases, from a virtual environment in target/. The behavior and the closing
// behavior of every case must be OK, or INFORMATIONAL where the suite has no opinion; compression cases may be
// UNIMPLEMENTED in the mode without compression. The suite's own summary counts NON-STRICT as passed, but this script
// does not.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { BuildError, build, isStale, root, runMain } from './build.mjs';
import { virtualEnvironment } from './python.mjs';

const KOSOKU = 'kosoku==0.1.0';
const MODES = ['plain', 'shared', 'dedicated', 'publish'];
const CASES = 517;

/** All groups without compression (there is no group 8), and some cases of each kind with it. */
const QUICK = [
  ...[1, 2, 3, 4, 5, 6, 7, 9, 10].map((group) => `${group}.*`),
  ...['12.1.1', '12.1.10', '12.2.5', '12.3.7', '12.4.3', '12.5.9'],
  ...['13.1.1', '13.2.6', '13.3.4', '13.4.8', '13.5.2', '13.6.10', '13.7.5'],
];

const folder = path.join(root, 'target', 'autobahn');

async function main() {
  const words = process.argv.slice(2);
  const isQuick = words.includes('--quick');
  const chosen = words.filter((word) => word !== '--quick');
  const unknown = chosen.find((mode) => !MODES.includes(mode));
  if (unknown !== undefined) throw new BuildError(`there is no mode ${unknown}; the modes are ${MODES.join(', ')}.`);
  if (await isStale()) await build();
  const python = await virtualEnvironment(path.join(folder, 'python'), [KOSOKU]);
  for (const mode of chosen.length > 0 ? chosen : MODES) await judge(mode, isQuick, python);
}

async function judge(mode, isQuick, python) {
  const output = path.join(folder, mode);
  await rm(output, { recursive: true, force: true });
  const server = spawn(process.execPath, ['__test__/conformance/autobahn/server.js', mode], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [port] = await once(createInterface({ input: server.stdout }), 'line');
    const cases = isQuick ? QUICK.flatMap((pattern) => ['-i', pattern]) : [];
    const kosoku = path.join(path.dirname(python), 'kosoku');
    const status = await run(kosoku, [`127.0.0.1:${port}`, '-o', output, '-p', '2', ...cases]);
    if (server.exitCode !== null) throw new BuildError(`${mode}: the server ended with ${server.exitCode}.`);
    const [results] = Object.values(JSON.parse(await readFile(path.join(output, 'index.json'), 'utf8')));
    report(mode, results, status, isQuick);
  } finally {
    server.kill();
  }
}

function report(mode, results, status, isQuick) {
  const isGood = (name, behavior) =>
    ['OK', 'INFORMATIONAL'].includes(behavior) ||
    (mode === 'plain' && behavior === 'UNIMPLEMENTED' && /^1[23]\./.test(name));
  const names = Object.keys(results);
  const bad = names.filter(
    (name) => !isGood(name, results[name].behavior) || !isGood(name, results[name].behaviorClose),
  );
  for (const name of bad) console.log(`${mode}, case ${name}: ${JSON.stringify(results[name])}`);
  console.log(`${mode}: ${names.length} cases, ${bad.length} of them not OK`);
  if (bad.length > 0) throw new BuildError(`${bad.length} cases are not OK; see target/autobahn/${mode}.`);
  // The driver's exit status says nothing about the cases. If results are missing, something else went wrong.
  if (names.length < (isQuick ? QUICK.length : CASES)) {
    throw new BuildError(`${mode}: only ${names.length} cases ran; the driver ended with ${status}.`);
  }
}

/** Runs a program to its end, discards its output, and returns its exit status. */
async function run(program, args) {
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const [status] = await once(child, 'exit');
  return status;
}

await runMain(import.meta.url, main);
