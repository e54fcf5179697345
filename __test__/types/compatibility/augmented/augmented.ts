// Members that programs add to the interfaces, and then use everywhere.

import { App, type HttpRequest, type HttpResponse, type TemplatedApp, type WebSocket } from 'uWebSockets.js';

declare module 'uWebSockets.js' {
  interface HttpRequest {
    ctx: { [key: string]: unknown };
    params?: Record<string, string>;
    getCookie(name: string): string | undefined;
  }
  interface HttpResponse {
    isAborted: boolean;
    json: (value: unknown, status?: string | number) => void;
  }
  export interface WebSocket<UserData> {
    id: string;
    user?: UserData;
    channels: Set<string>;
    sendJson: (value: unknown) => void;
  }
  interface WebSocketBehavior<UserData> {
    authorize?: (req: HttpRequest) => UserData | null;
  }
  interface TemplatedApp {
    use(middleware: (res: HttpResponse, req: HttpRequest) => void): TemplatedApp;
    get(pattern: RegExp, handler: (res: HttpResponse, req: HttpRequest) => void): TemplatedApp;
  }
  interface AppOptions {
    name?: string;
  }
  interface MultipartField {
    path?: string;
  }
  interface us_listen_socket {
    readonly description?: string;
  }
  type Users = WebSocket<{ name: string }>[];
  export function Cluster(options: AppOptions, workers: number): TemplatedApp;
}

import type * as uWS from 'uWebSockets.js';

const users: uWS.Users = [];

export function prepare(res: HttpResponse, req: HttpRequest): void {
  req.ctx = { url: req.getUrl() };
  res.isAborted = false;
  res.json = (value) => {
    if (!res.isAborted) res.end(JSON.stringify(value));
  };
  res.onAborted(() => {
    res.isAborted = true;
  });
}

function opened(ws: WebSocket<{ name: string }>): void {
  ws.id = ws.user?.name ?? ws.getUserData().name;
  ws.channels = new Set(['all']);
  ws.sendJson = (value) => {
    if (ws.send(JSON.stringify(value)) === 2) ws.close();
  };
  users.push(ws);
}

const app: TemplatedApp = App({ name: 'augmented' });
app
  .use(prepare)
  .get(/^\/[0-9]+$/, (res, req) => res.json(req.ctx))
  .get('/', async (res, req) => res.json({ session: req.getCookie('session'), params: req.params }, 200))
  .ws<{ name: string }>('/*', {
    authorize: (req) => (req.getHeader('authorization') === '' ? null : { name: 'somebody' }),
    open: opened,
    message: (ws, message) => ws.sendJson({ from: ws.id, length: message.byteLength }),
    close: (ws) => ws.channels.clear(),
  })
  .listen(9001, (token) => console.log(token && token.description));
