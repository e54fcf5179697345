// Packages of Python's, for the tests that use some: in a virtual environment, since they are nobody else's.

import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { BuildError } from './build.mjs';

/** Fails unless each package is there, in the version that is asked for. */
const CHECK = `
import sys
from importlib.metadata import version

for requirement in sys.argv[1:]:
    name, wanted = requirement.split("==")
    if version(name) != wanted:
        sys.exit(f"{name} is not {wanted}")
`;

/**
 * Sees to a virtual environment in a folder of its own, and gives the path of its interpreter. The requirements are of
 * the form `name==version`. Where they are met already, nothing is asked of the network.
 */
export async function virtualEnvironment(folder, requirements) {
  const python = path.join(folder, 'bin', 'python');
  try {
    await run(python, '-c', CHECK, ...requirements);
  } catch {
    // Never there, of another Python that is gone, of other versions, or interrupted.
    await rm(folder, { recursive: true, force: true });
    await run('python3', '-m', 'venv', folder);
    await run(python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...requirements);
  }
  return python;
}

async function run(program, ...args) {
  try {
    await promisify(execFile)(program, args);
  } catch (error) {
    const { stdout = '', stderr = '', message } = error;
    const said = stderr.trim() || stdout.trim() || message;
    throw new BuildError(`${program} ${args.join(' ')} failed: ${said}`, { cause: error });
  }
}
