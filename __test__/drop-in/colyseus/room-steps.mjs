// Players that behave.

import { isDeepStrictEqual } from 'node:util';
import wait from '../../support/wait.js';
import { request } from '../parts/http.mjs';
import { collect, connect, next, refusal, signalled, withPlayers } from './clients.mjs';

const { deadline, until } = wait;

const text = (length) => 'Grüße, 世界. '.repeat(length / 12 + 1).slice(0, length);

/** Returns the state that `room` knows, with the players by name. */
function stateOf(room) {
  const { players, ...rest } = room.state.toJSON();
  return {
    ...rest,
    log: rest.log.join('; '),
    players: Object.values(players).sort((one, other) => (one.name < other.name ? -1 : 1)),
  };
}

export const roomSteps = {
  'who creates a room is told what it came in with': withPlayers(async ({ enter, player, server }) => {
    const client = player({ headers: { 'x-agent': 'test', 'x-forwarded-for': '192.0.2.1, 192.0.2.2' } });
    client.auth.token = 'secret';
    const room = await enter('create', 'arena', { name: 'ann' }, { client });
    await server.log.next('joined ann');
    return [room.name, room.sessionId.length, room.roomId.length, await next(room, 'welcome')];
  }),

  'others join it by name, by id, or create their own': withPlayers(async ({ enter, player }) => {
    const first = await enter('create', 'arena', { name: 'bob', size: 3 });
    const second = await enter('join', 'arena', { name: 'bea' });
    const third = await enter('joinById', first.roomId, { name: 'ben' });
    const full = await refusal(player().joinById(first.roomId, { name: 'bill' }));
    const own = await enter('joinOrCreate', 'arena', { name: 'bill' });
    const again = await enter('joinOrCreate', 'arena', { name: 'betty' });
    await until(() => first.state.players?.size === 3, 'three players');
    const ids = [first, second, third, own, again].map(({ roomId }) => roomId);
    return [ids.map((id) => ids.indexOf(id)), full.join().replace(first.roomId, '-'), stateOf(first)];
  }),

  'who may not come in is told why': withPlayers(async ({ enter, player }) => {
    const seen = {};
    const stranger = player();
    stranger.auth.token = 'wrong';
    seen.token = await refusal(stranger.create('arena', { name: 'carl' }));
    seen.broken = await refusal(player().create('arena', { name: 'carl', broken: true }));
    seen.nowhere = await refusal(player().joinOrCreate('nowhere'));
    seen.nobody = await refusal(player().join('vault'));
    seen.id = await refusal(player().joinById('nosuchroom'));
    seen.reconnect = await refusal(player().reconnect('nosuchroom:nosuchtoken'));
    seen.refused = await refusal(player().create('arena', { name: 'carl', refused: true }));
    seen.locked = await refusal(player().create('vault', { name: 'carl' }));

    const keeper = player({ headers: { 'x-agent': 'test', cookie: 'a=1; b=2' } });
    keeper.auth.token = 'key';
    const room = await enter('create', 'vault', { name: 'carl' }, { client: keeper });
    seen.inside = await next(room, 'inside');
    return seen;
  }),

  'all players see the same state': withPlayers(async ({ enter }) => {
    const rooms = [await enter('create', 'arena', { name: 'dora' })];
    const { roomId } = rooms[0];
    for (const name of ['dan', 'dirk', 'dee']) rooms.push(await enter('joinById', roomId, { name }));
    let changes = 0;
    rooms[3].onStateChange(() => (changes += 1));
    for (let step = 1; step <= 50; step += 1) {
      for (const [index, room] of rooms.entries()) room.send('move', { x: step * index, y: -step / 4 });
      rooms[step % 4].send('log', `${step} ${text(step % 5)}`);
      // The players take turns.
      await rooms[step % 4].request('echo', step);
    }
    rooms[1].send('next');
    const isDone = (room) => room.state.round === 1;
    await until(() => rooms.every(isDone), 'the next round');
    const states = rooms.map(stateOf);
    const late = await enter('joinById', roomId, { name: 'duke' });
    await until(() => late.state.players?.size === 5, 'state of a late player');
    await rooms[2].leave();
    await until(() => [rooms[0], late].every((room) => room.state.players.size === 4), 'end of a player');
    const isEqual = states.every((state) => isDeepStrictEqual(state, states[0]));
    return [isEqual, changes > 0, states[0], stateOf(late), stateOf(rooms[0])];
  }),

  'messages of all types and many sizes come back': withPlayers(async ({ enter }) => {
    const room = await enter('create', 'arena', { name: 'eve' });
    const values = [
      null,
      true,
      0,
      -1,
      1.5,
      2 ** 53,
      '',
      'ß',
      [],
      [1, ['two']],
      { a: { b: null } },
      new Date(86_400_000),
    ];
    const sizes = [0, 1, 125, 126, 127, 4096, 65_535, 65_536, 90_000];
    const seen = [];
    for (const value of [...values, ...sizes.map((size) => text(size / 2)), undefined]) {
      const sent = value === undefined ? undefined : { value };
      const answer = next(room, 'echo');
      room.send('echo', sent);
      seen.push(isDeepStrictEqual(await answer, sent));
    }
    for (const size of sizes) {
      const bytes = Buffer.alloc(size, `${size}.`);
      const answer = next(room, 'bytes');
      room.sendBytes('bytes', bytes);
      seen.push(Buffer.compare(await answer, bytes));
    }
    const numbered = next(room, 7);
    room.send(7, 'seven');
    const unknown = next(room, 'unknown');
    room.send('whatever', { a: 1 });
    return [seen.join(' '), await numbered, await unknown];
  }),

  'requests are answered, refused, or fail': withPlayers(async ({ enter }) => {
    const room = await enter('create', 'arena', { name: 'finn' });
    const outcome = (type, payload) =>
      room.request(type, payload).then(
        (value) => ({ value }),
        (error) => ({ name: error.name, message: error.message, reason: error.reason ?? error.payload }),
      );
    return [await outcome('echo', 'hello'), await outcome('refuse'), await outcome('throw'), await outcome('nothing')];
  }),

  'a message that shall come after the state does': withPlayers(async ({ enter }) => {
    const room = await enter('create', 'arena', { name: 'gina' });
    const order = [];
    await until(() => room.state.players?.size === 1, 'state');
    room.onStateChange((state) => order.push(`state ${state.log.length}`));
    const message = next(room, 'later').then((value) => order.push(value));
    room.send('later', 'message');
    await message;
    return order.slice(-2);
  }),

  'a broadcast reaches each of a hundred players, in order': withPlayers(async ({ enter }) => {
    const first = await enter('create', 'arena', { name: 'h0' });
    const others = Array.from({ length: 99 }, (_, index) => enter('joinById', first.roomId, { name: `h${index + 1}` }));
    const rooms = [first, ...(await Promise.all(others))];
    const received = rooms.map((room) => collect(room, 'all', 30));
    const bytes = rooms.map((room) => collect(room, 'bytes', 30));
    const shouts = rooms.slice(1).map((room) => next(room, 'shout'));
    first.onMessage('shout', () => shouts.push('came back'));
    for (let number = 0; number < 30; number += 1) {
      rooms[number].send('all', { number, filler: text(number * 20) });
      rooms[number].send('allBytes', number * 100);
      await rooms[number].request('echo', number);
    }
    first.send('shout', 'hello');
    const orders = (await Promise.all(received)).map((messages) => messages.map(({ number }) => number).join(' '));
    const lengths = (await Promise.all(bytes)).map((all) => all.map((piece) => piece.length).join(' '));
    await until(() => rooms.every((room) => room.state.players.size === 100), 'a hundred players');
    return [[...new Set(orders)], [...new Set(lengths)], [...new Set(await Promise.all(shouts))]];
  }),

  'many ask at once, and each gets its own answers': withPlayers(async ({ enter }) => {
    const names = Array.from({ length: 50 }, (_, index) => `i${index}`);
    const rooms = await Promise.all(names.map((name) => enter('create', 'arena', { name })));
    const answers = await Promise.all(
      rooms.flatMap((room, client) =>
        Array.from({ length: 100 }, (_, number) => room.request('echo', `${client}/${number}`)),
      ),
    );
    const isRight = answers.every((answer, index) => answer === `${Math.floor(index / 100)}/${index % 100}`);
    return [new Set(rooms.map(({ roomId }) => roomId)).size, isRight];
  }),

  'an error of the program’s own': withPlayers(async ({ enter }) => {
    const room = await enter('create', 'arena', { name: 'jack' });
    const failed = signalled(room.onError, 'error');
    room.send('fail', [4300, 'as asked: ß']);
    return failed;
  }),

  'who is kicked is told a code and a reason': withPlayers(async ({ enter, server }) => {
    const judge = await enter('create', 'arena', { name: 'kim' });
    const seen = [];
    for (const [index, how] of [[4000], [4100, 'bye: ß'], [4999, text(40)], [1000], []].entries()) {
      const room = await enter('joinById', judge.roomId, { name: `k${index}` });
      const left = signalled(room.onLeave, 'end');
      judge.send('kick', [`k${index}`, ...how]);
      const [code, reason] = await left;
      seen.push([how, code, reason, await server.log.next(`left k${index}`)]);
    }
    return seen;
  }),

  'who leaves does so on purpose, or not': withPlayers(async ({ enter, server }) => {
    const seen = [];
    const leave = async (name, how) => {
      const room = await enter('create', 'arena', { name });
      const left = signalled(room.onLeave, 'end');
      how(room);
      seen.push((await left)[0]);
    };
    await leave('lea', (room) => room.leave());
    seen.push(await server.log.next('left lea'));
    await leave('leo', (room) => room.leave(false));
    seen.push(await server.log.next('dropped leo'), await server.log.next('left leo'));
    await leave('lou', (room) => room.connection.close(4200, 'enough'));
    seen.push(await server.log.next('dropped lou'));
    return seen;
  }),

  'latency is measured, and can be had': withPlayers(async ({ enter, player, server }) => {
    const measured = await player().getLatency({ pingCount: 5, timeout: 10_000 });
    const room = await enter('create', 'arena', { name: 'mia' });
    const pinged = await deadline(new Promise((resolve) => room.ping(resolve)), 'pong');
    await request(server, '/lag/100', { method: 'POST' });
    const echoes = collect(room, 'echo', 100);
    const began = performance.now();
    for (let number = 0; number < 100; number += 1) room.send('echo', number);
    const order = (await echoes).join(' ');
    const isSlow = performance.now() - began > 40;
    await request(server, '/lag/0', { method: 'POST' });
    return [typeof measured, typeof pinged, order, isSlow];
  }),

  'who comes without a seat may ask for the time, and is then sent away': async ({ server }) => {
    const { socket, messages, closed } = connect(`ws://127.0.0.1:${server.port}/`);
    socket.on('open', () => socket.send(Buffer.of(18)));
    await until(() => messages.length === 1, 'pong');
    const [[pong], code] = await deadline(closed, 'end');
    return [pong.toString('hex'), code];
  },
};
