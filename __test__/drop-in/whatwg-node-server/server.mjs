// A service of Requests and Responses on @whatwg-node/server and uWebSockets.js: with the package's own classes (api),
// with those of Node (native), and with its plugins (plugged).

import { createHash } from 'node:crypto';
import ponyfills from '@whatwg-node/fetch';
import {
  HTTPError,
  createServerAdapter,
  useCORS,
  useContentEncoding,
  useErrorHandling,
  useLimitRequestBodySize,
  useRequestDeadline,
} from '@whatwg-node/server';
import uWS from 'uWebSockets.js';
import { listening, note, port } from './serving.cjs';

// The package logs errors there.
console.error = (problem) => note('complaint', String(problem?.message ?? problem));

const digest = (data) => createHash('sha256').update(data).digest('hex');
const tick = () => new Promise(setImmediate);

/** The handlers of the paths; `tools` has the classes that the adapter was created with. */
const pages = {
  async echo(request, { Response }) {
    const headers = Object.fromEntries(request.headers);
    delete headers.host;
    const { pathname, searchParams } = new URL(request.url);
    const { method, bodyUsed } = request;
    return Response.json({ method, pathname, query: [...searchParams], headers, body: await request.text(), bodyUsed });
  },
  text: async (request, { Response }) => new Response(await request.text()),
  async json(request, { Response }) {
    try {
      return Response.json({ got: await request.json() });
    } catch (error) {
      return Response.json({ error: error.name }, { status: 400, statusText: 'Bad JSON' });
    }
  },
  async form(request, { Response }) {
    const fields = [];
    const form = await request.formData();
    const entries = [...new Set(form.keys())].flatMap((name) => form.getAll(name).map((value) => [name, value]));
    for (const [name, value] of entries) {
      if (typeof value === 'string') fields.push([name, value]);
      else fields.push([name, value.name, value.type, digest(Buffer.from(await value.arrayBuffer()))]);
    }
    return Response.json(fields);
  },
  async digests(request, { Response }) {
    const copy = request.clone();
    const way = new URL(request.url).searchParams.get('by');
    const data = await request[way]();
    const bytes = Buffer.from(data.arrayBuffer ? await data.arrayBuffer() : data);
    return Response.json({ length: bytes.length, digest: digest(bytes), copy: digest(await copy.text()) });
  },
  async count(request, { Response }) {
    let length = 0;
    const hash = createHash('sha256');
    for await (const chunk of request.body) {
      length += chunk.length;
      hash.update(chunk);
    }
    return Response.json({ length, digest: hash.digest('hex') });
  },
  async mirror(request, { Response }) {
    return new Response(request.body, { headers: { 'content-type': 'application/octet-stream' } });
  },
  async lost(request, { Response }) {
    request.signal.addEventListener('abort', () => note('aborted', request.method, new URL(request.url).search));
    note('waiting');
    const body = await request.text();
    await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
    note('waited', body.length);
    return new Response('for nobody');
  },
  unread: (request, { Response }) => new Response('not read'),
  down(request, { Response, ReadableStream }) {
    const { searchParams } = new URL(request.url);
    const [count, size] = [Number(searchParams.get('count')), Number(searchParams.get('size'))];
    let index = 0;
    const stream = new ReadableStream({
      async pull(controller) {
        if (searchParams.has('slowly')) await tick();
        if (index === count) {
          note('produced', searchParams.get('as'));
          controller.close();
        } else controller.enqueue(Buffer.alloc(size, index));
        index += 1;
      },
    });
    return new Response(stream, { headers: { 'content-type': 'application/x-numbers' } });
  },
  endless(request, { Response, ReadableStream }) {
    request.signal.addEventListener('abort', () => note('aborted', request.method, new URL(request.url).search));
    const stream = new ReadableStream({
      async pull(controller) {
        await tick();
        if (!request.signal.aborted) controller.enqueue(Buffer.alloc(10_000, 'e'));
      },
    });
    return new Response(stream);
  },
  broken(request, { Response, ReadableStream }) {
    let isFirst = true;
    const stream = new ReadableStream({
      async pull(controller) {
        await tick();
        if (isFirst) controller.enqueue(Buffer.from('the beginning'));
        else controller.error(new Error('broken off'));
        isFirst = false;
      },
    });
    return new Response(stream);
  },
  events(request, { Response, ReadableStream }) {
    let number = 0;
    const stream = new ReadableStream({
      async pull(controller) {
        await tick();
        number += 1;
        controller.enqueue(Buffer.from(`id: ${number}\ndata: event ${number}\n\n`));
        if (number === 20) controller.close();
      },
    });
    return new Response(stream, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
  },
  status(request, { Response }) {
    const status = Number(new URL(request.url).searchParams.get('is'));
    const isEmpty = status === 204 || status === 304;
    return new Response(isEmpty ? null : `It is ${status}.`, {
      status,
      statusText: 'As Asked',
      headers: { etag: '"1"' },
    });
  },
  headers(request, { Response, Headers }) {
    const headers = new Headers({ 'X-Upper': 'Case', 'content-length': '5', vary: 'accept' });
    headers.append('set-cookie', 'a=1; Path=/');
    headers.append('vary', 'origin');
    headers.append('set-cookie', 'b=2; HttpOnly, or so');
    headers.append('x-empty', '');
    return new Response('12345', { headers });
  },
  bytes: (request, { Response }) => new Response(new Uint8Array([0, 1, 255, 13, 10])),
  long: (request, { Response }) => new Response('Grüße, 世界. '.repeat(200_000)),
  blob: (request, { Response, Blob }) => new Response(new Blob(['a blob'], { type: 'text/x-blob' })),
  elsewhere: (request, { Response }) => Response.redirect('http://elsewhere.example/', 307),
  nothing: () => undefined,
  throws() {
    throw Object.assign(new Error('as asked'), { stack: 'no stack' });
  },
  async rejects() {
    await tick();
    throw Object.assign(new Error('as asked'), { status: 418, stack: 'no stack either' });
  },
  async later(request, { Response }) {
    await tick();
    return new Response('later');
  },
  async background(request, { Response }, context) {
    context.waitUntil(tick().then(() => note('background', 'done')));
    context.waitUntil(tick().then(() => Promise.reject(new Error('in the background'))));
    return new Response('see you');
  },
  own(request, tools, { res }) {
    res.cork(() => res.writeStatus('202 Own').writeHeader('x-own', 'yes').end('by its own'));
  },
  ownLater: async (request, tools, { res }) => {
    await tick();
    res.cork(() => res.end('by its own, later'));
  },
  context: (request, { Response }, { user, req, res, waitUntil }) =>
    Response.json([user, typeof req, typeof res, typeof waitUntil]),
};

function handler(request, context, tools) {
  const page = pages[new URL(request.url).pathname.split('/').at(-1)];
  return page ? page(request, tools, context) : new tools.Response('no such page', { status: 404 });
}

const api = createServerAdapter((request, context) => handler(request, context, ponyfills));
const { Blob, FormData, Headers, ReadableStream, Request, Response, TransformStream, WritableStream } = globalThis;
const own = { Blob, FormData, Headers, ReadableStream, Request, Response, TransformStream, WritableStream };
const native = createServerAdapter((request, context) => handler(request, context, own), { fetchAPI: own });

let tools;
const plugged = createServerAdapter((request, context) => handler(request, context, tools), {
  plugins: [
    {
      onRequest({ request, url, endResponse, fetchAPI, serverContext }) {
        tools = fetchAPI;
        serverContext.user = 'of the plugin';
        if (request.headers.get('x-banned')) endResponse(new fetchAPI.Response(`no ${url.pathname}`, { status: 403 }));
      },
      onResponse({ response, request }) {
        response.headers.set('x-answers', `${request.method} with ${response.status}`);
      },
      onDispose: () => note('disposed'),
    },
    useCORS({ origin: ['http://one.example', 'http://two.example'], credentials: true, maxAge: 60 }),
    useContentEncoding(),
    useLimitRequestBodySize(100_000),
    useRequestDeadline({ timeout: 500, response: () => new tools.Response('too slow', { status: 504 }) }),
    useErrorHandling((error) => {
      if (error instanceof HTTPError) return new tools.Response(error.message, { status: error.status });
      return new tools.Response(`caught: ${error.message}`, { status: 500 });
    }),
  ],
});

const app = uWS.App();
app.any('/native/*', native.handle);
app.any('/plugged/*', plugged.handleUWS);
app.get('/with/context', (res, req) => void api(res, req, { user: 'of the route' }));
app.any('/*', api);

app.listen('127.0.0.1', port, (token) => {
  listening(token, async () => {
    await Promise.all([api.dispose(), native.dispose(), plugged.dispose()]);
    app.close();
  });
});
