'use strict';

// With --trace-warnings, each warning shows the line of the program that it is about.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs/promises');
const os = require('node:os');
const path = require('node:path');
const { describe, it } = require('node:test');
const { ordinaryCertificate } = require('./support/certificates.js');
const { modulePath, ours, root } = require('./support/uws.js');
const { deadline } = require('./support/wait.js');

const PRELUDE = `'use strict';
const http = require('node:http');
const net = require('node:net');
function serve(app, request) {
  let port;
  app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
  request(port, () => app.close());
}
`;

/** For each warning, a program in which it is about the line with the comment. */
const PROGRAMS = {
  WARN_MILLIWAYS_DEBUG: {
    env: { MILLIWAYS_DEBUG: 'nothing' },
    source: `require(${JSON.stringify(modulePath)}); // here`,
  },
  WARN_MILLIWAYS_DH_PARAMS: {
    source: (pair) => `const options = ${JSON.stringify(pair)};
const app = uWS.SSLApp({ // here
  ...options,
  dh_params_file_name: 'dh.pem',
});
app.close();`,
  },
  WARN_MILLIWAYS_DOMAIN: {
    source: `const app = uWS.App();
app
  .domain('example.com'); // here`,
  },
  WARN_MILLIWAYS_UNCORKED: {
    source: `const app = uWS.App().get('/', (res) => {
  res.onAborted(() => {});
  setImmediate(() => {
    res.writeStatus('200 OK'); // here
    res.end();
  });
});
serve(app, (port, done) => {
  http.get({ port, host: '127.0.0.1', agent: false }, (response) => response.resume().on('end', done));
});`,
  },
  WARN_MILLIWAYS_WRITABLE: {
    source: `const app = uWS.App().get('/', (res) => {
  res.onAborted(() => {});
  const rest = Buffer.alloc(1 << 24);
  res.onWritable(async (offset) => { // here
    res.tryEnd(rest.subarray(offset), rest.length);
  });
  res.tryEnd(rest, rest.length);
});
serve(app, (port, done) => {
  http.get({ port, host: '127.0.0.1', agent: false }, (response) => response.resume().on('end', done));
});`,
  },
};

/** Runs a program with --trace-warnings. Returns its output on stderr and the number of the line with the comment. */
async function run(t, { source, env }) {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'milliways-warnings-'));
  t.after(() => fs.rm(folder, { recursive: true }));
  const file = path.join(folder, 'program.js');
  const { key, cert } = ordinaryCertificate();
  const text = typeof source === 'string' ? source : source({ key_file_name: key, cert_file_name: cert });
  const load = env === undefined ? `const uWS = require(${JSON.stringify(modulePath)});\n` : '';
  const program = `${PRELUDE}${load}${text}\n`;
  await fs.writeFile(file, program);
  const child = spawn(process.execPath, ['--trace-warnings', file], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => (stderr += chunk));
  const [code] = await deadline(once(child, 'close'), 'end of the program');
  assert.equal(code, 0, stderr);
  const lines = program.split('\n');
  return { stderr, place: `${file}:${lines.findIndex((line) => line.endsWith('// here')) + 1}:` };
}

describe('--trace-warnings', ours, () => {
  for (const [code, program] of Object.entries(PROGRAMS)) {
    it(`shows the line of the program that ${code} is about`, async (t) => {
      const { stderr, place } = await run(t, program);
      assert.equal(stderr.split(`[${code}] Warning: `).length, 2, stderr);
      assert.ok(stderr.includes(place), `${place} is missing: ${stderr}`);
    });
  }

  it('is tested for all warnings that the sources have and docs/ERRORS.md lists', async () => {
    const codes = new Set();
    for (const name of await fs.readdir(path.join(root, 'js'))) {
      const text = await fs.readFile(path.join(root, 'js', name), 'utf8');
      for (const [code] of text.matchAll(/WARN_MILLIWAYS_[A-Z_]*[A-Z]/g)) codes.add(code);
      if (name !== 'warnings.js') assert.doesNotMatch(text, /emitWarning/, name);
    }
    assert.deepEqual([...codes].sort(), Object.keys(PROGRAMS));
    const docs = await fs.readFile(path.join(root, 'docs', 'ERRORS.md'), 'utf8');
    const sections = [...docs.matchAll(/^### (WARN_MILLIWAYS_[A-Z_]+)$/gm)].map(([, code]) => code);
    assert.deepEqual(sections, Object.keys(PROGRAMS));
  });
});
