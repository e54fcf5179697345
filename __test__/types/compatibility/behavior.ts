// Behaviors that are written separately, destructured, composed and wrapped.

import { App, DISABLED, type TemplatedApp, type WebSocket, type WebSocketBehavior } from 'uWebSockets.js';

interface User {
  id: number;
}

type Options = Omit<
  WebSocketBehavior<any>,
  'upgrade' | 'open' | 'message' | 'dropped' | 'drain' | 'close' | 'ping' | 'pong' | 'subscription'
>;
type Handlers<T> = Pick<WebSocketBehavior<T>, 'open' | 'message' | 'close'>;
type Accepted = Parameters<TemplatedApp['ws']>[1];
type OnMessage = NonNullable<WebSocketBehavior<User>['message']>;
type OnOpen = Parameters<NonNullable<WebSocketBehavior<User>['open']>>;

const defaults: Options = { compression: DISABLED, maxPayloadLength: 4 * 1024, sendPingsAutomatically: true };

export const complete: WebSocketBehavior<User> = {
  maxPayloadLength: 16 * 1024,
  maxLifetime: 60,
  idleTimeout: 120,
  compression: DISABLED,
  maxBackpressure: 64 * 1024,
  sendPingsAutomatically: true,
  upgrade: async (res) => {
    res.writeStatus('401 Unauthorized').end();
  },
  open: async (ws) => {
    ws.subscribe('all');
  },
  message: async (ws, message, isBinary) => {
    ws.publish('all', message, isBinary);
  },
  dropped: (_ws, message, isBinary) => console.log(message.byteLength, isBinary),
  drain: (ws) => console.log(ws.getBufferedAmount()),
  close: (_ws, code, message) => console.log(code, message.byteLength),
  ping: (_ws, message) => console.log(message.byteLength),
  pong: (_ws, message) => console.log(message.byteLength),
  subscription: (_ws, topic, newCount, oldCount) => console.log(topic.byteLength, newCount - oldCount),
};

const onMessage: OnMessage = (ws, message) => {
  ws.send(message);
};
const onOpen = (...[ws]: OnOpen): void => {
  ws.subscribe(`user ${ws.getUserData().id}`);
};

/** Counts events, and passes them on to another behavior. */
export function counted<T>(behavior: WebSocketBehavior<T>, count: (event: string) => void): WebSocketBehavior<T> {
  return {
    ...behavior,
    open: (ws) => {
      count('open');
      return behavior.open?.(ws);
    },
    message: async (ws, message, isBinary) => {
      count('message');
      await behavior.message?.(ws, message, isBinary);
    },
    close(ws, code, message) {
      count('close');
      behavior.close?.(ws, code, message);
    },
    upgrade: (res, req, context) => {
      count('upgrade');
      if (behavior.upgrade) return behavior.upgrade(res, req, context);
      res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context);
    },
  };
}

/** Passes events on with rest parameters. */
export function traced(behavior: WebSocketBehavior<unknown> = {}): WebSocketBehavior<unknown> {
  const clients = new Map<WebSocket<unknown>, { opened: number }>();
  return {
    ...behavior,
    async open(...args) {
      await behavior.open?.(...args);
      const [ws] = args;
      clients.set(ws, { opened: Date.now() });
    },
    pong(...args) {
      behavior.pong?.(...args);
      const [ws, message] = args;
      console.log(clients.get(ws)?.opened, message.byteLength);
    },
    async message(...args) {
      await behavior.message?.(...args);
      const [ws, message, isBinary] = args;
      ws.send(message, isBinary);
    },
    upgrade(...args) {
      void behavior.upgrade?.(...args);
      const [res, req, context] = args;
      res.upgrade({ url: req.getUrl() }, req.getHeader('sec-websocket-key'), '', '', context);
    },
    close(...args) {
      behavior.close?.(...args);
      clients.delete(args[0]);
    },
  };
}

/** Calls another function before one of the handlers. */
export function told<T>(opened: (ws: WebSocket<T>) => void, handlers: Handlers<T>): WebSocketBehavior<T> {
  const before: ((ws: WebSocket<T>) => void | Promise<void>) | undefined = handlers.open;
  return {
    ...handlers,
    open: (ws) => {
      opened(ws);
      void before?.(ws);
    },
  };
}

/** A transport whose options are those of a route except for the handlers. */
export class Transport {
  readonly app: TemplatedApp = App();

  constructor(options: Options = {}) {
    options.maxBackpressure ??= 1024 * 1024;
    if (options.compression === undefined) options.compression = DISABLED;
    this.app.ws('/*', {
      ...options,
      open: async (ws: WebSocket<any>) => {
        ws.getUserData().opened = true;
      },
      message: (ws: WebSocket<any>, message: ArrayBuffer, isBinary: boolean) => {
        ws.send(message, isBinary);
      },
    });
  }
}

/** A behavior as an instance of a class. */
class Echo implements WebSocketBehavior<User> {
  idleTimeout = 60;
  maxPayloadLength = 1024;
  open(ws: WebSocket<User>): void {
    ws.send('welcome');
  }
  message = (ws: WebSocket<User>, message: ArrayBuffer, isBinary: boolean): void => {
    ws.send(message, isBinary);
  };
}

export function listenWith(config: { path?: string; behavior?: Partial<Accepted> }): TemplatedApp {
  const accepted: Accepted = {
    message: (ws, message, isBinary) => {
      ws.send(message, isBinary);
    },
  };
  const merged: Accepted = { ...accepted, ...config.behavior };
  return App().ws(config.path ?? '/*', { ...merged, ...defaults });
}

const every = complete as Required<WebSocketBehavior<User>>;
const answer: Required<WebSocketBehavior<User>>['message'] = every.message;
const names: (keyof WebSocketBehavior<User>)[] = ['open', 'message', 'close'];
const given = names.filter((name) => complete[name] !== undefined);

App()
  .ws('/complete', complete)
  .ws<User>('/pieces', { ...defaults, open: onOpen, message: onMessage })
  .ws('/counted', counted(complete, console.log))
  .ws('/traced', traced(traced()))
  .ws(
    '/told',
    told<User>((ws) => ws.subscribe('told'), complete),
  )
  .ws('/answer', { message: answer })
  .ws('/echo', new Echo())
  .ws('/assigned', Object.assign({}, defaults, complete))
  .ws(`/${given.length}`, given.length > 0 ? complete : {});
