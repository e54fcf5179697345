'use strict';

// The examples of WebSockets, with clients of the package ws.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { RawSocket, upgradeRequest } = require('../support/RawSocket.js');
const { request } = require('../support/http.js');
const { ours } = require('../support/uws.js');
const { deadline, until } = require('../support/wait.js');
const { Example } = require('./Example.js');

/** Opens a client, and returns it with its first message. */
async function open(t, address, ...options) {
  const client = new WebSocket(address, ...options);
  t.after(() => client.terminate());
  const upgraded = once(client, 'upgrade');
  const message = once(client, 'message');
  const [response] = await deadline(upgraded, 'upgrade');
  const [text] = await deadline(message, 'first message');
  return { client, headers: response.headers, text: String(text) };
}

/** Returns the status with which a client is refused. */
async function refused(t, address, ...options) {
  const client = new WebSocket(address, ...options);
  // Terminating a client that was never open emits an error.
  client.on('error', () => {});
  t.after(() => client.terminate());
  const [, response] = await deadline(once(client, 'unexpected-response'), 'refusal');
  return response.statusCode;
}

async function exchange(client, data) {
  const answer = once(client, 'message');
  client.send(data);
  return String((await deadline(answer, 'answer'))[0]);
}

describe('WebSocket', ours, () => {
  it('echoes', async (t) => {
    const { webSocketUrl, url } = await Example.start(t, 'WebSocket.js');
    const { client, text } = await open(t, webSocketUrl);
    assert.match(text, /^Welcome/);
    assert.equal(await exchange(client, 'hello'), 'hello');
    assert.match(await (await fetch(`${url}/a`)).text(), /^This is \/a, by GET\./);
  });
});

describe('Upgrade', ours, () => {
  it('lets in whoever has a token, by the best protocol of both', async (t) => {
    const example = await Example.start(t, 'Upgrade.js');
    const address = `${example.webSocketUrl}/chat?token=dont-panic`;
    for (const [offered, chosen] of [
      [['chat.v1'], 'chat.v1'],
      [['chat.v1', 'other', 'chat.v2'], 'chat.v2'],
    ]) {
      const { client, headers, text } = await open(t, address, offered);
      assert.deepEqual([client.protocol, headers['x-welcome']], [chosen, 'Arthur']);
      assert.equal(text, `Hello Arthur, this is ${chosen}.`);
      assert.equal(await exchange(client, 'hi'), 'Arthur: hi');
    }
    assert.equal(example.stderr, '');
  });

  it('keeps the data of its clients apart', async (t) => {
    const { webSocketUrl } = await Example.start(t, 'Upgrade.js');
    const arthur = await open(t, `${webSocketUrl}/chat?token=dont-panic`, 'chat.v2');
    const ford = await open(t, `${webSocketUrl}/chat?token=mostly-harmless`, 'chat.v2');
    assert.equal(await exchange(arthur.client, 'hi'), 'Arthur: hi');
    assert.equal(await exchange(ford.client, 'hi'), 'Ford: hi');
  });

  it('refuses others', async (t) => {
    const { webSocketUrl } = await Example.start(t, 'Upgrade.js');
    assert.equal(await refused(t, `${webSocketUrl}/chat`, 'chat.v2'), 401);
    assert.equal(await refused(t, `${webSocketUrl}/chat?token=wrong`, 'chat.v2'), 401);
    assert.equal(await refused(t, `${webSocketUrl}/chat?token=dont-panic`), 400);
    assert.equal(await refused(t, `${webSocketUrl}/chat?token=dont-panic`, 'chat.v3'), 400);
    assert.equal(await refused(t, `${webSocketUrl}/other?token=dont-panic`, 'chat.v2'), 404);
  });
});

describe('UpgradeAsync', ours, () => {
  const session = (value) => ({ headers: { Cookie: `a=b; session=${value}; c=d` } });

  it('lets in whoever has a session', async (t) => {
    const example = await Example.start(t, 'UpgradeAsync.js');
    const { client, text } = await open(t, example.webSocketUrl, session('42'));
    assert.equal(text, 'Hello Arthur.');
    assert.equal(await exchange(client, 'hi'), 'hi');
    assert.equal(example.stderr, '');
  });

  it('refuses others, and is sorry without its database', async (t) => {
    const example = await Example.start(t, 'UpgradeAsync.js');
    assert.equal(await refused(t, example.webSocketUrl), 401);
    assert.equal(await refused(t, example.webSocketUrl, session('43')), 401);
    assert.equal(await refused(t, example.webSocketUrl, session('broken')), 503);
    assert.match(example.stderr, /^Error: the database is down/);
  });

  it('outlives a client that leaves while it is looked up', async (t) => {
    // This is long enough for the client to leave first.
    const example = await Example.start(t, 'UpgradeAsync.js', { env: { LOOKUP: '1000' } });
    for (const leave of ['destroy', 'reset']) {
      for (const value of ['42', 'broken']) {
        const client = await RawSocket.connect(example.port);
        client.write(upgradeRequest('/', { Cookie: `session=${value}` }));
        await example.printed(`Looking up '${value}'`);
        client[leave]();
        await example.printed('The client left.');
      }
    }
    // This is answered after the earlier requests.
    assert.equal((await open(t, example.webSocketUrl, session('42'))).text, 'Hello Arthur.');
    assert.doesNotMatch(example.stderr, /uWS\.HttpResponse/);
  });

  it('leaves sent messages for later until it has opened', async (t) => {
    const example = await Example.start(t, 'UpgradeAsync.js');
    const client = await RawSocket.connect(example.port);
    t.after(() => client.destroy());
    // A masked "hi", which the client should not have sent before the upgrade.
    const message = Buffer.from('818200000000' + '6869', 'hex');
    client.write(Buffer.concat([Buffer.from(upgradeRequest('/', { Cookie: 'session=42' })), message]));
    assert.match(await client.readHead(), /^HTTP\/1\.1 101 /);
    assert.equal(await client.readText(), 'Hello Arthur.');
    assert.equal(await client.readText(), 'hi');
  });
});

describe('GracefulShutdown', ours, () => {
  /** Whether a connection is refused. */
  async function isRefused(port) {
    try {
      (await RawSocket.connect(port)).destroy();
      return false;
    } catch (error) {
      assert.equal(error.code, 'ECONNREFUSED');
      return true;
    }
  }

  for (const signal of ['SIGTERM', 'SIGINT']) {
    it(`lets a request in flight finish, tells WebSockets, and ends by itself on ${signal}`, async (t) => {
      const example = await Example.start(t, 'GracefulShutdown.js');
      const webSocket = new WebSocket(example.webSocketUrl);
      await deadline(once(webSocket, 'open'), 'WebSocket');
      const closed = once(webSocket, 'close');
      const inFlight = await RawSocket.connect(example.port);
      inFlight.write(request('/job', { method: 'POST', headers: ['Content-Length: 10'], body: '12345' }));
      await example.printed('Began with /job');
      const kept = await RawSocket.connect(example.port);
      kept.write(request('/'));
      assert.equal((await kept.readResponse()).headers.connection, undefined);

      example.kill(signal);
      await example.printed('Shutting down');
      assert.ok(await isRefused(example.port));
      const [code, reason] = await deadline(closed, 'close');
      assert.deepEqual([code, String(reason)], [1001, 'please reconnect']);
      await example.printed('A WebSocket closed with 1001');
      // Nothing is under way on this connection.
      await kept.readToEnd();
      kept.destroy();

      inFlight.write('67890');
      const response = await inFlight.readResponse();
      assert.deepEqual([response.status, response.body, response.headers.connection], [200, 'Got 10 bytes\n', 'close']);
      await inFlight.readToEnd();
      inFlight.destroy();
      await example.printed('Closed 3 connections, and cut 0');
      const ended = await example.exit();
      assert.deepEqual(ended, { code: 0, signal: null, stderr: '' });
    });
  }

  it('ends at once when nobody is there', async (t) => {
    const example = await Example.start(t, 'GracefulShutdown.js');
    example.kill('SIGTERM');
    assert.deepEqual(await example.exit(), { code: 0, signal: null, stderr: '' });
  });

  it('ends with clients that never get ready, once their time is over', async (t) => {
    const example = await Example.start(t, 'GracefulShutdown.js', { env: { GRACE: '100' } });
    const idle = await RawSocket.connect(example.port);
    const stuck = await RawSocket.connect(example.port);
    stuck.write(request('/job', { method: 'POST', headers: ['Content-Length: 10'], body: '12345' }));
    await example.printed('Began with /job');
    example.kill('SIGTERM');
    assert.deepEqual(await example.exit(), { code: 0, signal: null, stderr: '' });
    assert.ok(
      example.lines.some((line) => /^Closed \d connections, and cut [12]$/.test(line)),
      example.lines.join('\n'),
    );
    await until(() => [idle, stuck].every(({ ended, closed }) => ended || closed), 'end of both connections');
    for (const client of [idle, stuck]) client.destroy();
  });
});
