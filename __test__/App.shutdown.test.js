'use strict';

// Graceful shutdown, with the clients that people use.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const { describe, it } = require('node:test');
const WebSocket = require('ws');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const frames = require('./support/frames.js');
const { request } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { clientOptions, httpUrl, overTLS, webSocketUrl } = require('./support/tls.js');
const { LAYER } = require('./support/stats.js');
const { ours, uWS } = require('./support/uws.js');
const { deadline, noConnectionLeft, until } = require('./support/wait.js');

async function connect(port) {
  const client = new WebSocket(webSocketUrl(port), clientOptions);
  client.heard = [];
  client.on('message', (message) => client.heard.push(String(message)));
  client.closed = once(client, 'close').then(([code, reason]) => [code, String(reason)]);
  await deadline(once(client, 'open'), 'WebSocket');
  return client;
}

async function isRefused(port) {
  try {
    (await RawSocket.connect(port)).destroy();
    return false;
  } catch (error) {
    return error.code === 'ECONNREFUSED';
  }
}

describe('shutdown', ours, () => {
  it('resolves at once when nobody is there, and the process ends', async () => {
    const main = async ({ App: ServedApp, report }) => {
      const app = ServedApp().listen('127.0.0.1', 0, () => {});
      report('result', await app.shutdown());
    };
    const { code, stderr, reports } = await Script.run(main);
    assert.deepEqual(
      { code, stderr, reports },
      { code: 0, stderr: '', reports: [['result', { closed: 0, forced: 0 }]] },
    );
  });

  it('closes WebSockets after all that was sent to them, with the code and the reason', async (t) => {
    const closes = [];
    const { app, port } = serve(t, (it) =>
      it.ws('/*', {
        maxBackpressure: 0,
        open: (ws) => ws.subscribe('all'),
        message: (ws) => {
          for (let i = 0; i < 1000; i += 1) ws.send(`sent ${i}`);
          app.publish('all', 'published');
          closes.push(app.shutdown({ code: 4001, reason: 'moving' }));
          app.publish('all', 'published meanwhile');
        },
        close: (_ws, code, reason) => {
          closes.push([code, Buffer.from(reason).toString()]);
          app.publish('all', 'one has gone');
        },
      }),
    );
    const [speaker, listener] = [await connect(port), await connect(port)];
    speaker.send('go');
    assert.deepEqual(await deadline(speaker.closed, 'close'), [4001, 'moving']);
    assert.deepEqual(await deadline(listener.closed, 'close'), [4001, 'moving']);
    const sent = Array.from({ length: 1000 }, (_, i) => `sent ${i}`);
    assert.deepEqual(speaker.heard.slice(0, 1002), [...sent, 'published', 'published meanwhile']);
    assert.deepEqual(listener.heard.slice(0, 2), ['published', 'published meanwhile']);
    assert.deepEqual(await closes.shift(), { closed: 2, forced: 0 });
    assert.deepEqual(closes, [
      [4001, 'moving'],
      [4001, 'moving'],
    ]);
  });

  it('answers what is under way, and closes what is not', async (t) => {
    const pending = [];
    const { app, port } = serve(t, (it) =>
      it
        .get('/wait', (res) => {
          res.onAborted(() => {});
          pending.push(res);
        })
        .get('/*', (res) => res.end('at once')),
    );
    const { Agent, get } = overTLS ? https : http;
    const agent = new Agent({ keepAlive: true, ...clientOptions });
    t.after(() => agent.destroy());
    const ask = (path) =>
      new Promise((resolve, reject) => {
        get(httpUrl(port) + path, { agent }, (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (text) => (body += text));
          response.once('end', () => resolve([response.headers.connection, body]));
        }).on('error', reject);
      });
    const waiting = ask('/wait');
    assert.deepEqual((await ask('/'))[1], 'at once');
    assert.equal(Object.values(agent.freeSockets).flat().length, 1, 'a connection that is kept');
    const [kept] = Object.values(agent.freeSockets).flat();
    const ended = once(kept, 'close');

    const promise = app.shutdown();
    assert.ok(await isRefused(port));
    await deadline(ended, 'end of the connection that was kept');
    pending[0].cork(() => pending[0].end('at last'));
    assert.deepEqual(await waiting, ['close', 'at last']);
    assert.deepEqual(await promise, { closed: 2, forced: 0 });
    await noConnectionLeft();
  });

  it('returns the same promise, refuses to listen meanwhile, and allows it afterwards', async (t) => {
    const { app, port } = serve(t, (it) => it.ws('/*', {}));
    const client = await RawSocket.upgrade(port, '/');
    const promise = app.shutdown();
    assert.equal(app.shutdown({ timeout: 1 }), promise);
    let refused = 0;
    const expectRefused = (token, error) => {
      assert.deepEqual([token, error.code], [false, 'ERR_MILLIWAYS_SHUTTING_DOWN']);
      refused += 1;
    };
    assert.equal(app.listen('127.0.0.1', 0, expectRefused), app);
    assert.equal(app.listen_unix(expectRefused, '/tmp/never'), app);
    assert.equal(refused, 2);
    assert.throws(() => app.getDescriptor(), { code: 'ERR_MILLIWAYS_SHUTTING_DOWN' });
    assert.throws(() => app.adoptSocket(0), { code: 'ERR_MILLIWAYS_SHUTTING_DOWN' });
    client.write(frames.close(1001));
    await client.readToEnd();
    client.destroy();
    assert.deepEqual(await promise, { closed: 1, forced: 0 });
    assert.equal(app.shutdown(), promise);

    let again;
    app.listen('127.0.0.1', 0, (token) => (again = uWS.us_socket_local_port(token)));
    const other = await RawSocket.upgrade(again, '/');
    other.destroy();
    await noConnectionLeft();
    const next = app.shutdown();
    assert.notEqual(next, promise);
    assert.deepEqual(await next, { closed: 0, forced: 0 });
    assert.ok(await isRefused(again));
  });

  it('cuts what is left at the timeout, and close() does so at once', async (t) => {
    for (const end of [(app) => app.shutdown({ timeout: 50 }), (app) => [app.shutdown(), app.close()][0]]) {
      const aborted = [];
      const { app, port } = serve(t, (it) =>
        it
          .ws('/*', { close: (_ws, code) => aborted.push(code) })
          .get('/*', (res) => res.onAborted(() => aborted.push('aborted'))),
      );
      const deaf = await RawSocket.upgrade(port, '/');
      const waiting = await RawSocket.connect(port);
      await waiting.writeAndTurn(request('/'));
      const { closed, forced } = await end(app);
      assert.deepEqual({ closed, forced }, { closed: 0, forced: 2 });
      assert.equal(aborted.length, 2);
      for (const client of [deaf, waiting]) {
        await client.readToEnd().catch(() => {});
        client.destroy();
      }
    }
  });

  it('with no limit waits for as long as it takes', async (t) => {
    const { app, port } = serve(t, (it) => it.ws('/*', {}));
    const client = await RawSocket.upgrade(port, '/');
    const promise = app.shutdown({ timeout: Infinity });
    client.destroy();
    assert.deepEqual(await promise, { closed: 1, forced: 0 });
  });

  it('refuses options that it cannot have, and changes nothing then', async (t) => {
    const { app, port } = serve(t, (it) => it.get('/*', (res) => res.end('here')));
    const RANGE = 'ERR_MILLIWAYS_OUT_OF_RANGE';
    for (const [options, code] of [
      [{ code: 1005 }, RANGE],
      [{ code: 0 }, RANGE],
      [{ code: 999 }, RANGE],
      [{ code: 'x' }, RANGE],
      [{ code: null }, RANGE],
      [{ timeout: -1 }, RANGE],
      [{ timeout: NaN }, RANGE],
      [{ timeout: 'soon' }, RANGE],
      [{ timeout: 1n }, RANGE],
      [{ reason: 7 }, 'ERR_MILLIWAYS_INVALID_DATA'],
      [{ reason: null }, 'ERR_MILLIWAYS_INVALID_DATA'],
      [5000, 'ERR_MILLIWAYS_INVALID_OPTIONS'],
      [null, 'ERR_MILLIWAYS_INVALID_OPTIONS'],
      ['now', 'ERR_MILLIWAYS_INVALID_OPTIONS'],
    ]) {
      assert.throws(
        () => app.shutdown(options),
        { code },
        JSON.stringify(options, (_, value) => String(value)),
      );
    }
    assert.throws(() => app.shutdown({}, 1), { code: 'ERR_MILLIWAYS_NOT_SUPPORTED' });
    const client = await RawSocket.connect(port);
    client.write(request('/'));
    const { body, headers } = await client.readResponse();
    assert.deepEqual([body, headers.connection], ['here', undefined]);
    client.destroy();
    for (const options of [{}, undefined, { reason: new Uint8Array([104]), code: undefined, timeout: 0 }]) {
      assert.deepEqual(await App().shutdown(options), { closed: 0, forced: 0 });
    }
  });

  it('gives a connection that says nothing one to two seconds, over TLS, too', async (t) => {
    const { app, port } = serve(t, (routes) => routes.get('/*', (res) => res.end('x')));
    // Over TLS, not even a handshake begins, or it stands still.
    const silent = net.connect(port, '127.0.0.1');
    const begun = net.connect(port, '127.0.0.1');
    if (overTLS) begun.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252]));
    await until(() => app.stats().connections[LAYER].http.open === 2, 'connections');
    assert.deepEqual(await deadline(app.shutdown({ timeout: Infinity }), 'end'), { closed: 2, forced: 0 });
    silent.destroy();
    begun.destroy();
  });

  it('begins anew if a WebSocket has come from another app since the last time', async (t) => {
    let context;
    const { port } = serve(t, (routes) =>
      routes.ws('/*', {
        upgrade: (res, req) => res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context),
      }),
    );
    const { port: otherPort, app } = serve(t, (routes) =>
      routes.ws('/*', {
        upgrade: (res, req, own) => {
          context = own;
          res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', own);
        },
      }),
    );
    const first = await connect(otherPort);
    const before = app.shutdown();
    assert.deepEqual(await first.closed, [1001, '']);
    assert.deepEqual(await before, { closed: 1, forced: 0 });
    const second = await connect(port);
    const after = app.shutdown({ code: 4000 });
    assert.notEqual(after, before);
    assert.deepEqual(await second.closed, [4000, '']);
    assert.deepEqual(await after, { closed: 1, forced: 0 });
    assert.equal(app.shutdown(), after);
  });

  it('may be called in every handler, and an app that is closed meanwhile is done', async (t) => {
    const places = {
      request: (app, stop) => app.get('/*', (res) => [stop(), res.end('x')]),
      aborted: (app, stop) => app.get('/*', (res) => [res.onAborted(stop), res.close()]),
      open: (app, stop) => app.ws('/*', { open: stop }),
      message: (app, stop) => app.ws('/*', { message: stop }),
      close: (app, stop) => app.ws('/*', { message: (ws) => ws.close(), close: stop }),
      subscription: (app, stop) => app.ws('/*', { message: (ws) => ws.subscribe('all'), subscription: stop }),
      filter: (app, stop) => app.filter((_res, count) => count > 0 && stop()).get('/*', (res) => res.end('x')),
    };
    for (const [place, routes] of Object.entries(places)) {
      let stopped;
      const { app, port } = serve(t, (it) => routes(it, () => (stopped ??= it.shutdown())));
      const isWebSocket = ['open', 'message', 'close', 'subscription'].includes(place);
      const client = await RawSocket.connect(port);
      client.write(isWebSocket ? request('/', { headers: UPGRADE }) : request('/'));
      if (isWebSocket) client.write(frames.text('go'));
      if (isWebSocket) client.write(frames.close(1000));
      await client.readToEnd().catch(() => {});
      client.destroy();
      const { closed, forced } = await deadline(stopped ?? app.shutdown(), place);
      assert.deepEqual([closed, forced], [1, 0], place);
      app.close();
    }
  });
});

const UPGRADE = [
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version: 13',
];
