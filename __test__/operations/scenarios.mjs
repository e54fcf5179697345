// What has to work through every proxy, with real clients: ws, undici and curl.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { on, once } from 'node:events';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { Agent, fetch } from 'undici';
import { WebSocket } from 'ws';
import { ordinaryCertificate } from '../support/certificates.js';
import { LoopingWebSocket } from '../support/looping.js';
import { noise } from '../support/noise.js';
import { deadline, until } from '../support/wait.js';
import { Upstream, saidByAny } from './Upstream.mjs';

/** Whether the tests run in full: with the times of the documentation, which take minutes, and with more data. */
export const inFull = process.env.MILLIWAYS_TEST_FULL === '1';

const MEBIBYTE = 1 << 20;
/** Bytes of an upload and of a download. */
const LARGE = (inFull ? 1024 : 64) * MEBIBYTE;
const MESSAGES = 1000;
/** For a large transfer, in milliseconds. */
const PATIENCE = 120_000;
/** Clients that are connected while a proxy or a server is replaced, and echoes of each before and after. */
export const CLIENTS = 20;
export const ROUNDS = 100;
/** Requests that a proxy may send on fewer connections. */
const REQUESTS = 20;

export const certificate = ordinaryCertificate();
/** Options for clients of node:tls. */
export const trusting = { ca: readFileSync(certificate.cert) };

/** Makes requests, each on a new connection that ends with it, from an address of the loopback network. */
export function fetchFresh(url, { localAddress, ...options } = {}) {
  const dispatcher = new Agent({ connect: trusting, localAddress, pipelining: 0 });
  return fetch(url, { ...options, dispatcher, duplex: 'half' }).finally(() => dispatcher.close());
}

export const getText = async (url, options) => (await fetchFresh(url, options)).text();
export const getJson = async (url, options) => JSON.parse(await getText(url, options));

/** Opens a WebSocket, and reads which process it is with. The `after` of the test terminates it. */
export async function openWebSocket(t, url, options) {
  const webSocket = new WebSocket(url, { ...trusting, ...options });
  t.after(() => webSocket.terminate());
  // Queued from the beginning, so that none is missed.
  const messages = on(webSocket, 'message', { close: ['close'] });
  const next = async () => (await deadline(messages.next(), 'message')).value;
  const [pid] = await next();
  return { webSocket, next, pid: Number(pid) };
}

/** The `idleTimeout` of the servers' WebSockets, in seconds. Half of it, or 16 of 120, is left to answer a ping. */
export const IDLE_TIMEOUT = inFull ? 120 : 16;

/** Starts two servers; `direct` is the URL that leads to each past the proxy. */
export async function startUpstreams(t, { isSecure = false, ...more } = {}) {
  const tls = isSecure ? { key_file_name: certificate.key, cert_file_name: certificate.cert } : undefined;
  const options = { idleTimeout: IDLE_TIMEOUT, tls, ...more };
  const upstreams = await Promise.all([Upstream.start(t, options), Upstream.start(t, options)]);
  for (const upstream of upstreams) upstream.direct = `${isSecure ? 'https' : 'http'}://127.0.0.1:${upstream.port}`;
  return upstreams;
}

/** Tests a proxy in front of one server or more: `start(t)` resolves to `{ origin, proxy, upstreams }`. */
export function testEverything(start) {
  it('echoes 1,000 messages in order', async (t) => {
    const { origin } = await start(t);
    const { webSocket, next } = await openWebSocket(t, origin.replace('http', 'ws'));
    const message = (number) => Buffer.from(`${number} `.repeat(1 + (number % 100) * 30));
    for (let number = 0; number < MESSAGES; number += 1) webSocket.send(message(number));
    for (let number = 0; number < MESSAGES; number += 1) {
      const [data, isBinary] = await next();
      assert.ok(isBinary && data.equals(message(number)), `message ${number}`);
    }
    webSocket.close(4001, 'enough');
    assert.equal((await once(webSocket, 'close'))[0], 4001);
  });

  it('passes on a large upload, and a large download', async (t) => {
    const { origin, proxy } = await start(t);
    const bytes = noise(MEBIBYTE);
    const file = proxy.file('upload');
    const hash = createHash('sha256');
    writeFileSync(file, '');
    for (let length = 0; length < LARGE; length += MEBIBYTE) {
      writeFileSync(file, bytes, { flag: 'a' });
      hash.update(bytes);
    }
    const sha256 = hash.digest('hex');
    const answer = await curl('--request', 'POST', '--upload-file', file, `${origin}/upload`);
    assert.deepEqual(JSON.parse(answer), { length: LARGE, sha256 });
    await curl('--output', file, `${origin}/download/${LARGE / MEBIBYTE}`);
    const received = createHash('sha256');
    for await (const chunk of createReadStream(file)) received.update(chunk);
    assert.equal(received.digest('hex'), sha256);
  });

  it('passes on an upload while it is being sent', async (t) => {
    const { origin, upstreams } = await start(t);
    const uploading = saidByAny(upstreams, 'uploading');
    const upload = startUpload(origin);
    await uploading;
    upload.end();
    assert.equal((await upload.result).length, upload.length);
  });

  it('passes on each server-sent event before there is another', async (t) => {
    const { origin, upstreams } = await start(t);
    const agent = new Agent({ connect: trusting });
    t.after(() => agent.destroy());
    const response = await fetch(`${origin}/events`, { dispatcher: agent });
    const chunks = response.body.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
    let text = '';
    const read = async (what) => {
      while (!text.includes(what)) text += (await deadline(chunks.next(), what)).value;
    };
    await read(': welcome\n\n');
    for (let number = 0; number < 10; number += 1) {
      // Directly at the servers, one of which has the listener.
      const posted = upstreams.map(({ direct }) => fetchFresh(`${direct}/events/${number}`, { method: 'POST' }));
      await Promise.all(posted);
      await read(`data: ${number}\n\n`);
    }
  });
}

async function curl(...args) {
  const { stdout } = await promisify(execFile)(
    'curl',
    ['--silent', '--show-error', '--fail', '--cacert', certificate.cert, ...args],
    {
      timeout: PATIENCE,
    },
  );
  return stdout;
}

/** Begins an upload, of which the second half is sent by `end()`. */
export function startUpload(origin) {
  const half = noise(300_000);
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  async function* body() {
    yield half;
    await ended;
    yield half;
  }
  const result = fetchFresh(`${origin}/upload`, { method: 'POST', body: body() }).then((response) => response.json());
  return { length: 2 * half.length, result, end };
}

/** Tests a proxy that handles HTTP, and therefore tells one request from the next: `start(t, options)`. */
export function testRequests(start) {
  it('keeps connections to the servers', async (t) => {
    const { origin, upstreams } = await start(t);
    for (let i = 0; i < REQUESTS; i += 1) await getText(origin);
    const connections = await countConnections(upstreams);
    assert.ok(connections > 0 && connections < REQUESTS, `${connections} connections for ${REQUESTS} requests`);
  });

  it('repeats a GET at the other server if one is killed, and no POST', async (t) => {
    const { origin, upstreams } = await start(t);
    const [first, second] = upstreams;
    const held = async (method) => {
      const said = saidByAny(upstreams, 'held');
      const response = fetchFresh(`${origin}/hold`, { method });
      const pid = await said;
      return { response, killed: pid === first.pid ? first : second, other: pid === first.pid ? second : first };
    };
    const get = await held('GET');
    const again = saidByAny([get.other], 'held');
    await get.killed.kill();
    await again;
    await fetchFresh(`${get.other.direct}/release`, { method: 'POST' });
    assert.equal(await (await get.response).text(), 'released');

    await get.killed.restart();
    const post = await held('POST');
    await post.killed.kill();
    assert.equal((await post.response).status, 502);
  });
}

/** Tests that a proxy knows how many connections each server has: `start(t)`. */
export function testLeastConnections(start) {
  it('gives a client to the server with the fewest', async (t) => {
    const { origin, upstreams } = await start(t);
    const url = origin.replace('http', 'ws');
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => openWebSocket(t, url)));
    const [left, others] = upstreams.map(({ pid }) => clients.filter((client) => client.pid === pid));
    assert.deepEqual([left.length, others.length], [CLIENTS / 2, CLIENTS / 2]);
    for (const { webSocket } of left) webSocket.terminate();
    await until(async () => (await upstreams[0].countWebSockets()) === 0, 'end of the clients');
    for (let i = 0; i < CLIENTS / 2; i += 1) assert.equal((await openWebSocket(t, url)).pid, upstreams[0].pid);
  });
}

export async function countConnections(upstreams) {
  const counts = await Promise.all(upstreams.map((upstream) => upstream.countConnections()));
  return counts.reduce((sum, count) => sum + count);
}

/** Tests that all connections and requests outlive a reload: `start(t, options)`. */
export function testReload(start) {
  it('loses nobody when it is reloaded', async (t) => {
    // The upload pauses for as long as everything else takes.
    const { origin, proxy, upstreams } = await start(t, { httpIdleTimeout: 120 });
    const open = () => LoopingWebSocket.open(t, origin.replace('http', 'ws'), trusting);
    const clients = await Promise.all(Array.from({ length: CLIENTS }, open));
    const held = saidByAny(upstreams, 'held');
    const pending = getText(`${origin}/hold`);
    await held;
    const uploading = saidByAny(upstreams, 'uploading');
    const upload = startUpload(origin);
    await uploading;
    const visitor = visit(origin);
    await Promise.all(clients.map((client) => client.reach(ROUNDS)));

    const { before } = await proxy.reload();

    await Promise.all(clients.map((client) => client.reach(client.count + ROUNDS)));
    upload.end();
    assert.equal((await upload.result).length, upload.length);
    for (const { direct } of upstreams) await fetchFresh(`${direct}/release`, { method: 'POST' });
    assert.equal(await pending, 'released');
    assert.ok((await visitor.stop()) > 0);
    await Promise.all(clients.map((client) => client.stop()));
    for (const { losses, connections } of clients)
      assert.deepEqual({ losses, connections }, { losses: [], connections: 1 });
    // The old processes have waited for exactly these.
    await proxy.ended(before);
    assert.equal((await fetchFresh(origin)).status, 200);
  });
}

/** Makes one request after the other, each on a connection of its own. `stop()` resolves to their number. */
export function visit(origin) {
  let isStopping = false;
  const visits = (async () => {
    for (let count = 0; ; count += 1) {
      if (isStopping) return count;
      const { status } = await fetchFresh(origin);
      assert.equal(status, 200);
    }
  })();
  return {
    stop() {
      isStopping = true;
      return visits;
    },
  };
}

/** Returns the path of a file with the certificate and its key, as HAProxy wants it. */
export function combinedCertificate(folder) {
  const file = path.join(folder, 'combined.pem');
  writeFileSync(file, readFileSync(certificate.cert, 'utf8') + readFileSync(certificate.key, 'utf8'));
  return file;
}
