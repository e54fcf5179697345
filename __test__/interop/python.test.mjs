// The PyPI packages websockets and aiohttp, in a virtual environment in target/, which is created if missing.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { BuildError, root } from '../../scripts/build.mjs';
import { virtualEnvironment } from '../../scripts/python.mjs';
import { PATIENCE, testClient } from '../support/interop.js';
import { certificate } from '../support/tls.js';

const clients = path.join(root, '__test__', 'interop', 'clients');

/** Returns the path of the interpreter, or why there is none. */
async function findPython() {
  const lines = (await readFile(path.join(clients, 'requirements.txt'), 'utf8')).split('\n');
  const requirements = lines.filter((line) => line !== '' && !line.startsWith('#'));
  try {
    return { python: await virtualEnvironment(path.join(root, 'target', 'interop', 'python'), requirements) };
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return { skip: error.message };
  }
}

const { python, skip } = await findPython();

/** Makes a client hold a conversation in its own process. */
const converse = (script) => async (task) => {
  // -B: do not write compiled modules beside the sources.
  const args = ['-B', path.join(clients, script), JSON.stringify(task)];
  // The certificate that the client trusts over TLS.
  const env = { ...process.env, ...(certificate && { SSL_CERT_FILE: certificate.cert }) };
  // If the client's exit status is not 0, this rejects with what it wrote to stderr.
  const { stdout } = await promisify(execFile)(python, args, { env, timeout: PATIENCE });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
};

testClient('websockets', converse('websockets_client.py'), { skip, canFragment: true, canLimit: true });
testClient('aiohttp', converse('aiohttp_client.py'), { skip });
