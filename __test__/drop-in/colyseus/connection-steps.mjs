// Players whose connections break, slow players, and clients that are not players.

import { tmpdir } from 'node:os';
import path from 'node:path';
import rawSocket from '../../support/RawSocket.js';
import wait from '../../support/wait.js';
import { request } from '../parts/http.mjs';
import {
  PROTOCOL,
  collect,
  connect,
  next,
  refusal,
  refusedUpgrade,
  signalled,
  socketOf,
  withPlayers,
} from './clients.mjs';

const { RawSocket } = rawSocket;
const { deadline, until } = wait;

const JSON_BODY = { 'content-type': 'application/json' };

/** The socket to which a proxy on the same machine would connect. */
const socketFile = (server) => path.join(tmpdir(), `colyseus-${server.port}.sock`);

/** Reserves a seat without the SDK, and returns the target for the WebSocket. */
async function reserve(server, room, options, connection = {}) {
  const asked = { method: 'POST', headers: JSON_BODY, body: JSON.stringify(options), ...connection };
  const { body } = await request(server, `/matchmake/create/${room}`, asked);
  const { processId, roomId, sessionId } = JSON.parse(body);
  return { roomId, target: `/${processId}/${roomId}?sessionId=${sessionId}` };
}

/** Takes a reserved seat without the SDK. */
async function sitDown(url, options) {
  const connection = connect(url, options);
  await until(() => connection.messages.length > 0, 'a seat');
  connection.socket.send(Buffer.of(PROTOCOL.JOIN_ROOM));
  return connection;
}

/** Returns the URL of a WebSocket on the server's port. */
const webSocket = (server, target) => `ws://127.0.0.1:${server.port}${target}`;

export const connectionSteps = {
  'who was cut off comes back by itself, and misses nothing': withPlayers(async ({ enter, server }) => {
    const room = await enter('create', 'arena', { name: 'nora', hold: 20 });
    const other = await enter('joinById', room.roomId, { name: 'nick' });
    await until(() => room.state.players?.size === 2, 'state');
    room.reconnection.enabled = true;
    const seen = [];
    for (const [round, cut] of ['destroy', 'resetAndDestroy'].entries()) {
      const dropped = signalled(room.onDrop, 'end');
      const back = signalled(room.onReconnect, 'reconnection');
      const { reconnectionToken, sessionId } = room;
      socketOf(room)[cut]();
      seen.push((await dropped)[0], await server.log.next('dropped nora'));
      const answer = next(room, 'echo');
      room.send('echo', `said meanwhile, ${round}`);
      other.send('next');
      await back;
      await server.log.next('reconnected nora');
      await until(() => room.state.round === round + 1, 'what happened meanwhile');
      seen.push(await answer, sessionId === room.sessionId, reconnectionToken === room.reconnectionToken);
    }
    room.reconnection.enabled = false;
    return [seen, other.state.players.size];
  }),

  'who was cut off may come back with its token, and nobody else': withPlayers(async ({ enter, player, server }) => {
    const room = await enter('create', 'arena', { name: 'olga', hold: 20 });
    const token = room.reconnectionToken;
    const seen = [];
    const left = signalled(room.onLeave, 'end');
    socketOf(room).destroy();
    seen.push((await left)[0], await server.log.next('dropped olga'));
    seen.push(await refusal(player().reconnect(`${room.roomId}:wrong`)));
    const back = await enter('reconnect', token);
    await server.log.next('reconnected olga');
    await until(() => back.state.players?.size === 1, 'state');
    seen.push(back.sessionId === room.sessionId, await back.request('echo', 'here again'));
    seen.push(await refusal(player().reconnect(token)));
    await back.leave();
    seen.push(await server.log.next('left olga'));
    return seen;
  }),

  'who has no seat is told so, and sent away': withPlayers(async ({ enter, server }) => {
    const { roomId, sessionId } = await enter('create', 'arena', { name: 'pia' });
    const seen = [];
    for (const target of [
      `/process/${roomId}?sessionId=wrong`,
      `/process/${roomId}?sessionId=${sessionId}`,
      `/process/${roomId}?sessionId=${sessionId}&reconnectionToken=wrong`,
      `/process/${roomId}`,
      '/process/nowhere?sessionId=wrong',
      '/?sessionId=wrong',
    ]) {
      const [messages, code, reason] = await deadline(connect(webSocket(server, target)).closed, 'end');
      seen.push([messages.map(String), code, reason]);
    }
    return seen;
  }),

  'many vanish at once, and all are noticed': withPlayers(async ({ enter, server }) => {
    const stays = await enter('create', 'arena', { name: 'quinn' });
    const names = Array.from({ length: 50 }, (_, index) => `q${index}`);
    const rooms = await Promise.all(names.map((name) => enter('joinById', stays.roomId, { name })));
    await until(() => stays.state.players.size === 51, 'all players');
    for (const [index, room] of rooms.entries()) socketOf(room)[index % 2 ? 'destroy' : 'resetAndDestroy']();
    const codes = await Promise.all(names.map((name) => server.log.next(`left ${name}`)));
    await until(() => stays.state.players.size === 1, 'end of the others');
    return [new Set(codes.flat()).size, codes[0], await stays.request('echo', 'alone')];
  }),

  'who reads slowly gets everything, and holds up nobody': withPlayers(async ({ enter }) => {
    const room = await enter('create', 'arena', { name: 'rosa' });
    const other = await enter('joinById', room.roomId, { name: 'rob' });
    const received = collect(room, 'drop', 400);
    socketOf(room).pause();
    room.send('flood', [400, 50_000]);
    for (let index = 0; index < 20; index += 1) await other.request('echo', index);
    other.send('next');
    socketOf(room).resume();
    const isWhole = (await received).every((bytes, index) => Buffer.compare(bytes, Buffer.alloc(50_000, index)) === 0);
    await until(() => room.state.round === 1, 'state');
    return isWhole;
  }),

  'who reads too slowly for its server is cut off': async ({ server }) => {
    const socketPath = socketFile(server);
    const { target } = await reserve(server, 'lounge', { name: 'sam' }, { socketPath });
    const { socket, closed } = await sitDown(`ws+unix:${socketPath}:${target}`);
    socket._socket.pause();
    socket.send(
      Buffer.concat([Buffer.of(PROTOCOL.ROOM_DATA, 0xa5), Buffer.from('flood\x92\xcd\x01\x90\xcd\xc3\x50', 'latin1')]),
    );
    const noticed = await server.log.next('left sam');
    socket._socket.resume();
    const [, code] = await deadline(closed, 'end');
    return [noticed, code];
  },

  'players come by way of a proxy': async ({ server }) => {
    const socketPath = socketFile(server);
    const seen = [];
    for (let round = 0; round < 20; round += 1) {
      const { target } = await reserve(server, 'lounge', { name: `t${round}` }, { socketPath });
      const { socket, messages, closed } = await sitDown(`ws+unix:${socketPath}:${target}`);
      socket.send(Buffer.concat([Buffer.of(PROTOCOL.ROOM_DATA, 0xa4), Buffer.from('echo\xa2hi', 'latin1')]));
      await until(() => messages.length === 2, 'echo');
      socket.close(4000 + round);
      seen.push([messages[1].toString('hex'), await server.log.next(`left t${round}`), (await closed)[1]]);
    }
    return seen;
  },

  'the server notices a message of more than is allowed': withPlayers(async ({ enter, server }) => {
    const room = await enter('create', 'arena', { name: 'uma' });
    const left = signalled(room.onLeave, 'end');
    room.sendBytes('bytes', Buffer.alloc(100_001));
    const noticed = await server.log.next('left uma');
    await left;
    return noticed;
  }),

  'a message of more than is allowed ends the connection': withPlayers(async ({ enter }) => {
    const room = await enter('create', 'arena', { name: 'una' });
    const left = signalled(room.onLeave, 'end');
    room.sendBytes('bytes', Buffer.alloc(100_001));
    return (await left)[0];
  }),

  'messages that make no sense': async ({ server }) => {
    const seen = [];
    for (const message of [
      '',
      'text',
      '\x0d',
      '\x0d\xa4echo\xc1',
      '\x0d\xa4ec',
      '\x0d\xa4echo\x92\x01',
      '\x15\x01\xa4echo\xdf',
      '\x1f',
      '\x0b\x01',
      '\xff\xff',
    ]) {
      const { target } = await reserve(server, 'arena', { name: 'vera' });
      const { socket, messages, closed } = await sitDown(webSocket(server, target));
      await until(() => messages.length >= 3, 'state and welcome');
      socket.send(message === 'text' ? message : Buffer.from(message, 'latin1'));
      // The server either still answers or has disconnected the client.
      const before = messages.length;
      socket.send(Buffer.of(18));
      const isPong = (data) => data.length === 1 && data[0] === 18;
      const pong = until(() => messages.slice(before).some(isPong), 'pong').then(() => 'goes on');
      seen.push([
        Buffer.from(message, 'latin1').toString('hex'),
        await Promise.race([pong, closed.then(([, code]) => code)]),
      ]);
      pong.catch(() => {});
      socket.terminate();
      await server.log.next('left vera');
    }
    return seen;
  },

  'frames that make no sense': async ({ server }) => {
    const seen = [];
    for (const frame of ['83800000', '0a00', 'c18000000000', '8180', '82ff80000000000000ff00000000', '8980000000']) {
      const { target } = await reserve(server, 'arena', { name: 'will' });
      const socket = await RawSocket.upgrade(server.port, target);
      socket.write('\x82\x81\0\0\0\0\x0a');
      await server.log.next('joined will');
      socket.write(Buffer.from(frame, 'hex'));
      // A short frame is incomplete, so the connection ends in the middle of it.
      if (frame.length < 12) socket.end();
      seen.push([frame, await server.log.next('left will')]);
      socket.destroy();
    }
    return seen;
  },

  'who is banned is not let in, and who waits at the door is, later': async ({ server }) => {
    const target = '/process/room?sessionId=x';
    const seen = [await refusedUpgrade(webSocket(server, target), { headers: { 'x-banned': '1' } })];
    seen.push(await refusedUpgrade(webSocket(server, target), { headers: { 'x-broken': '1' } }));
    await server.log.next('error');

    return seen;
  },

  'who waits at the door may leave, or is sent away': async ({ server }) => {
    const leaves = await RawSocket.connect(server.port);
    leaves.write('GET /process/room?wait=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
    leaves.write('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n');
    await server.log.next('knocked');
    leaves.reset();
    const stay = Array.from({ length: 20 }, () => refusedUpgrade(webSocket(server, '/process/room?wait=1')));
    await Promise.all(stay.map(() => server.log.next('knocked')));
    const { status } = await request(server, '/full', { method: 'POST' });
    return [status, [...new Set((await Promise.all(stay)).map((answer) => JSON.stringify(answer)))]];
  },

  'a close frame of one byte': async ({ server }) => {
    const { target } = await reserve(server, 'arena', { name: 'wanda' });
    const socket = await RawSocket.upgrade(server.port, target);
    socket.write('\x82\x81\0\0\0\0\x0a');
    await server.log.next('joined wanda');
    socket.write('\x88\x81\0\0\0\0A');
    return server.log.next('left wanda');
  },

  'compression and subprotocols are agreed on': async ({ server }) => {
    const { target } = await reserve(server, 'arena', { name: 'yves' });
    const socket = await RawSocket.upgrade(server.port, target, {
      headers: {
        'Sec-WebSocket-Protocol': 'game, chat',
        'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
      },
    });
    const { head } = socket;
    socket.reset();
    const other = await reserve(server, 'arena', { name: 'yara' });
    const connection = await sitDown(webSocket(server, other.target), { perMessageDeflate: { threshold: 0 } });
    const words = Buffer.from(`\xd9\xff${'all the same '.repeat(20).slice(0, 255)}`, 'latin1');
    await until(() => connection.messages.length >= 3, 'state and welcome');
    const before = connection.messages.length;
    connection.socket.send(Buffer.concat([Buffer.of(PROTOCOL.ROOM_DATA, 0xa4), Buffer.from('echo'), words]));
    await until(() => connection.messages.slice(before).some((data) => data.includes('all the same')), 'echo');
    const { extensions } = connection.socket;
    connection.socket.close(4000);
    await server.log.next('left yara');
    return [
      head
        .split('\r\n')
        .filter((line) => !line.startsWith('Date'))
        .sort(),
      extensions,
    ];
  },

  'who was there when the server fell finds no room any more': withPlayers(async ({ enter, player, server }) => {
    const rooms = [];
    for (let index = 0; index < 10; index += 1) rooms.push(await enter('create', 'arena', { name: 'zoe', hold: 20 }));
    const left = rooms.map((room) => {
      room.reconnection.enabled = true;
      return signalled(room.onLeave, 'end');
    });
    await server.restart();
    const codes = (await Promise.all(left)).map(([code]) => code);
    const old = await refusal(player().reconnect(rooms[0].reconnectionToken));
    const again = await enter('create', 'arena', { name: 'zoe' });
    const { body } = await request(server, '/__healthcheck', { socketPath: socketFile(server) });
    return [codes, old.join().replace(rooms[0].roomId, '-'), await again.request('echo', 'again'), body];
  }),
};

/** The last step: the server is told to end while there are players. */
export const lastSteps = {
  'players are told that the server ends': withPlayers(async ({ enter, server }) => {
    const first = await enter('create', 'arena', { name: 'zack' });
    const rooms = [first];
    for (let index = 0; index < 20; index += 1) rooms.push(await enter('joinById', first.roomId, { name: 'zack' }));
    rooms.push(await enter('create', 'arena', { name: 'zeno' }));
    const left = rooms.map((room) => signalled(room.onLeave, 'end'));
    const ended = server.end();
    return [(await Promise.all(left)).map(([code]) => code), await ended];
  }),
};
