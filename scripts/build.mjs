// Builds the addon and lays out dist/: the native binary, the JavaScript of js/ beside it, and the type declarations.
//
//   node scripts/build.mjs              build
//   node scripts/build.mjs --if-stale   build only when dist/ is not what the present sources give
//
// It uses nothing but Node itself, so that it also runs where `npm install` has not.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, realpathSync } from 'node:fs';
import { copyFile, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonName, isMusl } from '../js/platform.js';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const dist = path.join(root, 'dist');
const stampFile = path.join(dist, '.stamp');

/** A failure that the reader can do something about: printed as one line, without a stack. */
export class BuildError extends Error {}

/** Builds the addon and fills dist/. */
export async function build() {
  requireNode(RUN_NODE, 'milliways');
  if (!nodeIsAtLeast(DEVELOP_NODE)) {
    say(`Node ${process.versions.node} can build and run the addon; its tests need ${DEVELOP_NODE} or newer.`);
  }
  const env = await rustEnvironment();
  requireLinker(env);

  const started = Date.now();
  // Taken before the build: what is saved while cargo runs has not been compiled, and leaves the stamp stale.
  const sources = await hashSources();
  say('Building the addon with cargo, optimized. The first time this takes some minutes.');
  const library = await cargoBuild(env);

  await mkdir(dist, { recursive: true });
  const outputs = [addonName()];
  await replace(outputs[0], (temporary) => copyFile(library, temporary));
  for (const name of await scriptNames()) {
    await replace(name, (temporary) => copyFile(path.join(root, 'js', name), temporary));
    outputs.push(name);
  }
  outputs.push(...(await writeTypes()));
  await removeLeftovers(outputs);

  const stamp = { sources, outputs: {} };
  for (const name of outputs) stamp.outputs[name] = await hashFile(path.join(dist, name));
  await replace(path.basename(stampFile), (temporary) => writeFile(temporary, JSON.stringify(stamp, null, 2) + '\n'));
  say(`Built dist/${addonName()} in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
}

/**
 * Whether dist/ is exactly what a build of the present sources left there.
 *
 * Contents are compared, not times: a checkout of an older commit makes files newer, and a deleted file has no time.
 * The outputs are compared too, so that an interrupted build or an edited file in dist/ never passes for a good one.
 */
export async function isStale() {
  let stamp;
  try {
    stamp = JSON.parse(await readFile(stampFile, 'utf8'));
    // Several machines may share one checkout: another platform's build is none of this one's.
    if (!Object.hasOwn(stamp.outputs, addonName())) return true;
    for (const [name, hash] of Object.entries(stamp.outputs)) {
      if ((await hashFile(path.join(dist, name))) !== hash) return true;
    }
  } catch (_missingOrDamaged) {
    return true;
  }
  return stamp.sources !== (await hashSources());
}

/**
 * Writes the declarations that stand beside the entry points in dist/, and returns their names.
 *
 * Through the package's name TypeScript finds index.d.ts by the exports map; these serve who names a file in dist/,
 * like `require('../dist/uws.js')` in the examples. They need no build, so the type tests run without one.
 */
export async function writeTypes() {
  await mkdir(dist, { recursive: true });
  const names = ['index.d.ts', 'uws.d.ts'];
  for (const name of names) {
    await replace(name, (temporary) => writeFile(temporary, "export * from '../index.js';\n"));
  }
  return names;
}

/**
 * The environment to run cargo in. Fails when there is no cargo, or one too old to read our Cargo.toml.
 *
 * rustup puts cargo on the PATH of the *next* shell; who has just installed it finds it in the place it goes to.
 */
export async function rustEnvironment() {
  const env = { ...process.env };
  if (!findProgram('cargo', env)) {
    const home = path.join(env.CARGO_HOME || path.join(os.homedir(), '.cargo'), 'bin');
    const key = pathKey(env);
    env[key] = [env[key], home].filter(Boolean).join(path.delimiter);
  }

  const manifest = await readFile(path.join(root, 'Cargo.toml'), 'utf8');
  const needed = /^rust-version = "([\d.]+)"/m.exec(manifest)?.[1] ?? '0';
  const advice = `Install Rust ${needed} or newer, for example with rustup (https://rustup.rs).`;
  if (!findProgram('cargo', env)) {
    // Both at once: whoever installs the one should not have to come back for the other.
    const linker = linkerAdvice(env);
    throw new BuildError(`cargo is missing. ${advice}${linker ? ` ${linker}` : ''}`);
  }
  const asked = spawnSync('cargo', ['--version'], { env, cwd: root, encoding: 'utf8' });
  const found = /^cargo ([\d.]+)/.exec(asked.stdout ?? '')?.[1];
  if (!found) throw new BuildError(`cargo does not run: ${(asked.stderr || String(asked.error)).trim()}`);
  if (!isAtLeast(found, needed)) throw new BuildError(`Rust ${found} is too old. ${advice}`);

  // Static linking of the C library is rustc's default on musl, and excludes shared libraries, which the addon is.
  if (isMusl() && env.RUSTFLAGS === undefined) env.RUSTFLAGS = '-C target-feature=-crt-static';
  return env;
}

/** Fails with one line when this Node is older than `version`. */
export function requireNode(version, what) {
  if (nodeIsAtLeast(version)) return;
  throw new BuildError(`${what} needs Node ${version} or newer, and this is ${process.versions.node}.`);
}

/** Runs `main` when the module at `url` is the program: a BuildError becomes one line, and any failure exit code 1. */
export async function runMain(url, main) {
  // Node resolves links on the way to a module, but not in the name it was given.
  if (!process.argv[1] || realpathSync(process.argv[1]) !== fileURLToPath(url)) return;
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`milliways: ${error.message}\n`);
    process.exitCode = 1;
  }
}

/** Runs cargo with its progress on the terminal, and returns the path of the library it made. */
async function cargoBuild(env) {
  // The messages say where the library is, wherever CARGO_TARGET_DIR or a config file sends it.
  const args = ['build', '--release', '-p', 'milliways', '--message-format', 'json-render-diagnostics'];
  const cargo = spawn('cargo', args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve, reject) => {
    cargo.once('error', reject);
    cargo.once('close', (code, signal) => resolve(signal ?? code));
  });
  let messages = '';
  cargo.stdout.setEncoding('utf8').on('data', (text) => (messages += text));
  const status = await ended;
  if (status !== 0) throw new BuildError(`cargo build failed (${status}); its messages are above.`);

  for (const line of messages.split('\n')) {
    // A build script may print what it likes among the messages.
    if (!line.startsWith('{')) continue;
    const { reason, target, filenames } = JSON.parse(line);
    if (reason !== 'compiler-artifact' || target.name !== 'milliways' || !target.kind.includes('cdylib')) continue;
    const library = filenames.find((name) => LIBRARY_EXTENSIONS.includes(path.extname(name)));
    if (library) return library;
  }
  throw new BuildError('cargo build made no library named milliways.');
}

/**
 * Puts a file into dist/ whole, by a rename. A process that has the old binary mapped keeps it, where writing into the
 * file would crash it, and two builds at once leave the file of one or the other.
 */
async function replace(name, write) {
  const temporary = path.join(dist, `.${process.pid}-${name}`);
  try {
    await write(temporary);
    await rename(temporary, path.join(dist, name));
  } catch (error) {
    if (process.platform === 'win32' && ['EPERM', 'EBUSY', 'EACCES'].includes(error.code)) {
      throw new BuildError(`dist/${name} is in use. Stop the programs that have it loaded, and build again.`);
    }
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Removes scripts that js/ no longer has: a require of one must fail here as it would in a fresh clone. */
async function removeLeftovers(outputs) {
  for (const name of await readdir(dist)) {
    if (/\.(js|mjs|ts)$/.test(name) && !name.startsWith('.') && !outputs.includes(name)) {
      await rm(path.join(dist, name), { force: true });
    }
  }
}

async function scriptNames() {
  const names = await readdir(path.join(root, 'js'));
  return names.filter((name) => /\.m?js$/.test(name)).sort();
}

/** One hash of the path and content of everything the outputs are made from. */
async function hashSources() {
  const files = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'rust-toolchain.toml', '.cargo/config.toml'];
  files.push('scripts/build.mjs', ...(await listFiles('src')), ...(await listFiles('js')));
  for (const crate of await listNames('crates')) {
    files.push(`crates/${crate}/Cargo.toml`, `crates/${crate}/build.rs`, ...(await listFiles(`crates/${crate}/src`)));
  }
  const hash = createHash('sha256');
  for (const file of files) {
    const content = await hashFile(path.join(root, file)).catch(ignoreMissing);
    hash.update(`${file}\0${content ?? ''}\0`);
  }
  return hash.digest('hex');
}

/** The files under a folder, at any depth, as paths from the root with slashes, in an order that is always the same. */
async function listFiles(folder) {
  const files = [];
  for (const entry of await listEntries(folder)) {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) files.push(...(await listFiles(name)));
    else files.push(name);
  }
  return files.sort();
}

async function listNames(folder) {
  return (await listEntries(folder)).map((entry) => entry.name).sort();
}

async function listEntries(folder) {
  return (await readdir(path.join(root, folder), { withFileTypes: true }).catch(ignoreMissing)) ?? [];
}

function ignoreMissing(error) {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}

async function hashFile(file) {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

function requireLinker(env) {
  const advice = linkerAdvice(env);
  if (advice) throw new BuildError(`a C linker is missing. ${advice}`);
}

/** What to install to have a linker, or nothing when there is one. rustc links through the C compiler. */
function linkerAdvice(env) {
  switch (process.platform) {
    case 'win32':
      // The linker of Visual Studio is found through its installer, not the PATH; rustc itself says when it is missing.
      return undefined;
    case 'darwin':
      // /usr/bin/cc is always there and may be no more than an offer to install one.
      if (spawnSync('xcode-select', ['-p'], { env }).status === 0) return undefined;
      return 'Install the command line tools: xcode-select --install.';
    default:
      // rustc asks for `cc`; the others count because a config file of cargo's may name them.
      if (['cc', 'gcc', 'clang'].some((name) => findProgram(name, env))) return undefined;
      return 'Install a C compiler to link with: apt-get install gcc libc6-dev (with dnf: gcc; with apk: gcc musl-dev).';
  }
}

/** Whether the PATH has a program of this name. */
function findProgram(name, env) {
  const folders = (env[pathKey(env)] ?? '').split(path.delimiter).filter(Boolean);
  const file = process.platform === 'win32' ? `${name}.exe` : name;
  return folders.some((folder) => {
    try {
      accessSync(path.join(folder, file), constants.X_OK);
      return true;
    } catch (_notThere) {
      return false;
    }
  });
}

/** Windows calls it Path, and a copy of process.env no longer ignores case. */
function pathKey(env) {
  return Object.keys(env).find((name) => name.toUpperCase() === 'PATH') ?? 'PATH';
}

function nodeIsAtLeast(version) {
  return isAtLeast(process.versions.node, version);
}

/** Compares dotted numbers; what is missing counts as 0. */
function isAtLeast(version, wanted) {
  const [have, need] = [version, wanted].map((text) => text.split('.').map(Number));
  for (let place = 0; place < need.length; place++) {
    const difference = (have[place] ?? 0) - need[place];
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

/** Node-API 8, which the addon is made for, is in every Node from here on. */
const RUN_NODE = '18';
/** The first version 20 with everything the tests and their tools use. */
export const DEVELOP_NODE = '20.17';
const LIBRARY_EXTENSIONS = ['.so', '.dylib', '.dll'];

await runMain(import.meta.url, async (args) => {
  const unknown = args.find((argument) => argument !== '--if-stale');
  if (unknown !== undefined) throw new BuildError(`unknown argument ${unknown}; there is only --if-stale.`);
  if (args.includes('--if-stale') && !(await isStale())) return;
  await build();
});
