// Runs the Rust tests that Miri can run: those of the addon's wrapper of Node-API, on a model of it, and some of those of
// the protocol core. Miri interprets a program and finds undefined behaviour: memory that is used after it has been freed,
// out of bounds, before it has been written, through a reference that another one has made invalid, or by two threads
// at once.
//
//   node scripts/miri.mjs
//
// Miri is a component of nightly Rust, which needs its source as well:
//
//   rustup toolchain install nightly --component miri rust-src
//
// Where there is no Miri, valgrind runs the tests of the wrapper instead. It finds the same, except for what concerns
// references and threads. What the wrapper leaves behind, the model itself notices.

import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { BuildError, DEVELOP_NODE, requireNode, root, runMain, rustEnvironment } from './build.mjs';

const WRAPPER = 'milliways-node-model';
const CORE = 'milliways-proto';
/**
 * Tests of the core, by parts of their names. They use each dependency that has unsafe code. Most others try out very
 * many inputs, and would take Miri, which is some hundred times as slow as a processor, minutes each.
 */
const OF_CORE = [
  'ambiguous_chunks',
  'closing::tests::the_fin',
  'http::declared',
  'http::head',
  'http::query',
  'rfc_6455',
  'rfc_7692_section_7_2_3_1',
  'subscribers_get_what',
  'subscribers_who_get',
  'subscriptions_end',
  'topic_may_go',
  'ws::close',
  'ws::handshake',
  'ws::utf8::tests::a_bad_byte',
];
const target = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'miri');

/** Returns the arguments that have cargo use a toolchain with Miri, or undefined if there is none. */
function toolchain(env) {
  const has = (args) => spawnSync('cargo', [...args, 'miri', '--version'], { cwd: root, env }).status === 0;
  return [[], ['+nightly']].find(has);
}

async function run(program, args, env) {
  process.stdout.write(`$ ${[program, ...args].join(' ')}\n`);
  const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
  if (status !== 0) throw new BuildError(`${program} ${args[0]} ended with ${status}.`);
}

async function miri(selection, env) {
  const test = [...selection, 'miri', 'test', '--quiet', '-p'];
  const ours = { ...env, CARGO_TARGET_DIR: target };
  await run('cargo', [...test, WRAPPER], ours);
  await run('cargo', [...test, CORE, '--lib', '--', ...OF_CORE], ours);
}

/** Returns the programs that the tests of a package are built into. */
function programs(name, env) {
  const args = ['test', '--no-run', '-p', name, '--message-format', 'json-render-diagnostics'];
  const { status, stdout } = spawnSync('cargo', args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  if (status !== 0) throw new BuildError(`cargo test ended with ${status}.`);
  const messages = stdout
    .toString()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  return messages.filter(({ profile, executable }) => profile?.test && executable).map(({ executable }) => executable);
}

async function valgrind(env) {
  const options = ['--quiet', '--error-exitcode=1'];
  for (const program of programs(WRAPPER, env)) await run('valgrind', [...options, program, '--test-threads=1'], env);
}

await runMain(import.meta.url, async () => {
  requireNode(DEVELOP_NODE, 'Developing milliways');
  const env = await rustEnvironment();
  const selection = toolchain(env);
  if (selection !== undefined) return miri(selection, env);
  process.stdout.write('Miri is not installed, see scripts/miri.mjs. valgrind checks what it can.\n');
  return valgrind(env);
});
