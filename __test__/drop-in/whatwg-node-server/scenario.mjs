// What clients of @whatwg-node/server see.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import zlib from 'node:zlib';
import bytes from '../../support/http.js';
import raw from '../../support/RawSocket.js';
import wait from '../../support/wait.js';
import { describe, request } from '../parts/http.mjs';

const { RawSocket } = raw;
const { deadline, until } = wait;
const { withoutDate } = bytes;

const MEBIBYTE = 1 << 20;

/** The adapters with the package's own classes, and with Node's. */
const CLASSES = ['', '/native'];

/** Returns a step for each of these adapters. */
function eachAdapter(step, run) {
  return Object.fromEntries(CLASSES.map((prefix) => [`${step}${prefix && ', native'}`, (stage) => run(stage, prefix)]));
}

const post = (server, target, body, headers = {}) => request(server, target, { method: 'POST', body, headers });

/** Makes a request as programs do, with Node's fetch. */
async function fetched(server, target, options = {}) {
  const response = await deadline(fetch(`${server.origin}${target}`, { redirect: 'manual', ...options }), 'response');
  const headers = Object.fromEntries(response.headers);
  return describe(response.status, headers, Buffer.from(await deadline(response.arrayBuffer(), 'body')));
}

/** Returns bytes that look random, but are always the same. */
function noise(length) {
  const data = Buffer.alloc(length);
  let state = 1;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    data[index] = state >>> 24;
  }
  return data;
}

const digest = (data) => createHash('sha256').update(data).digest('hex');

/** Replaces the body of a response with its length and digest. */
const brief = ({ body, ...response }) => ({ ...response, length: body.length, digest: digest(body) });

/** Returns the head of a request, including the empty line. */
const head = (method, target, headers = '') => `${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`;

/** Returns the expected chunks of `down`. */
const numbers = (count, size) => Buffer.concat(Array.from({ length: count }, (_, index) => Buffer.alloc(size, index)));

/** Makes a request and reads its response; `pause` is awaited before the body is read. */
async function readSlowly(server, target, pause) {
  const sent = http.request(`${server.origin}${target}`, { agent: new http.Agent() });
  sent.end();
  const [response] = await deadline(once(sent, 'response'), 'response');
  response.pause();
  await pause();
  const chunks = [];
  response.on('data', (chunk) => chunks.push(chunk)).resume();
  await deadline(once(response, 'end'), 'end of the response', 30_000);
  return Buffer.concat(chunks);
}

export const steps = {
  ...eachAdapter('methods, headers, queries and bodies arrive', async ({ server }, prefix) => {
    const seen = [];
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const body = method === 'GET' || method === 'OPTIONS' ? [] : `${method} me`;
      const headers = {
        'x-mixed-Case': 'Value',
        'content-type': 'text/plain',
        ...(body.length > 0 && { 'content-length': body.length }),
      };
      const target = `${prefix}/echo?a=1&b=%C3%BC+x&a=2&empty=&flag`;
      seen.push(await request(server, target, { method, body, headers }));
    }
    seen.push(await request(server, `${prefix}/echo`, { headers: { cookie: ['a=1', 'b=2'], accept: ['x/y', 'z/*'] } }));
    seen.push(await request(server, `${prefix}/a/b/c/%2Fd%20e/echo?`));
    seen.push(await fetched(server, `${prefix}/echo`, { method: 'POST', body: new URLSearchParams({ a: 'ü' }) }));
    return seen;
  }),

  ...eachAdapter('responses of all kinds', async ({ server }, prefix) => {
    const seen = [];
    for (const page of ['headers', 'bytes', 'blob', 'elsewhere', 'nothing', 'later', 'events', 'own', 'ownLater']) {
      seen.push([page, await request(server, `${prefix}/${page}`)]);
    }
    seen.push(brief(await request(server, `${prefix}/long`)), await request(server, `${prefix}/missing`));
    for (const status of [200, 201, 204, 206, 304, 400, 404, 500, 503]) {
      seen.push(await request(server, `${prefix}/status?is=${status}`));
    }
    seen.push(await fetched(server, `${prefix}/elsewhere`), await fetched(server, `${prefix}/headers`));
    return seen;
  }),

  ...eachAdapter('the bytes of responses', async ({ server }, prefix) => {
    const seen = [];
    for (const page of ['headers', 'later', 'nothing', 'context', 'down?count=2&size=3']) {
      const client = await RawSocket.connect(server.port);
      client.write(head('GET', `${prefix}/${page}`));
      const answer = await client.readHead();
      const isChunked = answer.includes('chunked');
      const [, length = 0] = /content-length: (\d+)/i.exec(answer) ?? [];
      await client.read(isChunked ? 1 : Number(length));
      client.destroy();
      seen.push([page, withoutDate(answer)]);
    }
    return seen;
  }),

  ...eachAdapter('what throws becomes a response', async ({ server }, prefix) => [
    await request(server, `${prefix}/throws`),
    await request(server, `${prefix}/rejects`),
    await post(server, `${prefix}/throws`, noise(100_000)),
  ]),

  'HEAD has the head of GET': async ({ server }) => {
    const seen = [];
    for (const page of ['/headers', '/native/later', '/down?count=3&size=10', '/status?is=404']) {
      const client = await RawSocket.connect(server.port);
      client.write(head('HEAD', page));
      seen.push(withoutDate(await client.readHead()));
      client.destroy();
    }
    return seen;
  },

  ...eachAdapter('bodies as text, JSON and bytes', async ({ server }, prefix) => {
    const seen = [
      await post(server, `${prefix}/text`, 'Grüße, 世界'),
      await post(server, `${prefix}/text`, ['in ', 'four ', 'chunks', '']),
      await post(server, `${prefix}/text`, []),
      await post(server, `${prefix}/json`, '{"a":[1,{"b":null}]}'),
      await post(server, `${prefix}/json`, '{"a":'),
      await post(server, `${prefix}/unread`, 'unread'),
    ];
    for (const way of ['arrayBuffer', 'bytes', 'blob']) {
      seen.push(await post(server, `${prefix}/digests?by=${way}`, noise(10_000)));
    }
    return seen;
  }),

  ...eachAdapter('forms with files', async ({ server }, prefix) => {
    const form = new FormData();
    form.append('name', 'Grüße');
    form.append('name', 'twice');
    form.append('file', new File([noise(300_000)], 'noise.bin', { type: 'application/x-noise' }));
    form.append('file', new File(['a\r\nb'], 'text.txt', { type: 'text/plain' }));
    form.append('empty', new File([], 'nothing'));
    const seen = [
      await fetched(server, `${prefix}/form`, { method: 'POST', body: form }),
      await fetched(server, `${prefix}/form`, { method: 'POST', body: new URLSearchParams({ a: '1', b: 'ü&=' }) }),
    ];
    const multipart = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nbit by bit\r\n--x--\r\n';
    const client = await RawSocket.connect(server.port);
    const type = 'Content-Type: multipart/form-data; boundary=x\r\n';
    client.write(head('POST', `${prefix}/form`, `${type}Content-Length: ${multipart.length}\r\n`));
    for (const byte of multipart) await client.writeAndTurn(byte);
    seen.push((await client.readHead()).split('\r\n')[0], (await client.read(20)).toString());
    client.destroy();
    return seen;
  }),

  ...eachAdapter('requests in pieces of a byte', async ({ server }, prefix) => {
    const client = await RawSocket.connect(server.port);
    const seen = [];
    for (const message of [
      `${head('POST', `${prefix}/text`, 'Content-Length: 11\r\n')}byte by byt`,
      `${head('POST', `${prefix}/text`, 'Transfer-Encoding: chunked\r\n')}5\r\nbyte \r\n6\r\nby byt\r\n0\r\n\r\n`,
    ]) {
      for (const byte of message) await client.writeAndTurn(byte);
      seen.push(withoutDate(await client.readHead()), (await client.read(11)).toString());
    }
    client.destroy();
    return seen;
  }),

  ...eachAdapter('big bodies, by length and in chunks', async ({ server }, prefix) => {
    const data = noise(5 * MEBIBYTE);
    const pieces = Array.from({ length: 100 }, (_, index) =>
      data.subarray((index * data.length) / 100, ((index + 1) * data.length) / 100),
    );
    const seen = [];
    for (const page of ['count', 'mirror', 'digests?by=bytes']) {
      for (const headers of [{ 'content-length': data.length }, {}]) {
        seen.push([page, brief(await deadline(post(server, `${prefix}/${page}`, pieces, headers), page))]);
      }
    }
    return seen;
  }),

  ...eachAdapter('many requests at once', async ({ server }, prefix) => {
    const all = [];
    for (let index = 0; index < 300; index += 1) {
      const body = Buffer.alloc(index * 100, index);
      all.push(
        post(server, `${prefix}/${index % 2 === 0 ? 'count' : 'mirror'}`, body).then((response) =>
          index % 2 === 0
            ? response.body === JSON.stringify({ length: body.length, digest: digest(body) })
            : response.body === body.toString(),
        ),
      );
      all.push(
        request(server, `${prefix}/down?count=10&size=${index}&slowly`).then(
          ({ body }) => body.length === numbers(10, index).toString().length,
        ),
      );
    }
    return (await deadline(Promise.all(all), 'end of all')).reduce((sum, isRight) => sum + Number(isRight), 0);
  }),

  ...eachAdapter('requests one after another on one connection', async ({ server }, prefix) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const seen = [];
    for (let round = 0; round < 20; round += 1) {
      const answers = [
        await request(server, `${prefix}/unread`, { agent, method: 'POST', body: noise(200_000) }),
        await request(server, `${prefix}/later`, { agent }),
        await request(server, `${prefix}/status?is=204`, { agent }),
        await request(server, `${prefix}/text`, { agent, method: 'POST', body: [`${round}`, ' in chunks'] }),
        await request(server, `${prefix}/down?count=3&size=1000&slowly`, { agent }),
      ];
      seen.push(answers.map(({ status, body }) => [status, body.length]).join(' '));
    }
    agent.destroy();
    return [...new Set(seen)];
  }),

  ...eachAdapter('requests in one write', async ({ server }, prefix) => {
    const client = await RawSocket.connect(server.port);
    client.write(head('GET', `${prefix}/unread`).repeat(3));
    const seen = [];
    for (let index = 0; index < 3; index += 1) {
      seen.push(withoutDate(await client.readHead()));
      if (seen[index].includes('chunked')) await client.read('8\r\nnot read\r\n0\r\n\r\n'.length);
      else await client.read(8);
    }
    client.destroy();
    return seen;
  }),

  ...eachAdapter('a slow reader gets every byte', async ({ server }, prefix) => {
    const [count, size] = [240, 100_000];
    const target = `${prefix}/down?count=${count}&size=${size}&as=slow`;
    const data = await readSlowly(server, target, async () => {
      await server.log.next('produced');
      for (let index = 0; index < 20; index += 1) await request(server, `${prefix}/later`);
    });
    return [data.length, Buffer.compare(data, numbers(count, size))];
  }),

  'many slow readers': async ({ server }) => {
    const data = numbers(50, 50_000);
    const before = server.log.count('produced');
    let paused = 0;
    const all = Array.from({ length: 40 }, () =>
      readSlowly(server, '/down?count=50&size=50000&slowly&as=many', async () => {
        paused += 1;
        await until(() => paused === 40 && server.log.count('produced') >= before + 40, 'all that is produced', 30_000);
      }),
    );
    return (await Promise.all(all)).every((received) => Buffer.compare(received, data) === 0);
  },

  ...eachAdapter('clients that leave in the middle of a body', async ({ server }, prefix) => {
    const seen = [];
    for (const [way, headers] of [
      ['reset', 'Content-Length: 100000\r\n'],
      ['destroy', 'Content-Length: 100000\r\n'],
      ['reset', 'Transfer-Encoding: chunked\r\n'],
    ]) {
      const client = await RawSocket.connect(server.port);
      client.write(`${head('POST', `${prefix}/lost?${way}`, headers)}5\r\nbegun\r\n`);
      await server.log.next('waiting');
      await request(server, '/later');
      client[way]();
      seen.push(await server.log.next('aborted'));
    }
    return [seen, await request(server, `${prefix}/later`)];
  }),

  ...eachAdapter('clients that leave before there is a response', async ({ server }, prefix) => {
    const seen = [];
    for (const way of ['reset', 'destroy', 'end']) {
      const client = await RawSocket.connect(server.port);
      client.write(`${head('PUT', `${prefix}/lost?${way}`, 'Content-Length: 4\r\n')}body`);
      await server.log.next('waiting');
      client[way]();
      seen.push(await server.log.next('aborted'));
      client.destroy();
    }
    const aborter = new AbortController();
    const lost = fetch(`${server.origin}${prefix}/lost?fetch`, { signal: aborter.signal }).catch(({ name }) => name);
    await server.log.next('waiting');
    aborter.abort();
    seen.push(await lost, await server.log.next('aborted'));
    return seen;
  }),

  ...eachAdapter('clients that leave in the middle of a response', async ({ server }, prefix) => {
    const seen = [];
    for (const way of ['reset', 'destroy']) {
      const client = await RawSocket.connect(server.port);
      client.write(head('GET', `${prefix}/endless?${way}`));
      await client.read(100_000);
      client[way]();
      seen.push(await server.log.next('aborted'));
    }
    const all = Array.from({ length: 50 }, async () => {
      const client = await RawSocket.connect(server.port);
      client.write(head('GET', `${prefix}/endless?many`));
      await client.read(20_000);
      client.pause();
      client.reset();
    });
    await Promise.all(all);
    for (let index = 0; index < 50; index += 1) await server.log.next('aborted');
    return [seen, await request(server, `${prefix}/later`)];
  }),

  'a response that breaks off': async ({ server }) => {
    const client = await RawSocket.connect(server.port);
    client.write(head('GET', '/broken'));
    const answer = withoutDate(await client.readHead());
    const body = (await client.read('d\r\nthe beginning'.length)).toString();
    const complaint = await server.log.next('complaint');
    client.reset();
    return [answer, body, complaint, await request(server, '/later')];
  },

  'background work and contexts': async ({ server }) => {
    const seen = [await request(server, '/background'), await server.log.next('background')];
    seen.push(await server.log.next('complaint'));
    for (const prefix of ['/with', '', '/native', '/plugged']) seen.push(await request(server, `${prefix}/context`));
    return seen;
  },

  'plugins: requests from other sites': async ({ server }) => {
    const seen = [];
    for (const origin of ['http://one.example', 'http://three.example']) {
      seen.push(await request(server, '/plugged/later', { headers: { origin } }));
      const asks = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-a' };
      seen.push(await request(server, '/plugged/later', { method: 'OPTIONS', headers: { origin, ...asks } }));
    }
    return [...seen, await request(server, '/plugged/later', { headers: { 'x-banned': '1' } })];
  },

  'plugins: compressed, both ways': async ({ server }) => {
    const seen = [];
    const pack = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, br: zlib.brotliCompressSync };
    const unpack = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync, br: zlib.brotliDecompressSync };
    const words = 'all the same '.repeat(2000);
    for (const encoding of ['gzip', 'deflate', 'br']) {
      const sent = http.request(`${server.origin}/plugged/text`, {
        method: 'POST',
        agent: new http.Agent(),
        headers: { 'content-encoding': encoding, 'accept-encoding': encoding },
      });
      sent.end(pack[encoding](words));
      const [response] = await once(sent, 'response');
      const body = Buffer.concat(await response.toArray());
      seen.push([
        describe(response.statusCode, response.headers, ''),
        body.length < 1000,
        String(unpack[encoding](body)) === words,
      ]);
    }
    seen.push(await post(server, '/plugged/text', 'x', { 'content-encoding': 'pigeon' }));
    seen.push(brief(await fetched(server, '/plugged/long')));
    return seen;
  },

  'plugins: limits, deadlines and errors': async ({ server }) => {
    const seen = [];
    for (const [length, headers] of [
      [100_000, {}],
      [100_001, {}],
      [100_000, { 'content-length': 100_000 }],
      [100_001, { 'content-length': 100_001 }],
      [1_000_000, { 'content-length': 1_000_000 }],
    ]) {
      seen.push([length, headers, brief(await post(server, '/plugged/text', Buffer.alloc(length, 'x'), headers))]);
    }
    seen.push(await request(server, '/plugged/throws'), await request(server, '/plugged/rejects'));
    seen.push(await request(server, '/plugged/lost?deadline'), await server.log.next('waiting'));
    seen.push(await server.log.next('aborted'), await server.log.next('waited'));
    return seen;
  },

  'requests that make no sense': async ({ server }) => {
    const seen = [];
    for (const message of [
      'GET /later HTTP/1.1\r\n\r\n',
      'GET /later HTTP/1.0\r\nHost: localhost\r\n\r\n',
      'GET /later HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n',
      'GET /later HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n',
      head('GET', '/later', `X-Long: ${'x'.repeat(20_000)}\r\n`),
      head('POST', '/text', 'Content-Length: -1\r\n'),
      head('POST', '/text', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'),
    ]) {
      const client = await RawSocket.connect(server.port);
      client.write(message);
      seen.push([message.slice(0, 60), withoutDate((await client.readToEnd()).toString('latin1'))]);
      client.destroy();
    }
    return [seen, await request(server, '/later')];
  },

  'clients come back after the server did': async ({ server }) => {
    const agent = new http.Agent({ keepAlive: true });
    await request(server, '/later', { agent });
    const sent = http.request(`${server.origin}/endless?restart`, { agent: new http.Agent() });
    sent.end();
    const [response] = await once(sent, 'response');
    const ended = once(response, 'error').then(([error]) => error.code);
    response.resume();
    await server.restart();
    const seen = [await ended];
    await until(() => Object.keys(agent.freeSockets).length === 0, 'end of the old connections');
    for (const prefix of CLASSES) seen.push(await request(server, `${prefix}/later`, { agent }));
    agent.destroy();
    return seen;
  },
};

export const differences = {
  'requests that make no sense': 'HTTP/1.0 is served',
};
