// Code that compiles without `strict`: functions with more parameters than arguments, untyped parameters, null.

import * as uWS from 'uWebSockets.js';
import required = require('uWebSockets.js');
import { HttpRequest, HttpResponse, TemplatedApp, WebSocket, us_listen_socket } from 'uWebSockets.js';

type RequestLike = HttpRequest & { res: any; query: any };

class Engine {
  clients = {};
  token: us_listen_socket = null;

  attach(app /* : TemplatedApp */, options: { compression?: number; idleTimeout?: number } = {}) {
    (app as TemplatedApp)
      .any('/engine', this.handleRequest.bind(this))
      .get('/plain', this.handleRequest)
      .ws<{ transport: any }>('/engine', {
        compression: options.compression,
        idleTimeout: options.idleTimeout,
        upgrade: this.handleUpgrade.bind(this),
        open: (ws) => {
          const transport = ws.getUserData().transport;
          transport.socket = ws;
        },
        message: (ws, message, isBinary) => {
          ws.getUserData().transport.onData(isBinary ? message : new Uint8Array(message));
        },
        close: (ws, code, message) => {
          ws.getUserData().transport.onClose(code, message);
        },
      })
      .ws('/wrapped', { open: this.opened, close: this.closed });
    app.listen(9001, (listenSocket) => {
      this.token = listenSocket;
    });
  }

  private handleRequest(res: HttpResponse, req: RequestLike) {
    req.res = res;
    req.query = req.getQuery();
    res.onAborted(() => (res.aborted = true));
    const done = (body?) => {
      if (!res.aborted) res.cork(() => res.end(body));
    };
    done(req.query.length ? req.query : null);
  }

  private handleUpgrade(res: HttpResponse, req: RequestLike, context) {
    res.upgrade({ transport: null }, req.getHeader('sec-websocket-key'), '', '', context);
  }

  private opened(ws: WebSocket<any> & { id: string }) {
    ws.id = 'id';
  }

  private closed(ws: WebSocket<any> & { id: string }, code: number, message: ArrayBuffer) {
    delete this.clients[ws.id];
    console(code, message.byteLength);
  }
}

/** This project has no types of Node or of browsers, so it declares its own. */
function console(...values) {
  values.forEach((value) => String(value));
}

class Wrapper {
  headers = [];
  constructor(readonly res: HttpResponse) {}
  writeStatus(status: string) {
    this.res.writeStatus(status);
    return this;
  }
  writeHeader(name: string, value: string) {
    this.headers.push([name, value]);
  }
  end(data) {
    this.headers.forEach(([name, value]) => this.res.writeHeader(name, value));
    this.res.end(data);
  }
}

function abort(res: HttpResponse | Wrapper, reason) {
  res.writeStatus('400 Bad Request');
  res.writeHeader('Content-Type', 'text/plain');
  res.end(reason);
}

const app: uWS.TemplatedApp = uWS.App();
new Engine().attach(app);
required
  .App({ passphrase: null })
  .post('/', (res, req: any) => {
    abort(req.wrapped ? new Wrapper(res) : res, 'no');
  })
  .listen(9001, uWS.ListenOptions.LIBUS_LISTEN_EXCLUSIVE_PORT, (token) => {
    if (token) uWS.us_listen_socket_close(token);
  });
