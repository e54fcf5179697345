// The configurations of HAProxy in docs/OPERATIONS.md, run by HAProxy.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { describe, it } from 'node:test';
import { binary } from '../support/frames.js';
import { LoopingWebSocket } from '../support/looping.js';
import { deadline, until } from '../support/wait.js';
import { skip } from './Proxy.mjs';
import { STICKY, startPassing, startWeb } from './haproxy.mjs';
import {
  CLIENTS,
  ROUNDS,
  fetchFresh,
  getJson,
  getText,
  openWebSocket,
  testEverything,
  testLeastConnections,
  testReload,
  testRequests,
  trusting,
  visit,
} from './scenarios.mjs';

/** Asks who is there from two addresses, by connections that HAProxy keeps. */
async function assertAddresses(origin) {
  for (const localAddress of ['127.0.0.2', '127.0.0.3', '127.0.0.2']) {
    for (let i = 0; i < 3; i += 1) {
      const seen = await getJson(`${origin}/whoami`, { localAddress });
      assert.equal(seen.address, '127.0.0.1');
      assert.equal(seen.proxied.address, localAddress);
      assert.ok(seen.proxied.port > 0);
    }
  }
}

describe('HAProxy that ends TLS', { skip }, () => {
  testEverything(startWeb);
  testRequests(startWeb);
  testLeastConnections(startWeb);
  testReload(startWeb);

  it('tells the address of the client by PROXY of either version, and that it used TLS', async (t) => {
    const { origin, proxy } = await startWeb(t);
    await assertAddresses(origin);
    const headers = { 'X-Forwarded-Proto': 'ftp' };
    const seen = await getJson(`${origin}/whoami`, { headers });
    assert.equal(seen.headers['x-forwarded-proto'], 'https');
    const plain = await fetchFresh(`http://127.0.0.1:${proxy.ports.http}/x?y`, { redirect: 'manual' });
    assert.equal(plain.status, 301);
    assert.equal(plain.headers.get('location'), `https://127.0.0.1:${proxy.ports.http}/x?y`);
    await assertAddresses((await startWeb(t, { more: { 'send-proxy-v2': 'send-proxy' } })).origin);
  });

  it('makes an ordinary WebSocket of one in HTTP/2', async (t) => {
    const { origin, upstreams } = await startWeb(t);
    const session = http2.connect(origin, trusting);
    t.after(() => session.destroy());
    const [settings] = await deadline(once(session, 'remoteSettings'), 'settings');
    assert.equal(session.alpnProtocol, 'h2');
    assert.equal(settings.enableConnectProtocol, true);
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'https',
      ':path': '/',
      ':authority': '127.0.0.1',
      'sec-websocket-version': '13',
    });
    assert.equal((await deadline(once(stream, 'response'), 'response'))[0][':status'], 200);
    let received = Buffer.alloc(0);
    stream.on('data', (data) => (received = Buffer.concat([received, data])));
    const pids = upstreams.map(({ pid }) => String(pid));
    // Frames of a server have no mask, and two bytes before a short payload.
    await until(() => pids.includes(received.subarray(2).toString()), 'first message');
    received = Buffer.alloc(0);
    stream.write(binary(Buffer.from('hello')));
    await until(() => received.length === 7, 'echo');
    assert.equal(received.toString('hex'), '820568656c6c6f');
  });

  it('uses the other server when one dies, and the first again when it is back', async (t) => {
    const { origin, proxy, upstreams } = await startWeb(t);
    const [first, second] = upstreams;
    await first.kill();
    for (let i = 0; i < 20; i += 1) assert.equal(await getText(origin), String(second.pid));
    await until(async () => (await proxy.statusOf('app', 'one')).startsWith('DOWN'), 'end of a server');
    await first.restart();
    await until(async () => (await proxy.statusOf('app', 'one')) === 'UP', 'return of a server');
    await until(async () => (await getText(origin)) === String(first.pid), 'response of the first server');
  });

  it('waits for the answer to a check for longer than the interval of checks', async (t) => {
    const { proxy, upstreams } = await startWeb(t, { more: { 'timeout check 5s': 'timeout check 3s' } });
    process.kill(upstreams[0].pid, 'SIGSTOP');
    const isDown = async () => (await proxy.statusOf('app', 'one')) === 'DOWN';
    await until(isDown, 'end of a server that says nothing', 60_000);
    const { check_status: status, check_duration: milliseconds } = await proxy.statistics('app', 'one');
    assert.equal(status, 'L7TOUT');
    assert.ok(Number(milliseconds) >= 3000, `${milliseconds} ms`);
  });

  const DRAINS = {
    'that is not ready': {
      stop: (proxy, upstream) => upstream.setReady(false),
      start: (proxy, upstream) => upstream.setReady(true),
    },
    'by the runtime API': {
      stop: (proxy) => proxy.command('set server app/one state drain'),
      start: (proxy) => proxy.command('set server app/one state ready'),
    },
  };
  for (const [name, { stop, start }] of Object.entries(DRAINS)) {
    it(`drains a server ${name}`, async (t) => {
      const { origin, proxy, upstreams } = await startWeb(t);
      const url = origin.replace('http', 'ws');
      const clients = [await openWebSocket(t, url), await openWebSocket(t, url)];
      const [drained, other] = upstreams;
      assert.deepEqual(clients.map(({ pid }) => pid).sort(), [drained.pid, other.pid].sort());
      await stop(proxy, drained);
      const isUp = async () => (await proxy.statusOf('app', 'one')) === 'UP';
      await until(async () => !(await isUp()), 'server that is drained');
      for (let i = 0; i < 10; i += 1) {
        assert.equal((await openWebSocket(t, url)).pid, other.pid);
        assert.equal(await getText(origin), String(other.pid));
      }
      for (const { webSocket, next } of clients) {
        webSocket.send('still here');
        assert.equal(String((await next())[0]), 'still here');
      }
      await start(proxy, drained);
      await until(isUp, 'server that is no longer drained');
      assert.equal((await openWebSocket(t, url)).pid, drained.pid);
    });
  }

  it('loses no request and no message while the servers are restarted in turn', async (t) => {
    const { origin, proxy, upstreams } = await startWeb(t);
    const open = () => LoopingWebSocket.open(t, origin.replace('http', 'ws'), trusting);
    const clients = await Promise.all(Array.from({ length: CLIENTS }, open));
    const visitor = visit(origin);
    const more = () => Promise.all(clients.map((client) => client.reach(client.count + ROUNDS)));
    for (const [index, name] of ['one', 'two'].entries()) {
      const upstream = upstreams[index];
      const isUp = async () => (await proxy.statusOf('app', name)) === 'UP';
      await more();
      upstream.setReady(false);
      await until(async () => !(await isUp()), 'server that is drained');
      await upstream.shutDown();
      await more();
      await upstream.restart();
      await until(isUp, 'server that is back');
    }
    await more();
    await Promise.all(clients.map((client) => client.stop()));
    assert.ok((await visitor.stop()) > 0);
    // The clients check that everything was echoed. Each was told to connect again, once by each server that it had.
    for (const { losses, connections } of clients) {
      assert.ok(losses.length > 0 && losses.every((code) => code === 1001), `closed with ${losses}`);
      assert.equal(connections, losses.length + 1);
    }
  });

  it('keeps a client with its server by a cookie, as long as there is one', async (t) => {
    const { origin, upstreams } = await startWeb(t, { code: STICKY });
    const cookies = new Map();
    for (let clients = 0; cookies.size < upstreams.length; clients += 1) {
      assert.ok(clients < 20, 'all clients are with one server');
      const response = await fetchFresh(origin);
      const pid = await response.text();
      const [cookie] = response.headers.get('set-cookie').split(';');
      cookies.set(pid, cookie);
      for (let i = 0; i < 5; i += 1) {
        assert.equal(await getText(origin, { headers: { cookie } }), pid);
        const { webSocket, pid: other } = await openWebSocket(t, origin.replace('http', 'ws'), { headers: { cookie } });
        assert.equal(String(other), pid);
        webSocket.terminate();
      }
    }
    const [first, second] = upstreams;
    await first.kill();
    assert.equal(await getText(origin, { headers: { cookie: cookies.get(String(first.pid)) } }), String(second.pid));
  });
});

describe('HAProxy that passes TLS on', { skip }, () => {
  testEverything(startPassing);
  testReload(startPassing);

  it('tells the address of the client, and checks the servers', async (t) => {
    const { origin, proxy, upstreams } = await startPassing(t);
    await assertAddresses(origin);
    await upstreams[1].kill();
    await until(async () => (await proxy.statusOf('app', 'two')).startsWith('DOWN'), 'end of a server');
    assert.equal(await proxy.statusOf('app', 'one'), 'UP');
    assert.equal(await getText(origin), String(upstreams[0].pid));
  });
});
