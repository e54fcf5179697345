'use strict';

// A server process behind a proxy. Its parent passes options as JSON, and talks to it by messages:
//
//     { port }                  what it says when it listens
//     { ready: boolean }        what /ready is to say from now on
//     { shutdown: true }        shuts down in order, and exits
//     { ask: true }             answered with { connections, webSockets }: how many it has

const { createHash } = require('node:crypto');
const { noise } = require('../support/noise.js');
const { uWS } = require('../support/uws.js');

/** Downloads repeat this. */
const PIECE = noise(1 << 20);

const { port = 0, tls, idleTimeout, httpIdleTimeout, ...more } = JSON.parse(process.argv[2]);
const options = { idleTimeout: httpIdleTimeout, ...more };
const app = tls ? uWS.SSLApp({ ...tls, ...options }) : uWS.App(options);
const text = (bytes) => Buffer.from(bytes).toString();
let isReady = true;
let webSockets = 0;
const held = new Set();
const listeners = new Set();

app
  .ws('/*', {
    idleTimeout,
    maxPayloadLength: 1 << 20,
    // Nothing is dropped.
    maxBackpressure: 0,
    open: (ws) => {
      webSockets += 1;
      ws.send(String(process.pid));
    },
    close: () => {
      webSockets -= 1;
    },
    message: (ws, message, isBinary) => ws.send(message, isBinary),
  })
  .get('/live', (res) => res.end('alive'))
  // 404 tells a load balancer to send no more clients, and to leave those alone that are here.
  .get('/ready', (res) => res.writeStatus(isReady ? '200 OK' : '404 Not Found').end())
  .get('/', (res) => res.end(String(process.pid)))
  .get('/whoami', (res, req) => {
    const headers = {};
    req.forEach((name, value) => {
      headers[name] = value;
    });
    const proxied = { address: text(res.getProxiedRemoteAddressAsText()), port: res.getProxiedRemotePort() };
    res.end(JSON.stringify({ pid: process.pid, proxied, address: text(res.getRemoteAddressAsText()), headers }));
  })
  .post('/upload', (res) => {
    const hash = createHash('sha256');
    let length = 0;
    res.onAborted(() => {});
    res.onData((chunk, isLast) => {
      hash.update(new Uint8Array(chunk));
      // The parent waits for this to know that a part has passed through the proxy.
      if (length === 0 && chunk.byteLength > 0) process.send({ uploading: true });
      length += chunk.byteLength;
      if (isLast) res.cork(() => res.end(JSON.stringify({ length, sha256: hash.digest('hex') })));
    });
  })
  .get('/download/:pieces', (res, req) => {
    const size = Number(req.getParameter('pieces')) * PIECE.length;
    const goOn = () => {
      for (;;) {
        const offset = res.getWriteOffset();
        const [ok, done] = res.tryEnd(PIECE.subarray(offset % PIECE.length), size);
        if (done || !ok) return ok;
      }
    };
    res.onAborted(() => {});
    res.onWritable(goOn);
    goOn();
  })
  // Server-sent events, one for each POST.
  .get('/events', (res) => {
    listeners.add(res);
    res.onAborted(() => listeners.delete(res));
    res.writeHeader('Content-Type', 'text/event-stream').writeHeader('Cache-Control', 'no-store');
    res.write(': welcome\n\n');
  })
  .post('/events/:data', (res, req) => {
    const data = req.getParameter('data');
    for (const listener of listeners) listener.cork(() => listener.write(`data: ${data}\n\n`));
    res.end(String(listeners.size));
  })
  // Requests that are under way until they are released.
  .any('/hold', (res) => {
    held.add(res);
    res.onAborted(() => held.delete(res));
    process.send({ held: process.pid });
  })
  .post('/release', (res) => {
    for (const request of held) request.cork(() => request.end('released'));
    held.clear();
    res.end();
  })
  .listen('127.0.0.1', port, (token, error) => {
    if (!token) throw error;
    process.send({ port: uWS.us_socket_local_port(token) });
  });

process.on('message', async ({ ready, ask, shutdown }) => {
  if (ready !== undefined) isReady = ready;
  if (shutdown) {
    await app.shutdown();
    process.exit();
  }
  if (ask) process.send({ connections: uWS._stats().connections, webSockets });
});
process.on('disconnect', () => process.exit());
