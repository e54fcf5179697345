// Fetches programs of Debian that tests need, and unpacks them into a folder, without installing anything.
//
// The packages are those that apt would install on this machine, in the newest version of its release: Debian's mirrors
// keep no older one, so a version cannot be pinned. apt checks the signature of what it downloads. It keeps all of its
// state in the folder, so it does not have to run as root.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { BuildError } from './build.mjs';

/**
 * @typedef {object} Unpacked
 * @property {string} root the folder with the content of the packages: `usr/bin` and so on
 * @property {Record<string, string>} env the environment for their programs: this process's own, with their libraries
 */

/**
 * Unpacks packages, with the dependencies that this machine lacks, into a folder below `folder`. If that has been done
 * before, the network is not used.
 *
 * @param {string} folder
 * @param {string[]} packages
 * @returns {Promise<Unpacked>}
 */
export async function debianPackages(folder, packages) {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const key = createHash('sha256')
    .update(JSON.stringify([packages, release]))
    .digest('hex')
    .slice(0, 16);
  const complete = path.join(folder, key);
  if (!existsSync(complete)) {
    const partial = `${complete}.partial-${process.pid}`;
    try {
      await unpack(partial, packages);
      // Only what is complete gets the final name. Another process may have been faster.
      await rename(partial, complete).catch((error) => {
        if (!existsSync(complete)) throw error;
      });
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  }
  const libraries = await librariesIn(complete);
  const existing = process.env.LD_LIBRARY_PATH;
  return {
    root: complete,
    env: { ...process.env, LD_LIBRARY_PATH: [...libraries, ...(existing ? [existing] : [])].join(':') },
  };
}

async function unpack(folder, packages) {
  const state = `${folder}.apt`;
  await rm(folder, { recursive: true, force: true });
  await mkdir(path.join(state, 'state', 'lists', 'partial'), { recursive: true });
  await mkdir(path.join(state, 'cache', 'archives', 'partial'), { recursive: true });
  const configuration = path.join(state, 'apt.conf');
  // As root, apt would download as a user that cannot write here. It locks nothing, since it changes nothing.
  await writeFile(
    configuration,
    `Dir::State "${state}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "${state}/cache";
APT::Sandbox::User "root";
Debug::NoLocking "true";
`,
  );
  const apt = (...args) => run('apt-get', ['-q', ...args], { APT_CONFIG: configuration });
  try {
    await apt('update');
    // Packages that are installed already are downloaded again, but not their dependencies.
    const options = ['--download-only', '--reinstall', '--no-install-recommends', '--assume-yes'];
    await apt('install', ...options, ...packages);
    const archives = path.join(state, 'cache', 'archives');
    const files = (await readdir(archives)).filter((file) => file.endsWith('.deb'));
    await mkdir(folder, { recursive: true });
    for (const file of files) await run('dpkg-deb', ['--extract', path.join(archives, file), folder]);
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

/** Returns the folders in which the packages have shared libraries. */
async function librariesIn(root) {
  const folders = [];
  for (const parent of ['lib', 'usr/lib']) {
    const entries = await readdir(path.join(root, parent)).catch(() => []);
    folders.push(...entries.filter((name) => name.endsWith('-linux-gnu')).map((name) => path.join(root, parent, name)));
  }
  return folders;
}

async function run(program, args, env = {}) {
  try {
    await promisify(execFile)(program, args, { env: { ...process.env, ...env }, maxBuffer: 1 << 26 });
  } catch (error) {
    const said = error.stderr?.trim() || error.message;
    throw new BuildError(`${program} ${args.join(' ')} failed: ${said}`, { cause: error });
  }
}
