// Shared by the steps: players, other connections, and what they receive.

import { once } from 'node:events';
import http from 'node:http';
import { WebSocket } from 'ws';
import wait from '../../support/wait.js';

const { deadline } = wait;

/** The first byte of a message, and of its answer. */
export const PROTOCOL = { JOIN_ROOM: 10, ERROR: 11, ROOM_DATA: 13 };

/**
 * Runs a step with players, who leave afterwards. `enter(how, room, options, clientOptions)` makes a player enter a
 * room; `player(clientOptions)` returns a player who is in none.
 */
export function withPlayers(run) {
  return async (stage) => {
    const { Client } = await sdk(stage.use);
    const restore = hush();
    const rooms = [];
    const player = (options) => new Client(stage.server.origin, { fetchFn: fetchOnce, ...options });
    async function enter(how, name, options, { client = player() } = {}) {
      const room = await deadline(client[how](name, options), `${how} of ${name}`);
      Object.assign(room.reconnection, { enabled: false, minUptime: 0, minDelay: 10, delay: 10, maxDelay: 100 });
      rooms.push(room);
      return room;
    }
    try {
      return await run({ ...stage, player, enter });
    } finally {
      const leaving = rooms.filter(({ connection }) => connection.isOpen).map((room) => room.leave());
      await deadline(Promise.all(leaving), 'end of all players').finally(restore);
    }
  };
}

/** Returns the socket of a player, to pause or destroy it. */
export function socketOf(room) {
  return room.connection.transport.ws._socket;
}

/** Resolves to the next message of a type. */
export async function next(room, type) {
  return (await collect(room, type, 1))[0];
}

/** Resolves to the next `count` messages of a type. */
export function collect(room, type, count) {
  const all = [];
  return deadline(
    new Promise((resolve) => {
      const stop = room.onMessage(type, (message) => {
        all.push(message);
        if (all.length < count) return;
        stop();
        resolve(all);
      });
    }),
    () => `${count} of ${type}, only ${all.length}`,
    30_000,
  );
}

/** Resolves to the next arguments of one of the SDK's signals: onLeave, onError or onDrop. */
export function signalled(signal, what) {
  return deadline(
    new Promise((resolve) => {
      signal.once((...args) => resolve(args));
    }),
    what,
  );
}

/** Resolves to how an attempt to enter a room ended. */
export function refusal(attempt) {
  return deadline(
    attempt.then(
      () => 'came in',
      (error) => [error.name, error.code, error.message],
    ),
    'refusal',
  );
}

/** Opens a WebSocket without the SDK, and records what it receives until it is closed: `[messages, code, reason]`. */
export function connect(url, options) {
  const socket = new WebSocket(url, options);
  const messages = [];
  socket.on('message', (data) => messages.push(data));
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(([code, reason]) => [messages, code, String(reason)]);
  return { socket, messages, closed };
}

/** Resolves to the response to a refused upgrade. */
export async function refusedUpgrade(url, options) {
  const socket = new WebSocket(url, options);
  const [, response] = await deadline(once(socket, 'unexpected-response'), 'refusal');
  const body = Buffer.concat(await response.toArray()).toString();
  delete response.headers.date;
  return [response.statusCode, response.statusMessage, response.headers, body];
}

/** Works like `fetch`, but leaves no connection behind, which would keep the server from ending. */
async function fetchOnce(url, { method, headers, body }) {
  const sent = http.request(url, { method, headers: Object.fromEntries(headers), agent: false });
  sent.end(body);
  const [response] = await once(sent, 'response');
  const { statusCode: status, statusMessage: statusText } = response;
  return new Response(Buffer.concat(await response.toArray()), { status, statusText, headers: response.headers });
}

/**
 * Loads the SDK with the WebSocket of `ws`, whose socket can be paused and destroyed. Otherwise the SDK would use the
 * global WebSocket, if there is one.
 */
async function sdk(use) {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = WebSocket;
  try {
    return await use('@colyseus/sdk');
  } finally {
    globalThis.WebSocket = own;
  }
}

/** The SDK logs each lost connection to the console. */
function hush() {
  const { info, warn } = console;
  Object.assign(console, { info() {}, warn() {} });
  return () => Object.assign(console, { info, warn });
}
