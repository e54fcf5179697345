'use strict';

// Apps, server names and handlers live as long as they can still be used, and no longer.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const frames = require('./support/frames.js');
const { RawSocket, upgradeRequest } = require('./support/RawSocket.js');
const { EventLog } = require('./support/EventLog.js');
const { makeCertificate } = require('./support/certificates.js');
const { files, getSecure } = require('./support/secure.js');
const { App } = require('./support/server.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft, turn, until } = require('./support/wait.js');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/** Returns what the addon keeps after garbage collection. */
async function kept() {
  for (let i = 0; i < 5; i += 1) {
    collect();
    await turn();
  }
  const { apps, domains, behaviors, routes, listeners, connections } = uWS._stats();
  return { apps, domains, behaviors, routes, listeners, connections };
}

/** Waits until the addon keeps no more than before. */
async function nothingMore(before) {
  let now;
  const isAsBefore = async () => JSON.stringify((now = await kept())) === JSON.stringify(before);
  await until(isAsBefore, 'end of what is not needed any more').catch((error) => {
    error.message += `: ${JSON.stringify(now)}, and before ${JSON.stringify(before)}`;
    throw error;
  });
}

/** Adds routes whose handlers all reference their app, as is usual in programs. */
function addRoutes(app, log = new EventLog()) {
  return app
    .get('/*', (res) => res.end(String(app.numSubscribers('topic'))))
    .any('/any', (res) => res.end(app.constructor.name))
    .ws('/plain', log.behavior({ open: (ws) => ws.subscribe('topic'), message: () => app.publish('topic', 'news') }))
    .ws('/upgraded', {
      upgrade: (res, req, context) => {
        const header = (name) => req.getHeader(`sec-websocket-${name}`);
        res.upgrade({ app }, header('key'), header('protocol'), header('extensions'), context);
      },
      message: (ws, message) => ws.send(message),
      close: () => log.add('closed', app.constructor.name),
    })
    .filter((res, count) => log.add('filter', count, app.constructor.name));
}

function listen(app) {
  let token;
  app.listen('127.0.0.1', 0, (listenSocket) => {
    token = listenSocket;
  });
  assert.ok(token, 'listening on a free port');
  return { token, port: uWS.us_socket_local_port(token) };
}

/** Uses each kind of route. */
async function use(port) {
  const client = await RawSocket.connect(port);
  client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(String(await client.readToEnd()), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n0$/);
  client.destroy();
  const plain = await RawSocket.upgrade(port, '/plain');
  plain.write(frames.text('x'));
  assert.equal(String((await plain.readFrame()).payload), 'news');
  const upgraded = await RawSocket.upgrade(port, '/upgraded');
  upgraded.write(frames.text('echo'));
  assert.equal(String((await upgraded.readFrame()).payload), 'echo');
  return [plain, upgraded];
}

describe('an app', ours, () => {
  it('that was closed is removed with its routes when nobody has it any more', async () => {
    const before = await kept();
    const live = async () => {
      const app = addRoutes(App());
      const clients = await use(listen(app).port);
      app.close();
      clients.forEach((client) => client.destroy());
    };
    for (let i = 0; i < 5; i += 1) await live();
    await nothingMore(before);
  });

  it('that never listened is removed as well', async () => {
    const before = await kept();
    for (let i = 0; i < 20; i += 1) addRoutes(App());
    await nothingMore(before);
  });

  it('that could not be made leaves nothing behind', async () => {
    const before = await kept();
    for (let i = 0; i < 20; i += 1) {
      assert.throws(() => uWS.SSLApp({ key: 'none', cert: 'none' }), { code: 'ERR_MILLIWAYS_TLS' });
      assert.throws(() => App({ maxBodySize: -1 }), { code: 'ERR_MILLIWAYS_OUT_OF_RANGE' });
    }
    await nothingMore(before);
  });

  it('that was closed may listen again, with all its handlers', async () => {
    const log = new EventLog();
    const app = addRoutes(App(), log);
    for (let i = 0; i < 3; i += 1) {
      await kept();
      const { port } = listen(app);
      await kept();
      const clients = await use(port);
      await kept();
      app.close();
      for (const client of clients) client.destroy();
      assert.deepEqual(await log.next('closed'), [app.constructor.name]);
      const coming = () => log.all.filter(([name, count]) => name === 'filter' && count > 0).length;
      await until(() => log.count('filter') === 2 * coming(), 'end of all connections');
    }
    assert.equal(log.count('close'), 3);
    const counts = log.all.filter(([name]) => name === 'filter').map(([, count]) => count);
    assert.deepEqual([counts.filter((it) => it > 0).length, counts.filter((it) => it < 0).length], [9, 9]);
  });

  it('may get routes, and lose some, while it is closed', async () => {
    const before = await kept();
    await (async () => {
      const app = App().get('/', (res) => res.end('first'));
      listen(app);
      app.close();
      await kept();
      app.get('/', (res) => res.end('second')).get('/gone', () => {});
      await kept();
      app.get('/gone', null).get('/new', (res) => res.end('new'));
      await kept();
      const { port } = listen(app);
      for (const [path, body] of [
        ['/', 'second'],
        ['/new', 'new'],
        ['/gone', 'File Not Found'],
      ]) {
        const client = await RawSocket.connect(port);
        client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        assert.ok(String(await client.readToEnd()).includes(body), path);
      }
      app.close();
    })();
    await nothingMore(before);
  });

  it('goes on when nothing but its listening socket is left of it, and is removed with that', async () => {
    const before = await kept();
    const { token, port } = listen(addRoutes(App()));
    await kept();
    const clients = await use(port);
    await kept();
    uWS.us_listen_socket_close(token);
    await kept();
    for (const client of clients) {
      client.write(frames.text('y'));
      assert.ok(await client.readFrame(), 'an answer');
      client.destroy();
    }
    await noConnectionLeft();
    await nothingMore(before);
  });

  it('stays while one of its contexts is there to upgrade with', async () => {
    const before = await kept();
    await (async () => {
      const log = new EventLog();
      const { token, port } = listen(
        App().ws('/*', {
          upgrade: (res, req, context) => {
            res.onAborted(() => {});
            log.add('upgrade', res, req.getHeader('sec-websocket-key'), context);
          },
          open: (ws) => ws.send('open'),
        }),
      );
      const client = await RawSocket.connect(port);
      client.write(upgradeRequest());
      const [res, key, context] = await log.next('upgrade');
      uWS.us_listen_socket_close(token);
      await kept();
      res.upgrade({}, key, '', '', context);
      await client.readHead();
      assert.equal(String((await client.readFrame()).payload), 'open');
      client.destroy();
      await noConnectionLeft();
    })();
    await nothingMore(before);
  });
});

describe('a WebSocket route', ours, () => {
  it('that is replaced or cannot be registered is removed', async () => {
    const app = App().ws('/*', {});
    const before = await kept();
    for (let i = 0; i < 20; i += 1) {
      app.ws('/*', { open: () => app, upgrade: () => app });
      assert.throws(() => app.ws('/x'.repeat(200), { upgrade: () => app }), { code: 'ERR_MILLIWAYS_INVALID_PATTERN' });
    }
    await nothingMore(before);
    app.close();
  });

  it('that is replaced stays as long as its WebSockets, and as a request may become one', async () => {
    const log = new EventLog();
    const app = App();
    const { port } = listen(app);
    const before = await kept();
    await (async () => {
      app.ws('/*', { message: (ws, message) => ws.send(`first ${Buffer.from(message)}`) });
      const client = await RawSocket.upgrade(port);
      app.ws('/*', {
        upgrade: (res, req, context) => {
          res.onAborted(() => {});
          log.add('upgrade', res, req.getHeader('sec-websocket-key'), context);
        },
        open: (ws) => ws.send('second'),
      });
      const late = await RawSocket.connect(port);
      late.write(upgradeRequest());
      const [res, key, context] = await log.next('upgrade');
      app.ws('/*', {});
      await kept();
      client.write(frames.text('x'));
      assert.equal(String((await client.readFrame()).payload), 'first x');
      res.upgrade({}, key, '', '', context);
      await late.readHead();
      assert.equal(String((await late.readFrame()).payload), 'second');
      client.destroy();
      late.destroy();
      await until(() => uWS._stats().connections === 0, 'end of the connections');
      log.all.length = 0;
    })();
    await nothingMore({ ...before, behaviors: before.behaviors + 1 });
    app.close();
  });
});

describe('a server name', ours, () => {
  const named = files(makeCertificate({ names: ['named.example'] }));

  it('that was removed leaves nothing behind, its WebSockets included', async () => {
    const app = uWS.SSLApp(named);
    const { port } = listen(app);
    const before = await kept();
    for (let i = 0; i < 10; i += 1) {
      addRoutesOf(app, 'named.example');
      assert.equal((await getSecure(port, { servername: 'named.example', rejectUnauthorized: false })).body, 'named');
      app.removeServerName('named.example').domain('');
    }
    await nothingMore(before);
    app.close();
  });

  function addRoutesOf(app, name) {
    app
      .addServerName(name, named)
      .domain(name)
      .get('/*', (res) => res.end('named'))
      .ws('/ws', { upgrade: () => app, open: () => app });
  }

  it('that is added again keeps what it has', async () => {
    const app = uWS.SSLApp(named);
    addRoutesOf(app, 'named.example');
    const before = await kept();
    for (let i = 0; i < 10; i += 1) app.addServerName('named.example', named);
    await nothingMore(before);
    app.close();
  });
});
