'use strict';

// The example that parses request bodies.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { Example } = require('./Example.js');

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';

describe('ParseRequestBody', ours, () => {
  const start = (t) => Example.start(t, 'ParseRequestBody.js');

  async function post(example, body, type, headers) {
    const all = type === undefined ? headers : { 'Content-Type': type, ...headers };
    const response = await fetch(example.url, { method: 'POST', body, headers: all });
    const text = await response.text();
    return { status: response.status, content: response.status === 200 ? JSON.parse(text) : text };
  }

  it('takes apart what forms and programs send', async (t) => {
    const example = await start(t);
    const form = new FormData();
    form.append('name', 'Handtücher');
    form.append('color', 'white');
    form.append('color', '');
    form.append('picture', new Blob([Buffer.alloc(300_000)], { type: 'image/jpeg' }), '../a.jpg');
    const file = { filename: '../a.jpg', type: 'image/jpeg', size: 300_000 };
    for (const [body, type, expected] of [
      ['{"name":["Handtücher",null]}', JSON_TYPE, { name: ['Handtücher', null] }],
      ['\ufeff5', 'Application/JSON; charset=utf-8', 5],
      ['a=1&b=%C3%BC+%26&a=2&c', FORM_TYPE, { a: ['1', '2'], b: ['ü &'], c: [''] }],
      ['', FORM_TYPE, {}],
      [new URLSearchParams({ name: 'towel' }), undefined, { name: ['towel'] }],
      [form, undefined, { name: ['Handtücher'], color: ['white', ''], picture: [file] }],
    ]) {
      assert.deepEqual(await post(example, body, type), { status: 200, content: expected });
    }
    assert.equal(example.stderr, '');
  });

  it('takes a field of any name for a field', async (t) => {
    const example = await start(t);
    const body = '__proto__=a&constructor=b&constructor=c';
    const response = await fetch(example.url, { method: 'POST', body, headers: { 'Content-Type': FORM_TYPE } });
    assert.equal(await response.text(), '{"__proto__":["a"],"constructor":["b","c"]}');
  });

  it('refuses what is not what it claims to be', async (t) => {
    const example = await start(t);
    const part = (headers, data = 'x') => `--X\r\n${headers}\r\n\r\n${data}\r\n--X--\r\n`;
    const multipart = 'multipart/form-data; boundary=X';
    for (const [body, type] of [
      ['', JSON_TYPE],
      ['{"name":', JSON_TYPE],
      [Buffer.from('22ff22', 'hex'), JSON_TYPE],
      ['['.repeat(60_000), JSON_TYPE],
      [Buffer.from('613dff', 'hex'), FORM_TYPE],
      [part('Content-Disposition: form-data; name="a"'), 'multipart/form-data'],
      ['nothing', multipart],
      [part('Content-Disposition: form-data'), multipart],
      [Buffer.from(part('Content-Disposition: form-data; name="a"', '\xff'), 'latin1'), multipart],
    ]) {
      const { status, content } = await post(example, body, type);
      assert.equal(status, 400, `${type} ${String(body).slice(0, 50)}: ${content}`);
    }
    assert.equal((await post(example, part('Content-Disposition: form-data; name="a"'), multipart)).status, 200);
    assert.equal(example.stderr, '');
  });

  it('refuses more fields than a hundred', async (t) => {
    const example = await start(t);
    const fields = (count) => Array.from({ length: count }, (_, i) => [`f${i}`, '']);
    assert.equal((await post(example, new URLSearchParams(fields(100)))).status, 200);
    assert.equal((await post(example, new URLSearchParams(fields(101)))).status, 400);
    const form = new FormData();
    for (const field of fields(101)) form.append(...field);
    assert.equal((await post(example, form)).status, 400);
  });

  it('refuses other types, and what is compressed', async (t) => {
    const example = await start(t);
    for (const type of ['text/plain', 'application/jsonp', '', ';']) {
      assert.equal((await post(example, Buffer.from('{}'), type)).status, 415, type);
    }
    assert.equal((await post(example, '{}', JSON_TYPE, { 'Content-Encoding': 'gzip' })).status, 415);
  });

  for (const [type, limit] of Object.entries({
    [JSON_TYPE]: 64 * 1024,
    [FORM_TYPE]: 16 * 1024,
    'multipart/form-data; boundary=X': 1024 * 1024,
  })) {
    it(`takes ${limit} bytes of ${type}, and disconnects who sends more`, async (t) => {
      const example = await start(t);
      // Any status but 413 shows that the body was accepted.
      assert.notEqual((await post(example, Buffer.alloc(limit, 'x'), type)).status, 413);
      for (const head of [`Content-Length: ${limit + 1}`, 'Transfer-Encoding: chunked']) {
        const client = await RawSocket.connect(example.port);
        t.after(() => client.destroy());
        client.write(request('/', { method: 'POST', headers: [`Content-Type: ${type}`, head] }));
        if (!head.startsWith('Content')) client.write(`${(limit + 1).toString(16)}\r\n`);
        client.write(Buffer.alloc(limit + 1, 'x'));
        const { status, headers, body } = await client.readResponse();
        assert.deepEqual([status, headers.connection, body], [413, 'close', `At most ${limit} bytes.\n`]);
        await client.readToEnd();
      }
    });
  }

  it('outlives a client that leaves in the middle of its body', async (t) => {
    const example = await start(t);
    for (const leave of ['destroy', 'reset']) {
      const client = await RawSocket.connect(example.port);
      const headers = [`Content-Type: ${JSON_TYPE}`, 'Content-Length: 100', 'Expect: 100-continue'];
      client.write(request('/', { method: 'POST', headers, body: '{"name":' }));
      // The interim response shows that the handler has run.
      await client.readHead();
      client[leave]();
      await example.printed('The client left.');
    }
    assert.equal((await post(example, '{}', JSON_TYPE)).status, 200);
    assert.equal(example.stderr, '');
  });
});
