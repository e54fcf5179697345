// The rooms of the game.

import { Room, ServerError } from '@colyseus/core';
import { schema, t } from '@colyseus/schema';
import { note } from './serving.cjs';

const Player = schema({ name: t.string(), x: t.number(), y: t.number() }, 'Player');
const State = schema({ round: t.number(), players: t.map(Player), log: t.array('string') }, 'State');

/** A room in which players move. Admission is decided when a seat is reserved. */
export class Arena extends Room {
  maxClients = 200;
  patchRate = 20;
  state = new State({ round: 0 });

  static async onAuth(token, options, context) {
    if (token === 'wrong') throw new ServerError(401, 'unknown token');
    return { name: options.name, ip: context.ip, agent: context.headers.get('x-agent'), token };
  }

  onCreate({ broken, size = 200 }) {
    if (broken) throw new Error('no such arena');
    this.maxClients = size;

    this.onMessage('move', (client, { x, y }) => Object.assign(this.#player(client), { x, y }));
    this.onMessage('log', (_client, line) => this.state.log.push(line));
    this.onMessage('next', () => {
      this.state.round += 1;
    });
    this.onMessage('echo', (client, message) => {
      client.send('echo', message);
      return message;
    });
    this.onMessage(7, (client, message) => client.send(7, message));
    this.onMessageBytes('bytes', (client, bytes) => client.sendBytes('bytes', bytes));
    this.onMessage('shout', (client, message) => this.broadcast('shout', message, { except: client }));
    this.onMessage('all', (_client, message) => this.broadcast('all', message));
    this.onMessage('allBytes', (_client, size) => this.broadcast('bytes', Buffer.alloc(size, size)));
    this.onMessage('later', (client, message) => {
      client.send('later', message, { afterNextPatch: true });
      this.state.log.push('before');
    });
    this.onMessage('refuse', (_client, _message, context) => context.reject({ because: 'no' }));
    this.onMessage('throw', () => {
      throw new Error('as asked');
    });
    this.onMessage('fail', (client, [code, message]) => client.error(code, message));
    this.onMessage('kick', (_client, [name, ...how]) => this.#named(name)?.leave(...how));
    this.onMessage('flood', (client, [count, size]) => {
      for (let index = 0; index < count; index += 1) client.sendBytes('drop', Buffer.alloc(size, index));
    });
    this.onMessage('*', (client, type, message) => client.send('unknown', [type, message]));
  }

  onJoin(client, { name, refused, hold }, auth) {
    if (refused) throw new Error('not you');
    client.userData = { name, hold };
    this.state.players.set(client.sessionId, new Player({ name, x: 0, y: 0 }));
    client.send('welcome', auth);
    note(`joined ${name}`);
  }

  onDrop(client, code) {
    const { name, hold } = client.userData ?? {};
    note(`dropped ${name}`, code);
    if (hold) this.allowReconnection(client, hold).catch(() => {});
  }

  onReconnect(client) {
    note(`reconnected ${client.userData.name}`);
  }

  onLeave(client, code) {
    this.state.players.delete(client.sessionId);
    note(`left ${client.userData?.name}`, code);
  }

  onDispose() {
    note('disposed');
  }

  #player(client) {
    return this.state.players.get(client.sessionId);
  }

  #named(name) {
    return this.clients.find(({ userData }) => userData?.name === name);
  }
}

/** A room that shares no state and does not wait for disconnected players. */
export class Lounge extends Room {
  onCreate() {
    this.onMessage('echo', (client, message) => client.send('echo', message));
    this.onMessage('flood', (client, [count, size]) => {
      for (let index = 0; index < count; index += 1) client.sendBytes('drop', Buffer.alloc(size, index));
    });
  }

  onJoin(client, { name }) {
    client.userData = { name };
  }

  onLeave(client, code) {
    note(`left ${client.userData.name}`, code);
  }
}

/** A room that decides on admission once the connection is open. */
export class Vault extends Room {
  async onAuth(_client, options, { token, ip, headers }) {
    if (token !== 'key') throw new ServerError(4301, `${token} opens nothing`);
    return { ip, agent: headers.get('x-agent'), cookie: headers.get('cookie'), options };
  }

  onJoin(client, _options, auth) {
    client.send('inside', auth);
  }
}
