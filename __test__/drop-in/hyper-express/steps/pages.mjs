// Routes, middlewares, and the parts of a response.

import raw from '../../../support/RawSocket.js';
import { request } from '../../parts/http.mjs';

const { RawSocket } = raw;

async function each(server, targets, { headers } = {}) {
  const seen = {};
  for (const target of targets) {
    // The port differs between runs.
    seen[target] = await request(server, target, { headers: { host: 'localhost', ...headers } });
  }
  return seen;
}

export const pages = {
  'routes, parameters and wildcards': ({ server }) =>
    each(server, [
      '/api/users/7',
      '/api/users/J%C3%BCrgen/books/a%2Fb?x=1',
      '/api/files/a/b/c.txt?deep=yes&deep=more&empty=',
      '/api/files/',
      '/api/users',
      '/api/users/',
      '/nowhere',
      '/',
    ]),

  'every method': async ({ server }) => {
    const seen = {};
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE']) {
      seen[method] = [
        await request(server, '/api/item', { method }),
        await request(server, '/api/any', { method }),
        await request(server, '/nowhere', { method }),
      ];
    }
    return seen;
  },

  'middlewares come in their order, and may refuse': async ({ server }) => [
    await each(server, ['/api/wrapped', '/api/stopped', '/who']),
    await each(server, ['/api/wrapped', '/who'], { headers: { 'x-refuse': 'early' } }),
    await each(server, ['/api/wrapped', '/who'], { headers: { 'x-refuse': 'api' } }),
  ],

  'errors are answered by the nearest handler': ({ server }) =>
    each(server, [
      '/fail/now',
      '/fail/later',
      '/fail/returned',
      '/fail/other',
      '/fail/unknown',
      '/api/inner/fails',
      '/api/inner/none',
    ]),

  'what the program is told of a request': async ({ server }) => {
    const headers = {
      host: 'shop.example',
      cookie: 'a=1; b="two"',
      'x-forwarded-for': '10.0.0.1, 10.0.0.2',
      'x-twice': ['first', 'second'],
      'user-agent': 'test',
    };
    return [
      await request(server, '/who?a=1&b=%20&c=ü', { headers }).catch((error) => error.code),
      await request(server, '/who?a=1&b=%20&a=2', { headers }),
    ];
  },

  'whatever a response is made of': async ({ server }) => {
    const seen = await each(
      server,
      [
        ...[
          'json',
          'jsonp',
          'html',
          'redirect',
          'status',
          'unknown',
          'teapot',
          'empty',
          'unmodified',
          'buffer',
          'view',
        ],
        ...['many', 'attachment', 'prepared', 'closing', 'atomic', 'express', 'bad', 'twice'],
      ].map((what) => `/made/${what}`),
    );
    seen.callback = await request(server, '/made/jsonp?callback=mine');
    seen.evil = await request(server, '/made/jsonp?callback=alert(1)');
    seen.nothing = await request(server, '/made/nothing').catch((error) => error.code);
    return seen;
  },

  'a declared length without a body': async ({ server }) => {
    const client = await RawSocket.connect(server.port);
    client.write('GET /made/length HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const head = await client.readHead();
    client.destroy();
    return head.replace(/^date: .*\r\n/im, '');
  },

  'cookies, signed and not': async ({ server }) => {
    const first = await request(server, '/cookies?name=Ada');
    const cookie = first.headers['set-cookie'].map((line) => line.split(';')[0]).join('; ');
    return [
      first,
      await request(server, '/cookies', { headers: { cookie } }),
      await request(server, '/cookies', { headers: { cookie: cookie.replace('Ada', 'Bob') } }),
    ];
  },

  'files, from the disk and then from memory': async ({ server }) => {
    const seen = await each(server, ['/file/pages.mjs', '/download', '/file/none.txt']);
    seen.again = await request(server, '/file/pages.mjs');
    const many = await Promise.all(Array.from({ length: 50 }, () => request(server, '/file/streams.mjs')));
    seen.many = [...new Set(many.map(({ body }) => body.length))].length;
    return seen;
  },

  'requests on one connection, one by one': async ({ server }) => {
    const client = await RawSocket.connect(server.port);
    const seen = [];
    for (let number = 0; number < 200; number += 1) {
      client.write(`GET /api/users/${number} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      const { status, body } = await client.readResponse();
      seen.push([status, JSON.parse(body).id]);
    }
    client.destroy();
    return seen.every(([status, id], number) => status === 200 && id === String(number));
  },

  'hundreds ask at once': async ({ server }) => {
    const answers = await Promise.all(
      Array.from({ length: 400 }, (_, number) => request(server, `/api/users/${number}/books/${number * 2}`)),
    );
    return answers.every(({ status, body }, number) => {
      const { id, book } = JSON.parse(body);
      return status === 200 && id === String(number) && book === String(number * 2);
    });
  },

  'requests that make no sense': async ({ server }) => {
    const seen = [];
    for (const text of [
      'GET / HTTP/1.1\r\n\r\n',
      'GET /\r\n\r\n',
      'GET / HTTP/2.0\r\nHost: localhost\r\n\r\n',
      'POST /body/text HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n',
      'POST /body/text HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`,
    ]) {
      const client = await RawSocket.connect(server.port);
      client.write(text);
      const answer = (await client.readToEnd()).toString('latin1');
      client.destroy();
      seen.push([text.slice(0, 60), answer.replace(/^date: .*\r\n/gim, '')]);
    }
    return seen;
  },
};
