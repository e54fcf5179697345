// Installs the programs and their dependencies in target/drop-in, with one or the other package as uWebSockets.js.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BuildError, root } from '../../../scripts/build.mjs';

/** The folder of the programs. */
export const here = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

const target = path.join(root, 'target', 'drop-in');

/**
 * The tarball lies beside each variant's programs, so that they refer to it by the same path. Only its contents differ.
 */
const TARBALL = 'uWebSockets.js.tgz';

const SOURCES = { ours: root, theirs: path.join(root, 'bench/node_modules/uwebsockets') };

/** Packs milliways and uWebSockets.js as npm would publish them; returns the files. */
export async function packBoth() {
  const tarballs = {};
  for (const [variant, source] of Object.entries(SOURCES)) {
    const folder = path.join(target, variant);
    await mkdir(folder, { recursive: true });
    const [{ filename }] = JSON.parse(npm(source, 'pack', '--json', '--ignore-scripts', '--pack-destination', folder));
    tarballs[variant] = path.join(folder, TARBALL);
    await rename(path.join(folder, filename), tarballs[variant]);
  }
  return tarballs;
}

/** Installs a program, unless the same dependencies are installed already; returns its folder. */
export async function install(name, variant, tarball) {
  const folder = path.join(target, variant, name);
  const digest = createHash('sha256');
  for (const file of [packageOf(name), lockOf(name), tarball]) digest.update(await readFile(file));
  const stamp = path.join(folder, 'node_modules/.milliways-stamp');
  const wanted = digest.digest('hex');

  const isInstalled = (await readFile(stamp, 'utf8').catch(() => '')) === wanted;
  if (!isInstalled) await rm(folder, { recursive: true, force: true });
  await cp(path.join(here, name), folder, { recursive: true });
  await cp(path.join(here, 'parts/serving.cjs'), path.join(folder, 'serving.cjs'));
  if (isInstalled) return folder;
  npm(folder, 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline');
  await writeFile(stamp, wanted);
  return folder;
}

/** Writes a program's package-lock.json. */
export async function lock(name, tarball) {
  const folder = path.join(path.dirname(tarball), name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  await copyFile(packageOf(name), path.join(folder, 'package.json'));
  npm(folder, 'install', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund');
  const written = JSON.parse(await readFile(path.join(folder, 'package-lock.json'), 'utf8'));
  // Both variants use the lock file, and milliways changes.
  delete written.packages['node_modules/uWebSockets.js'].integrity;
  for (const entry of Object.values(written.packages)) if (/^https?:/.test(entry.resolved)) delete entry.resolved;
  await writeFile(lockOf(name), `${JSON.stringify(written, null, 2)}\n`);
  console.log(`wrote ${path.relative(root, lockOf(name))}`);
}

function packageOf(name) {
  return path.join(here, name, 'package.json');
}

function lockOf(name) {
  return path.join(here, name, 'package-lock.json');
}

function npm(folder, ...args) {
  const done = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (done.status === 0) return done.stdout;
  throw new BuildError(`npm ${args[0]} in ${path.relative(root, folder)} failed: ${done.error ?? done.stderr}`);
}
