// What clients see of a shop on uwebsockets-express.

import { once } from 'node:events';
import http from 'node:http';
import { WebSocket } from 'ws';
import raw from '../../support/RawSocket.js';
import support from '../../support/http.js';
import wait from '../../support/wait.js';
import {
  DEPARTURES,
  areAlwaysEqual,
  cut,
  depart,
  digest,
  inParallel,
  pattern,
  send,
  sendAndDawdle,
  sendInPieces,
} from '../parts/bytes.mjs';
import { request } from '../parts/http.mjs';

const { RawSocket } = raw;
const { exchange } = support;
const { until } = wait;

async function getAll(server, targets, options) {
  const seen = {};
  for (const target of targets) seen[target] = await request(server, target, options);
  return seen;
}

/** Returns the bytes of a request that closes the connection. */
function head(line, ...headers) {
  return `${[`${line} HTTP/1.1`, 'Host: localhost', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`;
}

const ANSWERS = [
  '/',
  '/send/string?text=a%20b',
  '/send/string',
  '/send/json',
  '/send/object',
  '/send/buffer',
  '/send/nothing',
  '/jsonp?callback=go',
  '/jsonp',
  '/status/404',
  '/status/418',
  '/redirect',
  '/redirect?code=301&to=http://a.example/',
  '/headers',
  '/written',
  '/page',
  '/no-page',
  '/late',
  '/nowhere',
];

export const steps = {
  'answers of each kind': ({ server }) => getAll(server, ANSWERS),

  'answers without a body': async ({ server }) => {
    const seen = {};
    for (const target of ANSWERS) {
      if (target !== '/written') seen[target] = await request(server, target, { method: 'HEAD' });
    }
    return seen;
  },

  'answers as they are on the wire': async ({ server }) => {
    const seen = [];
    for (const target of ['/', '/send/json', '/headers', '/written', '/files/hello.txt', '/cookies/set']) {
      seen.push(await exchange(server.port, head(`GET ${target}`)));
    }
    return seen;
  },

  requests: async ({ server }) => {
    const seen = [];
    for (const bytes of [
      head('GET /request', 'X-A: 1', 'Cookie: a=1; b=2', 'Accept: application/json', 'Referer: /from'),
      head('GET /request?a=1&a=2&b%5Bc%5D=d&e=%C3%BC+%20&f', 'Accept: text/html'),
      head('GET /request/', 'X-Empty:', 'X-Utf8: gr\xc3\xbcn'),
    ]) {
      seen.push(await exchange(server.port, bytes));
    }
    return seen;
  },

  methods: async ({ server }) => {
    const seen = [];
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'SEARCH']) {
      for (const target of ['/method', '/nowhere', '/shelf/1']) {
        seen.push([method, target, await request(server, target, { method })]);
      }
    }
    seen.push(await request(server, '/native/x', { method: 'DELETE' }));
    return seen;
  },

  routes: ({ server }) =>
    getAll(server, [
      '/shelf/3',
      '/shelf/3/',
      '/shelf/a%20b/red?x=1',
      '/shelf/3/lost',
      '/shelf/3/red/more',
      '/way/skip',
      '/way/either',
      '/way/or/',
      '/way/wild/a/b',
      '/way/optional',
      '/way/yes/optional',
      '/WAY/SKIP',
      '/way//skip',
      '/native/x',
      '/%zz',
    ]),

  errors: async ({ server }) => {
    const seen = await getAll(server, ['/error/thrown', '/error/rejected', '/error/passed', '/error/unhandled']);
    return [seen, await server.log.next('logged')];
  },

  'requests from another site': async ({ server }) => {
    const headers = { origin: 'http://site.example', 'access-control-request-method': 'PUT' };
    return [
      await request(server, '/shared', { method: 'OPTIONS', headers }),
      await request(server, '/shared', { headers }),
    ];
  },

  'cookies and sessions': async ({ server }) => {
    const set = await request(server, '/cookies/set');
    const cookie = `${set.headers['set-cookie'][0].split(';')[0]}; forged=s%3Ayes.no; j=j%3A%7B%22a%22%3A1%7D`;
    const seen = [set, await request(server, '/cookies', { headers: { cookie } })];
    const first = await request(server, '/session');
    const [id] = first.headers['set-cookie'][0].split(';');
    seen.push(first.body);
    for (let round = 0; round < 3; round += 1) {
      seen.push((await request(server, '/session', { headers: { cookie: id } })).body);
    }
    return seen;
  },

  files: ({ server }) =>
    getAll(server, [
      '/files/',
      '/files',
      '/files/hello.txt',
      '/files/empty.txt',
      '/files/docs',
      '/files/docs/',
      '/files/.secret',
      '/files/nothing.txt',
      '/files/%',
      '/files/%00',
      '/files/..%2fserver.mjs',
      '/list/',
      '/list/docs/',
      '/file/hello.txt',
      '/file/nothing.txt',
      '/file/..%2Fserver.mjs',
    ]),

  'nobody gets out of the folder': async ({ server }) => {
    const seen = [];
    for (const target of [
      '/files/../server.mjs',
      '/files/%2e%2e/server.mjs',
      '/files//etc/passwd',
      '/files/..\\server.mjs',
    ]) {
      seen.push(target, await exchange(server.port, head(`GET ${target}`)));
    }
    return seen;
  },

  'parts of files, and files that have not changed': async ({ server }) => {
    const seen = [];
    const { etag } = (await request(server, '/files/hello.txt')).headers;
    for (const headers of [
      { range: 'bytes=0-4' },
      { range: 'bytes=-3' },
      { range: 'bytes=99-' },
      { range: 'bytes=0-4', 'if-range': '"other"' },
      { 'if-none-match': etag },
      { 'if-none-match': '"other"' },
      { 'if-modified-since': 'Sat, 03 Feb 2024 04:05:06 GMT' },
      { 'if-match': '"other"' },
    ]) {
      seen.push(headers, await request(server, '/files/hello.txt', { headers }));
    }
    const { status, body } = await send(server, '/files/big.bin', { headers: { range: 'bytes=1000000-' } });
    return [...seen, status, body.equals(pattern(6_000_000).subarray(1_000_000))];
  },

  'bodies of each kind, in one piece, in many, and byte by byte': async ({ server }) => {
    const seen = [];
    for (const [kind, type, text] of [
      ['as-it-came', 'text/plain', 'as it came: Grüße'],
      ['as-it-came', 'text/plain', ''],
      ['json', 'application/json', JSON.stringify({ text: 'Grüße, 世界', list: [1, null, { deep: true }] })],
      ['json', 'text/plain', '{"not":"json"}'],
      ['json', 'application/json', '{"broken":'],
      ['form', 'application/x-www-form-urlencoded', 'a=1&b[c]=2&b[d][]=3&text=%C3%BC+x'],
      ['text', 'text/plain', 'some words, Grüße'],
      ['raw', 'application/octet-stream', 'any bytes'],
      ['events', 'text/plain', 'told by events'],
    ]) {
      for (const answer of await sendInPieces(server, `/body/${kind}`, type, text)) seen.push([kind, ...answer]);
    }
    return seen;
  },

  'large bodies are whole, and such that are too large are refused': async ({ server }) => {
    const bytes = pattern(5_000_000);
    const text = Buffer.alloc(3_000_000, 'words and ');
    const seen = [];
    for (const length of [true, false]) {
      for (const [kind, type, its] of [
        ['raw', 'application/octet-stream', bytes],
        ['text', 'text/plain', text],
        ['digest', 'text/plain', text],
        ['json', 'application/json', text],
      ]) {
        const headers = { 'content-type': type, ...(length && { 'content-length': its.length }) };
        const pieces = cut(its, 60_000);
        const { status, body } = await send(server, `/body/${kind}`, { method: 'POST', headers, pieces });
        seen.push([kind, status, String(body)]);
      }
    }
    return [digest(bytes), digest(text), seen];
  },

  'a body that stops coming is not waited for': ({ server }) =>
    Promise.all(
      ['Content-Length: 9\r\n\r\nand', 'Transfer-Encoding: chunked\r\n\r\n3\r\nand\r\n'].map(async (rest) => {
        const client = await RawSocket.connect(server.port);
        client.write(`POST /body/text HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n${rest}`);
        const { statusLine } = await client.readResponse();
        client.destroy();
        return statusLine;
      }),
    ),

  'clients that leave while they send': async ({ server }) => {
    for (const leave of Object.values(DEPARTURES)) {
      const start = 'POST /body/json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
      await depart(server, `${start}Content-Length: 1000\r\n\r\n{"and":`, leave);
      await depart(server, `${start}Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n`, leave);
      await depart(server, start, leave);
    }
    return request(server, '/');
  },

  'clients that leave while they wait, or in the middle of an answer': async ({ server }) => {
    const seen = [];
    for (const [how, leave] of Object.entries(DEPARTURES)) {
      await depart(server, 'GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n', async (client) => {
        await server.log.next('waiting');
        leave(client);
      });
      seen.push(how, await server.log.next('aborted'));
      for (const target of ['/large?size=30000000', '/large/pieces?size=30000000', '/files/big.bin']) {
        await depart(server, `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`, async (client) => {
          await client.read(100_000);
          leave(client);
        });
      }
      seen.push(await request(server, '/'));
    }
    return seen;
  },

  'slow readers get everything, and nobody waits for them': async ({ server }) => {
    const meanwhile = async () => {
      const answers = await inParallel(20, 10, async (number) => {
        return (await request(server, `/send/string?text=${number}`)).body === String(number);
      });
      if (answers.includes(false)) throw new Error('the others got something else');
    };
    const targets = ['/large?size=20000000', '/large/pieces?size=20000000', '/files/big.bin'];
    return Promise.all(
      targets.map(async (target) => {
        const { status, body } = await sendAndDawdle(server, target, { meanwhile, patience: 10_000 });
        return [target, status, body.equals(pattern(body.length)), body.length];
      }),
    );
  },

  'many connections at once': async ({ server }) => {
    const targets = ['/', '/send/json', '/shelf/7/red', '/files/hello.txt', '/page', '/late', '/nowhere', '/native/x'];
    return areAlwaysEqual(server, targets, 600, 150);
  },

  'many requests on few connections': async ({ server }) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const seen = await inParallel(800, 50, async (number) => {
      const text = 'x'.repeat(number);
      if (number % 3 > 0) return String((await send(server, `/send/string?text=${text}`, { agent })).body) === text;
      const headers = { 'content-type': 'application/json' };
      const pieces = cut(Buffer.from(JSON.stringify([text])), 100);
      const { body } = await send(server, '/body/json', { method: 'POST', agent, headers, pieces });
      return JSON.parse(body).body[0] === text;
    });
    agent.destroy();
    return [...new Set(seen)];
  },

  'requests that make no sense': async ({ server }) => {
    const seen = [];
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n',
      'POST /body/text HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n',
      'POST /body/text HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
      `GET / HTTP/1.1\r\nHost: a\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`,
    ]) {
      seen.push(await exchange(server.port, bytes));
    }
    return seen;
  },

  'a WebSocket on the same app': async ({ server }) => {
    const sockets = Array.from({ length: 20 }, (_, index) => {
      return new WebSocket(`ws://127.0.0.1:${server.port}/live?name=${index}`, ['chat']);
    });
    const messages = sockets.map(() => []);
    sockets.forEach((socket, index) => socket.on('message', (data) => messages[index].push(String(data))));
    await Promise.all(sockets.map((socket) => once(socket, 'open')));
    for (const index of [3, 11]) {
      sockets[index].send(`hello from ${index}`);
      await until(() => messages.every((its) => its.at(-1) === `${index}: hello from ${index}`), 'hello');
    }
    const posted = await request(server, '/live', { method: 'POST', body: 'from a request' });
    await until(() => messages.every((its) => its.length === 3), 'the message of the request');
    const { protocol, extensions } = sockets[0];
    const left = [];
    for (const socket of sockets) {
      socket.close(1000);
      left.push(await server.log.next('left'));
    }
    const elsewhere = new WebSocket(`ws://127.0.0.1:${server.port}/elsewhere`);
    elsewhere.on('error', () => {});
    const [, { statusCode }] = await once(elsewhere, 'unexpected-response');
    elsewhere.terminate();
    return [messages, posted, protocol, extensions, left, statusCode, await request(server, '/live')];
  },

  'it is there again after a crash': async ({ server }) => {
    const lost = request(server, '/never').catch((error) => error.code);
    await server.log.next('waiting');
    await server.restart();
    return [await lost, await request(server, '/'), server.log.all.filter(([name]) => name === 'logged')];
  },
};

const CONNECTION = 'where the client has asked for it milliways says that it closes';

export const differences = {
  'answers as they are on the wire': CONNECTION,
  requests: CONNECTION,
  'nobody gets out of the folder': CONNECTION,
};
