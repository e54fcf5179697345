// An acceptor whose connections are served by servers in threads.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import { request } from '../../parts/http.mjs';

export const threads = {
  'an acceptor hands connections over to servers in threads': async ({ server }) => {
    const { port } = JSON.parse((await request(server, '/acceptor', { method: 'POST', body: '{}' })).body);
    const acceptor = { origin: `http://127.0.0.1:${port}`, port };
    const seen = [];
    const who = async (count) => {
      for (let i = 0; i < count; i += 1) seen.push((await request(acceptor, '/who')).body);
    };
    await who(6);
    const body = Buffer.alloc(10_000, 'b');
    const echo = await request(acceptor, '/echo', { method: 'POST', body, headers: { 'content-length': body.length } });
    seen.push([echo.status, echo.body.length]);
    for (const text of ['hello', 'again']) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`);
      await once(socket, 'open');
      socket.send(text);
      seen.push(String((await once(socket, 'message'))[0]));
      socket.close(1000);
      seen.push((await once(socket, 'close'))[0]);
    }
    seen.push((await request(server, '/acceptor/remove/1', { method: 'POST', body: '{}' })).body);
    const before = seen.length;
    await who(4);
    // Whose turn it is after a removal is not specified.
    return [...seen.slice(0, before), ...seen.slice(before).sort()];
  },
};
