'use strict';

// The examples of HTTP without streams, as a browser or curl uses them.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { RawSocket } = require('../support/RawSocket.js');
const { fetch: fetchRaw, request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { Example } = require('./Example.js');

async function answer(url, options) {
  const response = await fetch(url, options);
  return { status: response.status, body: await response.text(), headers: response.headers };
}

describe('HelloWorld', ours, () => {
  it('says hello', async (t) => {
    const { url } = await Example.start(t, 'HelloWorld.js');
    const { status, body, headers } = await answer(url);
    assert.deepEqual([status, body], [200, 'Hello, world!\n']);
    assert.equal(headers.get('content-type'), 'text/plain; charset=utf-8');
  });

  it('says so when its port is in use, and ends', async (t) => {
    const { port } = await Example.start(t, 'HelloWorld.js');
    const { code, stderr } = await Example.run('HelloWorld.js', { port });
    assert.deepEqual([code, stderr], [1, `listen EADDRINUSE: address already in use :::${port}\n`]);
  });
});

describe('Router', ours, () => {
  it('answers by method, parameter and wildcard', async (t) => {
    const example = await Example.start(t, 'Router.js');
    const { url } = example;
    assert.deepEqual(JSON.parse((await answer(`${url}/users`)).body), { 1: 'Arthur', 2: 'Ford' });
    assert.equal((await answer(`${url}/users/2`)).body, 'Ford\n');
    const created = await answer(`${url}/users?name=Zaphod%20B.`, { method: 'POST' });
    assert.deepEqual([created.status, created.headers.get('location')], [201, '/users/3']);
    assert.equal((await answer(`${url}/users/3`)).body, 'Zaphod B.\n');
    assert.equal((await answer(`${url}/users/3`, { method: 'DELETE' })).status, 204);
    assert.equal((await answer(`${url}/users/3`)).status, 404);
    assert.equal((await answer(`${url}/flights/Earth/Magrathea`)).body, 'From Earth to Magrathea\n');
    assert.equal((await answer(`${url}/archive/a/b/c`)).body, 'In the archive: a/b/c\n');
    assert.equal(example.stderr, '');
  });

  it('refuses what is wrong', async (t) => {
    const { url } = await Example.start(t, 'Router.js');
    const put = await answer(`${url}/users`, { method: 'PUT', body: 'x' });
    assert.deepEqual([put.status, put.headers.get('allow')], [405, 'GET, POST']);
    assert.equal((await answer(`${url}/users`, { method: 'POST' })).status, 400);
    for (const [path, method] of [
      ['/users/7', 'GET'],
      ['/users/7', 'DELETE'],
      ['/flights/Earth', 'GET'],
      ['/', 'POST'],
    ]) {
      const { status, body } = await answer(url + path, { method });
      assert.deepEqual([status, body], [404, `There is no ${path} for ${method}.\n`]);
    }
  });

  it('gives what others have sent as text, which is no page to a browser', async (t) => {
    const { url, port } = await Example.start(t, 'Router.js');
    await answer(`${url}/users?name=%3Cscript%3E`, { method: 'POST' });
    for (const target of ['/users/3', '/flights/<b>/<i>', '/archive/<b>', '/<script>']) {
      const { body, headers } = await fetchRaw(port, target);
      assert.match(body, /</, target);
      assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
      assert.equal(headers['x-content-type-options'], 'nosniff');
    }
  });

  it('has an invitation for one', async (t) => {
    const { url } = await Example.start(t, 'Router.js');
    assert.equal((await answer(`${url}/invitation`)).body, 'You are the one.\n');
    assert.equal((await answer(`${url}/invitation`)).status, 404);
  });
});

describe('Headers', ours, () => {
  it('shows the headers of a request', async (t) => {
    const { port } = await Example.start(t, 'Headers.js');
    const client = await RawSocket.connect(port);
    client.write(request('/', { headers: ['X-One: 1', 'X-TWO: 2', 'x-two: 3'] }));
    const { body } = await client.readResponse();
    assert.deepEqual(JSON.parse(body), { host: 'localhost', 'x-one': '1', 'x-two': '2, 3' });
    client.write(request('/', { headers: ['constructor: a', '__proto__: b'] }));
    const odd = (await client.readResponse()).body.replace(/\s/g, '');
    assert.equal(odd, '{"host":"localhost","constructor":"a","__proto__":"b"}');
    client.destroy();
  });

  it('speaks the language that was asked for', async (t) => {
    const { url } = await Example.start(t, 'Headers.js');
    for (const [language, expected] of [
      ['de-AT,de;q=0.9', 'Hallo\n'],
      ['fr', 'Hello\n'],
    ]) {
      const { body, headers } = await answer(`${url}/greeting`, { headers: { 'Accept-Language': language } });
      assert.deepEqual([body, headers.get('vary')], [expected, 'Accept-Language']);
    }
  });

  it('counts visits in a cookie', async (t) => {
    const { url } = await Example.start(t, 'Headers.js');
    const first = await answer(`${url}/visits`);
    const cookies = first.headers.getSetCookie();
    assert.equal(first.body, 'You were here 1 times.\n');
    assert.equal(cookies.length, 2);
    assert.match(cookies[0], /^visits=1; Path=/);
    const Cookie = cookies.map((cookie) => cookie.split(';')[0]).join('; ');
    assert.equal((await answer(`${url}/visits`, { headers: { Cookie } })).body, 'You were here 2 times.\n');
    const nonsense = await answer(`${url}/visits`, { headers: { Cookie: '=; visits; visits=x' } });
    assert.equal(nonsense.body, 'You were here 1 times.\n');
  });

  it('does not send again what the client has', async (t) => {
    const { url, port } = await Example.start(t, 'Headers.js');
    const page = await answer(`${url}/page`);
    const tag = page.headers.get('etag');
    assert.match(page.body, /^<!doctype html>/);
    for (const known of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
      const client = await RawSocket.connect(port);
      // Without a body, the first response is immediately followed by the second.
      client.write(request('/page', { headers: [`If-None-Match: ${known}`] }) + request('/greeting'));
      const { status, headers, head } = await client.readResponse({ noBody: true });
      assert.deepEqual([status, headers.etag, headers['cache-control']], [304, tag, 'no-cache'], known);
      assert.doesNotMatch(head, /content-length|transfer-encoding/i);
      assert.equal((await client.readResponse()).body, 'Hello\n');
      client.destroy();
    }
    assert.equal((await answer(`${url}/page`, { headers: { 'If-None-Match': '"other"' } })).body, page.body);
  });
});

describe('JsonPost', ours, () => {
  const json = { 'Content-Type': 'application/json' };

  it('takes an item', async (t) => {
    const example = await Example.start(t, 'JsonPost.js');
    const body = JSON.stringify({ name: 'Handtuch \u{1f9fb}', size: [1, 2] });
    const created = await answer(`${example.url}/items`, { method: 'POST', headers: json, body });
    assert.equal(created.status, 201);
    assert.deepEqual(JSON.parse(created.body), { id: 1, name: 'Handtuch \u{1f9fb}', size: [1, 2] });
    assert.equal(example.stderr, '', 'no warning of a write outside of a cork');
    const another = await answer(`${example.url}/items`, {
      method: 'POST',
      headers: json,
      body: '{"name":"x","id":7}',
    });
    assert.equal(JSON.parse(another.body).id, 2);
  });

  it('says so when an item cannot be stored, and goes on', async (t) => {
    const { url } = await Example.start(t, 'JsonPost.js');
    for (const [name, status] of [
      ['broken', 503],
      ['towel', 201],
    ]) {
      const body = JSON.stringify({ name });
      assert.equal((await answer(`${url}/items`, { method: 'POST', headers: json, body })).status, status);
    }
  });

  it('refuses what is no item', async (t) => {
    const { url } = await Example.start(t, 'JsonPost.js');
    for (const body of ['', '{"name":', '[]', 'null', '5', '{"name":5}', '\xff']) {
      const { status } = await answer(`${url}/items`, { method: 'POST', headers: json, body });
      assert.equal(status, 400, body);
    }
    const latin1 = Buffer.from('{"name":"\xfc"}', 'latin1');
    assert.equal((await answer(`${url}/items`, { method: 'POST', headers: json, body: latin1 })).status, 400);
    const form = await answer(`${url}/items`, { method: 'POST', body: new URLSearchParams({ name: 'towel' }) });
    assert.equal(form.status, 415);
  });

  for (const [how, head] of Object.entries({
    'with a length': 'Content-Length: 16385',
    'in chunks': 'Transfer-Encoding: chunked',
  })) {
    it(`refuses a body that is too large, ${how}, and disconnects`, async (t) => {
      const { port } = await Example.start(t, 'JsonPost.js');
      const client = await RawSocket.connect(port);
      const body = Buffer.alloc(16385, 'x');
      client.write(request('/items', { method: 'POST', headers: ['Content-Type: application/json', head] }));
      if (how === 'in chunks') client.write('4001\r\n');
      client.write(body);
      const { status, headers } = await client.readResponse();
      assert.deepEqual([status, headers.connection], [413, 'close']);
      await client.readToEnd();
      client.destroy();
    });
  }

  it('takes a body of just the limit', async (t) => {
    const { url } = await Example.start(t, 'JsonPost.js');
    const body = '{"name":"towel"}'.padEnd(16384);
    assert.equal((await answer(`${url}/items`, { method: 'POST', headers: json, body })).status, 201);
  });

  it('outlives a client that leaves in the middle of its body', async (t) => {
    const example = await Example.start(t, 'JsonPost.js');
    for (const leave of ['destroy', 'reset']) {
      const client = await RawSocket.connect(example.port);
      const headers = ['Content-Type: application/json', 'Content-Length: 100', 'Expect: 100-continue'];
      client.write(request('/items', { method: 'POST', headers, body: '{"name":' }));
      // The interim response shows that the handler has run.
      await client.readHead();
      client[leave]();
      await example.printed('The client left.');
    }
    const created = await answer(`${example.url}/items`, { method: 'POST', headers: json, body: '{"name":"towel"}' });
    assert.equal(created.status, 201);
    assert.equal(example.stderr, '');
  });
});

describe('ProxyProtocol', ours, () => {
  // Version 2: the signature, version and command, family, length; then both addresses and both ports.
  const SIGNATURE = '0d0a0d0a 000d0a51 5549540a';
  const IPV4 = `${SIGNATURE} 21 11 000c cb007107 0a000001 d431 01bb`;
  const IPV6 = `${SIGNATURE} 21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 d431 01bb`;
  const LOCAL = `${SIGNATURE} 20 00 0000`;

  async function connect(t, header) {
    const { port } = await Example.start(t, 'ProxyProtocol.js');
    const client = await RawSocket.connect(port);
    t.after(() => client.destroy());
    return client.write(Buffer.from(header.replaceAll(' ', ''), 'hex'));
  }

  async function ask(client) {
    client.write(request('/'));
    return JSON.parse((await client.readResponse()).body);
  }

  it('tells the address of an IPv4 client, for every request of its connection', async (t) => {
    const client = await connect(t, IPV4);
    for (let i = 0; i < 2; i += 1) {
      const seen = await ask(client);
      assert.deepEqual(seen.client, { address: '203.0.113.7', port: 54321 });
      assert.match(seen.connection.address, /127\.0\.0\.1$/);
      assert.ok(seen.connection.port > 0);
    }
  });

  it('tells the address of an IPv6 client', async (t) => {
    const { client } = await ask(await connect(t, IPV6));
    assert.deepEqual(client, { address: '2001:0db8:0000:0000:0000:0000:0000:0001', port: 54321 });
  });

  for (const [what, header] of Object.entries({ 'no header': '', 'a header of the proxy itself': LOCAL })) {
    it(`knows no client after ${what}`, async (t) => {
      assert.equal((await ask(await connect(t, header))).client, null);
    });
  }

  it('ends a connection whose header is wrong', async (t) => {
    const client = await connect(t, `${SIGNATURE} 31 11 000c cb007107 0a000001 d431 01bb`);
    client.write(request('/'));
    assert.doesNotMatch((await client.readToEnd()).toString(), /200 OK/);
  });
});
