// Installs the Python packages that tests need, in virtual environments of their own.

import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { BuildError } from './build.mjs';

/** Fails unless every package is installed in the required version. */
const CHECK = `
import sys
from importlib.metadata import version

for requirement in sys.argv[1:]:
    name, wanted = requirement.split("==")
    if version(name) != wanted:
        sys.exit(f"{name} is not {wanted}")
`;

/**
 * Creates or updates a virtual environment in a folder, and returns the path of its interpreter. Each requirement has
 * the form `name==version`. If all of them are met already, the network is not used.
 */
export async function virtualEnvironment(folder, requirements) {
  const python = path.join(folder, 'bin', 'python');
  try {
    await run(python, '-c', CHECK, ...requirements);
  } catch {
    // The environment does not exist, belongs to a Python that is gone, has other versions, or was left incomplete.
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
