// Runs the tests with AddressSanitizer, which finds uses of memory outside of its bounds or after it has been freed, and
// memory that is never freed.
//
//   node scripts/sanitize.mjs               the Rust tests, and the JavaScript tests in FOLDERS
//   node scripts/sanitize.mjs --quick       the JavaScript tests of QUICK, as in CI
//   node scripts/sanitize.mjs FILE...       these files of __test__
//
// It needs Linux, GCC with its libasan, and no nightly Rust: the compiler of rust-toolchain.toml has the sanitizer, as an
// unstable option. Everything happens in a copy of the repository, so that dist/ keeps the ordinary addon.
//
// Rust code and the C code of dependencies report each wrong access. Node and the standard library are not instrumented;
// what they do with memory that does not belong to them is noticed only if they call a function of C with it, such as
// memcpy. Memory that Node never frees is not reported.

import { spawn, spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { cp, mkdir, readFile, readdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { BuildError, DEVELOP_NODE, requireNode, root, runMain, rustEnvironment } from './build.mjs';

/** What CI runs: whatever touches memory that Rust and JavaScript share, and the ends of environments. */
const QUICK = ['buffers', 'nesting', 'HttpResponse.body', 'WebSocket.send', 'App.adoptSocket', 'worker'];
/** The folders of tests that need no programs of other people, most of which do not start with the sanitizer. */
const FOLDERS = ['__test__', '__test__/conformance'];
/** A test in them that does. */
const OTHER = '__test__/operations.test.js';
/** What a copy of the repository does without. */
const NOT_COPIED = new Set(['.git', 'artifacts', 'corpus', 'dist', 'node_modules', 'peers', 'target']);
const TEST_TIMEOUT_MS = 600_000;
/** Kilobytes of stack for V8, of 8 MB that a process has. The addon's frames are several times as large as ordinarily. */
const STACK_SIZE = 3900;

const work = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'sanitize');
const tree = path.join(work, 'tree');
const reports = path.join(work, 'reports');

/** Returns the environment for cargo in which it instruments what it builds. */
async function instrumented() {
  const host = /^host: (.+)$/m.exec(output('rustc', ['-vV']))[1];
  return {
    ...(await rustEnvironment()),
    RUSTC_BOOTSTRAP: '1',
    RUSTFLAGS: '-Zsanitizer=address -Cforce-frame-pointers=yes',
    CFLAGS: '-fsanitize=address -fno-omit-frame-pointer',
    // With a target, the flags apply to neither build scripts nor procedural macros.
    CARGO_BUILD_TARGET: host,
    CARGO_TARGET_DIR: work,
    CARGO_PROFILE_RELEASE_OPT_LEVEL: '1',
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
    CARGO_PROFILE_RELEASE_DEBUG: 'line-tables-only',
    CARGO_PROFILE_RELEASE_STRIP: 'none',
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS: 'true',
  };
}

/** Copies the repository. The times of files stay, so that cargo builds only what has changed. */
async function copyTree() {
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { recursive: true });
  for (const name of await readdir(root)) {
    if (NOT_COPIED.has(name)) continue;
    await cp(path.join(root, name), path.join(tree, name), {
      recursive: true,
      preserveTimestamps: true,
      filter: (file) => !NOT_COPIED.has(path.basename(file)),
    });
  }
  await symlink(path.join(root, 'node_modules'), path.join(tree, 'node_modules'), 'dir');
}

function output(program, args) {
  const { stdout, error } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  if (error) throw new BuildError(`${program} does not run: ${error.message}`);
  return stdout.trim();
}

/** Returns the path of the sanitizer's library, which has to be loaded before Node. */
function runtime() {
  const file = output('gcc', ['-print-file-name=libasan.so']);
  if (!path.isAbsolute(file)) throw new BuildError('GCC has no libasan here. Install libgcc-dev, a part of GCC.');
  return file;
}

async function run(program, args, env) {
  process.stdout.write(`$ ${[path.basename(program), ...args].join(' ')}\n`);
  const child = spawn(program, args, { cwd: tree, env, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
}

async function mustRun(program, args, env) {
  const status = await run(program, args, env);
  if (status !== 0) throw new BuildError(`${path.basename(program)} ${args[0]} ended with ${status}.`);
}

/** Runs the Rust tests. Their programs have the sanitizer in them, and report what they leave behind, too. */
async function rustTests(env) {
  const packages = ['milliways-proto', 'milliways-tls', 'milliways-net'].flatMap((name) => ['-p', name]);
  await mustRun('cargo', ['test', '--quiet', ...packages], env);
}

async function jsTests(files) {
  await rm(reports, { recursive: true, force: true });
  await mkdir(reports, { recursive: true });
  const env = {
    ...process.env,
    LD_PRELOAD: runtime(),
    ASAN_OPTIONS: `detect_leaks=1:log_path=${path.join(reports, 'report')}`,
    // Leaks are judged by `findings`: Node leaves much to the end of the process.
    LSAN_OPTIONS: 'exitcode=0',
  };
  // The processes of test files inherit the size of the stack, and those of __test__/support/Script.js.
  const options = [`--stack-size=${STACK_SIZE}`, '--test', '--test-concurrency=1', `--test-timeout=${TEST_TIMEOUT_MS}`];
  const status = await run(process.execPath, [...options, ...files], env);
  const found = await findings();
  for (const text of found) process.stdout.write(`\n${text}\n`);
  if (found.length > 0) throw new BuildError(`AddressSanitizer has found ${found.length} errors, see above.`);
  if (status !== 0)
    throw new BuildError(`the tests ended with ${status}, although AddressSanitizer has found nothing.`);
}

/** Returns the reports of wrong accesses, and those of leaks that the addon has allocated. */
async function findings() {
  const found = [];
  for (const name of await readdir(reports)) {
    const text = await readFile(path.join(reports, name), 'utf8');
    const [errors, ...leaks] = text.split(/^(?=(?:Direct|Indirect) leak of )/m);
    if (errors.includes('ERROR: AddressSanitizer')) found.push(text);
    else found.push(...leaks.filter(isOurs));
  }
  return found;
}

/** Returns whether memory was allocated by the addon, and not by Node, which the addon may have called. */
function isOurs(leak) {
  const [allocated] = leak.split(`(${realpathSync(process.execPath)}+`);
  return allocated.includes('milliways');
}

async function listTests() {
  const files = [];
  for (const folder of FOLDERS) {
    const names = await readdir(path.join(root, folder));
    files.push(...names.filter((name) => /\.test\.m?js$/.test(name)).map((name) => `${folder}/${name}`));
  }
  return files.filter((file) => file !== OTHER).sort();
}

await runMain(import.meta.url, async (args) => {
  requireNode(DEVELOP_NODE, 'Developing milliways');
  if (process.platform !== 'linux') throw new BuildError('this is for Linux only.');
  const quick = args.includes('--quick');
  const named = args.filter((argument) => argument !== '--quick');
  const files = quick ? QUICK.map((name) => `__test__/${name}.test.js`) : await listTests();
  const env = await instrumented();
  await copyTree();
  await mustRun(process.execPath, ['scripts/build.mjs'], env);
  await jsTests(named.length > 0 ? named : files);
  if (named.length === 0 && !quick) await rustTests(env);
});
