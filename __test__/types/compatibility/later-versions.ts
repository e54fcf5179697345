// The members that only later versions of uWebSockets.js have, but not the one on npm as `uwebsockets`.

import { App, type HttpResponse, type WebSocket, type WebSocketBehavior } from 'uWebSockets.js';

const behavior: WebSocketBehavior<{ parts: number }> = {
  closeOnBackpressureLimit: true,
  message: (ws, message, isBinary) => {
    const first: number = ws.sendFirstFragment(message.slice(0, 1), isBinary, false);
    if (first !== 2) ws.sendFragment(message.slice(1, 2));
    ws.sendLastFragment(message.slice(2), true);
    const peer: string = `${Buffer.from(ws.getRemoteAddressAsText()).toString()}:${ws.getRemotePort()}`;
    console.log(peer, ws.getUserData().parts);
  },
};

function whole(res: HttpResponse, limit: number): Promise<Buffer | null> {
  return new Promise((resolve) => {
    res.collectBody(limit, (body) => resolve(body && Buffer.from(body.slice(0)))).onAborted(() => resolve(null));
  });
}

const opened = new Set<WebSocket<{ parts: number }>>();
App()
  .ws('/*', { ...behavior, open: (ws) => void opened.add(ws) })
  .get('/:name', (res, req) => {
    const name: string | undefined = req.getParameter('name');
    res.end(`${name ?? ''} ${res.getRemotePort()} ${res.getProxiedRemotePort()}`);
  })
  .post('/whole', async (res) => {
    const body = await whole(res, 1024);
    res.cork(() => res.end(body ?? 'too much'));
  })
  .post('/parts', (res) => {
    let total = 0;
    res.onDataV2((chunk: ArrayBuffer, remaining: bigint) => {
      total += chunk.byteLength;
      if (remaining === 0n) res.end(String(total));
    });
    res.onAborted(() => {});
  })
  .listen('127.0.0.1', 9001, 1, (token) => console.log(token !== false));
