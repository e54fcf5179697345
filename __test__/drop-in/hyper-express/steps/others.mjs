// Servers with other options, their shutdown, and the restart of the main one.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { WebSocket } from 'ws';
import { request } from '../../parts/http.mjs';

const post = (server, target, body = {}) => request(server, target, { method: 'POST', body: JSON.stringify(body) });

/** Starts another server in the program. */
async function start(server, name, options) {
  const { port, path } = JSON.parse((await post(server, `/others/${name}`, { auto_close: true, ...options })).body);
  return { origin: `http://127.0.0.1:${port}`, port, path };
}

const isReachable = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

const failure = (promise) =>
  promise.then(
    () => 'none',
    (error) => error.code,
  );

export const others = {
  'a proxy is trusted or not': async ({ server }) => {
    const seen = [];
    for (const trust_proxy of [false, true]) {
      const other = await start(server, 'proxied', { trust_proxy });
      const headers = { 'x-forwarded-for': '10.0.0.1, 10.0.0.2', 'x-forwarded-proto': 'https' };
      seen.push(await request(other, '/who', { headers }), await request(other, '/who'));
      seen.push((await post(server, '/others/proxied/close')).body, await isReachable(other.port));
    }
    return seen;
  },

  'on a socket of the file system': async ({ server }) => {
    const { path } = await start(server, 'local', { onSocket: true });
    const sent = http.get({ socketPath: path, path: '/who' });
    const [response] = await once(sent, 'response');
    return [response.statusCode, Buffer.concat(await response.toArray()).toString()];
  },

  'too much is answered by an end at once, and buffers are fast': async ({ server }) => {
    const other = await start(server, 'hasty', {
      fast_abort: true,
      fast_buffers: true,
      max_body_length: 1000,
      exclusive_port: true,
    });
    const echo = (length) =>
      request(other, '/echo', {
        method: 'POST',
        body: Buffer.alloc(length, 'a'),
        headers: { 'content-length': length },
      });
    const { status, body } = await echo(1000);
    return [status, body.length, await failure(echo(1001)), (await request(other, '/none')).status];
  },

  'a graceful end waits for who is being served': async ({ server }) => {
    const other = await start(server, 'graceful', {});
    const waiting = request(other, '/slow');
    await server.log.next('slow');
    const socket = new WebSocket(`ws://127.0.0.1:${other.port}/socket`);
    await once(socket, 'open');
    await post(server, '/others/graceful/shutdown');
    const seen = [await isReachable(other.port)];
    await post(server, '/others/graceful/finish');
    seen.push(await waiting, await server.log.next('shut down'));
    socket.send('still here');
    const [message] = await once(socket, 'message');
    seen.push(String(message));
    const closed = once(socket, 'close');
    seen.push((await post(server, '/others/graceful/force_close')).body, (await closed)[0]);
    return seen;
  },

  'an end by force waits for nobody': async ({ server }) => {
    const other = await start(server, 'forced', {});
    const waiting = failure(request(other, '/slow'));
    await server.log.next('slow');
    return [(await post(server, '/others/forced/force_close')).body, await waiting, await isReachable(other.port)];
  },

  'clients come back after the server did': async ({ server }) => {
    const waiting = http.get(`${server.origin}/events?name=waiting`);
    const [response] = await once(waiting, 'response');
    await server.log.next('came');
    const ended = failure(response.toArray());
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/echo/String`);
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await server.restart();
    const seen = [await ended, (await closed)[0], (await request(server, '/api/users/1')).body];
    const again = new WebSocket(`ws://127.0.0.1:${server.port}/echo/String`);
    await once(again, 'open');
    again.send('back');
    const [message] = await once(again, 'message');
    return [...seen, String(message)];
  },
};
