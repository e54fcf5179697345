// WebSockets: echoes, and a room whose members send commands as JSON.

import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import HyperExpress from 'hyper-express';
import { note } from '../serving.cjs';

const { SHARED_COMPRESSOR } = HyperExpress.compressors;

const fill = (count, size) => Array.from({ length: count }, (_, index) => Buffer.alloc(size, index));

export function addSockets(server) {
  for (const type of ['String', 'Buffer', 'ArrayBuffer', 'ArrayBufferSafe']) {
    server.ws(
      `/echo/${type}`,
      { message_type: type, max_payload_length: 1024 * 1024, compression: SHARED_COMPRESSOR, max_lifetime: 0 },
      (socket) => {
        socket.on('message', async (message, isBinary) => {
          // This type may be kept, so the echo can be sent later.
          if (type.endsWith('Safe')) await turn();
          socket.send(message, isBinary, true);
        });
      },
    );
  }

  server.upgrade('/private/:room', async (request, response) => {
    const { token } = request.query_parameters;
    if (token === 'thrown') throw new Error('thrown at the door');
    await turn();
    if (token !== 'right') return response.status(403).send('who are you?');
    return response.upgrade({ room: request.params.room, agent: request.headers['x-agent'] });
  });
  server.ws('/private/:room', { idle_timeout: 60 }, (socket) => {
    socket.send(JSON.stringify({ ...socket.context, ip: socket.ip, hasPort: socket.remote_port > 0 }));
  });
  server.get('/no-upgrade', (request, response) => response.upgrade());

  const acts = {
    subscribe: (socket, topic) => socket.subscribe(topic),
    unsubscribe: (socket, topic) => socket.unsubscribe(topic),
    subscribed: (socket, topic) => [socket.is_subscribed(topic), socket.topics.sort()],
    publish: (socket, topic, text) => socket.publish(topic, text),
    publishAll: (socket, topic, text) => server.publish(topic, text, false, false),
    publishBytes: (socket, topic, size) => server.publish(topic, Buffer.alloc(size, 7), true),
    count: (socket, topic) => server.num_of_subscribers(topic),
    ping: (socket, text) => socket.ping(text),
    close: (socket, ...args) => socket.close(...args),
    destroy: (socket) => socket.destroy(),
    fail: () => {
      throw new Error('as asked');
    },
    atomic: (socket, count) => {
      socket.atomic(() => {
        for (let number = 0; number < count; number += 1) socket.send(`atomic ${number}`);
      });
    },
    stream: async (socket, count, size) => {
      await socket.stream(Readable.from(fill(count, size)));
      return [socket.closed, socket.buffered];
    },
    streamToNobody: async (socket, count, size) => {
      note('stream begins');
      await socket.stream(Readable.from(fill(count, size))).catch((error) => note('stream ended', error.code));
    },
    writable: async (socket, count, size) => {
      const { writable } = socket;
      Readable.from(fill(count, size)).pipe(writable);
      await new Promise((resolve) => writable.once('finish', resolve));
    },
    flood: (socket, count, size) => {
      for (const bytes of fill(count, size)) socket.send(bytes, true);
      note('buffered', socket.buffered > 0);
    },
  };
  const welcome = (socket) => {
    socket.on('message', async (message) => {
      const [act, ...args] = JSON.parse(message);
      const value = await acts[act](socket, ...args);
      if (!socket.closed) socket.send(JSON.stringify({ act, value: value ?? null }));
    });
    socket.on('ping', (message) => note('ping', message));
    socket.on('pong', (message) => note('pong', message));
    socket.on('drain', () => note('drain'));
    socket.on('dropped', (message, isBinary) => note('dropped', message.length, isBinary));
    socket.on('subscription', (topic, now, before) => note('subscription', topic, now, before));
    socket.on('close', (code, reason) => note('left the room', code, reason, socket.closed, socket.send('late')));
  };
  server.ws('/room', { max_backpressure: 64 * 1024 * 1024, max_payload_length: 10_000 }, welcome);
  server.ws('/narrow', { max_backpressure: 100_000, send_pings_automatically: false }, welcome);
  server.ws('/strict', { max_backpressure: 100_000, close_on_backpressure_limit: true }, welcome);
}
