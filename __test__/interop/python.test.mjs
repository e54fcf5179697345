// The PyPI packages websockets and aiohttp, in a virtual environment below target/ that is made when there is none.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { BuildError, root } from '../../scripts/build.mjs';
import { virtualEnvironment } from '../../scripts/python.mjs';
import { PATIENCE, testClient } from '../support/interop.js';
import { certificate } from '../support/tls.js';

const clients = path.join(root, '__test__', 'interop', 'clients');

/** The path of the interpreter, or why there is none. */
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

/** Has a client in a process of its own hold a conversation. */
const converse = (script) => async (task) => {
  // -B: no compiled modules beside the sources.
  const args = ['-B', path.join(clients, script), JSON.stringify(task)];
  // Whom it trusts over TLS.
  const env = { ...process.env, ...(certificate && { SSL_CERT_FILE: certificate.cert }) };
  // It fails with what the client wrote to its stderr, when that ended with another status than 0.
  const { stdout } = await promisify(execFile)(python, args, { env, timeout: PATIENCE });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
};

testClient('websockets', converse('websockets_client.py'), { skip, canFragment: true, canLimit: true });
testClient('aiohttp', converse('aiohttp_client.py'), { skip });
