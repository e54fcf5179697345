// Classes that implement our interfaces, with and without an app inside.

import {
  App,
  type AppOptions,
  type HttpRequest,
  type HttpResponse,
  type ListenOptions,
  type RecognizedString,
  type TemplatedApp,
  type WebSocket,
  type WebSocketBehavior,
  type us_listen_socket,
} from 'uWebSockets.js';

type Handler = (res: HttpResponse, req: HttpRequest) => void | Promise<void>;
type Callback = (listenSocket: us_listen_socket | false) => void | Promise<void>;

/** Adds all routes under one path. */
export class Prefixed implements Pick<TemplatedApp, 'get' | 'post' | 'ws' | 'publish' | 'numSubscribers'> {
  constructor(
    readonly app: TemplatedApp,
    readonly prefix: string,
  ) {}
  get(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.app.get(this.prefix + String(pattern), handler);
  }
  post(pattern: string, handler: Handler): TemplatedApp {
    return this.app.post(this.prefix + pattern, handler);
  }
  ws<UserData>(pattern: RecognizedString, behavior: WebSocketBehavior<UserData>): TemplatedApp {
    return this.app.ws(this.prefix + String(pattern), behavior);
  }
  publish(topic: RecognizedString, message: RecognizedString, isBinary?: boolean, compress?: boolean): boolean {
    return this.app.publish(topic, message, isBinary, compress);
  }
  numSubscribers(topic: RecognizedString): number {
    return this.app.numSubscribers(topic);
  }
}

/** An app that records its routes, and serves none. */
export class Recorded implements Omit<TemplatedApp, 'listen' | keyof Later> {
  readonly routes: [string, RecognizedString, Handler][] = [];
  readonly sockets = new Map<RecognizedString, WebSocketBehavior<any>>();

  #record(method: string, pattern: RecognizedString, handler: Handler): TemplatedApp {
    this.routes.push([method, pattern, handler]);
    return this as unknown as TemplatedApp;
  }
  get(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('get', pattern, handler);
  }
  post(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('post', pattern, handler);
  }
  options(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('options', pattern, handler);
  }
  del(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('del', pattern, handler);
  }
  patch(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('patch', pattern, handler);
  }
  put(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('put', pattern, handler);
  }
  head(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('head', pattern, handler);
  }
  connect(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('connect', pattern, handler);
  }
  trace(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('trace', pattern, handler);
  }
  any(pattern: RecognizedString, handler: Handler): TemplatedApp {
    return this.#record('any', pattern, handler);
  }
  ws<UserData>(pattern: RecognizedString, behavior: WebSocketBehavior<UserData>): TemplatedApp {
    this.sockets.set(pattern, behavior);
    return this as unknown as TemplatedApp;
  }
  listen_unix(callback: (listenSocket: us_listen_socket) => void, _path: RecognizedString): TemplatedApp {
    callback({});
    return this as unknown as TemplatedApp;
  }
  publish(_topic: RecognizedString, _message: RecognizedString, _isBinary?: boolean, _compress?: boolean): boolean {
    return false;
  }
  numSubscribers(_topic: RecognizedString): number {
    return 0;
  }
  addServerName(_hostname: string, _options: AppOptions): TemplatedApp {
    return this as unknown as TemplatedApp;
  }
  domain(_domain: string): TemplatedApp {
    return this as unknown as TemplatedApp;
  }
  removeServerName(_hostname: string): TemplatedApp {
    return this as unknown as TemplatedApp;
  }
  missingServerName(_handler: (hostname: string) => void): TemplatedApp {
    return this as unknown as TemplatedApp;
  }
  filter(_handler: (res: HttpResponse, count: Number) => void | Promise<void>): TemplatedApp {
    return this as unknown as TemplatedApp;
  }
  close(): TemplatedApp {
    return this as unknown as TemplatedApp;
  }
}
/** Members that later versions of uWebSockets.js added, and that not all versions require. */
interface Later {
  getDescriptor: unknown;
  addChildAppDescriptor: unknown;
  removeChildAppDescriptor: unknown;
  adoptSocket: unknown;
}

/** A request with more members than ours. */
interface UserRequest extends HttpRequest {
  user?: { id: number };
  session: Map<string, string>;
}
export interface UserApp extends TemplatedApp {
  get(pattern: string, handler: (res: HttpResponse, req: UserRequest) => void | Promise<void>): UserApp;
  any(pattern: RecognizedString, ...handlers: Handler[]): UserApp;
  ws(pattern: string, behavior: WebSocketBehavior<any> & { roles?: string[] }): UserApp;
}
export class Sessions implements Pick<TemplatedApp, 'post' | 'ws'> {
  readonly app = App();
  post(pattern: RecognizedString, handler: (res: HttpResponse, req: UserRequest) => void): TemplatedApp {
    return this.app.post(pattern, (res, req) => handler(res, Object.assign(req, { session: new Map() })));
  }
  ws(pattern: string, behavior: { open: (ws: WebSocket<any>) => void; roles: string[] }): TemplatedApp {
    return this.app.ws(pattern, { open: behavior.open });
  }
}

/** Only `listen`, with all its overloads. */
export class Listener implements Pick<TemplatedApp, 'listen'> {
  readonly app = App();
  listen(host: RecognizedString, port: number, callback: Callback): TemplatedApp;
  listen(host: RecognizedString, port: number, options: ListenOptions, callback: Callback): TemplatedApp;
  listen(port: number, callback: Callback): TemplatedApp;
  listen(port: number, options: ListenOptions, callback: Callback): TemplatedApp;
  listen(...args: any[]): TemplatedApp {
    return (this.app.listen as (...args: unknown[]) => TemplatedApp)(...args);
  }
}

/** A request for tests. */
export class FakeRequest implements HttpRequest {
  constructor(
    readonly url: string,
    readonly headers: Record<string, string> = {},
  ) {}
  getHeader(lowerCaseKey: string): string {
    return this.headers[lowerCaseKey] ?? '';
  }
  getParameter(_index: number): string {
    return '';
  }
  getUrl(): string {
    return this.url.split('?')[0] ?? '';
  }
  getMethod(): string {
    return 'get';
  }
  getCaseSensitiveMethod(): string {
    return 'GET';
  }
  getQuery(): string;
  getQuery(key: string): string | undefined;
  getQuery(key?: string): string | undefined {
    const query = this.url.split('?')[1] ?? '';
    return key === undefined ? query : (new URLSearchParams(query).get(key) ?? undefined);
  }
  forEach(callback: (key: string, value: string) => void): void {
    for (const [key, value] of Object.entries(this.headers)) callback(key, value);
  }
  setYield(_yields: boolean): HttpRequest {
    return this;
  }
}

const literal: HttpRequest = {
  getHeader: (name) => String(name),
  getParameter: () => '',
  getUrl: () => '/',
  getMethod: () => 'get',
  getCaseSensitiveMethod: () => 'GET',
  getQuery: () => '',
  forEach: (callback) => callback('host', 'example.com'),
  setYield: () => literal,
};

/** The part of a WebSocket that a function needs. */
type Sendable = Pick<WebSocket<unknown>, 'send' | 'getBufferedAmount'>;
interface Answers {
  writeStatus(status: string): unknown;
  end(body?: string): unknown;
}
export class Recorder implements Sendable {
  readonly sent: RecognizedString[] = [];
  send(message: RecognizedString, _isBinary?: boolean): number {
    this.sent.push(message);
    return 1;
  }
  getBufferedAmount(): number {
    return 0;
  }
}
const fake: Partial<HttpResponse> = {
  end: () => fake as HttpResponse,
  writeStatus: (status) => ({ ...fake, status }) as HttpResponse,
};
const forbid = (res: Answers): unknown => res.writeStatus('403 Forbidden') && res.end('no');
const welcome = (to: Sendable): number => to.send('welcome');

new Prefixed(App(), '/v1').ws('/*', { open: (ws) => void welcome(ws) });
App().get('/*', (res, req) => void forbid(req.getUrl() === '/' ? res : (fake as HttpResponse)));
welcome(new Recorder());
