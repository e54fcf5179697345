// The configurations of nginx in docs/OPERATIONS.md, run by nginx.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { skip } from './Proxy.mjs';
import { until } from '../support/wait.js';
import { STICKY, WEB, startPassing, startWeb, webReplacements } from './nginx.mjs';
import {
  countConnections,
  fetchFresh,
  getJson,
  getText,
  openWebSocket,
  testEverything,
  testLeastConnections,
  testReload,
  testRequests,
} from './scenarios.mjs';
import { adapt } from './snippets.mjs';

describe('nginx that ends TLS', { skip }, () => {
  testEverything(startWeb);
  testRequests(startWeb);
  testLeastConnections((t) => startWeb(t, { more: { 'worker_processes auto': 'worker_processes 8' } }));
  testReload(startWeb);

  it('tells the address of the client, and that it used TLS', async (t) => {
    const { origin, proxy } = await startWeb(t);
    for (const localAddress of ['127.0.0.2', '127.0.0.3']) {
      const headers = { 'X-Forwarded-For': '192.0.2.1', 'X-Forwarded-Proto': 'ftp' };
      const seen = await getJson(`${origin}/whoami`, { localAddress, headers });
      // What the client claims is not passed on.
      assert.equal(seen.headers['x-forwarded-for'], localAddress);
      assert.equal(seen.headers['x-forwarded-proto'], 'https');
      assert.equal(seen.headers.host, '127.0.0.1');
    }
    const plain = await fetchFresh(`http://127.0.0.1:${proxy.ports.http}/x?y`, { redirect: 'manual' });
    assert.deepEqual([plain.status, plain.headers.get('location')], [301, 'https://127.0.0.1/x?y']);
  });

  it('closes idle connections to the servers, which have not closed them', async (t) => {
    const more = { 'keepalive_timeout 5s': 'keepalive_timeout 1s' };
    const { origin, upstreams } = await startWeb(t, { more, httpIdleTimeout: 0 });
    await getText(origin);
    assert.equal(await countConnections(upstreams), 1);
    await until(async () => (await countConnections(upstreams)) === 0, 'end of the idle connection');
  });

  it('uses the other server when one dies, and the first again when it is back', async (t) => {
    const { origin, upstreams } = await startWeb(t, { more: { 'fail_timeout=5s': 'fail_timeout=1s' } });
    await upstreams[0].kill();
    for (let i = 0; i < 20; i += 1) assert.equal(await getText(origin), String(upstreams[1].pid));
    await upstreams[0].restart();
    const pid = String(upstreams[0].pid);
    let found = false;
    for (const end = Date.now() + 15_000; !found && Date.now() < end;) found = (await getText(origin)) === pid;
    assert.ok(found);
  });

  it('drains a server that is marked as down', async (t) => {
    const { origin, proxy, upstreams } = await startWeb(t);
    const url = origin.replace('http', 'ws');
    const clients = [await openWebSocket(t, url), await openWebSocket(t, url)];
    const [drained, other] = upstreams;
    const code = adapt(WEB, { 'server 127.0.0.1:9001': 'server 127.0.0.1:9001 down' });
    proxy.configure(code, await webReplacements(proxy, upstreams));
    await proxy.reload();
    for (let i = 0; i < 10; i += 1) assert.equal((await openWebSocket(t, url)).pid, other.pid);
    for (const { webSocket, next } of clients) {
      webSocket.send('still here');
      assert.equal(String((await next())[0]), 'still here');
    }
    assert.deepEqual(clients.map(({ pid }) => pid).sort(), [drained.pid, other.pid].sort());
  });

  it('keeps a client with its server by ip_hash', async (t) => {
    const [upstream] = /upstream app \{[^]*?^ {4}\}\n/m.exec(WEB);
    const code = adapt(WEB, { [upstream]: STICKY });
    const { origin } = await startWeb(t, { code });
    // ip_hash looks at the first three bytes of an address.
    const servers = new Set();
    for (let third = 0; third < 20; third += 1) {
      const localAddress = `127.0.${third}.1`;
      const pids = new Set();
      for (let i = 0; i < 4; i += 1) pids.add(await getText(origin, { localAddress }));
      assert.equal(pids.size, 1, `${localAddress} has been with ${[...pids]}`);
      servers.add(...pids);
    }
    assert.equal(servers.size, 2);
  });
});

describe('nginx that passes TLS on, with PROXY', { skip }, () => {
  testEverything(startPassing);
  testReload(startPassing);

  it('tells the address of the client', async (t) => {
    const { origin } = await startPassing(t);
    for (const localAddress of ['127.0.0.2', '127.0.0.3']) {
      const seen = await getJson(`${origin}/whoami`, { localAddress });
      assert.equal(seen.address, '127.0.0.1');
      assert.equal(seen.proxied.address, localAddress);
      assert.ok(seen.proxied.port > 0);
    }
  });
});
