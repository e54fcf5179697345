// A game server with Colyseus rooms on uWebSockets.js: one port for players, and a socket file for a proxy.

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createEndpoint, createRouter, defineServer } from '@colyseus/core';
import { uWebSocketsTransport } from '@colyseus/uwebsockets-transport';
import express from 'express';
import uWS from 'uWebSockets.js';
import { Arena, Lounge, Vault } from './rooms.mjs';
import { listening, note, port } from './serving.cjs';

/** Upgrades that wait until they are refused. */
const waiting = [];

async function beforeUpgrade(request, { ip, headers }) {
  if (headers.get('x-banned') !== null) {
    const headersOfBan = { 'retry-after': '60', 'content-type': 'application/json' };
    return new Response(JSON.stringify({ banned: ip }), { status: 403, statusText: 'Banned', headers: headersOfBan });
  }
  if (headers.get('x-broken') !== null) throw new Error('as asked');
  if (new URL(request.url).searchParams.get('wait') !== null) {
    note('knocked');
    await new Promise((resolve) => waiting.push(resolve));
    // They are never accepted, because the result would depend on chance with uWebSockets.js: it may break a connection
    // that is upgraded in a cork after its handler has returned.
    return new Response('Full.', { status: 429 });
  }
  return undefined;
}

const routes = createRouter({
  scores: createEndpoint('/scores/:game', { method: 'GET' }, async ({ params, query, getHeader }) =>
    Response.json(
      { game: params.game, query, agent: getHeader('x-agent') },
      {
        status: 201,
        headers: [
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
        ],
      },
    ),
  ),
  upload: createEndpoint('/upload', { method: ['POST', 'PUT'], disableBody: true }, async ({ request }) => {
    const body = Buffer.from(await request.arrayBuffer());
    return new Response(body, { headers: { 'content-type': 'application/octet-stream' } });
  }),
  replay: createEndpoint('/replay/:size', { method: 'GET' }, async ({ params }) => {
    const bytes = Buffer.alloc(Number(params.size));
    for (let offset = 0; offset + 4 <= bytes.length; offset += 4) bytes.writeUInt32BE(offset, offset);
    return new Response(bytes, { headers: { 'content-type': 'application/octet-stream' } });
  }),
  nothing: createEndpoint('/nothing', { method: 'DELETE' }, async () => new Response(null, { status: 204 })),
});

function site(app) {
  app.disable('x-powered-by');
  app.use(express.json({ limit: '50kb' }));
  app.get('/hello/:name', (req, res) => {
    res.cookie('seen', '1').send(`Hello, ${req.params.name} from ${req.ip}! ${JSON.stringify(req.query)}`);
  });
  app.post('/echo', (req, res) => res.status(202).json({ got: req.body, type: req.get('content-type') }));
  app.get('/pieces', (_req, res) => {
    for (let index = 0; index < 10; index += 1) res.write(`${index},`);
    res.end('end');
  });
  app.get('/huge', (_req, res) => res.type('application/octet-stream').send(Buffer.alloc(8_000_000, 'huge')));
  app.get('/moved', (_req, res) => res.redirect('/hello/again'));
  app.get('/late', (_req, res) => setTimeout(() => res.json({ late: true }), 20));
  app.get('/never', () => note('asked'));
  app.get('/fails', () => {
    throw new Error('as asked');
  });
  app.post('/full', (_req, res) => {
    for (const resolve of waiting.splice(0)) setImmediate(resolve);
    res.sendStatus(204);
  });
  app.post('/lag/:milliseconds', (req, res) => {
    server.simulateLatency(Number(req.params.milliseconds));
    res.end();
  });
  const client = path.dirname(fileURLToPath(import.meta.resolve('@colyseus/sdk/package.json')));
  // Modification times must not affect the comparison.
  app.use('/client', express.static(path.join(client, 'dist'), { etag: false, lastModified: false }));
  app.use((error, _req, res, _next) => res.status(error.status ?? 500).json({ error: error.message }));
}

const transport = new uWebSocketsTransport({
  beforeUpgrade,
  compression: uWS.SHARED_COMPRESSOR,
  maxPayloadLength: 100_000,
  // Enough for a slow reader to lose nothing.
  maxBackpressure: 64 * 1024 * 1024,
  readBodyMaxTime: 1000,
});
const proxied = new uWebSocketsTransport({ maxBackpressure: 100_000, closeOnBackpressureLimit: true });
const socketFile = path.join(tmpdir(), `colyseus-${port}.sock`);

// Without this, a client that leaves before an express route has responded would end the server: the transport assigns
// to a property that only has a getter.
process.on('uncaughtException', ({ message }) => note('uncaught', message));

const server = defineServer({
  transport,
  express: site,
  routes,
  rooms: { arena: Arena, lounge: Lounge, vault: Vault },
  greet: false,
  gracefullyShutdown: false,
  logger: { ...console, error: () => note('error'), warn: () => {}, info: () => {} },
});
server.onShutdown(() => {
  proxied.shutdown();
  rmSync(socketFile, { force: true });
});

await server.listen(port);
proxied.bindRouter(server.router);
proxied.listen(socketFile, undefined, undefined, () => {
  listening(true, () => server.gracefullyShutdown(false));
});
