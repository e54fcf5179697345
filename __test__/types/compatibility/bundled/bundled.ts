// The types beside those of the browser, one of which has the same name.

import uWS, { App } from 'uWebSockets.js';
import type { HttpResponse, RecognizedString, WebSocket as ServerSocket } from 'uWebSockets.js';

export type { TemplatedApp, WebSocketBehavior } from 'uWebSockets.js';

interface Peer {
  abort: AbortController;
}

/** The part of a browser's WebSocket that a server's can implement. */
export class SocketLike implements Partial<WebSocket> {
  constructor(readonly socket: ServerSocket<Peer>) {}
  get bufferedAmount(): number {
    return this.socket.getBufferedAmount();
  }
  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void {
    if (typeof data === 'string') this.socket.send(data);
    else if (data instanceof ArrayBuffer) this.socket.send(data, true);
    else if (data instanceof Uint8Array) this.socket.send(data, true);
    else if (data instanceof Blob) void data.arrayBuffer().then((bytes) => this.socket.send(bytes, true));
  }
  close(code?: number, reason?: RecognizedString): void {
    this.socket.end(code, reason);
  }
}

export async function respond(res: HttpResponse, response: Response, signal: AbortSignal): Promise<void> {
  res.onAborted(() => {});
  const body = await response.arrayBuffer();
  if (signal.aborted) return;
  res.cork(() => {
    res.writeStatus(`${response.status} ${response.statusText}`);
    response.headers.forEach((value, name) => res.writeHeader(name, value));
    res.end(body);
  });
}

const toText = (data: RecognizedString): string => (typeof data === 'string' ? data : new TextDecoder().decode(data));
const app: ReturnType<typeof uWS.App> = App();

app
  .ws<Peer>('/*', {
    compression: uWS.DISABLED,
    upgrade: (res, req, context) => {
      const headers = new Headers();
      req.forEach((name, value) => headers.append(name, value));
      const url = new URL(req.getUrl(), `http://${headers.get('host') ?? 'localhost'}`);
      const abort = new AbortController();
      res.onAborted(() => abort.abort());
      void fetch(url, { headers, signal: abort.signal }).then((response) => {
        if (abort.signal.aborted) return;
        if (!response.ok) return respond(res, response, abort.signal);
        res.cork(() => res.upgrade({ abort }, headers.get('sec-websocket-key') ?? '', '', '', context));
        return undefined;
      });
    },
    open: (ws) => new SocketLike(ws).send('welcome'),
    message: (ws, message) => {
      ws.publish('all', toText(message));
    },
    close: (ws) => ws.getUserData().abort.abort(),
  })
  .any('/*', (res, req) => {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        res.onData((chunk, isLast) => {
          if (chunk.byteLength > 0) controller.enqueue(new Uint8Array(chunk.slice(0)));
          if (isLast) controller.close();
        });
        res.onAborted(() => controller.error(new Error('gone')));
      },
    });
    const body = req.getMethod() === 'post' ? stream : null;
    void respond(res, new Response(body), new AbortController().signal);
  });
