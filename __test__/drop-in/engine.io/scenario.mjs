// What clients of engine.io see.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import raw from '../../support/RawSocket.js';
import wait from '../../support/wait.js';
import { request } from '../parts/http.mjs';

const { RawSocket } = raw;
const { deadline, until } = wait;

async function open({ server, use }, transports) {
  const { Socket } = await use('engine.io-client');
  const socket = new Socket(`ws://127.0.0.1:${server.port}`, { path: '/engine', transports });
  socket.binaryType = 'arraybuffer';
  const messages = [];
  socket.on('message', (data) => messages.push(data));
  await deadline(new Promise((resolve) => socket.once('open', resolve)), 'open');
  if (transports.length > 1) await deadline(new Promise((resolve) => socket.once('upgrade', resolve)), 'upgrade');
  await until(() => messages.length === 1, 'welcome');
  return { socket, messages };
}

async function close(socket) {
  socket.close();
  await until(() => socket.readyState === 'closed', 'close');
}

async function session(server) {
  const { body } = await request(server, '/engine/?EIO=4&transport=polling');
  return JSON.parse(body.slice(1)).sid;
}

export const steps = {
  'messages come back, whole and in order': async (stage) => {
    const seen = [];
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      const { socket, messages } = await open(stage, transports);
      const sent = [];
      for (const size of [0, 1, 125, 126, 10_000, 65_535, 65_536]) {
        for (const data of ['ü'.repeat(size / 2), Buffer.alloc(size, size)]) {
          sent.push(data);
          socket.send(data);
        }
        // All of them together would exceed the limit of a body.
        await until(() => messages.length === sent.length + 1, 'echoes');
      }
      // For an empty message the client passes undefined.
      seen.push(
        messages.slice(1).every((message, index) => Buffer.from(message ?? '').equals(Buffer.from(sent[index]))),
      );
      await close(socket);
      seen.push(await stage.server.log.next('closed'));
    }
    return seen;
  },

  'an upgrade in the middle of talking loses nothing': async (stage) => {
    const seen = [];
    for (let round = 0; round < 10; round += 1) {
      const { Socket } = await stage.use('engine.io-client');
      const socket = new Socket(`ws://127.0.0.1:${stage.server.port}`, { path: '/engine' });
      const messages = [];
      socket.on('message', (data) => messages.push(data));
      await deadline(new Promise((resolve) => socket.once('open', resolve)), 'open');
      for (let number = 0; number < 200; number += 1) {
        socket.send(String(number));
        if (number % 10 === 0) await new Promise(setImmediate);
      }
      await until(() => messages.length === 201 && socket.transport.name === 'websocket', 'all echoes');
      seen.push(messages.slice(1).every((message, number) => message === String(number)));
      await close(socket);
    }
    return seen;
  },

  'heartbeats go on, and a client that has none is let go': async (stage) => {
    const { socket } = await open(stage, ['websocket']);
    let pings = 0;
    socket.on('ping', () => (pings += 1));
    await until(() => pings >= 3, 'pings');
    await close(socket);
    await stage.server.log.next('closed', 5_000);

    const silent = new WebSocket(`ws://127.0.0.1:${stage.server.port}/engine/?EIO=4&transport=websocket`);
    const [code, reason] = await deadline(once(silent, 'close'), 'close');
    return [code, String(reason), pings >= 3];
  },

  'headers and cookies of a session': async ({ server }) => {
    const first = await request(server, '/engine/?EIO=4&transport=polling', {
      headers: { origin: 'http://x.example' },
    });
    const { sid, ...handshake } = JSON.parse(first.body.slice(1));
    first.headers['set-cookie'] = first.headers['set-cookie'].map((cookie) => cookie.replace(sid, '-'));
    delete first.headers['content-length'];
    const posted = await request(server, `/engine/?EIO=4&transport=polling&sid=${sid}`, {
      method: 'POST',
      body: '4hello',
    });
    const polled = await request(server, `/engine/?EIO=4&transport=polling&sid=${sid}`);
    const asked = await request(server, `/engine/?EIO=4&transport=polling&sid=${sid}`, { method: 'OPTIONS' });
    return [first.headers, handshake, posted, polled, asked];
  },

  'long polls are compressed for who wants it': async ({ server }) => {
    const seen = [];
    for (const encoding of ['gzip', 'deflate', 'identity']) {
      const target = `/engine/?EIO=4&transport=polling&sid=${await session(server)}`;
      await request(server, target);
      await request(server, target, { method: 'POST', body: `4${'many words '.repeat(2000)}` });
      const { status, headers, body } = await request(server, target, { headers: { 'accept-encoding': encoding } });
      seen.push([status, headers['content-encoding'], body.length < 22_000]);
    }
    return seen;
  },

  'two polls at once end the session': async ({ server }) => {
    const target = `/engine/?EIO=4&transport=polling&sid=${await session(server)}`;
    await request(server, target);
    const polls = [request(server, target), request(server, target)];
    return (await Promise.all(polls.map((poll) => poll.then(({ status }) => status)))).sort();
  },

  'upgrades that may not be': async ({ server }) => {
    const seen = [];
    for (const query of ['EIO=4&transport=websocket&sid=nobody', 'EIO=4&transport=pigeon', 'transport=websocket', '']) {
      const socket = new WebSocket(`ws://127.0.0.1:${server.port}/engine/?${query}`);
      socket.on('error', () => {});
      const [, response] = await Promise.race([
        once(socket, 'unexpected-response'),
        once(socket, 'close').then(([code]) => [undefined, { statusCode: `closed with ${code}` }]),
      ]);
      seen.push([query, response.statusCode]);
      socket.terminate();
    }
    return seen;
  },

  'data that is not engine.io’s': async ({ server }) => {
    const seen = [];
    const target = `/engine/?EIO=4&transport=polling&sid=${await session(server)}`;
    await request(server, target);
    const posted = await request(server, target, {
      method: 'POST',
      body: 'abc',
      headers: { 'content-type': 'text/plain' },
    });
    seen.push([posted.status, posted.body]);
    const binary = await request(server, `/engine/?EIO=4&transport=polling&sid=${await session(server)}`, {
      method: 'POST',
      body: 'abc',
      headers: { 'content-type': 'application/octet-stream' },
    });
    seen.push([binary.status, binary.body]);
    const elsewhere = await request(server, '/elsewhere');
    seen.push([elsewhere.status, elsewhere.body]);
    return seen;
  },

  'pieces of a body, a byte at a time': async ({ server }) => {
    const target = `/engine/?EIO=4&transport=polling&sid=${await session(server)}`;
    await request(server, target);
    const client = await RawSocket.connect(server.port);
    const body = '4bit by bit';
    client.write(`POST ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`);
    for (const byte of body) {
      client.write(byte);
      await new Promise(setImmediate);
    }
    const { status } = await client.readResponse();
    client.destroy();
    return [status, (await request(server, target)).body];
  },

  'a thousand sessions come and go': async ({ server }) => {
    const sockets = [];
    for (let index = 0; index < 1000; index += 1) {
      sockets.push(new WebSocket(`ws://127.0.0.1:${server.port}/engine/?EIO=4&transport=websocket`));
      if (index % 50 === 49) await Promise.all(sockets.slice(-50).map((socket) => once(socket, 'open')));
    }
    const closed = server.log.count('closed');
    for (const socket of sockets) socket.terminate();
    await until(() => server.log.count('closed') >= closed + 1000, 'end of all');
    return (await request(server, '/elsewhere')).status;
  },

  'sessions that nobody polls end': async ({ server }) => {
    await until(async () => (await request(server, '/sessions')).body === '0', 'end of all');
    return request(server, '/sessions');
  },
};
