// Builds the addon and fills dist/ with the native binary, the JavaScript of js/, and the type declarations.
//
//   node scripts/build.mjs              build
//   node scripts/build.mjs --if-stale   build only if dist/ does not match the current sources
//
// It uses only Node itself, so that it runs even before `npm install`.

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

/** A failure that the user can fix. It is printed as one line, without a stack. */
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
  // Hashed before the build: what is saved while cargo runs has not been compiled, and must leave the stamp stale.
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
 * Whether dist/ differs from what a build of the current sources would leave there.
 *
 * Contents are compared instead of times: a checkout of an older commit makes files newer, and a deleted file has no
 * time. The outputs are compared too, so that an interrupted build or an edited file in dist/ is never taken for a good
 * one.
 */
export async function isStale() {
  let stamp;
  try {
    stamp = JSON.parse(await readFile(stampFile, 'utf8'));
    // Several machines may share one checkout, so the build may be another platform's.
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
 * Writes the type declarations beside the entry points in dist/, and returns their names.
 *
 * TypeScript resolves the package's name to index.d.ts through the exports map. These declarations serve code that
 * names a file in dist/, such as `require('../dist/uws.js')` in the examples. They do not depend on a build, so the
 * type tests run without one.
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
 * Returns the environment to run cargo in. Fails if cargo is missing, or too old for our Cargo.toml.
 *
 * rustup adds cargo to the PATH of the *next* shell. Immediately after an installation it is found in its default
 * folder.
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
    // Both are reported at once, so that nobody installs one only to be told about the other.
    const linker = linkerAdvice(env);
    throw new BuildError(`cargo is missing. ${advice}${linker ? ` ${linker}` : ''}`);
  }
  const asked = spawnSync('cargo', ['--version'], { env, cwd: root, encoding: 'utf8' });
  const found = /^cargo ([\d.]+)/.exec(asked.stdout ?? '')?.[1];
  if (!found) throw new BuildError(`cargo does not run: ${(asked.stderr || String(asked.error)).trim()}`);
  if (!isAtLeast(found, needed)) throw new BuildError(`Rust ${found} is too old. ${advice}`);

  // On musl, rustc links the C library statically by default, which rules out shared libraries such as the addon.
  if (isMusl() && env.RUSTFLAGS === undefined) env.RUSTFLAGS = '-C target-feature=-crt-static';
  return env;
}

/** Fails if this Node is older than `version`. */
export function requireNode(version, what) {
  if (nodeIsAtLeast(version)) return;
  throw new BuildError(`${what} needs Node ${version} or newer, but this is ${process.versions.node}.`);
}

/**
 * Runs `main` if the module at `url` is the main program. A BuildError is printed as one line; any error exits with
 * code 1.
 */
export async function runMain(url, main) {
  // Node resolves symbolic links in the module's URL, but not in argv.
  if (!process.argv[1] || realpathSync(process.argv[1]) !== fileURLToPath(url)) return;
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`milliways: ${error.message}\n`);
    process.exitCode = 1;
  }
}

/** Runs cargo with its progress on the terminal, and returns the path of the library it built. */
async function cargoBuild(env) {
  // The messages name the library's path, wherever CARGO_TARGET_DIR or a config file puts it.
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
    // Build scripts may print anything among the messages.
    if (!line.startsWith('{')) continue;
    const { reason, target, filenames } = JSON.parse(line);
    if (reason !== 'compiler-artifact' || target.name !== 'milliways' || !target.kind.includes('cdylib')) continue;
    const library = filenames.find((name) => LIBRARY_EXTENSIONS.includes(path.extname(name)));
    if (library) return library;
  }
  throw new BuildError('cargo build produced no library named milliways.');
}

/**
 * Puts a whole file into dist/ with a rename. A process that has mapped the old binary keeps it, whereas overwriting
 * the file would crash that process. Two concurrent builds leave the file of one or the other.
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

/** Removes scripts that js/ no longer has, so that requiring one fails here as it would in a fresh clone. */
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

/** Returns one hash of the paths and contents of everything that the outputs are made from. */
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

/** Returns all files in a folder, recursively, as sorted paths from the root with forward slashes. */
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

/** Returns what to install to get a linker, or undefined if there is one. rustc links through the C compiler. */
function linkerAdvice(env) {
  switch (process.platform) {
    case 'win32':
      // Visual Studio's linker is found through its installer instead of the PATH, and rustc itself reports a missing
      // one.
      return undefined;
    case 'darwin':
      // /usr/bin/cc always exists, but may only offer to install the tools.
      if (spawnSync('xcode-select', ['-p'], { env }).status === 0) return undefined;
      return 'Install the command line tools: xcode-select --install.';
    default:
      // rustc calls `cc`. The others count because a cargo config file may name them.
      if (['cc', 'gcc', 'clang'].some((name) => findProgram(name, env))) return undefined;
      return 'Install a C compiler to link with: apt-get install gcc libc6-dev (with dnf: gcc; with apk: gcc musl-dev).';
  }
}

/** Whether a program with this name is on the PATH. */
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

/** On Windows the name is Path, and a copy of process.env is case-sensitive. */
function pathKey(env) {
  return Object.keys(env).find((name) => name.toUpperCase() === 'PATH') ?? 'PATH';
}

function nodeIsAtLeast(version) {
  return isAtLeast(process.versions.node, version);
}

/** Compares dotted version numbers; a missing part counts as 0. */
export function isAtLeast(version, wanted) {
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

/** Every Node from this version on has Node-API 8, which the addon is built for. */
const RUN_NODE = '18';
/** The first version 20 with everything that the tests and their tools use. */
export const DEVELOP_NODE = '20.17';
const LIBRARY_EXTENSIONS = ['.so', '.dylib', '.dll'];

await runMain(import.meta.url, async (args) => {
  const unknown = args.find((argument) => argument !== '--if-stale');
  if (unknown !== undefined) throw new BuildError(`unknown argument ${unknown}; the only option is --if-stale.`);
  if (args.includes('--if-stale') && !(await isStale())) return;
  await build();
});
