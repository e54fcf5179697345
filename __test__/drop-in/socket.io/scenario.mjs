// What clients of socket.io see.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { WebSocket } from 'ws';
import wait from '../../support/wait.js';
import { request } from '../parts/http.mjs';

const { deadline, until } = wait;

/** Both transports, and the upgrade from one to the other. */
const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgraded: ['polling', 'websocket'] };

/** Returns a function that connects, and one that disconnects all clients. */
async function clients({ server, use }) {
  const { io } = await use('socket.io-client');
  const open = [];
  async function connect(transports, options = {}) {
    const socket = io(`${server.origin}${options.namespace ?? ''}`, { transports, forceNew: true, ...options });
    open.push(socket);
    const welcome = next(socket, 'welcome');
    welcome.catch(() => {});
    await deadline(once(socket, 'connect'), `connection by ${transports}`);
    if (transports.length > 1) await until(() => socket.io.engine.transport.name === 'websocket', 'upgrade');
    return { socket, welcome };
  }
  return { io, connect, end: () => open.forEach((socket) => socket.disconnect()) };
}

/** Returns why the server disconnected the client of that color. */
async function reasonOf(server, color) {
  const find = () => server.log.all.find(([name, whose]) => name === 'disconnected' && whose === color);
  await until(find, `end of ${color}`);
  return find()[2];
}

async function next(socket, event) {
  return deadline(
    new Promise((resolve) => {
      socket.once(event, (...args) => resolve(args));
    }),
    event,
  );
}

/** Runs a step with clients that are disconnected afterwards. */
function withClients(run) {
  return async (stage) => {
    const all = await clients(stage);
    try {
      return await run({ ...all, ...stage });
    } finally {
      all.end();
    }
  };
}

/** Runs a step for each of the transports. */
function eachTransport(run) {
  return withClients(async (stage) => {
    const seen = {};
    for (const [name, transports] of Object.entries(TRANSPORTS)) seen[name] = await run(stage, transports);
    return seen;
  });
}

/** Collects the first `count` events. */
function collect(socket, event, count) {
  const all = [];
  return deadline(
    new Promise((resolve) => {
      socket.on(event, (...args) => {
        all.push(args);
        if (all.length === count) resolve(all);
      });
    }),
    () => `${count} of ${event}, only ${all.length}`,
    30_000,
  );
}

/** Returns the session ID of a client that uses plain HTTP. */
async function handshake(server, color) {
  const { body } = await request(server, `/socket.io/?EIO=4&transport=polling&color=${color}`);
  return JSON.parse(body.slice(1)).sid;
}

const text = (length) => 'Grüße, 世界. '.repeat(length / 12).slice(0, length);

export const steps = {
  'a client is told who it is': eachTransport(async ({ connect }, transports) => {
    const { welcome } = await connect(transports, {
      query: { color: 'blue' },
      extraHeaders: { 'x-agent': 'test' },
    });
    return welcome;
  }),

  'text, objects and binary data of many sizes come back': eachTransport(async ({ connect }, transports) => {
    const { socket } = await connect(transports);
    const seen = [];
    for (const size of [0, 1, 125, 126, 4096, 30_000]) {
      const sent = [text(size), { nested: [text(size), null, 1.5] }, Buffer.alloc(size, 7)];
      const [words, object, bytes] = await deadline(
        new Promise((resolve) => {
          socket.emit('echo', ...sent, (...back) => resolve(back));
        }),
        'echo',
      );
      seen.push([
        words === sent[0],
        object.nested[0] === sent[0] && object.nested.length,
        Buffer.compare(Buffer.from(bytes), sent[2]),
      ]);
    }
    return seen;
  }),

  'rooms reach those who are in them, and not who speaks': withClients(async ({ connect }) => {
    const members = [];
    for (const transports of Object.values(TRANSPORTS)) members.push((await connect(transports)).socket);
    const [first, second, third] = members;
    const outsider = (await connect(['websocket'])).socket;
    const seen = { rooms: [], messages: [] };
    for (const [index, socket] of [...members, outsider].entries()) {
      socket.on('said', (message) => seen.messages.push(`${index} ${message}`));
    }
    for (const socket of members) seen.rooms.push(await socket.emitWithAck('join', 'kitchen'));
    seen.count = await first.emitWithAck('count', 'kitchen');
    const round = () => Promise.all([...members, outsider].map((socket) => socket.emitWithAck('echo', 1)));
    second.emit('say', 'kitchen', 'hello from the second');
    await until(() => seen.messages.length >= 2, 'hello');
    first.emit('sayAll', 'kitchen', 'hello to all');
    await until(() => seen.messages.length >= 5, 'hello to all');
    first.emit('sayBut', 'kitchen', third.id, 'not for the third');
    await until(() => seen.messages.length >= 7, 'not for the third');
    seen.left = await second.emitWithAck('leave', 'kitchen');
    third.emit('sayAll', 'kitchen', 'without the second');
    await until(() => seen.messages.length >= 9, 'without the second');
    await round();
    seen.messages.sort();
    return seen;
  }),

  'a room is asked, and all answer': withClients(async ({ connect }) => {
    const sockets = [];
    for (let index = 0; index < 9; index += 1) {
      const { socket } = await connect(Object.values(TRANSPORTS)[index % 3]);
      socket.on('question', (question, answer) => answer(`${question}: ${index}`));
      await socket.emitWithAck('join', 'quiz');
      sockets.push(socket);
    }
    return sockets[0].emitWithAck('ask', 'quiz', 'who');
  }),

  'a broadcast reaches each of a hundred clients, in order': withClients(async ({ connect }) => {
    const sockets = [];
    for (let index = 0; index < 100; index += 1) {
      const { socket } = await connect(index % 10 === 0 ? ['polling'] : ['websocket']);
      sockets.push(socket);
    }
    await Promise.all(sockets.map((socket) => socket.emitWithAck('join', 'hall')));
    const received = Promise.all(sockets.map((socket) => collect(socket, 'said', 50)));
    for (let number = 0; number < 50; number += 1) {
      const message = number % 2 === 0 ? { number } : Buffer.alloc(2000, number);
      sockets[number % 10].emit('sayAll', 'hall', message);
      // The clients take turns.
      await sockets[number % 10].emitWithAck('echo', number);
    }
    const orders = (await received).map((messages) =>
      messages.map(([message]) => message.number ?? Buffer.from(message)[1999]).join(' '),
    );
    return [...new Set(orders)];
  }),

  'many ask at once, and each gets its own answers': withClients(async ({ connect }) => {
    const sockets = [];
    for (let index = 0; index < 50; index += 1) sockets.push((await connect(['websocket'])).socket);
    const answers = await Promise.all(
      sockets.flatMap((socket, client) =>
        Array.from({ length: 200 }, (_, number) => socket.emitWithAck('echo', `${client}/${number}`)),
      ),
    );
    return answers.every((answer, index) => answer === `${Math.floor(index / 200)}/${index % 200}`);
  }),

  namespaces: withClients(async ({ connect, io, server }) => {
    const socket = io(`${server.origin}/news`, { transports: ['websocket'], forceNew: true });
    const headline = await next(socket, 'headline');
    socket.disconnect();
    const nowhere = io(`${server.origin}/nowhere`, { transports: ['polling'], forceNew: true });
    const [error] = await next(nowhere, 'connect_error');
    nowhere.disconnect();
    await connect(['websocket']);
    return [headline, error.message];
  }),

  'who may not come in is told why': withClients(async ({ io, server }) => {
    const seen = [];
    for (const transports of [['polling'], ['websocket']]) {
      const socket = io(server.origin, { transports, forceNew: true, auth: { token: 'wrong' } });
      const [error] = await next(socket, 'connect_error');
      seen.push([error.message, error.data]);
      socket.disconnect();
    }
    seen.push(await request(server, '/socket.io/?EIO=4&transport=polling', { headers: { 'x-banned': '1' } }));
    return seen;
  }),

  'requests from another site': async ({ server }) => {
    const headers = {
      origin: 'http://chat.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    };
    const preflight = await request(server, '/socket.io/?EIO=4&transport=polling', { method: 'OPTIONS', headers });
    const opened = await request(server, '/socket.io/?EIO=4&transport=polling', { headers });
    const { sid, ...rest } = JSON.parse(opened.body.slice(1));
    return {
      preflight,
      opened: { ...opened, headers: { ...opened.headers, 'content-length': '-' }, body: rest },
      sid: sid.length,
    };
  },

  'requests that make no sense': async ({ server }) => {
    const sid = await handshake(server);
    const seen = [];
    for (const [method, query] of [
      ['GET', 'transport=polling'],
      ['GET', 'EIO=3&transport=polling'],
      ['GET', 'EIO=4&transport=pigeon'],
      ['GET', 'EIO=4&transport=polling&sid=nobody'],
      ['POST', 'EIO=4&transport=polling'],
      ['PUT', `EIO=4&transport=polling&sid=${sid}`],
      ['GET', `EIO=4&transport=websocket&sid=${sid}`],
      ['DELETE', ''],
    ]) {
      seen.push([method, query.replace(sid, '-'), await request(server, `/socket.io/?${query}`, { method })]);
    }
    return seen;
  },

  'a body of more than is allowed is refused, in one piece or in many': async ({ server }) => {
    const seen = [];
    for (const chunked of [false, true]) {
      const sid = await handshake(server);
      const length = 150_000;
      const post = http.request(`${server.origin}/socket.io/?EIO=4&transport=polling&sid=${sid}`, {
        method: 'POST',
        headers: chunked ? {} : { 'content-length': length },
        agent: new http.Agent(),
      });
      post.on('error', () => {});
      const answered = once(post, 'response').then(([response]) => response.statusCode);
      const failed = once(post, 'close').then(() => 'closed');
      const piece = Buffer.alloc(length / 10, '4');
      for (let index = 0; index < 10; index += 1) post.write(piece);
      post.end();
      seen.push(await Promise.race([answered, failed]));
      post.destroy();
    }
    return seen;
  },

  'a message of more than is allowed ends the connection': withClients(async ({ connect, server }) => {
    const { socket } = await connect(['websocket'], { reconnection: false, query: { color: 'red' } });
    const left = next(socket, 'disconnect');
    socket.emit('echo', text(150_000), () => {});
    return [(await left)[0], await reasonOf(server, 'red')];
  }),

  'clients that vanish are noticed': withClients(async ({ connect, server }) => {
    const { socket } = await connect(['websocket'], { reconnection: false, query: { color: 'green' } });
    socket.io.engine.transport.ws._socket.destroy();

    // One connection ends during a poll, the other in the middle of a body.
    for (const [color, method, rest] of [
      ['pink', 'GET', '\r\n'],
      ['white', 'POST', 'Content-Length: 1000\r\n\r\n42'],
    ]) {
      const sid = await handshake(server, color);
      const target = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
      await request(server, target, { method: 'POST', body: '40' });
      // The initial packets come in one poll or in two.
      await until(async () => (await request(server, target)).body.includes('welcome'), 'welcome');
      const client = net.connect(server.port, '127.0.0.1');
      client.write(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${rest}`);
      await once(client, 'connect');
      // This is answered after the server has read the bytes above.
      await request(server, '/health');
      client.resetAndDestroy();
    }
    const seen = [];
    for (const color of ['green', 'pink', 'white']) seen.push(await reasonOf(server, color));
    return seen;
  }),

  'a client that reads slowly gets everything': withClients(async ({ connect }) => {
    const { socket } = await connect(['websocket']);
    const connection = socket.io.engine.transport.ws._socket;
    const received = collect(socket, 'drop', 400);
    connection.pause();
    socket.emit('flood', 400, 50_000);
    const other = (await connect(['websocket'])).socket;
    // The server is as fast as before for other clients.
    for (let index = 0; index < 20; index += 1) await other.emitWithAck('echo', index);
    connection.resume();
    return (await received).every(
      ([index, bytes], place) => index === place && Buffer.compare(bytes, Buffer.alloc(50_000, place)) === 0,
    );
  }),

  'compression is agreed on, and used': async ({ server }) => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket`);
    const messages = [];
    socket.on('message', (data) => messages.push(String(data)));
    await once(socket, 'open');
    await until(() => messages.length === 1, 'handshake');
    socket.send('40');
    await until(() => messages.length === 3, 'welcome');
    const before = socket._socket.bytesRead;
    const words = 'all the same '.repeat(5000);
    socket.send(`420${JSON.stringify(['echo', words])}`);
    await until(() => messages.length === 4, 'echo');
    const isSmall = socket._socket.bytesRead - before < words.length / 2;
    const seen = [socket.extensions, messages[3] === `430${JSON.stringify([words])}`, isSmall];
    socket.terminate();
    return seen;
  },

  'the client is served, whole, to be cached, and compressed': async ({ server }) => {
    const seen = [];
    for (const file of ['socket.io.js', 'socket.io.min.js', 'socket.io.msgpack.min.js', 'socket.io.esm.min.js.map']) {
      const { status, headers, body } = await request(server, `/socket.io/${file}`);
      seen.push([file, status, headers, body.length]);
      const again = await request(server, `/socket.io/${file}`, { headers: { 'if-none-match': headers.etag ?? '' } });
      seen.push([again.status, again.headers, again.body.length]);
    }
    return seen;
  },

  'everybody is sent away': withClients(async ({ connect }) => {
    const sockets = [];
    for (const transports of Object.values(TRANSPORTS)) {
      sockets.push((await connect(transports, { reconnection: false })).socket);
    }
    for (const socket of sockets) await socket.emitWithAck('join', 'bar');
    const left = sockets.map((socket) => next(socket, 'disconnect'));
    sockets[0].emit('kick', 'bar');
    return (await Promise.all(left)).map(([reason]) => reason);
  }),

  'clients come back after the server did': withClients(async ({ connect, server }) => {
    const sockets = [];
    for (const transports of Object.values(TRANSPORTS)) {
      sockets.push((await connect(transports, { reconnectionDelay: 20, reconnectionDelayMax: 100 })).socket);
    }
    const left = sockets.map((socket) => next(socket, 'disconnect'));
    await server.restart();
    const reasons = (await Promise.all(left)).map(([reason]) => reason);
    // What the clients send while disconnected is delivered once they are back.
    return [reasons, await Promise.all(sockets.map((socket, index) => socket.emitWithAck('echo', index)))];
  }),

  'what is not socket.io’s is answered': async ({ server }) => {
    await until(async () => (await request(server, '/health')).body === '0', 'end of all clients', 40_000);
    return request(server, '/health');
  },
};
