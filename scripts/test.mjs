// Runs the checks of this repository, each under a heading, and stops at the first that fails.
//
//   node scripts/test.mjs build rust js types lint
//
// The steps are those of STEPS below, in the order given; package.json names the usual combinations. Where CI=true, a
// skipped JavaScript test is a failure: on a developer's machine a missing browser is an inconvenience, in CI it is a
// hole that nobody would see.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  BuildError,
  DEVELOP_NODE,
  build,
  isStale,
  requireNode,
  root,
  runMain,
  rustEnvironment,
  writeTypes,
} from './build.mjs';

/** Each test file is a process of its own, with a server and its clients in it: two at once fill two cores. */
const TEST_FILES_AT_ONCE = 1;
/**
 * There to end what hangs, so far above what anything takes. Node 20 and 22 hold a whole file to it, Node 24 each test;
 * a test that waits for a peer sets a tighter one of its own.
 */
const TEST_TIMEOUT_MS = 180_000;
const SOAK_TIMEOUT_MS = 15 * 60_000;

/** Folders whose tests reach a server by what __test__/support/tls.js gives, as those of __test__ itself do. */
const TLS_FOLDERS = ['__test__', '__test__/conformance', '__test__/interop'];
/** Tests in them that have no server, or programs of others that serve without TLS, or that are of TLS itself. */
const NEVER_OVER_TLS = /^__test__\/(errors|SSLApp(\.\w+)?|interop\/(dropin|tls))\.test\.js$/;
/** How the reason of a test begins that means nothing over TLS; `clear` of __test__/support/tls.js gives it. */
const NOT_OVER_TLS = ' (not over TLS: ';

const STEPS = {
  build: { title: 'Build', run: buildIfStale },
  rust: { title: 'Rust tests', run: rustTests },
  js: { title: 'JavaScript tests', run: jsTests },
  tls: { title: 'JavaScript tests over TLS', run: tlsTests },
  types: { title: 'Type tests', run: typeTests },
  lint: { title: 'Formatting and linters', run: linters },
  slow: { title: 'Soak tests', run: soakTests },
  'drop-in': { title: 'Programs of dependents', run: dropIn },
};

async function buildIfStale() {
  if (await isStale()) await build();
  else say('dist/ is up to date.');
}

async function rustTests() {
  // Not the addon's own package: what names Node-API symbols links only into Node. Its tests are the JavaScript ones.
  await cargo('test', '-p', 'milliways-proto', '-p', 'milliways-net', '-p', 'milliways-loadgen');
}

async function jsTests() {
  // By name, since Node 20 takes no patterns.
  await testFiles((await listTestFiles()).filter((file) => !file.includes('/soak/')));
}

async function tlsTests() {
  const files = (await listTestFiles()).filter((file) => TLS_FOLDERS.includes(path.dirname(file)));
  await testFiles(
    files.filter((file) => !NEVER_OVER_TLS.test(file)),
    { env: { ...process.env, MILLIWAYS_TEST_TLS: '1' }, maySkip: (line) => line.includes(NOT_OVER_TLS) },
  );
}

async function listTestFiles() {
  return (await listFiles('__test__')).filter((file) => /\.test\.m?js$/.test(file));
}

async function testFiles(files, { env = process.env, maySkip = () => false } = {}) {
  if (files.length === 0) throw new BuildError('there is no test file under __test__.');

  const folder = await mkdtemp(path.join(tmpdir(), 'milliways-test-'));
  const skipped = path.join(folder, 'skipped');
  try {
    const options = [
      '--test',
      `--test-concurrency=${TEST_FILES_AT_ONCE}`,
      `--test-timeout=${TEST_TIMEOUT_MS}`,
      // A log gets TAP, which is what Node 20 gives it unasked; a person gets the tree.
      `--test-reporter=${process.stdout.isTTY ? 'spec' : 'tap'}`,
      '--test-reporter-destination=stdout',
      '--test-reporter=./scripts/skipped-reporter.mjs',
      `--test-reporter-destination=${skipped}`,
    ];
    await run(process.execPath, [...options, ...files], { env });
    judgeSkipped((await readFile(skipped, 'utf8')).split('\n').filter(Boolean), maySkip);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function judgeSkipped(tests, maySkip) {
  if (tests.length === 0) return;
  say(`\nSkipped:\n${tests.map((line) => `  ${line}`).join('\n')}`);
  if (process.env.CI !== 'true' || tests.every(maySkip)) return;
  throw new BuildError('in CI no test may be skipped but those that mean nothing over TLS.');
}

async function typeTests() {
  // The examples name dist/uws.js; this gives it types in a tree that was never built.
  await writeTypes();
  const projects = (await listFiles('__test__/types')).filter((file) => path.basename(file) === 'tsconfig.json');
  for (const project of projects) await tool('typescript/bin/tsc', '-p', project);
}

async function linters() {
  await cargo('fmt', '--all', '--check');
  await cargo('clippy', '--workspace', '--all-targets', '--', '-D', 'warnings');
  await tool('eslint/bin/eslint.js', '--max-warnings=0', '.');
  await tool('prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.');
}

async function soakTests() {
  // What lies in __test__/soak itself is a program; what they share has a folder below.
  const files = (await listFiles('__test__/soak')).filter((file) => /^__test__\/soak\/[^/]+\.m?js$/.test(file));
  if (files.length === 0) say('There are none.');
  for (const file of files) await run(process.execPath, [file], { timeout: SOAK_TIMEOUT_MS });
}

async function dropIn() {
  await node('__test__/drop-in/run.mjs');
}

async function cargo(...args) {
  await run('cargo', args, { env: await rustEnvironment() });
}

async function node(...args) {
  await run(process.execPath, args);
}

/** Runs the program of a development dependency. */
async function tool(program, ...args) {
  const file = `node_modules/${program}`;
  if (!existsSync(path.join(root, file))) throw new BuildError(`${file} is missing: run npm install first.`);
  await node(file, ...args);
}

/** Runs a program in the root of the repository, its output going where ours does. Fails when it does. */
async function run(program, args, { env = process.env, timeout } = {}) {
  const name = path.basename(program, '.exe');
  say(`$ ${[name, ...args].join(' ')}`);
  const child = spawn(program, args, {
    cwd: root,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout,
    killSignal: 'SIGKILL',
  });
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
  if (status !== 0) throw new BuildError(`${name} ${args[0]} ended with ${status}.`);
}

/** The files under a folder of the repository, at any depth, as sorted paths from the root. */
async function listFiles(folder) {
  const entries = await readdir(path.join(root, folder), { withFileTypes: true }).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const files = [];
  for (const entry of entries) {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) files.push(...(await listFiles(name)));
    else files.push(name);
  }
  return files.sort();
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

await runMain(import.meta.url, async (names) => {
  requireNode(DEVELOP_NODE, 'Developing milliways');
  const known = Object.keys(STEPS);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined || names.length === 0) {
    throw new BuildError(`${unknown ? `unknown step ${unknown}; name` : 'name'} one or more of: ${known.join(' ')}.`);
  }
  for (const name of names) {
    const { title, run } = STEPS[name];
    say(`\n=== ${title} ===`);
    try {
      await run();
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      throw new BuildError(`step "${name}" (${title}) failed: ${error.message}`, { cause: error });
    }
  }
  say(`\nAll of it passed: ${names.join(', ')}.`);
});
