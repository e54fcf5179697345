'use strict';

// The example that serves the files of a folder.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { randomBytes } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs/promises');
const net = require('node:net');
const path = require('node:path');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { fetch: fetchRaw, request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Example } = require('./Example.js');
const { openFiles, stuck, temporaryFolder } = require('./files.js');

const MEBIBYTE = 1 << 20;
/** More than the kernel's buffers hold. */
const LARGE = 32 * MEBIBYTE;

async function get(address, headers = {}) {
  const response = await fetch(address, { headers, redirect: 'manual' });
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
}

describe('StaticFileServer', ours, () => {
  /** Creates a folder with these files, by name and content, and a file beside it that must not be served. */
  async function start(t, files) {
    const folder = path.join(await temporaryFolder(t), 'public');
    const all = { ...files, '../secret.txt': 'secret', '../public-too/secret.txt': 'secret' };
    for (const [name, content] of Object.entries(all)) {
      await fs.mkdir(path.dirname(path.join(folder, name)), { recursive: true });
      await fs.writeFile(path.join(folder, name), content);
    }
    return { folder, example: await Example.start(t, 'StaticFileServer.js', { args: [folder] }) };
  }

  it('sends files, and what they are', async (t) => {
    const large = randomBytes(3 * MEBIBYTE + 12345);
    const { folder, example } = await start(t, {
      'index.html': '<h1>Home</h1>',
      'docs/index.html': '<h1>Docs</h1>',
      'docs/Ä towel.TXT': 'dry',
      'empty.css': '',
      'exact.js': Buffer.alloc(64 * 1024, ' '),
      'large.unknown': large,
    });
    for (const [address, type, content] of [
      ['/', 'text/html; charset=utf-8', '<h1>Home</h1>'],
      ['/index.html?a=b', 'text/html; charset=utf-8', '<h1>Home</h1>'],
      ['/docs/', 'text/html; charset=utf-8', '<h1>Docs</h1>'],
      ['/docs/%C3%84%20towel.TXT', 'text/plain; charset=utf-8', 'dry'],
      ['/empty.css', 'text/css; charset=utf-8', ''],
      ['/exact.js', 'text/javascript; charset=utf-8', ' '.repeat(64 * 1024)],
      ['/large.unknown', 'application/octet-stream', large],
    ]) {
      const { status, headers, body } = await get(example.url + address);
      assert.deepEqual([status, headers.get('content-type')], [200, type], address);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('content-length'), String(content.length));
      assert.ok(Buffer.from(content).equals(body), address);
    }
    await until(async () => (await openFiles(example, folder)).length === 0, 'end of all files');
    assert.equal(example.stderr, '');
  });

  it('sends a folder to the address with a slash', async (t) => {
    const { example } = await start(t, { 'docs/index.html': '', 'other/a.txt': '' });
    const { status, headers } = await get(`${example.url}/docs`);
    assert.deepEqual([status, headers.get('location')], [301, '/docs/']);
    for (const query of ['?', '?a=b&c=%2F', '?a=//x?y']) {
      const { head } = await fetchRaw(example.port, `/docs${query}`);
      assert.match(head, new RegExp(`\r\nLocation: /docs/${query.replaceAll('?', '\\?')}\r\n`));
    }
    for (const address of ['//docs', '/%2Fdocs', '/docs//', '//evil.example/docs']) {
      assert.equal((await fetchRaw(example.port, address)).status, 404, address);
    }
    assert.equal((await get(`${example.url}/other/`)).status, 404, 'there is no list of files');
    // A browser would take `//docs` in a Location for another host.
    assert.equal((await fetchRaw(example.port, '//docs')).status, 404);
  });

  it('does not let anybody out of its folder', async (t) => {
    const { folder, example } = await start(t, { 'a/b.txt': 'b', '.env': 'secret', '.git/config': 'secret' });
    await fs.symlink('../secret.txt', path.join(folder, 'out.txt'));
    await fs.symlink('..', path.join(folder, 'up'));
    await fs.symlink('../public-too', path.join(folder, 'too'));
    await fs.symlink('a/b.txt', path.join(folder, 'in.txt'));
    await fs.symlink(folder, path.join(folder, 'self'));
    for (const target of [
      '/../secret.txt',
      '/a/../../secret.txt',
      '/a/../a/b.txt',
      '/..%2fsecret.txt',
      '/..%2f..%2fetc/passwd',
      '/%2e%2e/secret.txt',
      '/%2E%2E%2Fsecret.txt',
      '/.%2e/secret.txt',
      '/..%5csecret.txt',
      '/..\\secret.txt',
      '/..%252fsecret.txt',
      '/%c0%ae%c0%ae/secret.txt',
      '/a/%00',
      '/a/b.txt%00.html',
      '/a%2fb.txt',
      '/a//b.txt',
      '//a/b.txt',
      '//etc/passwd',
      '/./a/b.txt',
      `/${encodeURIComponent(path.join(folder, '../secret.txt'))}`,
      '/C:/secret.txt',
      '/file:%2f%2f/etc/passwd',
      '/%',
      '/%zz',
      '/.env',
      '/.git/config',
      '/out.txt',
      '/up/secret.txt',
      '/up',
      '/too/secret.txt',
      '/../public-too/secret.txt',
    ]) {
      const { status, body } = await fetchRaw(example.port, target);
      assert.deepEqual([status, body], [404, ''], target);
    }
    for (const target of ['/a/b.txt', '/%61/b%2etxt', '/in.txt', '/self/a/b.txt']) {
      assert.equal((await fetchRaw(example.port, target)).body, 'b', target);
    }
    assert.equal(example.stderr, '');
  });

  it('has no answer to what is no file', async (t) => {
    const { folder, example } = await start(t, { 'a.txt': 'a' });
    execFileSync('mkfifo', [path.join(folder, 'pipe')]);
    const socket = net.createServer().listen(path.join(folder, 'socket'));
    t.after(() => socket.close());
    await once(socket, 'listening');
    await fs.symlink('loop', path.join(folder, 'loop'));
    for (const address of [
      '/',
      '/missing',
      '/a.txt/',
      '/a.txt/b',
      `/${'a'.repeat(300)}`,
      '/pipe',
      '/socket',
      '/A.TXT',
    ]) {
      assert.equal((await get(example.url + address)).status, 404, address);
    }
    assert.equal(example.stderr, '');
    assert.equal((await get(`${example.url}/loop`)).status, 500);
    await until(() => example.stderr.includes('ELOOP'), 'failure');
    for (const method of ['POST', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await fetchRaw(example.port, '/a.txt', { method });
      assert.deepEqual([status, headers.allow], [405, 'GET, HEAD']);
    }
  });

  it('tells HEAD what GET would get', async (t) => {
    const { example } = await start(t, { 'a.txt': 'hello' });
    const client = await RawSocket.connect(example.port);
    t.after(() => client.destroy());
    // Without a body, each response is immediately followed by the next.
    client.write(request('/a.txt', { method: 'HEAD' }) + request('/missing', { method: 'HEAD' }) + request('/a.txt'));
    const { headers, status } = await client.readResponse({ noBody: true });
    assert.deepEqual([status, headers['content-length']], [200, '5']);
    assert.equal((await client.readResponse({ noBody: true })).status, 404);
    const response = await client.readResponse();
    assert.equal(response.body, 'hello');
    // The dates may differ by a second.
    assert.deepEqual({ ...response.headers, date: '' }, { ...headers, date: '' });
  });

  it('does not send again what the client has', async (t) => {
    const { folder, example } = await start(t, { 'a.txt': 'hello' });
    const { headers } = await get(`${example.url}/a.txt`);
    const tag = headers.get('etag');
    const time = headers.get('last-modified');
    const later = new Date(Date.parse(time) + 1000).toUTCString();
    const earlier = new Date(Date.parse(time) - 1000).toUTCString();
    const ask = async (...lines) => {
      const { status, head } = await fetchRaw(example.port, '/a.txt', { headers: lines });
      if (status === 304) assert.doesNotMatch(head, /content-length|content-type|transfer-encoding/i);
      return status;
    };
    for (const [expected, ...lines] of [
      [304, `If-None-Match: ${tag}`],
      [304, `If-None-Match: ${tag.replace('W/', '')}`],
      [304, `If-None-Match: "a", ${tag}`],
      [304, 'If-None-Match: *'],
      [304, `If-Modified-Since: ${time}`],
      [304, `If-Modified-Since: ${later}`],
      [200, 'If-None-Match: "a"'],
      [200, `If-Modified-Since: ${earlier}`],
      [200, 'If-Modified-Since: yesterday'],
      [200, 'If-None-Match: "a"', `If-Modified-Since: ${time}`],
      [304, `If-None-Match: ${tag}`, `If-Modified-Since: ${earlier}`],
    ]) {
      assert.equal(await ask(...lines), expected, lines.join());
    }
    // The file has the same length and was changed within the same second, but is not the same.
    await fs.utimes(path.join(folder, 'a.txt'), new Date(), Date.parse(time) / 1000 + 0.9995);
    assert.equal(await ask(`If-None-Match: ${tag}`), 200);
  });

  it('reads no further than its client does, and all of it when the client goes on', async (t) => {
    const large = randomBytes(LARGE);
    const { example } = await start(t, { large, small: 'small' });
    const client = await stuck(t, example, '/large', LARGE);
    // Others are served meanwhile.
    assert.equal(String((await get(`${example.url}/small`)).body), 'small');
    client.resume();
    await client.readHead();
    assert.ok(large.equals(await client.read(LARGE)));
    client.write(request('/small'));
    assert.equal((await client.readResponse()).body, 'small');
    assert.equal(example.stderr, '');
  });

  it('closes the file of a client that leaves', async (t) => {
    const { folder, example } = await start(t, { large: Buffer.alloc(LARGE), small: 'small' });
    for (const leave of ['destroy', 'reset']) {
      const client = await stuck(t, example, '/large', LARGE);
      assert.equal((await openFiles(example, folder)).length, 1);
      client[leave]();
      await until(async () => (await openFiles(example, folder)).length === 0, 'end of the file');
    }
    assert.equal((await get(`${example.url}/small`)).status, 200);
    assert.equal(example.stderr, '');
  });

  it('disconnects when a file becomes shorter than it has said', async (t) => {
    const { folder, example } = await start(t, { large: Buffer.alloc(LARGE), small: 'small' });
    const client = await stuck(t, example, '/large', LARGE);
    await fs.truncate(path.join(folder, 'large'), 1);
    client.resume();
    assert.ok((await client.readToEnd()).length < LARGE);
    await until(() => /^Error: the file has become shorter/.test(example.stderr), 'failure');
    assert.equal((await get(`${example.url}/small`)).status, 200);
  });
});
