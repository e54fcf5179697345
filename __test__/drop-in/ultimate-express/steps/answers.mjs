// Requests and their responses.

import { once } from 'node:events';
import http from 'node:http';
import zlib from 'node:zlib';
import support from '../../../support/http.js';
import { digest, send } from '../../parts/bytes.mjs';
import { describe, request } from '../../parts/http.mjs';
import { getAll, head } from './requests.mjs';

const { exchange } = support;

const SIMPLE = [
  ['GET', '/simple'],
  ['GET', '/simple/'],
  ['HEAD', '/simple'],
  ['HEAD', '/simple/'],
  ['POST', '/simple'],
  ['PUT', '/simple'],
  ['OPTIONS', '/simple'],
  ['GET', '/simple?and=more'],
  ['GET', '/simple/object'],
  ['GET', '/simple/status'],
];

/** Returns the origin of the app whose responses quote the request. */
async function quoting(server) {
  const [port] = server.quotingPort ?? (server.quotingPort = await server.log.next('quoting'));
  return { origin: `http://127.0.0.1:${port}`, port };
}

export const answers = {
  'simple handlers answer like others': async ({ server }) => {
    const seen = [];
    for (const [method, target] of SIMPLE) {
      const answer = await request(server, target, { method });
      // Responses without JavaScript lack the first two, and their bodies are chunked.
      for (const name of ['connection', 'keep-alive', 'content-length', 'transfer-encoding'])
        delete answer.headers[name];
      seen.push([method, target, answer]);
    }
    return seen;
  },

  'simple handlers are declarative responses': async ({ server }) => {
    const seen = [];
    for (const [method, target] of SIMPLE) seen.push(await exchange(server.port, head(`${method} ${target}`)));
    return seen;
  },

  'simple handlers quote parameters and queries': async ({ server }) => {
    const own = await quoting(server);
    const seen = [];
    for (const target of [
      '/hello/you/me',
      '/hello/a%20b/%C3%BC',
      '/query?a=1&b=2',
      '/query?b=%26&a=x+y',
      '/query?b=1&a=',
    ]) {
      const { status, headers, body } = await request(own, target);
      seen.push([target, status, headers['content-type'], body]);
    }
    return seen;
  },

  'who asks': async ({ server }) => {
    const seen = [];
    const own = await quoting(server);
    for (const headers of [
      {},
      { host: 'a.b.site.example:8080', 'x-requested-with': 'XMLHttpRequest' },
      { 'x-forwarded-for': '9.8.7.6, 10.0.0.1', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'front.example:1' },
    ]) {
      const sent = http.get(`${server.origin}/who`, {
        agent: new http.Agent(),
        headers: { host: 'localhost', ...headers },
      });
      const [response] = await once(sent, 'response');
      const { localPort } = response.socket;
      const { socket, ...rest } = JSON.parse(Buffer.concat(await response.toArray()));
      seen.push(rest, { ...socket, remotePort: socket.remotePort === localPort });
    }
    const { ip, local } = JSON.parse((await request(own, '/who')).body);
    return [...seen, ip, local === own.port];
  },

  'who asks by a Unix socket': async ({ server }) => {
    const [socketPath] = await server.log.next('local');
    const seen = [];
    for (const options of [{ path: '/where' }, { path: '/echo', method: 'POST' }]) {
      const sent = http.request({
        socketPath,
        headers: { host: 'local.example' },
        ...options,
        agent: new http.Agent(),
      });
      sent.end(options.method && 'there and back');
      const [response] = await once(sent, 'response');
      seen.push(describe(response.statusCode, response.headers, Buffer.concat(await response.toArray())));
    }
    return seen;
  },

  'what is asked for': async ({ server }) => {
    const seen = [];
    for (const bytes of [
      head('GET /what', 'X-A: 1', 'x-a: 2', 'Cookie: a=1', 'cookie: b=2', 'Accept: application/json', 'Referer: /from'),
      head('GET /what?a=1&a=2&b[c]=d&e=%C3%BC+%20&f', 'Accept-Language: en;q=0.5, de', 'Accept-Encoding: br, gzip;q=0'),
      head('GET /what/', 'User-Agent: one', 'User-Agent: two', 'X-Empty:', 'X-Latin: gr\xfcn'),
      head('GET /what?', 'Accept: */*'),
    ]) {
      seen.push((await exchange(server.port, bytes)).split('\r\n'));
    }
    return seen;
  },

  methods: async ({ server }) => {
    const seen = [];
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'REPORT']) {
      seen.push(method, await request(server, '/method', { method }), await request(server, '/nowhere', { method }));
    }
    for (const line of ['CONNECT /method', 'get /method', 'BREW /method']) {
      seen.push(line, await exchange(server.port, head(line)));
    }
    seen.push(await request(server, '/way/trace', { method: 'TRACE' }));
    for (const target of ['/way/options', '/way/table', '/way/exact', '/body/json', '/way/nowhere']) {
      seen.push(target, await request(server, target, { method: 'OPTIONS' }));
    }
    const headers = { 'content-type': 'text/x-report' };
    seen.push(await request(server, '/way/report', { method: 'REPORT', headers, body: ['what ', 'was'] }));
    return seen;
  },

  'answers of each kind': async ({ server }) =>
    getAll(server, [
      '/send/string?text=Gr%C3%BC%C3%9Fe',
      '/send/string',
      '/send/buffer',
      '/send/nothing',
      '/send/boolean',
      '/jsonp?callback=go',
      '/jsonp',
      '/status/200',
      '/status/404',
      '/status/599',
      '/reason',
      '/redirect',
      '/redirect?code=301&to=http://a.example/?b=c',
      '/links',
      '/stream',
      '/page',
      '/no-page',
    ]),

  'answers that have no body': async ({ server }) => {
    const seen = [];
    for (const line of ['GET /status/204', 'GET /status/304', 'GET /simple/nothing', 'HEAD /stream']) {
      const answer = await exchange(server.port, head(line));
      if (!answer.endsWith('\r\n\r\n')) throw new Error(`a body: ${answer}`);
      seen.push(answer);
    }
    return seen;
  },

  'answers as they are on the wire': async ({ server }) => {
    const seen = [];
    for (const target of ['/send/string?text=a', '/reason', '/redirect', '/links', '/page', '/file/hello.txt']) {
      for (const method of ['GET', 'HEAD']) seen.push(await exchange(server.port, head(`${method} ${target}`)));
    }
    seen.push(await exchange(server.port, head('GET /stream')));
    seen.push(await exchange(server.port, head('HEAD /send/length')));
    return seen;
  },

  'answers that depend on what is accepted': async ({ server }) => {
    const seen = [];
    for (const accept of [
      'text/html',
      'text/plain',
      'application/json',
      'text/*;q=0.5, application/json',
      'image/png',
    ]) {
      seen.push(await request(server, '/format', { headers: { accept } }));
      seen.push(await request(server, '/redirect', { headers: { accept } }));
    }
    return seen;
  },

  routes: async ({ server }) =>
    getAll(server, [
      '/way/exact',
      '/way/exact/',
      '/way/exact?query=1',
      '/way/user/7',
      '/way/user/%C3%BC%20x/',
      '/way/user/7/post/8',
      '/way/user',
      '/way/range/1-9',
      '/way/optional',
      '/way/optional/yes',
      '/way/number/12',
      '/way/number/x',
      '/way/wild/a/b/c',
      '/way/regular',
      '/way/regexp',
      '/way/either',
      '/way/or',
      '/way/table',
      '/way/skip',
      '/way/shelf/3',
      '/way/shelf/3/',
      '/way/shelf/3/red',
      '/way/shelf/3/red/pages?from=4',
      '/way/shelf/3/lost',
      '/way/inner/here',
      '/way/inner/nowhere',
      '/way//exact',
      '/WAY/EXACT',
    ]),

  'errors reach those who handle them': async ({ server }) => {
    const seen = await getAll(server, ['/way/throws', '/way/rejects', '/way/passes', '/way/unhandled', '/nowhere']);
    return [seen, await server.log.next('logged')];
  },

  'requests from another site': async ({ server }) => {
    const headers = { origin: 'http://site.example', 'access-control-request-method': 'PUT' };
    return [
      await request(server, '/cors', { method: 'OPTIONS', headers }),
      await request(server, '/cors', { headers }),
      await request(server, '/cors', { method: 'PUT', headers }),
      await request(server, '/safe'),
    ];
  },

  'compressed answers': async ({ server }) => {
    const seen = [];
    const inflate = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync, br: zlib.brotliDecompressSync };
    for (const target of [
      '/small/text?count=2',
      '/small/text?count=60000',
      '/small/stream',
      '/small/files/hello.txt',
    ]) {
      for (const encoding of ['gzip', 'deflate', 'br', 'identity']) {
        const answer = await send(server, target, { headers: { 'accept-encoding': encoding } });
        const { 'content-encoding': its, vary } = answer.headers;
        const text = inflate[its]?.(answer.body) ?? answer.body;
        seen.push([target, answer.status, its, vary, answer.body.length < text.length, digest(text)]);
      }
    }
    return seen;
  },

  cookies: async ({ server }) => {
    const set = await request(server, '/cookies/set');
    const signed = set.headers['set-cookie'].find((cookie) => cookie.startsWith('signed=')).split(';')[0];
    const cookie = `${signed}; plain=a%20b; forged=s%3Ayes.no; object=j%3A%7B%22a%22%3A1%7D`;
    return [set, await request(server, '/cookies', { headers: { cookie } })];
  },

  sessions: async ({ server }) => {
    const first = await request(server, '/session');
    const [cookie] = first.headers['set-cookie'][0].split(';');
    const seen = [first.body];
    for (let round = 0; round < 3; round += 1)
      seen.push((await request(server, '/session', { headers: { cookie } })).body);
    return [...seen, (await request(server, '/session', { headers: { cookie: 'connect.sid=s%3Aforged.x' } })).body];
  },
};
