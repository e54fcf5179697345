'use strict';

// The examples of TLS. Their certificates are created in a folder of the test.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs/promises');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { makeCertificate } = require('../support/certificates.js');
const { connectSecure, getSecure, readToEnd } = require('../support/secure.js');
const { ours } = require('../support/uws.js');
const { deadline, until } = require('../support/wait.js');
const { Example } = require('./Example.js');

/** Starts an example that creates its certificates in `folder`. */
async function start(t, name) {
  const folder = await fs.mkdtemp(path.join(tmpdir(), 'milliways-example-'));
  t.after(() => fs.rm(folder, { recursive: true, force: true }));
  const example = await Example.start(t, name, { env: { CERTIFICATES: folder } });
  return { example, folder, certificate: (file) => fs.readFile(path.join(folder, `${file}.cert.pem`)) };
}

describe('HelloWorldSSL', ours, () => {
  it('says hello in secret', async (t) => {
    const { example, folder, certificate } = await start(t, 'HelloWorldSSL.js');
    const ca = await certificate('localhost');
    const { status, body, protocol } = await getSecure(example.port, { ca });
    assert.deepEqual([status, body, protocol], [200, 'Hello, world, and nobody else!\n', 'TLSv1.3']);
    const { mode } = await fs.stat(path.join(folder, 'localhost.key.pem'));
    assert.equal(mode & 0o077, 0, 'nobody else may read the key');

    const client = new WebSocket(`wss://127.0.0.1:${example.port}`, { ca });
    t.after(() => client.terminate());
    await deadline(once(client, 'open'), 'open WebSocket');
    client.send('hello');
    const [message] = await deadline(once(client, 'message'), 'message');
    assert.equal(String(message), 'hello');
    assert.equal(example.stderr, '');
  });

  it('says so when its port is in use, and ends', async (t) => {
    const { example, folder } = await start(t, 'HelloWorldSSL.js');
    const { port } = example;
    const { code, stderr } = await Example.run('HelloWorldSSL.js', { port, env: { CERTIFICATES: folder } });
    assert.deepEqual([code, stderr], [1, `listen EADDRINUSE: address already in use :::${port}\n`]);
  });

  it('reads a renewed certificate on SIGHUP, and keeps the old one while the new one is wrong', async (t) => {
    const { example, folder, certificate } = await start(t, 'HelloWorldSSL.js');
    const [key, cert] = ['key', 'cert'].map((kind) => path.join(folder, `localhost.${kind}.pem`));
    const old = await certificate('localhost');
    const open = await connectSecure(example.port, { ca: old });
    t.after(() => open.destroy());
    const renewed = makeCertificate({ names: ['localhost'] });

    await fs.copyFile(renewed.key, key);
    example.kill('SIGHUP');
    await until(() => example.stderr !== '', 'complaint');
    assert.match(example.stderr, /^Error: App construction failed: .*localhost\.key\.pem/);
    assert.equal((await getSecure(example.port, { ca: old })).status, 200);

    await fs.copyFile(renewed.cert, cert);
    example.kill('SIGHUP');
    await example.printed('Read the certificate again');
    assert.equal((await getSecure(example.port, { ca: await certificate('localhost') })).status, 200);
    open.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    assert.match(await readToEnd(open), /\r\n\r\nHello, /, 'the connection from before lives on');
  });
});

describe('ServerName', ours, () => {
  /**
   * Returns the certificate's name and the response that a client gets which asks for a name and verifies no
   * certificate.
   */
  async function ask({ example }, servername, path = '/') {
    const options = { servername, host: servername, path, rejectUnauthorized: false };
    const { name, body } = await getSecure(example.port, options);
    return [name, body];
  }

  it('has a certificate and an answer for each name', async (t) => {
    const started = await start(t, 'ServerName.js');
    const { example, certificate } = started;
    assert.deepEqual(await ask(started, 'blue.example'), ['blue.example', 'This is blue.\n']);
    for (const [name, file] of [
      ['blue.example', 'blue.example'],
      ['www.green.example', 'any.green.example'],
    ]) {
      const { status } = await getSecure(example.port, { servername: name, ca: await certificate(file) });
      assert.equal(status, 200, `${name} is what its certificate says`);
    }
    assert.deepEqual(await ask(started, 'www.green.example'), ['*.green.example', 'This is www.green.example.\n']);
    for (const name of ['red.example', 'green.example']) {
      assert.deepEqual(await ask(started, name), ['localhost', 'There is no such site.\n']);
    }
    assert.equal(example.stderr, '');
  });

  it('adds the name of a customer when it is asked for, and removes it', async (t) => {
    const started = await start(t, 'ServerName.js');
    const { example } = started;
    for (const [name, goods] of [
      ['ford.example', 'towels'],
      ['arthur.example', 'tea'],
      ['arthur.example', 'tea'],
    ]) {
      assert.deepEqual(await ask(started, name), [name, `${name} sells ${goods}.\n`]);
    }
    assert.deepEqual(await ask(started, 'ford.example', '/close'), ['ford.example', 'Gone\n']);
    assert.deepEqual(await ask(started, 'ford.example'), ['localhost', 'There is no such site.\n']);
    await example.printed('Removing ford.example');
    const lines = example.lines.filter((line) => !line.startsWith('listening'));
    assert.deepEqual(lines, ['Adding ford.example', 'Adding arthur.example', 'Removing ford.example']);
    assert.equal(example.stderr, '');
  });

  it('goes on when it has no certificate for a customer', async (t) => {
    const started = await start(t, 'ServerName.js');
    await fs.rm(started.folder, { recursive: true });
    await fs.writeFile(started.folder, '');
    for (let i = 0; i < 2; i += 1) {
      assert.deepEqual(await ask(started, 'ford.example'), ['localhost', 'There is no such site.\n']);
    }
    assert.match(started.example.stderr, /EEXIST|ENOTDIR/);
  });
});
