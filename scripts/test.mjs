// Runs the checks of this repository, each under a heading, and stops at the first that fails.
//
//   node scripts/test.mjs build rust js types lint
//
// The steps are those of STEPS below, and run in the given order; package.json names the usual combinations. With
// CI=true a skipped JavaScript test is a failure: a missing browser is an inconvenience on a developer's machine, but
// in CI it is a gap that nobody would notice.

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
import { OTHER_WORKSPACES, checkDependencies } from './dependencies.mjs';

/**
 * Each test file runs a server and its clients in its own process. With two at once, they would compete for two cores.
 */
const TEST_FILES_AT_ONCE = 1;
/**
 * Ends what hangs, so it is far longer than any file takes. Node 20 and 22 apply it to a whole file, Node 24 to each
 * test. A test that waits for a peer sets a shorter timeout of its own.
 */
const TEST_TIMEOUT_MS = 180_000;
const SOAK_TIMEOUT_MS = 15 * 60_000;

/** Folders whose tests reach a server through __test__/support/tls.js, including __test__ itself. */
const TLS_FOLDERS = ['__test__', '__test__/conformance', '__test__/interop'];
/** Test files in them that have no server, run other people's programs without TLS, or test TLS itself. */
const NEVER_OVER_TLS = /^__test__\/(errors|SSLApp(\.\w+)?|interop\/(dropin|tls))\.test\.js$/;
/**
 * Marks the reason of a test that is skipped because it means nothing over TLS; `clear` of __test__/support/tls.js adds
 * it.
 */
const NOT_OVER_TLS = ' (not over TLS: ';

/** The simulation of the reactor, and the feature that it needs. */
const SIMULATION = ['-p', 'milliways-net', '--features', 'simulation', '--test', 'simulation'];

const STEPS = {
  build: { title: 'Build', run: buildIfStale },
  rust: { title: 'Rust tests', run: rustTests },
  js: { title: 'JavaScript tests', run: jsTests },
  tls: { title: 'JavaScript tests over TLS', run: tlsTests },
  types: { title: 'Type tests', run: typeTests },
  lint: { title: 'Formatting and linters', run: linters },
  slow: { title: 'Soak tests, and tests of docs/OPERATIONS.md', run: slowTests },
  'drop-in': { title: 'Programs of dependents', run: dropIn },
};

async function buildIfStale() {
  if (await isStale()) await build();
  else say('dist/ is up to date.');
}

async function rustTests() {
  // The addon's own package is left out: code that uses Node-API symbols links only into Node, and the JavaScript tests
  // cover it.
  const packages = ['proto', 'tls', 'net', 'simnet', 'loadgen', 'node-model'].flatMap((name) => [
    '-p',
    `milliways-${name}`,
  ]);
  await cargo('test', ...packages);
  // With this feature, sockets are in memory, so nothing else is tested with it.
  await cargo('test', ...SIMULATION);
}

async function jsTests() {
  // Files are named one by one because Node 20 does not support patterns.
  await testFiles((await listTestFiles()).filter((file) => !/^__test__\/(soak|operations)\//.test(file)));
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

async function testFiles(files, { env = process.env, maySkip = () => false, timeout = TEST_TIMEOUT_MS } = {}) {
  if (files.length === 0) throw new BuildError('there are no test files in __test__.');

  const folder = await mkdtemp(path.join(tmpdir(), 'milliways-test-'));
  const skipped = path.join(folder, 'skipped');
  try {
    const options = [
      '--test',
      `--test-concurrency=${TEST_FILES_AT_ONCE}`,
      `--test-timeout=${timeout}`,
      // A log gets TAP, the default of Node 20 without a terminal; a terminal gets the tree.
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
  throw new BuildError('in CI, only tests that mean nothing over TLS may be skipped.');
}

async function typeTests() {
  // The examples require dist/uws.js. This gives it types even if nothing has been built.
  await writeTypes();
  const projects = (await listFiles('__test__/types')).filter((file) => path.basename(file) === 'tsconfig.json');
  for (const project of projects) await tool('typescript/bin/tsc', '-p', project);
}

async function linters() {
  await cargo('fmt', '--all', '--check');
  await cargo('clippy', '--workspace', '--all-targets', '--', '-D', 'warnings');
  await cargo('clippy', ...SIMULATION, '--', '-D', 'warnings');
  for (const workspace of OTHER_WORKSPACES) await lintWorkspace(workspace);
  await documentation();
  await tool('eslint/bin/eslint.js', '--max-warnings=0', '.');
  await tool('prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.');
  await checkDependencies();
}

async function lintWorkspace(workspace) {
  const manifest = `--manifest-path=${workspace}/Cargo.toml`;
  await cargo('fmt', manifest, '--check');
  // The benchmarks are built with the release profile as well, so their C libraries are compiled only once. Clippy does not
  // link: given a path, libfuzzer-sys does not compile libFuzzer, which would need a C++ compiler.
  const env = { CUSTOM_LIBFUZZER_PATH: path.join(root, 'fuzz', 'target', 'libfuzzer.a') };
  await cargoWith(env, 'clippy', manifest, '--release', '--locked', '--all-targets', '--', '-D', 'warnings');
}

/** Fails on any broken link in a doc comment. Private items are included, since most comments describe those. */
async function documentation() {
  const env = { RUSTDOCFLAGS: '-D warnings' };
  await cargoWith(env, 'doc', '--workspace', '--no-deps', '--document-private-items');
}

async function slowTests() {
  await soakTests();
  const files = (await listTestFiles()).filter((file) => file.startsWith('__test__/operations/'));
  await testFiles(files, { timeout: SOAK_TIMEOUT_MS });
}

async function soakTests() {
  // Only the files directly in __test__/soak are programs; the folders below it hold what they share.
  const files = (await listFiles('__test__/soak')).filter((file) => /^__test__\/soak\/[^/]+\.m?js$/.test(file));
  if (files.length === 0) say('There are no soak tests.');
  for (const file of files) await run(process.execPath, [file], { timeout: SOAK_TIMEOUT_MS });
}

async function dropIn() {
  await node('__test__/drop-in/run.mjs');
}

async function cargo(...args) {
  await cargoWith({}, ...args);
}

async function cargoWith(env, ...args) {
  await run('cargo', args, { env: { ...(await rustEnvironment()), ...env } });
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

/** Runs a program in the root of the repository with our stdout and stderr. Throws if the program fails. */
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

/** Returns all files in a folder of the repository, recursively, as sorted paths from the root. */
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
  say(`\nAll steps passed: ${names.join(', ')}.`);
});
