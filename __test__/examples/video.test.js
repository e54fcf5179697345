'use strict';

// The example that plays a video.

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { until } = require('../support/wait.js');
const { Example } = require('./Example.js');
const { openFiles, stuck, temporaryFolder } = require('./files.js');

const MEBIBYTE = 1 << 20;

describe('VideoStreamer', ours, () => {
  /** A multiple of no buffer size. */
  const SIZE = 3 * MEBIBYTE + 12345;
  /** More than the kernel's buffers hold. */
  const LARGE = 32 * MEBIBYTE;

  async function start(t, { size = SIZE, name = 'film.mp4' } = {}) {
    const file = path.join(await temporaryFolder(t), name);
    const film = randomBytes(size);
    await fs.writeFile(file, film);
    const example = await Example.start(t, 'VideoStreamer.js', { args: [file] });
    const allClosed = () => until(async () => (await openFiles(example, file)).length === 0, 'end of all files');
    return { film, file, example, allClosed };
  }

  async function get(example, headers = {}) {
    const response = await fetch(`${example.url}/video`, { headers });
    return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
  }

  it('has a page with the video, and sends it as a whole', async (t) => {
    const { film, example, allClosed } = await start(t);
    assert.match(await (await fetch(example.url)).text(), /<video src="\/video"/);
    const { status, headers, body } = await get(example);
    assert.deepEqual([status, headers.get('content-length'), headers.get('content-range')], [200, String(SIZE), null]);
    assert.deepEqual([headers.get('content-type'), headers.get('accept-ranges')], ['video/mp4', 'bytes']);
    assert.ok(film.equals(body));
    await allClosed();
    assert.equal(example.stderr, '', 'no warning of a write outside of a cork');
  });

  it('sends ranges', async (t) => {
    const { film, example, allClosed } = await start(t, { name: 'film.webm' });
    for (const [range, first, end] of [
      ['bytes=0-', 0, SIZE],
      ['bytes=0-0', 0, 1],
      ['Bytes=1-70000', 1, 70001],
      ['bytes=65536-', 65536, SIZE],
      [`bytes=${SIZE - 1}-`, SIZE - 1, SIZE],
      [`bytes=10-${SIZE * 2}`, 10, SIZE],
      [`bytes=10-${'9'.repeat(400)}`, 10, SIZE],
      ['bytes=-100', SIZE - 100, SIZE],
      [`bytes=-${SIZE * 2}`, 0, SIZE],
    ]) {
      const { status, headers, body } = await get(example, { Range: range });
      assert.deepEqual([status, headers.get('content-type')], [206, 'video/webm'], range);
      assert.equal(headers.get('content-range'), `bytes ${first}-${end - 1}/${SIZE}`);
      assert.ok(film.subarray(first, end).equals(body), range);
    }
    await allClosed();
    assert.equal(example.stderr, '');
  });

  it('refuses ranges outside of the video, and ignores what is no range', async (t) => {
    const { film, example, allClosed } = await start(t, { size: 1000 });
    for (const range of ['bytes=1000-', 'bytes=5000-6000', 'bytes=-0', `bytes=${'9'.repeat(400)}-`]) {
      const { status, headers, body } = await get(example, { Range: range });
      assert.deepEqual([status, headers.get('content-range'), body.length], [416, 'bytes */1000', 0], range);
    }
    for (const range of ['bytes=-', 'bytes=9-1', 'bytes=x-y', 'bytes=1', 'bytes=0x1-', 'lines=1-2', 'bytes=0-1,5-6']) {
      const { status, body } = await get(example, { Range: range });
      assert.equal(status, 200, range);
      assert.ok(film.equals(body), range);
    }
    await allClosed();
    assert.equal(example.stderr, '');
  });

  it('sends a range only of the video that the player knows', async (t) => {
    const { file, example } = await start(t, { size: 1000 });
    const ask = async (tag) => (await get(example, { Range: 'bytes=0-9', 'If-Range': tag })).status;
    const tag = (await get(example)).headers.get('etag');
    assert.equal(await ask(tag), 206);
    for (const other of ['"other"', `W/${tag}`, new Date().toUTCString()]) assert.equal(await ask(other), 200, other);
    await fs.writeFile(file, Buffer.alloc(999));
    assert.equal(await ask(tag), 200);
  });

  it('tells the length of the video to HEAD', async (t) => {
    const { example, allClosed } = await start(t, { size: 1000 });
    const client = await RawSocket.connect(example.port);
    t.after(() => client.destroy());
    const headers = ['Range: bytes=0-9'];
    client.write(request('/video', { method: 'HEAD', headers }) + request('/video', { headers }));
    const head = await client.readResponse({ noBody: true });
    assert.deepEqual([head.status, head.headers['content-length']], [200, '1000']);
    assert.equal((await client.readResponse()).status, 206, 'the next response follows at once');
    await allClosed();
  });

  it('sends an empty video, and none that is not there', async (t) => {
    const { file, example } = await start(t, { size: 0 });
    const { status, body } = await get(example);
    assert.deepEqual([status, body.length], [200, 0]);
    for (const range of ['bytes=0-', 'bytes=-5']) assert.equal((await get(example, { Range: range })).status, 416);
    assert.equal(example.stderr, '');
    await fs.rm(file);
    assert.equal((await get(example)).status, 404);
    await until(() => example.stderr.startsWith('Error: ENOENT'), 'failure');
    // Once the file is back, it is served again.
    await fs.writeFile(file, 'film');
    assert.equal(String((await get(example)).body), 'film');
  });

  it('reads no further than its player does, and all of it when the player goes on', async (t) => {
    const { film, example, allClosed } = await start(t, { size: LARGE });
    const client = await stuck(t, example, '/video', LARGE);
    // Others are served meanwhile.
    assert.equal((await get(example, { Range: 'bytes=5-9' })).status, 206);
    client.resume();
    await client.readHead();
    assert.ok(film.equals(await client.read(LARGE)));
    await allClosed();
    assert.equal(example.stderr, '');
  });

  it('stops when its player leaves', async (t) => {
    const { example, allClosed } = await start(t, { size: LARGE });
    const left = () => example.lines.filter((line) => line.startsWith('The client left '));
    for (const [index, leave] of ['destroy', 'reset'].entries()) {
      const client = await stuck(t, example, '/video', LARGE);
      client[leave]();
      await until(() => left().length > index, 'end of the response');
      const [, read, length] = /when (\d+) of (\d+) bytes/.exec(left()[index]);
      assert.equal(Number(length), LARGE);
      assert.ok(Number(read) < LARGE, `${read} bytes`);
      await allClosed();
    }
    assert.equal((await get(example, { Range: 'bytes=0-9' })).body.length, 10);
    assert.equal(example.stderr, '');
  });

  it('disconnects when the video becomes shorter than it has said', async (t) => {
    const { file, example, allClosed } = await start(t, { size: LARGE });
    const client = await stuck(t, example, '/video', LARGE);
    await fs.truncate(file, 1000);
    client.resume();
    assert.ok((await client.readToEnd()).length < LARGE);
    await allClosed();
    assert.equal((await get(example, { Range: 'bytes=0-9' })).body.length, 10);
    assert.ok(example.lines.every((line) => !line.startsWith('The client left')));
    assert.equal(example.stderr, '');
  });
});
