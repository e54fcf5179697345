// What clients of crossws see.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import frames from '../../support/frames.js';
import bytes from '../../support/http.js';
import raw from '../../support/RawSocket.js';
import wait from '../../support/wait.js';
import { request } from '../parts/http.mjs';

const { RawSocket } = raw;
const { deadline, until } = wait;
const { withoutDate } = bytes;

/** A connection whose messages are read one after another. */
class Client {
  messages = [];
  #taken = 0;

  static async connect(server, path, { protocols, isQuiet = false, ...options } = {}) {
    const client = new Client();
    client.socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, protocols, options);
    client.socket.on('message', (data, isBinary) => client.messages.push(isBinary ? data : String(data)));
    client.closed = once(client.socket, 'close').then(([code, reason]) => [code, String(reason)]);
    client.closed.catch(() => {});
    client.socket.on('error', () => {});
    await deadline(once(client.socket, 'open'), `connection to ${path}`);
    if (!isQuiet) client.welcome = JSON.parse(await client.next());
    return client;
  }

  /** Resolves to the next message: text as a string, data as a Buffer. */
  async next() {
    await until(() => this.messages.length > this.#taken, `message ${this.#taken}`);
    this.#taken += 1;
    return this.messages[this.#taken - 1];
  }

  tell(...command) {
    this.socket.send(JSON.stringify(command));
  }

  async ask(...command) {
    this.tell(...command);
    return JSON.parse(await this.next()).answer;
  }

  /** Closes the connection, and returns what the server noted about that. */
  async leave(server) {
    this.socket.close(1000);
    await deadline(this.closed, 'close');
    return server.log.next('closed');
  }

  vanish() {
    this.socket._socket.resetAndDestroy();
  }
}

/** Connects `count` clients that get no greeting. */
function crowd(server, count, path = '/chat/hall') {
  const options = { isQuiet: true, perMessageDeflate: false };
  return Promise.all(Array.from({ length: count }, () => Client.connect(server, path, options)));
}

/** Disconnects the clients, and waits until the server has noticed. */
async function disperse(server, clients) {
  for (const client of clients) client.vanish();
  await nobodyLeft(server);
}

function nobodyLeft(server) {
  return until(async () => (await request(server, '/peers')).body === '0', 'end of all peers');
}

/** Returns the head of the response to an upgrade. */
async function upgrade(server, path, headers) {
  const client = await RawSocket.upgrade(server.port, path, { headers });
  await client.readText();
  client.destroy();
  await server.log.next('closed');
  return withoutDate(client.head);
}

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-version': '13',
};

export const steps = {
  'a peer is told who it is': async ({ server }) => {
    const seen = [];
    for (const perMessageDeflate of [false, true]) {
      const client = await Client.connect(server, '/chat/lobby?name=J%C3%BCrgen&name=again', {
        headers: { 'x-agent': 'test', cookie: 'id=7; theme=dark' },
        protocols: ['chat.v1', 'chat.v2'],
        perMessageDeflate,
      });
      client.welcome.url = client.welcome.url.replace(String(server.port), '-');
      const forwarded = await Client.connect(server, '/chat/lobby', { headers: { 'x-forwarded-proto': 'https' } });
      forwarded.welcome.url = forwarded.welcome.url.replace(String(server.port), '-');
      seen.push(client.welcome, client.socket.extensions, client.socket.protocol, forwarded.welcome);
      seen.push(await client.leave(server), await forwarded.leave(server));
    }
    return seen;
  },

  'upgrades with headers, cookies and protocols': async ({ server }) => [
    await upgrade(server, '/chat/lobby'),
    await upgrade(server, '/chat/headers', { Cookie: 'id=7' }),
    await upgrade(server, '/chat/protocol', { 'Sec-WebSocket-Protocol': 'other, own.protocol' }),
    await upgrade(server, '/chat/lobby', { 'Sec-WebSocket-Protocol': 'chat.v1, chat.v2' }),
    await upgrade(server, '/chat/lobby', { 'Sec-WebSocket-Protocol': 'chat.v1' }),
    await upgrade(server, '/chat/lobby', { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }),
    await upgrade(server, '/chat/elsewhere?name=Ford', { 'X-Long': 'x'.repeat(3000) }),
  ],

  'upgrades that are refused': async ({ server }) => {
    const seen = [];
    for (const reason of ['', '/json', '/silently', '/at-length', '/thrown', '/error']) {
      const response = await request(server, `/chat/refused${reason}`, { headers: UPGRADE });
      if (response.body.length > 1000) response.body = [response.body.length, response.body.slice(0, 9)];
      seen.push(response);
    }
    const refused = new WebSocket(`ws://127.0.0.1:${server.port}/chat/refused/json`);
    refused.on('error', () => {});
    const [, response] = await once(refused, 'unexpected-response');
    seen.push(response.statusCode, response.statusMessage, Buffer.concat(await response.toArray()).toString());
    return seen;
  },

  'requests that are no upgrades': async ({ server }) => [
    await request(server, '/chat/lobby'),
    await request(server, '/chat/lobby', { method: 'POST', body: 'hello' }),
    await request(server, '/chat/lobby', { headers: { ...UPGRADE, 'sec-websocket-key': 'short' } }),
    await request(server, '/elsewhere', { headers: UPGRADE }),
  ],

  'a refusal that nobody waits for': async ({ server }) => {
    for (let index = 0; index < 20; index += 1) {
      const client = await RawSocket.connect(server.port);
      client.write(raw.upgradeRequest('/chat/refused/at-length'));
      if (index % 2 === 0) await client.read(1000);
      client.reset();
    }
    return request(server, '/elsewhere');
  },

  'what is sent comes as text or data': async ({ server }) => {
    const client = await Client.connect(server, '/chat/lobby');
    client.tell('values');
    const seen = [];
    while (seen.length < 11) {
      const message = await client.next();
      seen.push(typeof message === 'string' ? message : message.toString('hex'));
    }
    seen.push(await client.ask('describe', 'Grüße, 世界'));
    client.socket.send(Buffer.from(JSON.stringify(['describe', 'as data'])));
    seen.push(JSON.parse(await client.next()));
    seen.push(await client.ask('later', 'x'.repeat(5000)), await client.leave(server));
    return seen;
  },

  'messages of all sizes come back, whole and in order': async ({ server }) => {
    const seen = [];
    for (const perMessageDeflate of [false, true]) {
      const client = await Client.connect(server, '/chat/echo', { isQuiet: true, perMessageDeflate });
      const sent = [0, 1, 125, 126, 4096, 65_535, 65_536, 1_000_000, 2_000_000].map((size) => Buffer.alloc(size, size));
      for (const data of [...sent, ...sent]) client.socket.send(data);
      for (const data of [...sent, ...sent]) seen.push(Buffer.compare(data, await client.next()));
      client.socket.close(1000);
      seen.push(await client.closed);
    }
    await nobodyLeft(server);
    return seen;
  },

  'an upgrade and frames in pieces': async ({ server }) => {
    const client = await RawSocket.connect(server.port);
    for (const byte of raw.upgradeRequest('/chat/echo')) await client.writeAndTurn(byte);
    await client.readHead();
    const seen = [];
    for (const byte of Buffer.concat([frames.text('byte by byte'), frames.ping('beat'), frames.binary('')])) {
      await client.writeAndTurn(Buffer.of(byte));
    }
    for (let index = 0; index < 3; index += 1) seen.push(await client.readFrame());
    client.write(frames.text('three ', { fin: false }));
    client.write(frames.continuation('pieces, ', { fin: false }));
    client.write(frames.ping('between'));
    client.write(frames.continuation('one message'));
    for (let index = 0; index < 2; index += 1) seen.push(await client.readFrame());
    client.write(frames.close(1000, 'done'));
    const last = await client.readFrame();
    client.destroy();
    return [
      [...seen, last].map(({ opcode, payload }) => [opcode, payload.toString('latin1')]),
      [await server.log.next('ping'), await server.log.next('ping')],
    ];
  },

  'topics reach those who follow them, and not who speaks': async ({ server }) => {
    const clients = [];
    for (const name of ['a', 'b', 'c', 'd']) clients.push(await Client.connect(server, `/chat/lobby?name=${name}`));
    const [a, b, c, d] = clients;
    const elsewhere = await Client.connect(server, '/chat/elsewhere?name=e');
    clients.push(elsewhere);
    const answers = [];
    for (const client of [a, b, c, elsewhere]) answers.push(await client.ask('join', 'news'));
    answers.push(await a.ask('join', 'weather'), await a.ask('peers'), await elsewhere.ask('peers'));
    const heard = [];
    for (const [index, client] of clients.entries()) {
      client.socket.on('message', (data) => {
        if (!String(data).startsWith('{')) heard.push(`${index} ${data}`);
      });
    }
    const hear = (count, what) => until(() => heard.length >= count, what);
    a.tell('say', 'news', 'from a');
    await hear(3, 'from a');
    a.tell('sayBytes', 'news', 5);
    await hear(6, 'bytes');
    d.tell('join', 'weather');
    d.tell('say', 'weather', 'from d');
    await hear(7, 'from d');
    b.tell('shout', 'news', 'by the server');
    await hear(11, 'by the server');
    c.tell('shout', 'news', 'to the lobby', { namespace: '/chat/lobby' });
    await hear(15, 'to the lobby');
    c.tell('leave', 'news');
    a.tell('say', 'news', 'without c');
    await hear(17, 'without c');
    answers.push((await request(server, '/publish/news', { method: 'POST', body: 'posted' })).body);
    answers.push((await request(server, '/publish/nothing', { method: 'POST', body: 'unheard' })).body);
    await hear(20, 'posted');
    const left = [];
    for (const client of clients) left.push(await client.leave(server));
    return { answers, heard: heard.sort(), left };
  },

  'a topic reaches each of three hundred peers, in order': async ({ server }) => {
    const clients = await crowd(server, 300);
    await Promise.all(clients.map((client) => client.ask('join', 'hall')));
    for (let number = 0; number < 50; number += 1) {
      const speaker = clients[number];
      if (number % 2 === 0) speaker.tell('shout', 'hall', String(number));
      else speaker.tell('sayBytes', 'hall', number);
      // The clients take turns.
      await until(() => speaker.messages.some((message) => String(message).includes('"s')), 'answer');
    }
    const isSaid = (message) => typeof message !== 'string' || !message.startsWith('{');
    const heard = (client) => client.messages.filter(isSaid).map((message) => message.length);
    const complete = (client, index) => heard(client).length >= (index < 50 && index % 2 === 1 ? 49 : 50);
    await until(() => clients.every(complete), 'all that was said');
    const orders = new Set(clients.slice(50).map((client) => heard(client).join(' ')));
    await disperse(server, clients);
    return [...orders];
  },

  'many ask at once, and each gets its own answers': async ({ server }) => {
    const clients = await crowd(server, 300, '/chat/echo');
    const numbers = Array.from({ length: 50 }, (_, number) => number);
    for (const number of numbers)
      for (const [index, { socket }] of clients.entries()) socket.send(`${index} ${number}`);
    await until(() => clients.every((client) => client.messages.length === 50), 'all echoes');
    const isRight = (client, index) =>
      numbers.every((number) => String(client.messages[number]) === `${index} ${number}`);
    const seen = [clients.every(isRight), (await request(server, '/peers')).body];
    await disperse(server, clients);
    return seen;
  },

  'what is compressed, and what is not': async ({ server }) => {
    const seen = [];
    for (const perMessageDeflate of [false, true]) {
      const client = await Client.connect(server, '/chat/lobby', { perMessageDeflate });
      const listener = await Client.connect(server, '/chat/lobby', { perMessageDeflate });
      for (const peer of [client, listener]) await peer.ask('join', 'letters');
      for (const options of [undefined, { compress: false }, { compress: true }]) {
        const before = client.socket._socket.bytesRead;
        client.tell('repeat', 20_000, options);
        const isWhole = (await client.next()) === 'r'.repeat(20_000);
        const earlier = listener.socket._socket.bytesRead;
        await client.ask('say', 'letters', 's'.repeat(20_000), options);
        const isHeard = (await listener.next()) === 's'.repeat(20_000);
        const sent = client.socket._socket.bytesRead - before < 5000;
        seen.push([isWhole, sent, isHeard, listener.socket._socket.bytesRead - earlier < 5000]);
      }
      await client.leave(server);
      await listener.leave(server);
    }
    return seen;
  },

  'pings and pongs, both ways': async ({ server }) => {
    const client = await Client.connect(server, '/chat/lobby');
    const ping = once(client.socket, 'ping');
    const seen = [await client.ask('ping', 'are you there'), String(await ping), await server.log.next('pong')];
    const pong = once(client.socket, 'pong');
    client.socket.ping('and you');
    seen.push(String(await pong), await server.log.next('ping'));
    const empty = once(client.socket, 'ping');
    seen.push(await client.ask('ping'), String(await empty), await server.log.next('pong'));
    client.socket.pong('unasked');
    seen.push(await server.log.next('pong'), await client.leave(server));
    return seen;
  },

  'a peer that reads slowly gets everything': async ({ server }) => {
    const client = await Client.connect(server, '/chat/lobby', { perMessageDeflate: false });
    client.socket._socket.pause();
    client.tell('flood', 400, 50_000);
    const other = await Client.connect(server, '/chat/lobby');
    // The server is as fast as before for other clients.
    for (let index = 0; index < 20; index += 1) await other.ask('peers');
    client.socket._socket.resume();
    await until(() => client.messages.length === 402, 'everything');
    const isWhole = client.messages
      .slice(1, 401)
      .every((data, index) => Buffer.compare(data, Buffer.alloc(50_000, index)) === 0);
    await server.log.next('drain');
    return [isWhole, client.messages[401], await client.leave(server), await other.leave(server)];
  },

  'a peer that reads nothing and vanishes': async ({ server }) => {
    const client = await Client.connect(server, '/chat/lobby', { perMessageDeflate: false });
    client.socket._socket.pause();
    client.tell('flood', 400, 50_000);
    const other = await Client.connect(server, '/chat/lobby');
    await other.ask('peers');
    client.vanish();
    return [await server.log.next('closed'), await other.leave(server)];
  },

  'ways to part': async ({ server }) => {
    const seen = [];
    for (const words of [['bye'], ['bye', 1000], ['bye', 4001, 'Grüße'], ['bye', 1011, ''], ['die']]) {
      const client = await Client.connect(server, '/chat/lobby');
      client.tell(...words);
      seen.push([words, await client.closed, await server.log.next('closed')]);
    }
    for (const words of [[], [1000], [4999, 'x'.repeat(123)], [1001, 'gone']]) {
      const client = await Client.connect(server, '/chat/lobby');
      client.socket.close(...words);
      seen.push([words, await client.closed, await server.log.next('closed')]);
    }
    return seen;
  },

  'peers that vanish': async ({ server }) => {
    const seen = [];
    for (const way of ['reset', 'end', 'destroy']) {
      const client = await RawSocket.upgrade(server.port, '/chat/lobby');
      await client.readText();
      // The connection ends in the middle of a frame.
      client.write(frames.text('["peers"]').subarray(0, 5));
      client[way]();
      seen.push([way, await server.log.next('closed')]);
      client.destroy();
    }
    const clients = await crowd(server, 100);
    await Promise.all(clients.map((client) => client.ask('join', 'hall')));
    const speaker = clients.pop();
    for (const client of clients) client.vanish();
    await speaker.ask('say', 'hall', 'is anybody there?');
    await until(async () => (await request(server, '/peers')).body === '1', 'end of the others');
    seen.push(await speaker.ask('peers'));
    await disperse(server, [speaker]);
    return seen;
  },

  'a closed peer is of no use': async ({ server }) => {
    const seen = [];
    for (const words of [['bye', 4000, 'now'], ['die']]) {
      const client = await Client.connect(server, '/chat/stubborn?name=Marvin');
      client.tell(...words);
      seen.push(await client.closed, await server.log.next('too late'), await server.log.next('error'));
      seen.push(await server.log.next('closed'));
    }
    return seen;
  },

  'a hook that throws is the program’s to handle': async ({ server }) => {
    const client = await Client.connect(server, '/chat/lobby');
    client.tell('fail', 'as asked');
    const seen = [await server.log.next('uncaught'), await client.ask('peers')];
    client.socket.send('no JSON');
    seen.push(await server.log.next('uncaught'), await client.ask('peers'), await client.leave(server));
    return seen;
  },

  'frames that may not be': async ({ server }) => {
    const seen = [];
    for (const [name, data] of Object.entries({
      'with a reserved bit': frames.text('[]', { rsv: frames.RSV1 }),
      'of an unknown kind': frames.frame(3, ''),
      'a continuation of nothing': frames.continuation('[]'),
      'a ping in fragments': frames.ping('', { fin: false }),
      'no UTF-8': frames.text(Buffer.from([0xff, 0xfe])),
      'too long': frames.binary(Buffer.alloc(2_000_001)),
      'too long in fragments': Buffer.concat([
        frames.text('x'.repeat(1_500_000), { fin: false }),
        frames.continuation('x'.repeat(1_500_000)),
      ]),
    })) {
      const client = await RawSocket.upgrade(server.port, '/chat/lobby');
      await client.readText();
      client.write(data);
      const [closed] = await Promise.all([
        server.log.next('closed'),
        until(() => client.ended || client.closed, 'end').then(() => client.destroy()),
      ]);
      seen.push([name, closed]);
    }
    return seen;
  },

  'a close code of those that are registered': async ({ server }) => {
    const client = await Client.connect(server, '/chat/lobby');
    client.socket.close(3000, 'registered');
    return [await client.closed, await server.log.next('closed')];
  },

  'a frame without a mask': async ({ server }) => {
    const client = await RawSocket.upgrade(server.port, '/chat/lobby');
    await client.readText();
    client.write(frames.text('["peers"]', { mask: null }));
    // uWebSockets.js waits for four more bytes, which it would use as the mask.
    client.end();
    return server.log.next('closed');
  },

  'requests that make no sense': async ({ server }) => {
    const seen = [];
    for (const head of [
      'GET /chat/lobby HTTP/1.1\r\n\r\n',
      'GET /chat/lobby HTTP/1.0\r\nHost: localhost\r\n\r\n',
      `GET /chat/lobby HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
    ]) {
      const client = await RawSocket.connect(server.port);
      client.write(head);
      seen.push([head.slice(0, 30), withoutDate((await client.readToEnd()).toString('latin1'))]);
      client.destroy();
    }
    return seen;
  },

  'everybody is sent away': async ({ server }) => {
    const clients = await crowd(server, 50);
    const quiet = await Client.connect(server, '/chat/lobby');
    const answer = await request(server, '/close', { method: 'POST' });
    const ends = await Promise.all([...clients, quiet].map((client) => client.closed));
    await nobodyLeft(server);
    return [answer, [...new Set(ends.map(String))]];
  },

  'hooks that are looked up for each request': async ({ server }) => {
    const now = await Client.connect(server, '/service/now', { isQuiet: true });
    const promised = await Client.connect(server, '/service/promised', { isQuiet: true });
    now.socket.send('at once');
    now.socket.ping('p');
    const seen = [String(await now.next())];
    for (const word of ['after', 'a', 'while']) promised.socket.send(word);
    for (let index = 0; index < 3; index += 1) seen.push(await promised.next());
    now.socket.close(4001, 'enough');
    seen.push(await now.closed, await server.log.next('route closed'), await server.log.next('route ping'));
    seen.push(await request(server, '/service/refusing', { headers: UPGRADE }));
    const unknown = await Client.connect(server, '/service/unknown', { isQuiet: true });
    unknown.socket.send('nobody listens');
    unknown.socket.ping('but this is answered');
    seen.push(String(await once(unknown.socket, 'pong')));
    const first = await RawSocket.upgrade(server.port, '/service/promised');
    seen.push(withoutDate(first.head));
    first.destroy();
    await disperse(server, [promised, unknown]);
    return seen;
  },

  'many messages in one write': async ({ server }) => {
    const seen = [];
    const numbers = Array.from({ length: 2000 }, (_, number) => String(number));
    for (const path of ['/chat/echo', '/service/now', '/service/promised']) {
      const client = await RawSocket.upgrade(server.port, path);
      client.write(Buffer.concat(numbers.map((number) => frames.text(number))));
      const answers = [];
      while (answers.length < numbers.length) answers.push((await client.readFrame()).payload.toString());
      const expected = numbers.map((number, index) => (path.endsWith('promised') ? `${index + 1} ${number}` : number));
      const wrong = answers.findIndex((answer, index) => answer !== expected[index]);
      seen.push([path, wrong, answers[wrong]]);
      client.destroy();
    }
    await nobodyLeft(server);
    return seen;
  },

  'peers come back after the server did': async ({ server }) => {
    const clients = await crowd(server, 50);
    await server.restart();
    const ends = await Promise.all(clients.map((client) => client.closed));
    const back = await crowd(server, 50);
    const answers = await Promise.all(back.map((client) => client.ask('join', 'again')));
    const peers = (await request(server, '/peers')).body;
    await disperse(server, back);
    return [[...new Set(ends.map(String))], [...new Set(answers.map(String))], peers];
  },
};

/** These differences are documented in docs/COMPATIBILITY.md. */
export const differences = {
  'requests that make no sense': 'HTTP/1.0 is served, and a request line that is malformed is a bad request',
  'a close code of those that are registered': 'codes from 3000 to 3999 are accepted from clients',
};
