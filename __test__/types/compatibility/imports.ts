// The ways in which CommonJS modules import the module.

import uWS, { App, SHARED_COMPRESSOR, type HttpRequest, type HttpResponse } from 'uWebSockets.js';
import * as everything from 'uWebSockets.js';
import required = require('uWebSockets.js');
import type types from 'uWebSockets.js';
import type * as allTypes from 'uWebSockets.js';
import type { TemplatedApp, WebSocket as Socket } from 'uWebSockets.js';

export { us_listen_socket_close } from 'uWebSockets.js';
export type { RecognizedString, us_listen_socket as ListenSocket } from 'uWebSockets.js';

type Module = typeof import('uWebSockets.js');
type Served = ReturnType<Module['App']>;

const { App: destructured, us_listen_socket_close: close } = uWS;

export const apps: TemplatedApp[] = [uWS.App(), App({}), everything.App(), required.App(), destructured()];
export const sameApps: Served[] = apps;
export const byName: import('uWebSockets.js').TemplatedApp = apps[0] ?? App();
export const viaTypes: types.TemplatedApp & allTypes.TemplatedApp = byName;

let optional: Module | undefined;
try {
  optional = require('uWebSockets.js') as Module;
} catch {
  // The program works without it.
}
export const typed: Module = require('uWebSockets.js');
export const optionalApp: ReturnType<typeof everything.App> | undefined = optional?.App();

export async function load(): Promise<TemplatedApp> {
  const module: Module = await import('uWebSockets.js');
  const { App: loaded } = await import('uWebSockets.js');
  return Math.random() < 0.5 ? module.App() : loaded();
}

export class Server {
  readonly #module: Module;
  #app: ReturnType<(typeof import('uWebSockets.js'))['App']> | null = null;
  readonly #close: Module['us_listen_socket_close'] = close;
  #token: uWS.us_listen_socket | null = null;

  constructor(module: Module) {
    this.#module = module;
  }

  start(answer: (res: HttpResponse, req: everything.HttpRequest) => void, port: number): void {
    this.#app = this.#module.App();
    this.#app.any('/*', (res: required.HttpResponse, req: HttpRequest) => answer(res, req));
    this.#app.ws('/*', {
      compression: SHARED_COMPRESSOR,
      open: (ws: Socket<unknown>) => {
        ws.subscribe('all');
      },
    });
    this.#app.listen(port, (token) => {
      if (token) this.#token = token;
    });
  }

  stop(): void {
    if (this.#token) this.#close(this.#token);
    this.#token = null;
  }
}
