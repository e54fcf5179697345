// A site on hyper-express: an API, uploads, downloads, events and sockets.

import { once } from 'node:events';
import { rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import HyperExpress from 'hyper-express';
import { addBodies } from './routes/bodies.mjs';
import { addPages } from './routes/pages.mjs';
import { addSockets } from './routes/sockets.mjs';
import { addStreams } from './routes/streams.mjs';
import { listening, note, port } from './serving.cjs';

const server = new HyperExpress.Server({
  auto_close: false,
  max_body_buffer: 4096,
  max_body_length: 256 * 1024,
  streaming: { readable: { highWaterMark: 8192 }, writable: { highWaterMark: 32_768 } },
});
server.locals.motto = 'It runs.';
server.hosts.on('missing', (hostname) => note('missing host', hostname));
server.hosts.add('shop.example', {}).add('blog.example', {}).remove('blog.example');

addPages(server);
addBodies(server);
addStreams(server);
addSockets(server);

// Additional servers with the options that a step asks for.
const others = new Map();
server.post('/others/:name', async (request, response) => {
  const { name } = request.params;
  const { onSocket, ...options } = await request.json();
  const other = new HyperExpress.Server(options);
  let finish;
  other.get('/who', (asked, answer) => answer.json({ ip: asked.ip, ips: asked.ips, protocol: asked.protocol }));
  other.post('/echo', async (asked, answer) => answer.send(await asked.buffer()));
  other.get('/slow', (_asked, _answer) => {
    finish = () => _answer.send('at last');
    note('slow', name);
  });
  other.ws('/socket', (socket) => socket.on('message', (message) => socket.send(message)));
  if (onSocket) {
    const folder = mkdtempSync(path.join(tmpdir(), 'drop-in-'));
    process.once('exit', () => rmSync(folder, { recursive: true }));
    await other.listen(path.join(folder, 'socket'));
    others.set(name, { other });
    return response.json({ path: path.join(folder, 'socket') });
  }
  await (options.exclusive_port ? other.listen(0) : other.listen(0, '127.0.0.1'));
  others.set(name, { other, finish: () => finish() });
  return response.json({ port: other.port });
});
server.post('/others/:name/:act', async (request, response) => {
  const { other, finish } = others.get(request.params.name);
  const { act } = request.params;
  if (act === 'finish') finish();
  if (act === 'shutdown') other.shutdown().then((done) => note('shut down', request.params.name, done));
  if (act === 'close') return response.json([other.close(), other.close()]);
  if (act === 'force_close') return response.json(other.force_close());
  if (act === 'again') return response.send(await other.listen(port + 0.5).catch((error) => error.message));
  return response.send(act);
});

// An acceptor, which hands its connections over to servers in threads, as the package's own documentation has it.
const children = [];
server.post('/acceptor', async (_request, response) => {
  const acceptor = new HyperExpress.Server({ auto_close: false });
  for (let number = 0; number < 3; number += 1) {
    const thread = new Worker(new URL('worker.mjs', import.meta.url), { workerData: number });
    const [descriptor] = await once(thread, 'message');
    acceptor.add_child_app_descriptor(descriptor);
    children.push(descriptor);
    // The threads end with the process.
    thread.unref();
  }
  await acceptor.listen(0, '127.0.0.1');
  others.set('acceptor', { other: acceptor });
  return response.json({ port: acceptor.port });
});
server.post('/acceptor/remove/:number', (request, response) => {
  others.get('acceptor').other.remove_child_app_descriptor(children[request.params.number]);
  response.send('removed');
});

const token = await server.listen(port, '127.0.0.1');
listening(token, async () => {
  for (const { other } of others.values()) other.force_close();
  // The shutdown waits for requests, but not for WebSockets or idle connections.
  await server.shutdown();
  server.force_close();
});
