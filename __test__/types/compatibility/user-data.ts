// The type of user data: explicit, omitted, `unknown`, `any`, and as a type parameter of functions and classes.

import {
  App,
  type TemplatedApp,
  type WebSocket,
  type WebSocketBehavior,
  type us_socket_context_t,
} from 'uWebSockets.js';

interface User {
  id: number;
  name: string;
}
interface Member extends User {
  room?: string;
}

export const sockets = new Map<number, WebSocket<User>>();
export const anything = new Set<WebSocket<unknown>>();
export const whatever: WebSocket<any>[] = [];
export const remembered = new WeakMap<WebSocket<User>, { since: number }>();

function greet(ws: WebSocket<User>): void {
  ws.send(`hello ${ws.getUserData().name}`);
}
function count(ws: WebSocket<unknown>): void {
  anything.add(ws);
}
function untyped(ws: WebSocket<any>): void {
  ws.getUserData().name.toUpperCase();
  whatever.push(ws);
}
function remove<T extends { id: number }>(ws: WebSocket<T>): T {
  const data: T = ws.getUserData();
  sockets.delete(data.id);
  return data;
}

export function route(app: TemplatedApp): TemplatedApp {
  return app
    .ws<User>('/users', {
      upgrade: (res, req, context: us_socket_context_t) => {
        res.upgrade<User>(
          { id: 1, name: req.getQuery('name') ?? 'nobody' },
          req.getHeader('sec-websocket-key'),
          req.getHeader('sec-websocket-protocol'),
          req.getHeader('sec-websocket-extensions'),
          context,
        );
      },
      open: (ws) => {
        sockets.set(ws.getUserData().id, ws);
        remembered.set(ws, { since: Date.now() });
        greet(ws);
        count(ws);
        untyped(ws);
      },
      close: (ws) => {
        const { id, name }: User = remove(ws);
        console.log(id, name, sockets.get(id) === ws);
      },
    })
    .ws<Member>('/members', { open: greet, close: remove })
    .ws('/untold', { open: count, message: (ws, message) => void ws.send(message) })
    .ws('/annotated', {
      open: (ws: WebSocket<Member>) => {
        ws.getUserData().room = 'lobby';
      },
    })
    .ws<any>('/any', {
      open: untyped,
      message: (ws) => {
        ws.getUserData().messages += 1;
      },
    })
    .ws<Record<string, never>>('/nothing', {})
    .ws<undefined>('/undefined', { open: (ws) => void ws.getUserData() });
}

export class Hub<T extends User = User> {
  readonly #members = new Map<string, Set<WebSocket<T>>>();

  behavior(create: (query: URLSearchParams) => T): WebSocketBehavior<T> {
    return {
      upgrade: (res, req, context) => {
        const data = create(new URLSearchParams(req.getQuery()));
        const key = req.getHeader('sec-websocket-key');
        res.upgrade(data, key, '', '', context);
      },
      open: (ws) => this.join('all', ws),
      close: (ws) => {
        for (const members of this.#members.values()) members.delete(ws);
      },
    };
  }

  join(room: string, ws: WebSocket<T>): void {
    const members = this.#members.get(room) ?? new Set();
    this.#members.set(room, members.add(ws));
    ws.subscribe(room);
  }
}

route(App()).ws(
  '/hub',
  new Hub<Member>().behavior((query) => ({ id: 5, name: query.get('name') ?? '' })),
);
