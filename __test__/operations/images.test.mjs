// The Dockerfiles in docs/OPERATIONS.md. Nothing here builds images. Instead, their instructions are carried out in
// folders, with Debian's packages of the C and C++ libraries in place of the base image, and what they start runs with
// that folder as its root.

import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { BuildError, root } from '../../scripts/build.mjs';
import { debianPackages } from '../../scripts/debian.mjs';
import { deadline } from '../support/wait.js';
import { snippet } from './snippets.mjs';

/** The shared libraries of gcr.io/distroless/nodejs*-debian12 that are not for TLS. A slim image has more. */
const LIBRARIES = ['libc6', 'libgcc-s1', 'libstdc++6'];
/** Where the base images have Node, and what they start. */
const BASES = {
  'node:22-bookworm-slim': { node: '/usr/local/bin/node', entrypoint: [] },
  'gcr.io/distroless/nodejs22-debian12:nonroot': { node: '/nodejs/bin/node', entrypoint: ['/nodejs/bin/node'] },
};
/** For npm or a server on a loaded machine, in milliseconds. */
const PATIENCE = 60_000;

async function findLibraries() {
  const { status, error, stderr } = spawnSync('unshare', ['--map-root-user', 'true'], { encoding: 'utf8' });
  if (status !== 0) return { skip: `no user namespace: ${error ?? stderr}` };
  try {
    return { debian: await debianPackages(path.join(root, 'target', 'debian'), LIBRARIES) };
  } catch (failure) {
    if (!(failure instanceof BuildError)) throw failure;
    return { skip: failure.message };
  }
}

const { debian, skip } = await findLibraries();

/** Returns the instructions of a Dockerfile: `[name, arguments]` each. */
function parse(dockerfile) {
  const lines = dockerfile.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => /^(\w+) (.*)$/.exec(line).slice(1));
}

/** Carries out the instructions with a build context; returns the last stage. */
async function build(folder, dockerfile, context) {
  const stages = new Map();
  let stage;
  for (const [name, rest] of parse(dockerfile)) {
    if (name === 'FROM') {
      const [base, , alias = 'final'] = rest.split(' ');
      stage = { base: BASES[base], root: path.join(folder, alias), env: {}, directory: '/' };
      assert.ok(stage.base, `a known base image: ${base}`);
      mkdirSync(stage.root, { recursive: true });
      stages.set(alias, stage);
    } else await INSTRUCTIONS[name](stage, rest, { stages, context });
  }
  cpSync(debian.root, stage.root, { recursive: true, verbatimSymlinks: true });
  cpSync(process.execPath, path.join(stage.root, stage.base.node), { recursive: true });
  return stage;
}

const INSTRUCTIONS = {
  WORKDIR(stage, directory) {
    stage.directory = directory;
    mkdirSync(path.join(stage.root, directory), { recursive: true });
  },
  ENV(stage, assignments) {
    for (const assignment of assignments.split(' ')) {
      const [key, value] = assignment.split('=');
      stage.env[key] = value;
    }
  },
  COPY(stage, rest, { stages, context }) {
    const words = rest.split(' ');
    const [, from] = /^--from=(.*)$/.exec(words[0]) ?? [];
    const source = from === undefined ? context : stages.get(from).root;
    const [destination, ...sources] = words.slice(from === undefined ? 0 : 1).reverse();
    for (const name of sources) {
      assert.ok(existsSync(path.join(source, name)), `${name} exists`);
      // A folder is copied by its content, a file into a folder that is named with a slash.
      const isInto = destination.endsWith('/') && statSync(path.join(source, name)).isFile();
      const target = path.join(stage.root, stage.directory, destination, isInto ? name : '');
      cpSync(path.join(source, name), target, { recursive: true });
    }
  },
  async RUN(stage, command) {
    const [program, ...args] = command.split(' ');
    const cwd = path.join(stage.root, stage.directory);
    await promisify(execFile)(program, [...args, '--offline', '--no-audit', '--no-fund'], { cwd, timeout: PATIENCE });
  },
  USER(stage, user) {
    assert.equal(user, 'node');
  },
  EXPOSE(stage, port) {
    assert.equal(port, stage.env.PORT);
  },
  HEALTHCHECK(stage, command) {
    stage.check = JSON.parse(command.replace(/^CMD /, ''));
  },
  CMD(stage, command) {
    stage.command = JSON.parse(command);
  },
};

/** Starts a command with the stage as its root, as `docker run` or a health check would. */
function run({ base, root: folder, directory, env }, command, more = {}) {
  const [program, ...args] = command;
  // PATH of the image leads there.
  const found = program === 'node' ? base.node : program;
  return spawn('unshare', ['--map-root-user', `--root=${folder}`, `--wd=${directory}`, found, ...args], {
    env: { ...env, ...more },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

describe('an image', { skip }, () => {
  let folder;
  let context;

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'milliways-images-'));
    context = path.join(folder, 'context');
    mkdirSync(context);
    await promisify(execFile)('npm', ['pack', '--pack-destination', context], { cwd: root, timeout: PATIENCE });
    const example = readFileSync(path.join(root, 'examples', 'HealthChecks.js'), 'utf8');
    writeFileSync(path.join(context, 'server.js'), example.replace('../dist/uws.js', 'milliways'));
    const manifest = { name: 'app', version: '1.0.0', dependencies: { milliways: 'file:milliways-0.1.0.tgz' } };
    writeFileSync(path.join(context, 'package.json'), JSON.stringify(manifest));
    const args = ['install', '--package-lock-only', '--offline', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', args, { cwd: context, timeout: PATIENCE });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const name of ['Dockerfile', 'Dockerfile.distroless']) {
    it(`of ${name} has what the server needs, and stops on SIGTERM`, async (t) => {
      const stage = await build(path.join(folder, name), snippet(name), context);
      const server = run(stage, [...stage.base.entrypoint, ...stage.command], { PORT: '0', NOTICE: '0' });
      t.after(() => server.kill('SIGKILL'));
      const lines = readline.createInterface({ input: server.stdout });
      const [line] = await deadline(once(lines, 'line'), 'server', PATIENCE);
      const [port] = /\d+/.exec(line);
      assert.equal(await (await fetch(`http://127.0.0.1:${port}/live`)).text(), 'alive\n');
      if (stage.check) {
        const [code] = await once(run(stage, stage.check, { PORT: port }), 'exit');
        assert.equal(code, 0);
        const [failed] = await once(run(stage, stage.check, { PORT: '1' }), 'exit');
        assert.equal(failed, 1);
      }
      const exited = once(server, 'exit');
      server.kill('SIGTERM');
      assert.deepEqual(await deadline(exited, 'end of the server', PATIENCE), [0, null]);
    });
  }
});
