// WebSockets with clients that behave and clients that do not.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import frames from '../../../support/frames.js';
import raw from '../../../support/RawSocket.js';
import wait from '../../../support/wait.js';
import { describe, request } from '../../parts/http.mjs';

const { RawSocket } = raw;
const { deadline, until } = wait;

/**
 * Connects a client. `texts` and `bytes` are the received messages, `closed` resolves to how it ended, and `act` makes
 * a member of the room do something.
 */
async function connect(server, path, options) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, options);
  const client = { socket, texts: [], bytes: [] };
  socket.on('message', (data, isBinary) => (isBinary ? client.bytes.push(data) : client.texts.push(String(data))));
  client.pongs = [];
  socket.on('pong', (data) => client.pongs.push(String(data)));
  client.closed = new Promise((resolve) => {
    socket.on('close', (code, reason) => resolve([code, String(reason)]));
  });
  await deadline(once(socket, 'open'), 'open');
  client.act = async (...what) => {
    const isAnswer = (text) => text.startsWith(`{"act":"${what[0]}"`);
    const before = client.texts.length;
    socket.send(JSON.stringify(what));
    await until(() => client.texts.slice(before).some(isAnswer), `answer to ${what}`);
    const index = client.texts.findIndex((text, place) => place >= before && isAnswer(text));
    return JSON.parse(client.texts.splice(index, 1)[0]).value;
  };
  return client;
}

async function refused(server, path, options) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, options);
  socket.on('error', () => {});
  const [, response] = await once(socket, 'unexpected-response');
  const body = Buffer.concat(await response.toArray());
  return describe(response.statusCode, response.headers, body);
}

async function leave({ server }, ...clients) {
  for (const { socket } of clients) {
    socket.close(1000);
    await server.log.next('left the room');
  }
}

/**
 * Resolves to what the server saw of a client that left without a close frame. The reason is left out: in
 * uWebSockets.js it is always that a FIN came (docs/COMPATIBILITY.md).
 */
async function leftWithoutWord(server) {
  const [code, , ...rest] = await server.log.next('left the room');
  return [code, ...rest];
}

export const sockets = {
  'messages of every type and size come back': async ({ server }) => {
    const seen = {};
    for (const type of ['String', 'Buffer', 'ArrayBuffer', 'ArrayBufferSafe']) {
      for (const perMessageDeflate of [false, true]) {
        const client = await connect(server, `/echo/${type}`, { perMessageDeflate });
        const sent = [0, 1, 125, 126, 65_535, 65_536, 500_000].map((size) => Buffer.alloc(size, 'abc ü'));
        for (const data of sent) client.socket.send(type === 'String' ? data.toString() : data);
        const kind = type === 'String' ? client.texts : client.bytes;
        await until(() => kind.length === sent.length, 'echoes');
        const isEqual = kind.every((data, index) =>
          Buffer.from(data).equals(Buffer.from(type === 'String' ? sent[index].toString() : sent[index])),
        );
        seen[`${type} ${perMessageDeflate}`] = [isEqual, client.socket.extensions];
        client.socket.close(4001, 'enough');
        seen[`${type} ${perMessageDeflate}`].push(await client.closed);
      }
    }
    return seen;
  },

  'hundreds of sockets at once': async ({ server }) => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => connect(server, '/echo/String')));
    for (let number = 0; number < 50; number += 1)
      clients.forEach(({ socket }, index) => socket.send(`${index} ${number}`));
    await until(() => clients.every(({ texts }) => texts.length === 50), 'echoes');
    for (const { socket } of clients) socket.terminate();
    return clients.every(({ texts }, index) => texts.every((text, number) => text === `${index} ${number}`));
  },

  'who may come in, and with what': async (stage) => {
    const { server } = stage;
    const client = await connect(server, '/private/kitchen?token=right', { headers: { 'x-agent': 'test' } });
    await until(() => client.texts.length === 1, 'welcome');
    const protocols = new WebSocket(`ws://127.0.0.1:${server.port}/private/hall?token=right`, ['one', 'two']);
    await once(protocols, 'open');
    const seen = [client.texts, protocols.protocol];
    client.socket.terminate();
    protocols.terminate();
    for (const path of [
      '/private/kitchen?token=wrong',
      '/private/kitchen?token=thrown',
      '/private',
      '/who',
      '/no-upgrade',
    ]) {
      const { status, body } = await refused(server, path);
      seen.push([path, status, path === '/who' ? '-' : body]);
    }
    seen.push(await request(server, '/private/kitchen'));
    return seen;
  },

  'topics, and who hears what': async (stage) => {
    const { server } = stage;
    const [first, second, third] = [
      await connect(server, '/room'),
      await connect(server, '/room'),
      await connect(server, '/room'),
    ];
    const seen = [];
    for (const client of [first, second, third]) {
      seen.push(await client.act('subscribe', 'news'), await server.log.next('subscription'));
    }
    seen.push(await third.act('subscribe', 'sports'), await server.log.next('subscription'));
    seen.push(
      await third.act('subscribed', 'sports'),
      await first.act('subscribed', 'sports'),
      await first.act('count', 'news'),
    );
    seen.push(await first.act('publish', 'news', 'to the others'), await first.act('publishAll', 'news', 'to all'));
    seen.push(await first.act('publishBytes', 'sports', 1000), await first.act('publishAll', 'nothing', 'to nobody'));
    seen.push(
      await second.act('unsubscribe', 'news'),
      await server.log.next('subscription'),
      await second.act('unsubscribe', 'news'),
    );
    seen.push(await third.act('publish', 'news', 'without the second'), await first.act('count', 'news'));
    await until(() => first.texts.length === 2 && third.bytes.length === 1, 'news');
    for (const client of [first, second, third]) {
      await client.act('count', 'news');
      seen.push([client.texts, client.bytes.map(({ length }) => length)]);
    }
    await leave(stage, first, second, third);
    const last = await connect(server, '/room');
    seen.push(await last.act('count', 'news'));
    await leave(stage, last);
    return seen;
  },

  'a broadcast reaches each of a hundred': async (stage) => {
    const clients = await Promise.all(Array.from({ length: 100 }, () => connect(stage.server, '/room')));
    await Promise.all(clients.map((client) => client.act('subscribe', 'hall')));
    for (let number = 0; number < 100; number += 1)
      await clients[number].act(number % 2 ? 'publish' : 'publishAll', 'hall', `${number}`);
    const isComplete = ({ texts }, place) => texts.length === (place % 2 ? 99 : 100);
    await until(() => clients.every(isComplete), 'broadcasts');
    const orders = clients.map(
      ({ texts }, place) =>
        texts.join(' ') ===
        Array.from({ length: 100 }, (_, number) => number)
          .filter((number) => place % 2 === 0 || number !== place)
          .join(' '),
    );
    await leave(stage, ...clients);
    return [...new Set(orders)];
  },

  'pings, pongs, and many messages at once': async (stage) => {
    const { server } = stage;
    const client = await connect(server, '/room');
    const seen = [await client.act('ping', 'are you there?'), await server.log.next('pong')];
    client.socket.ping('and you?');
    seen.push(await server.log.next('ping'));
    await until(() => client.pongs.length === 1, 'pong');
    await client.act('atomic', 100);
    await until(() => client.texts.length === 100, 'atomic messages');
    seen.push(
      client.pongs,
      client.texts.every((text, number) => text === `atomic ${number}`),
    );
    await leave(stage, client);
    return seen;
  },

  'how a connection may end': async ({ server }) => {
    const seen = [];
    for (const act of [
      ['close'],
      ['close', 1000],
      ['close', 4000, 'Grüße'],
      ['close', 1013, 'later'],
      ['destroy'],
      ['fail'],
      ['close', 1005],
      ['nonsense'],
    ]) {
      const client = await connect(server, '/room');
      client.socket.send(JSON.stringify(act));
      seen.push([act, await client.closed, await server.log.next('left the room')]);
    }
    for (const [code, reason] of [
      [undefined, undefined],
      [1000, 'bye'],
      [4999, 'ü'.repeat(60)],
    ]) {
      const client = await connect(server, '/room');
      client.socket.close(code, reason);
      seen.push([code ?? null, await client.closed, await server.log.next('left the room')]);
    }
    return seen;
  },

  'a close code that libraries may use': async ({ server }) => {
    const client = await connect(server, '/room');
    client.socket.close(3001, 'mine');
    return [await client.closed, await server.log.next('left the room')];
  },

  'messages in many frames, as streams make them': async (stage) => {
    const client = await connect(stage.server, '/room');
    const seen = [];
    for (const [act, count, size] of [
      ['stream', 0, 0],
      ['stream', 1, 10],
      ['stream', 50, 40_000],
      ['writable', 0, 0],
      ['writable', 1, 10],
      ['writable', 50, 40_000],
    ]) {
      client.bytes.length = 0;
      const value = await client.act(act, count, size);
      await until(() => client.bytes.length === 1, 'message');
      const expected = Buffer.concat(Array.from({ length: count }, (_, index) => Buffer.alloc(size, index)));
      seen.push([act, count, value, client.bytes[0].equals(expected)]);
    }
    await leave(stage, client);
    return seen;
  },

  'one who reads slowly gets everything, and the server hears of it': async (stage) => {
    const { server } = stage;
    const client = await connect(server, '/room');
    client.socket._socket.pause();
    client.socket.send(JSON.stringify(['flood', 250, 50_000]));
    const seen = [await server.log.next('buffered')];
    const other = await connect(server, '/room');
    seen.push(await other.act('count', 'hall'));
    client.socket._socket.resume();
    await until(() => client.bytes.length === 250, 'all messages');
    seen.push(
      client.bytes.every((data, index) => data.equals(Buffer.alloc(50_000, index))),
      await server.log.next('drain'),
    );
    await leave(stage, client, other);
    return seen;
  },

  'a stream to one who reads slowly': async (stage) => {
    const { server } = stage;
    const client = await connect(server, '/room');
    client.socket._socket.pause();
    client.socket.send(JSON.stringify(['stream', 200, 60_000]));
    const other = await connect(server, '/room');
    await other.act('count', 'hall');
    client.socket._socket.resume();
    await until(() => client.bytes.length === 1, 'message');
    const seen = [
      client.bytes[0].equals(Buffer.concat(Array.from({ length: 200 }, (_, index) => Buffer.alloc(60_000, index)))),
    ];
    await leave(stage, client, other);
    return seen;
  },

  'a stream to one who leaves without a word': async ({ server }) => {
    const client = await connect(server, '/room');
    client.socket.on('error', () => {});
    client.socket._socket.pause();
    client.socket.send(JSON.stringify(['streamToNobody', 400, 50_000]));
    // If a reset arrived together with the message, a server might only see the reset.
    await server.log.next('stream begins');
    client.socket._socket.resetAndDestroy();
    return [await leftWithoutWord(server), await server.log.next('stream ended')];
  },

  'what is too much for a slow reader is dropped, or ends it': async ({ server }) => {
    const seen = [];
    const client = await connect(server, '/narrow');
    client.socket._socket.pause();
    client.socket.send(JSON.stringify(['flood', 400, 50_000]));
    seen.push(await server.log.next('dropped'), await server.log.next('buffered'));
    client.socket._socket.resume();
    seen.push(await server.log.next('drain'));
    client.socket.terminate();
    await server.log.next('left the room');
    const strict = await connect(server, '/strict');
    strict.socket.on('error', () => {});
    strict.socket._socket.pause();
    strict.socket.send(JSON.stringify(['flood', 400, 50_000]));
    seen.push(await leftWithoutWord(server));
    strict.socket.terminate();
    return seen;
  },

  'clients that break the rules': async ({ server }) => {
    const seen = [];
    const bad = {
      reserved: Buffer.from([0xf1, 0x80, 0, 0, 0, 0]),
      utf8: frames.text(Buffer.from([0xff, 0xfe])),
      long: frames.text('a'.repeat(10_001)),
    };
    for (const [name, bytes] of Object.entries(bad)) {
      const client = await RawSocket.upgrade(server.port, '/room');
      client.write(bytes);
      await client.readToEnd();
      client.destroy();
      seen.push([name, await server.log.next('left the room')]);
    }
    for (const way of ['reset', 'destroy']) {
      const client = await RawSocket.upgrade(server.port, '/room');
      client[way]();
      seen.push([way, await server.log.next('left the room')]);
    }
    return seen;
  },

  'a frame in pieces of one byte': async ({ server }) => {
    const client = await RawSocket.upgrade(server.port, '/echo/String');
    for (const byte of frames.text('Grüße, 世界')) await client.writeAndTurn(Buffer.of(byte));
    const text = await client.readText();
    client.destroy();
    return text;
  },
};
