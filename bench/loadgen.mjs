// The load generator, crates/loadgen.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { BuildError, root, rustEnvironment } from '../scripts/build.mjs';

/** Builds it, and resolves to the path of the program. */
export async function buildLoadgen() {
  const args = ['build', '--release', '--quiet', '-p', 'milliways-loadgen'];
  const built = spawnSync('cargo', args, { cwd: root, env: await rustEnvironment(), stdio: 'inherit' });
  if (built.status !== 0) throw new BuildError('building the load generator failed; its messages are above.');
  const asked = spawnSync('cargo', ['metadata', '--no-deps', '--format-version', '1'], {
    cwd: root,
    env: await rustEnvironment(),
    encoding: 'utf8',
    maxBuffer: Infinity,
  });
  return path.join(JSON.parse(asked.stdout).target_directory, 'release/milliways-loadgen');
}
