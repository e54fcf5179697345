// HTTP clients of the game's own endpoints, the matchmaker, and the routes of express.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import rawSocket from '../../support/RawSocket.js';
import wait from '../../support/wait.js';
import { request } from '../parts/http.mjs';

const { RawSocket } = rawSocket;
const { deadline, until } = wait;

const JSON_BODY = { 'content-type': 'application/json' };
const BINARY = { 'content-type': 'application/octet-stream' };

const digest = (data) => createHash('sha256').update(data).digest('hex').slice(0, 16);

/** Returns the body of `/replay/:size`: every four bytes encode their offset. */
function replay(size) {
  const bytes = Buffer.alloc(size);
  for (let offset = 0; offset + 4 <= size; offset += 4) bytes.writeUInt32BE(offset, offset);
  return bytes;
}

/** Returns the body of an endpoint's response that a raw socket received. */
function bodyOf(received) {
  return received.subarray(received.indexOf('\r\n\r\n') + 4);
}

export const requestSteps = {
  'endpoints and routes answer': async ({ server }) => {
    const seen = [];
    for (const [method, target, options] of [
      ['GET', '/'],
      ['GET', '/__healthcheck'],
      ['GET', '/scores/chess?a=1&b=%20&c', { headers: { 'x-agent': 'test' } }],
      ['GET', '/hello/you?x=1&y=%C3%9F'],
      ['GET', '/hello/%C3%9F/', { headers: { origin: 'http://game.example' } }],
      ['POST', '/echo', { headers: JSON_BODY, body: '{"a":[1,"ß"]}' }],
      ['PUT', '/upload', { headers: BINARY, body: 'put' }],
      ['POST', '/upload', { headers: { ...BINARY, 'content-length': 0 } }],
      ['GET', '/upload'],
      ['GET', '/pieces'],
      ['GET', '/moved'],
      ['GET', '/fails'],
      ['GET', '/late'],
      ['PATCH', '/nowhere', { body: 'patch' }],
      ['DELETE', '/nothing'],
      ['GET', '/matchmake/create/arena'],
      ['POST', '/matchmake/dance/arena', { headers: JSON_BODY, body: '{}' }],
      ['POST', '/matchmake/create/nowhere', { headers: JSON_BODY, body: '{}' }],
      ['POST', '/matchmake/create/arena', { headers: JSON_BODY, body: '{"broken":' }],
      ['POST', '/echo', { headers: JSON_BODY, body: '{"a":' }],
      ['POST', '/echo', { headers: JSON_BODY, body: JSON.stringify('a'.repeat(60_000)) }],
    ]) {
      seen.push([method, target, await request(server, target, { method, ...options })]);
    }
    return seen;
  },

  'requests from another site': async ({ server }) => {
    const headers = {
      origin: 'http://game.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    };
    return [
      await request(server, '/matchmake/create/arena', { method: 'OPTIONS', headers }),
      await request(server, '/hello/you', { method: 'OPTIONS' }),
      await request(server, '/matchmake/join/arena', {
        method: 'POST',
        headers: { ...headers, ...JSON_BODY },
        body: '{}',
      }),
    ];
  },

  'what is known is not sent again, and HEAD has no body': async ({ server }) => {
    const { headers } = await request(server, '/hello/again');
    return [
      await request(server, '/hello/again', { headers: { 'if-none-match': headers.etag } }),
      await request(server, '/hello/again', { method: 'HEAD' }),
      await request(server, '/nowhere', { method: 'HEAD' }),
    ];
  },

  'files are served, whole and in parts': async ({ server }) => {
    const whole = await request(server, '/client/colyseus.js');
    const seen = [[whole.status, whole.headers, whole.body.length, digest(whole.body)]];
    for (const range of ['bytes=10-29', 'bytes=-10', 'bytes=99999999-']) {
      const { status, headers, body } = await request(server, '/client/colyseus.js', { headers: { range } });
      seen.push([
        range,
        status,
        headers,
        range === 'bytes=99999999-' ? body : whole.body.includes(body) && body.length,
      ]);
    }
    seen.push(
      (await request(server, '/client/../server.mjs')).status,
      (await request(server, '/client/%2e%2e/x')).status,
    );
    return seen;
  },

  'bodies come whole, in one piece or in many': async ({ server }) => {
    const seen = [];
    for (const size of [0, 1, 1000, 65_536, 1_000_000, 5_000_000]) {
      const body = replay(size);
      for (const headers of [{ 'content-length': size }, {}]) {
        const answer = await send(server, [body], { ...BINARY, ...headers });
        seen.push([size, answer.status, Buffer.compare(answer.body, body)]);
      }
    }
    const pieces = Array.from({ length: 500 }, (_, index) => replay(2000).subarray(index * 4, index * 4 + 4));
    seen.push(Buffer.compare((await send(server, pieces, BINARY)).body, replay(2000)));

    for (const target of ['/upload', '/echo']) {
      const socket = await RawSocket.connect(server.port);
      const body = '{"one":"byte after another"}';
      const head = `POST ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n`;
      for (const byte of `${head}Content-Length: ${body.length}\r\n\r\n${body}`) await socket.writeAndTurn(byte);
      await until(() => socket.ended || socket.closed, 'answer');
      seen.push(bodyOf(socket.pending).toString());
      socket.destroy();
    }
    return seen;
  },

  'a body that does not come is awaited for so long': async ({ server }) => {
    const socket = await RawSocket.connect(server.port);
    socket.write('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345');
    await until(() => socket.pending.includes('\r\n\r\n'), 'answer');
    const [status] = socket.pending.toString().split('\r\n');
    socket.destroy();
    return status;
  },

  'hundreds ask at once, and each gets its own answer': async ({ server }) => {
    const answers = await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const kind = index % 3;
        if (kind === 0) return (await request(server, `/scores/${index}`)).body.includes(`"game":"${index}"`);
        if (kind === 1) return (await request(server, `/hello/${index}`)).body.startsWith(`Hello, ${index} `);
        const body = replay(10_000 + index * 4);
        return (await send(server, [body], BINARY)).body.equals(body);
      }),
    );
    return answers.filter(Boolean).length;
  },

  'a connection serves one request after another': async ({ server }) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const seen = [];
    const ports = new Set();
    for (const target of [
      '/hello/1',
      '/scores/2',
      '/pieces',
      '/nowhere',
      '/late',
      '/replay/100',
      '/fails',
      '/hello/8',
    ]) {
      const sent = http.get(`${server.origin}${target}`, { agent });
      const [response] = await once(sent, 'response');
      ports.add(response.socket.localPort);
      seen.push([response.statusCode, response.statusMessage, Buffer.concat(await response.toArray()).length]);
    }
    agent.destroy();
    return [seen, ports.size];
  },

  'who reads slowly gets all of a big answer': async ({ server }) => {
    const seen = [];
    for (const [target, length] of [
      ['/replay/8000000', 8_000_000],
      ['/huge', 8_000_000],
    ]) {
      const sent = http.get(`${server.origin}${target}`, { agent: new http.Agent() });
      const [response] = await once(sent, 'response');
      response.socket.pause();
      // The server is as fast as before for other clients.
      for (let index = 0; index < 20; index += 1) await request(server, `/hello/${index}`);
      response.socket.resume();
      const body = Buffer.concat(await response.toArray());
      seen.push([body.length, body.equals(target === '/huge' ? Buffer.alloc(length, 'huge') : replay(length))]);
    }
    return seen;
  },

  'who leaves in the middle of a body or of an answer harms nobody': async ({ server }) => {
    const seen = [];
    const leave = async (head, isTimeToGo) => {
      const socket = await RawSocket.connect(server.port);
      socket.write(`${head}\r\n\r\n`);
      await isTimeToGo(socket);
      socket.reset();
      seen.push((await request(server, '/late')).status);
    };
    const isHandled = () => request(server, '/late');
    const uncaught = async () => seen.push(await server.log.next('uncaught'));
    for (let round = 0; round < 5; round += 1) {
      await leave('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf', isHandled);
      await leave(
        'POST /matchmake/create/arena HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc',
        isHandled,
      );
      await leave('GET /replay/8000000 HTTP/1.1\r\nHost: a', (socket) =>
        until(() => socket.pendingLength > 0, 'answer'),
      );
      await leave('GET /huge HTTP/1.1\r\nHost: a', (socket) => until(() => socket.pendingLength > 0, 'answer'));
    }
    await leave('GET /never HTTP/1.1\r\nHost: a', () => server.log.next('asked'));
    await uncaught();
    await leave('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf', isHandled);
    await uncaught();
    return [seen.length, [...new Set(seen.map(String))]];
  },

  'requests that are none': async ({ server }) => {
    const seen = [];
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
      'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n',
      'POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n',
      'POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
      'POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(10_000)}\r\n\r\n`,
    ]) {
      const socket = await RawSocket.connect(server.port);
      socket.write(bytes);
      await deadline(
        until(() => socket.ended || socket.closed, 'end'),
        `end after ${bytes.slice(0, 60)}`,
      );
      seen.push([bytes.slice(0, 60), socket.pending.toString('latin1').split('\r\n')[0]]);
      socket.destroy();
    }
    return seen;
  },
};

/** Works like `request`, for an endpoint that echoes the body. */
async function send(server, pieces, headers) {
  const sent = http.request(`${server.origin}/upload`, { agent: new http.Agent(), method: 'POST', headers });
  for (const piece of pieces) sent.write(piece);
  sent.end();
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, body: Buffer.concat(await response.toArray()) };
}
