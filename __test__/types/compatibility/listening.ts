// All overloads of `listen`, with promises, and with the token stored.

import {
  App,
  ListenOptions,
  us_listen_socket_close,
  us_socket_local_port,
  type AppOptions,
  type RecognizedString,
  type TemplatedApp,
  type us_listen_socket,
  type us_socket,
} from 'uWebSockets.js';

type Callback = (token: us_listen_socket | false) => void;

export let token: us_listen_socket | null = null;
export let maybe: us_listen_socket | false | undefined;
export let anyToken: any;

const keep = (listenSocket: us_listen_socket): void => {
  token = listenSocket;
};
const callback: Callback = (listenSocket) => {
  maybe = listenSocket;
};

App()
  .listen(9001, callback)
  .listen(9001, keep)
  .listen(9001, () => {})
  .listen(9001, (listenSocket: any) => {
    anyToken = listenSocket;
  })
  .listen('127.0.0.1', 9001, callback)
  .listen('::1', Number(process.env['PORT']) || 9001, async (listenSocket) => {
    maybe = listenSocket;
  })
  .listen(9001, 1, callback)
  .listen(9001, ListenOptions.LIBUS_LISTEN_EXCLUSIVE_PORT, callback)
  .listen_unix(keep, '/tmp/socket')
  .listen_unix((listenSocket) => {
    const listening: us_listen_socket = listenSocket;
    us_listen_socket_close(listening);
  }, '/tmp/socket');

export function listen(app: TemplatedApp, port: number, host?: RecognizedString): Promise<us_listen_socket> {
  return new Promise((resolve, reject) => {
    const done = (listenSocket: us_listen_socket | false): void => {
      if (listenSocket) resolve(listenSocket);
      else reject(new Error(`cannot listen on ${port}`));
    };
    if (host === undefined) app.listen(port, done);
    else app.listen(host, port, done);
  });
}

export const direct = (app: TemplatedApp): Promise<us_listen_socket | false> =>
  new Promise((resolve) => app.listen(0, resolve));

type Exclusive = Parameters<TemplatedApp['listen']>;
export const exclusive: Exclusive = [9001, ListenOptions.LIBUS_LISTEN_EXCLUSIVE_PORT, callback];
export function alone(app: TemplatedApp, ...[port, options, done]: Exclusive): TemplatedApp {
  return app.listen(port, options, done);
}

export class Server {
  #socket: us_listen_socket | null = null;

  constructor(
    readonly options: AppOptions = {},
    readonly app: TemplatedApp = App(options),
  ) {}

  listen(...args: Parameters<TemplatedApp['listen']>): ReturnType<TemplatedApp['listen']> {
    return this.app.listen(...args);
  }

  async start(options: ListenOptions = ListenOptions.LIBUS_LISTEN_DEFAULT): Promise<number> {
    const socket = await new Promise<us_listen_socket | false>((resolve) => this.app.listen(0, options, resolve));
    if (!socket) return -1;
    this.#socket = socket;
    return us_socket_local_port(socket);
  }

  stop(): void {
    if (this.#socket) us_listen_socket_close(this.#socket);
    this.#socket = null;
    this.app.close();
  }
}

export const portOf = (socket: us_socket): number => us_socket_local_port(socket);
