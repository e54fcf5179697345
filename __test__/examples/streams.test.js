'use strict';

// The examples of streamed bodies.

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { deadline, until } = require('../support/wait.js');
const { Example } = require('./Example.js');
const { stuck, temporaryFolder } = require('./files.js');

const KIBIBYTE = 1 << 10;
const MEBIBYTE = 1 << 20;

describe('Upload', ours, () => {
  async function start(t) {
    const folder = await temporaryFolder(t);
    return { folder, example: await Example.start(t, 'Upload.js', { args: [folder] }) };
  }

  for (const [name, size] of Object.entries({ 'empty.bin': 0, 'small.bin': 5, 'large.bin': 16 * MEBIBYTE })) {
    it(`writes ${name} of ${size} bytes to the disk`, async (t) => {
      const { folder, example } = await start(t);
      const body = randomBytes(size);
      const response = await fetch(`${example.url}/files/${name}`, { method: 'PUT', body });
      assert.equal(response.status, 201);
      assert.deepEqual(await fs.readdir(folder), [name]);
      assert.ok(body.equals(await fs.readFile(path.join(folder, name))));
      assert.equal(example.stderr, '');
    });
  }

  it('takes a body in chunks', async (t) => {
    const { folder, example } = await start(t);
    const parts = Array.from({ length: 20 }, () => randomBytes(100 * KIBIBYTE));
    const expected = Buffer.concat(parts);
    const body = new ReadableStream({
      pull(controller) {
        if (parts.length > 0) controller.enqueue(parts.shift());
        else controller.close();
      },
    });
    const response = await fetch(`${example.url}/files/chunks`, { method: 'PUT', body, duplex: 'half' });
    assert.equal(response.status, 201);
    assert.ok(expected.equals(await fs.readFile(path.join(folder, 'chunks'))));
  });

  it('leaves nothing of an upload whose client leaves', async (t) => {
    const { folder, example } = await start(t);
    for (const leave of ['destroy', 'reset']) {
      const client = await RawSocket.connect(example.port);
      client.write(request(`/files/${leave}`, { method: 'PUT', headers: [`Content-Length: ${MEBIBYTE}`] }));
      client.write(Buffer.alloc(300 * KIBIBYTE));
      await until(async () => (await fs.readdir(folder)).length > 0, 'beginning of the file');
      client[leave]();
      await example.printed(`${leave} failed: the client left`);
      await until(async () => (await fs.readdir(folder)).length === 0, 'end of the file');
    }
  });

  it('refuses names that are none, and serves the next request of the connection', async (t) => {
    const { folder, example } = await start(t);
    const client = await RawSocket.connect(example.port);
    t.after(() => client.destroy());
    for (const name of ['..', '%2e%2e', '..%2Fevil', '.hidden', 'a'.repeat(101), 'a%00b']) {
      client.write(request(`/files/${name}`, { method: 'PUT', headers: ['Content-Length: 4'], body: 'evil' }));
      assert.equal((await client.readResponse()).status, 400, name);
    }
    assert.deepEqual(await fs.readdir(folder), []);
  });

  it('says so when the disk refuses', async (t) => {
    const { folder, example } = await start(t);
    await fs.rm(folder, { recursive: true });
    const response = await fetch(`${example.url}/files/x`, { method: 'PUT', body: Buffer.alloc(MEBIBYTE) });
    assert.equal(response.status, 500);
    const form = new FormData();
    form.append('picture', new Blob(['x']), 'x.jpg');
    assert.equal((await fetch(`${example.url}/form`, { method: 'POST', body: form })).status, 500);
    // The server continues.
    assert.equal((await fetch(`${example.url}/form`, { method: 'POST', body: 'text' })).status, 400);
  });

  it('tells the parts of a form, and keeps its files', async (t) => {
    const { folder, example } = await start(t);
    const form = new FormData();
    const picture = randomBytes(10 * KIBIBYTE);
    form.append('title', 'Handt\u00fccher');
    form.append('picture', new Blob([picture], { type: 'image/jpeg' }), '../evil.jpg');
    const response = await fetch(`${example.url}/form`, { method: 'POST', body: form });
    assert.deepEqual(await response.json(), [
      { name: 'title', size: 11 },
      { name: 'picture', filename: '../evil.jpg', type: 'image/jpeg', size: picture.length },
    ]);
    const files = await fs.readdir(folder);
    assert.equal(files.length, 1);
    assert.ok(picture.equals(await fs.readFile(path.join(folder, files[0]))));
    assert.equal(example.stderr, '');
  });

  it('refuses what is no form, and one that is too large', async (t) => {
    const { example } = await start(t);
    const plain = await fetch(`${example.url}/form`, { method: 'POST', body: 'text' });
    assert.equal(plain.status, 400);
    const client = await RawSocket.connect(example.port);
    t.after(() => client.destroy());
    client.write(request('/form', { method: 'POST', headers: [`Content-Length: ${2 * MEBIBYTE}`] }));
    client.write(Buffer.alloc(2 * MEBIBYTE));
    assert.equal((await client.readResponse()).status, 413);
  });
});

describe('FileStreaming', ours, () => {
  /** A multiple of no buffer size. */
  const SIZE = 3 * MEBIBYTE + 12345;

  async function start(t, size = SIZE) {
    const file = path.join(await temporaryFolder(t), 'film.mp4');
    const film = randomBytes(size);
    await fs.writeFile(file, film);
    return { film, file, example: await Example.start(t, 'FileStreaming.js', { args: [file] }) };
  }

  async function get(example, Range) {
    const response = await fetch(`${example.url}/film`, { headers: Range === undefined ? {} : { Range } });
    return { response, body: Buffer.from(await response.arrayBuffer()) };
  }

  it('sends a film as a whole', async (t) => {
    const { film, example } = await start(t);
    const { response, body } = await get(example);
    assert.deepEqual([response.status, response.headers.get('accept-ranges')], [200, 'bytes']);
    assert.equal(response.headers.get('content-length'), String(SIZE));
    assert.ok(film.equals(body));
    assert.equal(example.stderr, '');
  });

  it('makes a film if it is given none', async (t) => {
    const tmp = await temporaryFolder(t);
    const example = await Example.start(t, 'FileStreaming.js', { env: { TMPDIR: tmp, TEMP: tmp } });
    assert.equal((await get(example)).body.length, 8 * MEBIBYTE);
  });

  it('sends ranges', async (t) => {
    const { film, example } = await start(t);
    for (const [range, first, end] of [
      ['bytes=0-0', 0, 1],
      ['bytes=1-70000', 1, 70001],
      ['BYTES=5-6', 5, 7],
      ['bytes=65536-', 65536, SIZE],
      [`bytes=${SIZE - 1}-`, SIZE - 1, SIZE],
      [`bytes=10-${SIZE * 2}`, 10, SIZE],
      ['bytes=-100', SIZE - 100, SIZE],
      [`bytes=-${SIZE * 2}`, 0, SIZE],
    ]) {
      const { response, body } = await get(example, range);
      assert.equal(response.status, 206, range);
      assert.equal(response.headers.get('content-range'), `bytes ${first}-${end - 1}/${SIZE}`);
      assert.ok(film.subarray(first, end).equals(body), range);
    }
  });

  it('refuses ranges outside of the film, and ignores what is no range', async (t) => {
    const { film, example } = await start(t, 1000);
    for (const range of ['bytes=1000-', 'bytes=5000-6000', 'bytes=-0']) {
      const { response } = await get(example, range);
      assert.deepEqual([response.status, response.headers.get('content-range')], [416, 'bytes */1000'], range);
    }
    const known = await fetch(`${example.url}/film`, { headers: { Range: 'bytes=0-0', 'If-Range': '"another"' } });
    assert.equal(known.status, 200, 'a range of another film');
    assert.ok(film.equals(Buffer.from(await known.arrayBuffer())));
    for (const range of ['bytes=-', 'bytes=9-1', 'bytes=x-y', 'lines=1-2', 'bytes=0-1,5-6']) {
      const { response, body } = await get(example, range);
      assert.equal(response.status, 200, range);
      assert.ok(film.equals(body), range);
    }
  });

  it('tells the length of a film to HEAD', async (t) => {
    const { example } = await start(t, 1000);
    const client = await RawSocket.connect(example.port);
    t.after(() => client.destroy());
    client.write(request('/film', { method: 'HEAD' }) + request('/film', { headers: ['Range: bytes=0-9'] }));
    const { status, headers } = await client.readResponse({ noBody: true });
    assert.deepEqual([status, headers['content-length'], headers['accept-ranges']], [200, '1000', 'bytes']);
    assert.equal((await client.readResponse({ noBody: true })).status, 206, 'the next response follows at once');
  });

  it('sends an empty film', async (t) => {
    const { example } = await start(t, 0);
    const { response, body } = await get(example);
    assert.deepEqual([response.status, body.length], [200, 0]);
    assert.equal((await get(example, 'bytes=0-')).response.status, 416);
  });

  it('reads no further than its client does, and all of it when the client goes on', async (t) => {
    const { film, example } = await start(t, 32 * MEBIBYTE);
    const client = await stuck(t, example, '/film', 32 * MEBIBYTE);
    // Others are served meanwhile.
    assert.equal((await get(example, 'bytes=5-9')).response.status, 206);
    client.resume();
    const { headers } = await client.readResponse({ noBody: true });
    assert.ok(film.equals(await client.read(Number(headers['content-length']))));
    assert.equal(example.stderr, '');
  });

  it('stops when its client leaves', async (t) => {
    const { example } = await start(t, 32 * MEBIBYTE);
    const left = () => example.lines.filter((line) => line.startsWith('The client left after '));
    for (const [index, leave] of ['destroy', 'reset'].entries()) {
      const client = await stuck(t, example, '/film', 32 * MEBIBYTE);
      client[leave]();
      await until(() => left().length > index, 'end of the response');
      const [, sent, size] = /after (\d+) of (\d+)/.exec(left()[index]);
      assert.equal(Number(size), 32 * MEBIBYTE);
      assert.ok(Number(sent) < Number(size), `${sent} bytes`);
    }
    assert.equal((await get(example, 'bytes=0-9')).body.length, 10);
    assert.equal(example.stderr, '');
  });

  it('disconnects when the film has become shorter than it has said', async (t) => {
    const { file, example } = await start(t, 1000);
    await fs.truncate(file, 500);
    await assert.rejects(get(example));
    assert.equal((await get(example, 'bytes=0-9')).body.length, 10);
  });
});

describe('ServerSentEvents', ours, () => {
  /** An open page. */
  class Page {
    #reader;
    #text = '';

    constructor(response) {
      this.headers = response.headers;
      this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    }

    static async open(example, signal) {
      const page = new Page(await fetch(`${example.url}/events`, { signal }));
      assert.equal(await page.event(), 'retry: 2000');
      return page;
    }

    /** Resolves to the next event or comment, unparsed. */
    async event() {
      while (!this.#text.includes('\n\n')) {
        const { done, value } = await deadline(this.#reader.read(), 'event');
        assert.ok(!done, 'the stream goes on');
        this.#text += value;
      }
      const end = this.#text.indexOf('\n\n');
      const event = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      return event;
    }
  }

  const tell = async (example, body) => (await fetch(`${example.url}/events`, { method: 'POST', body })).text();

  it('tells all pages, and lets go of those that are closed', async (t) => {
    const example = await Example.start(t, 'ServerSentEvents.js');
    const [closing, staying] = [new AbortController(), new AbortController()];
    t.after(() => staying.abort());
    const first = await Page.open(example, closing.signal);
    const second = await Page.open(example, staying.signal);
    await example.printed('2 clients');
    assert.equal(first.headers.get('content-type'), 'text/event-stream');

    assert.equal(await tell(example, 'one\ntwo\r\n'), '2 heard it.\n');
    for (const page of [first, second]) assert.equal(await page.event(), 'id: 1\ndata: one\ndata: two\ndata: ');
    closing.abort();
    await until(() => example.lines.filter((line) => line === '1 clients').length === 2, 'end of the first page');
    assert.equal(await tell(example, '\u00fc'), '1 heard it.\n');
    assert.equal(await second.event(), 'id: 2\ndata: \u00fc');
    assert.equal(example.stderr, '');
  });

  it('sends signs of life', async (t) => {
    const example = await Example.start(t, 'ServerSentEvents.js', { env: { HEARTBEAT: '20' } });
    const leaving = new AbortController();
    t.after(() => leaving.abort());
    const page = await Page.open(example, leaving.signal);
    for (let i = 0; i < 3; i += 1) assert.equal(await page.event(), ': still here');
  });

  it('disconnects a page that does not keep up', async (t) => {
    const example = await Example.start(t, 'ServerSentEvents.js');
    const client = await RawSocket.connect(example.port);
    t.after(() => client.destroy());
    client.write(request('/events'));
    await client.readHead();
    client.pause();
    const news = 'x'.repeat(16 * KIBIBYTE);
    // The kernel's buffers hold some of the events.
    await until(async () => (await tell(example, news)) === '0 heard it.\n', 'end of the slow page');
    await example.printed('0 clients');
    assert.equal(example.stderr, '');
  });

  it('refuses novels', async (t) => {
    const { url } = await Example.start(t, 'ServerSentEvents.js');
    const body = 'x'.repeat(16 * KIBIBYTE + 1);
    assert.equal((await fetch(`${url}/events`, { method: 'POST', body })).status, 413);
  });
});
