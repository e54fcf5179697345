'use strict';

// The channels of node:diagnostics_channel: what is published on them, and that nothing is noted without a subscriber.

const assert = require('node:assert/strict');
const { channel, subscribe, unsubscribe } = require('node:diagnostics_channel');
const net = require('node:net');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const { ordinaryCertificate } = require('./support/certificates.js');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket, upgradeRequest } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const frames = require('./support/frames.js');
const { request } = require('./support/http.js');
const { serve, App } = require('./support/server.js');
const { clear, overTLS } = require('./support/tls.js');
const { modulePath, ours, root, uWS } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

const NAMES = ['listen', 'connect', 'upgrade', 'close', 'error', 'limit', 'shutdown'];

/** Subscribes to channels until the end of a test. Returns the log of their messages about an app. */
function observe(t, names = NAMES) {
  const log = new EventLog();
  for (const name of names) {
    const note = (message, channelName) => {
      assert.equal(channelName, `milliways.${name}`);
      log.add(name, message);
    };
    subscribe(`milliways.${name}`, note);
    t.after(() => unsubscribe(`milliways.${name}`, note));
  }
  return log;
}

/** Returns the next message of a channel, without what identifies the app and the connection. */
async function nextFact(log, name) {
  const fact = { ...(await log.next(name))[0] };
  delete fact.app;
  delete fact.connection;
  return fact;
}

describe('a subscriber', ours, () => {
  it('is told of a WebSocket from its beginning to its end, with the same app and connection', async (t) => {
    const log = observe(t);
    const { app, port } = serve(t, (routes) => routes.ws('/*', {}));
    const [listening] = await log.next('listen');
    assert.deepEqual(listening, { app, address: '127.0.0.1', port });
    const client = await RawSocket.upgrade(port, '/');
    client.write(frames.close(4001, 'secret'));
    const [connected] = await log.next('connect');
    const { connection } = connected;
    const { id, remotePort, ...rest } = connection;
    assert.ok(id > 0 && remotePort > 0);
    assert.deepEqual(rest, {
      secure: overTLS,
      remoteAddress: '127.0.0.1',
      proxiedRemoteAddress: undefined,
      proxiedRemotePort: undefined,
    });
    assert.deepEqual(connected, { app, connection });
    const [upgraded] = await log.next('upgrade');
    assert.deepEqual(upgraded, { app, connection, compression: false });
    await client.readToEnd();
    client.destroy();
    const [closed] = await log.next('close');
    const end = { protocol: 'webSocket', reason: 'closedByClient', timeout: undefined, code: 4001 };
    assert.deepEqual(closed, { app, connection, ...end });
    for (const message of [connected, upgraded, closed]) {
      assert.equal(message.app, app);
      assert.equal(message.connection, connection);
    }
    assert.deepEqual(
      log.all.map(([name]) => name),
      ['listen', 'connect', 'upgrade', 'close'],
    );
  });

  it('is told whether compression has been agreed on', async (t) => {
    const log = observe(t, ['upgrade']);
    const { port } = serve(t, (routes) => routes.ws('/*', { compression: 1 }));
    const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
    const client = await RawSocket.upgrade(port, '/', { headers });
    assert.deepEqual(await nextFact(log, 'upgrade'), { compression: true });
    client.destroy();
  });

  it('is told of an HTTP connection, but not of its requests', async (t) => {
    const log = observe(t);
    const { port } = serve(t, (routes) => routes.get('/*', (res) => res.end('ok')));
    const client = await RawSocket.connect(port);
    for (let i = 0; i < 2; i += 1) {
      client.write(request('/?key=secret', { headers: ['Authorization: secret'] }));
      await client.readResponse();
    }
    client.end();
    assert.deepEqual(await nextFact(log, 'close'), {
      protocol: 'http',
      reason: 'fin',
      timeout: undefined,
      code: undefined,
    });
    assert.deepEqual(
      log.all.map(([name]) => name),
      ['listen', 'connect', 'close'],
    );
    assert.doesNotMatch(
      JSON.stringify(log.all, (key, value) => (key === 'app' ? undefined : value)),
      /secret/,
    );
  });

  it('is told what a client has done wrong, with the code of the number that stats() counts', async (t) => {
    const log = observe(t, ['error', 'limit', 'close']);
    const { port } = serve(t, (routes) => routes.ws('/*', { maxPayloadLength: 10 }).any('/*', (res) => res.end()), {
      maxHeaderSize: 1024,
    });
    const error = (kind, code) => ({ kind, code, count: 1, error: undefined });
    const cases = [
      [request('nowhere'), error('http', 'INVALID_TARGET'), undefined],
      [request('/', { headers: [`Long: ${'x'.repeat(2000)}`] }), error('http', 'HEAD_TOO_LARGE'), 'maxHeaderSize'],
    ];
    for (const [bytes, expected, limit] of cases) {
      const client = await RawSocket.connect(port);
      client.write(bytes);
      await client.readToEnd();
      client.destroy();
      const [{ app, connection, ...fact }] = await log.next('error');
      assert.deepEqual(fact, expected);
      if (limit !== undefined) {
        const [hit] = await log.next('limit');
        assert.deepEqual(hit, { app, connection, limit, count: 1 });
      }
      const [{ connection: closed, reason }] = await log.next('close');
      assert.equal(closed, connection);
      assert.equal(reason, 'refused');
    }
    const client = await RawSocket.upgrade(port, '/');
    client.write(frames.text('x'.repeat(11)));
    await client.readToEnd();
    client.destroy();
    assert.deepEqual(await nextFact(log, 'error'), error('webSocket', 'MESSAGE_TOO_BIG'));
    assert.deepEqual(await nextFact(log, 'limit'), { limit: 'maxPayloadLength', count: 1 });
    const { reason, code } = await nextFact(log, 'close');
    assert.deepEqual({ reason, code }, { reason: 'protocolError', code: 1006 });
  });

  it('is told of a failed TLS handshake', async (t) => {
    const log = observe(t, ['error', 'close']);
    const { key, cert } = ordinaryCertificate();
    const app = uWS.SSLApp({ key_file_name: key, cert_file_name: cert });
    let port;
    app.listen('127.0.0.1', 0, (token) => {
      port = uWS.us_socket_local_port(token);
    });
    t.after(() => app.close());
    const client = net.connect(port, '127.0.0.1').on('error', () => {});
    client.resume().write('GET / HTTP/1.1\r\n\r\n');
    assert.deepEqual(await nextFact(log, 'error'), { kind: 'tls', code: 'NOT_TLS', count: 1, error: undefined });
    client.destroy();
    const [{ connection, reason }] = await log.next('close');
    assert.deepEqual([connection.secure, reason], [true, 'tlsError']);
  });

  it('is told which timeout has ended a connection', async (t) => {
    const log = observe(t, ['close']);
    const { port } = serve(t, (routes) => routes.any('/*', (res) => res.end()), { idleTimeout: 1 });
    const client = await RawSocket.connect(port);
    client.write('GET / HT');
    await client.readToEnd();
    const { reason, timeout } = await nextFact(log, 'close');
    assert.deepEqual({ reason, timeout }, { reason: 'timedOut', timeout: 'httpHead' });
    client.destroy();
  });

  it('is told of messages that are dropped: once for several in a row, with their number', async (t) => {
    const log = observe(t, ['limit']);
    let socket;
    const behavior = { maxBackpressure: 1, open: (ws) => (socket = ws) };
    const { port } = serve(t, (routes) => routes.ws('/*', behavior));
    const client = await RawSocket.upgrade(port, '/');
    client.pause();
    while (socket === undefined) await turn();
    const big = Buffer.alloc(1 << 24);
    assert.equal(socket.send(big), 0);
    for (let i = 0; i < 3; i += 1) assert.equal(socket.send('dropped'), 2);
    assert.deepEqual(await nextFact(log, 'limit'), { limit: 'maxBackpressure', count: 3 });
    client.destroy();
  });

  it('is told who has been refused because of the number of connections', clear('there is no handshake'), async (t) => {
    const log = observe(t, ['connect', 'limit']);
    const { app, port } = serve(t, () => {}, { maxConnectionsPerAddress: 1 });
    const first = await RawSocket.connect(port);
    const second = await RawSocket.connect(port);
    await second.readToEnd().catch(() => {});
    const [{ connection, ...hit }] = await log.next('limit');
    assert.deepEqual(hit, { app, limit: 'maxConnectionsPerAddress', count: 1 });
    assert.equal(connection.remoteAddress, '127.0.0.1');
    assert.equal(log.count('connect'), 1);
    first.destroy();
    second.destroy();
  });

  it('is told how a port could not be listened on, and of no listening', async (t) => {
    const { token, port } = serve(t, () => {});
    assert.ok(token);
    const log = observe(t, ['listen', 'error']);
    const app = App();
    let failure;
    app.listen('127.0.0.1', port, 1, (taken, error) => {
      assert.equal(taken, false);
      failure = error;
    });
    const expected = { connection: undefined, kind: 'listen', code: 'EADDRINUSE', count: 1, error: failure };
    assert.deepEqual(log.all, [['error', { app, ...expected }]]);
  });

  it('is told of the beginning and the end of a shutdown', async (t) => {
    const log = observe(t, ['shutdown']);
    const { app, port } = serve(t, (routes) => routes.ws('/*', {}));
    const client = await RawSocket.upgrade(port, '/');
    const done = app.shutdown({ code: 1012, timeout: 5000 });
    assert.deepEqual(log.all, [['shutdown', { app, phase: 'begin', code: 1012, timeout: 5000 }]]);
    await client.readFrame();
    client.write(frames.close(1012));
    await client.readToEnd();
    client.destroy();
    assert.deepEqual(await done, { closed: 1, forced: 0 });
    assert.deepEqual(log.all[1], ['shutdown', { app, phase: 'end', closed: 1, forced: 0 }]);
    const quiet = App();
    await quiet.shutdown();
    assert.deepEqual(
      log.all.slice(2).map(([, { app: other, phase }]) => [other === quiet, phase]),
      [
        [true, 'begin'],
        [true, 'end'],
      ],
    );
    assert.throws(() => App().shutdown({ timeout: -1 }), { code: 'ERR_MILLIWAYS_OUT_OF_RANGE' });
    assert.equal(log.count('shutdown'), 4);
  });

  it('is told who is behind a proxy', clear('a proxy says so before the handshake'), async (t) => {
    const log = observe(t, ['connect', 'close']);
    const { port } = serve(t, (routes) => routes.get('/*', (res) => res.end()), { proxyProtocol: true });
    const client = await RawSocket.connect(port);
    client.write(`PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n${request('/')}`);
    await client.readResponse();
    client.destroy();
    const [{ connection }] = await log.next('close');
    const { remoteAddress, proxiedRemoteAddress, proxiedRemotePort } = connection;
    assert.deepEqual([remoteAddress, proxiedRemoteAddress, proxiedRemotePort], ['127.0.0.1', '192.0.2.7', 4711]);
  });

  it('is told of a connection that is older than its subscription, but for its beginning', async (t) => {
    const { port } = serve(t, (routes) => routes.ws('/*', {}));
    const client = await RawSocket.upgrade(port, '/');
    const log = observe(t, ['connect', 'upgrade', 'close']);
    client.write(frames.close(1000));
    await client.readToEnd();
    client.destroy();
    const [{ connection, code }] = await log.next('close');
    assert.deepEqual([connection.remoteAddress, connection.secure, code], ['127.0.0.1', overTLS, 1000]);
    assert.equal(log.all.length, 1);
  });

  it('is told of the app that a request is upgraded with, where that is another one', async (t) => {
    const log = observe(t, ['connect', 'upgrade', 'close']);
    let context;
    const other = serve(t, (routes) =>
      routes.ws('/*', {
        upgrade: (res, req, its) => {
          context = its;
          res.end();
        },
      }),
    );
    const own = serve(t, (routes) =>
      routes.ws('/*', {
        upgrade: (res, req) => res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context),
      }),
    );
    const first = await RawSocket.connect(other.port);
    first.write(upgradeRequest('/'));
    await first.readResponse();
    first.destroy();
    await log.next('close');
    const client = await RawSocket.upgrade(own.port, '/');
    const [{ app, connection }] = await log.next('upgrade');
    assert.equal(app, other.app);
    client.destroy();
    const [closed] = await log.next('close');
    assert.equal(closed.app, other.app);
    assert.equal(closed.connection, connection);
  });

  it('that throws causes an uncaughtException, and the server goes on', async () => {
    const { code, reports } = await Script.run(async ({ App, uWS, RawSocket: Client, report }) => {
      const { subscribe: observeChannel } = require('node:diagnostics_channel');
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      observeChannel('milliways.connect', () => {
        throw new Error('of the subscriber');
      });
      let port;
      const app = App().get('/*', (res) => res.end('ok'));
      app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
      const client = await Client.connect(port);
      client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      report('response', (await client.readResponse()).body);
      client.destroy();
      app.close();
    });
    assert.equal(code, 0);
    assert.deepEqual(reports.sort(), [
      ['response', 'ok'],
      ['uncaught', 'of the subscriber'],
    ]);
  });

  it('is told of exceptions of handlers, with the connection', async () => {
    const { code, reports } = await Script.run(async ({ App, uWS, RawSocket: Client, frames: of, report }) => {
      process.on('uncaughtException', () => {});
      const channels = require('node:diagnostics_channel');
      const seen = new Set();
      channels.subscribe('milliways.connect', ({ connection }) => seen.add(connection));
      channels.subscribe('milliways.error', ({ connection, kind, code: its, count }) =>
        report('error', kind, its, count, seen.has(connection)),
      );
      const fail = () => {
        throw new Error('of a handler');
      };
      let port;
      const app = App()
        .get('/*', fail)
        .post('/*', async () => fail())
        .ws('/*', { message: fail });
      app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
      process.on('unhandledRejection', () => {});
      for (const method of ['GET', 'POST']) {
        const client = await Client.connect(port);
        client.write(`${method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
        await client.readToEnd();
        client.destroy();
      }
      const socket = await Client.upgrade(port, '/');
      socket.write(Buffer.concat([of.text('a'), of.text('b'), of.ping('c')]));
      await socket.readFrame();
      socket.destroy();
      app.close();
    });
    const error = (count) => ['error', 'handler', 'HANDLER_ERROR', count, true];
    const noResponse = ['error', 'http', 'NO_RESPONSE', 1, true];
    const expected = [error(1), noResponse, error(1), noResponse, error(2)];
    assert.deepEqual({ code, reports }, { code: 0, reports: expected });
  });

  it('may have subscribed before the module is loaded, and in another copy of its files', async () => {
    const { code, stderr, reports } = await Script.run(async ({ modulePath: file, report }) => {
      const dist = require('node:path').dirname(file);
      const channels = require('node:diagnostics_channel');
      channels.subscribe('milliways.listen', ({ app, path: where }) => report('listen', app.constructor.name, where));
      const evaluate = () => {
        for (const name of Object.keys(require.cache)) {
          if (name.startsWith(dist) && !name.endsWith('.node')) delete require.cache[name];
        }
        return require(file);
      };
      const where = require('node:path').join(require('node:os').tmpdir(), `milliways-${process.pid}.sock`);
      for (const uWS of [evaluate(), evaluate()]) {
        const app = uWS.App();
        app.listen_unix(() => report('listening'), where);
        app.close();
      }
      report('path', where);
    });
    const [, where] = reports.at(-1);
    const each = [['listen', 'uWS.App', where], ['listening']];
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [...each, ...each, ['path', where]] });
  });

  it('is told of what happens in its own thread', async () => {
    const { code, stderr, reports } = await Script.run(async ({ startWorker, RawSocket: Client, report }) => {
      const channels = require('node:diagnostics_channel');
      channels.subscribe('milliways.connect', () => report('connect in the main thread'));
      const worker = startWorker(({ App, uWS, report: reportToo }, parentPort) => {
        require('node:diagnostics_channel').subscribe('milliways.connect', () => reportToo('connect in the worker'));
        const app = App().get('/*', (res) => res.end());
        app.listen('127.0.0.1', 0, (token) => parentPort.postMessage(uWS.us_socket_local_port(token)));
        parentPort.once('message', () => app.close());
      });
      const [port] = await require('node:events').once(worker, 'message');
      const client = await Client.connect(port);
      client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await client.readResponse();
      client.destroy();
      worker.postMessage('end');
    });
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [['connect in the worker']] });
  });

  it('is told of everything before the process ends, however it ends', async () => {
    for (const how of ['exit', 'throw', 'leave']) {
      const { reports } = await Script.run(
        async ({ App, uWS, RawSocket: Client, report }, end) => {
          require('node:diagnostics_channel').subscribe('milliways.close', ({ reason }) => report('close', reason));
          let port;
          let onRequest;
          const app = App().get('/*', (res) => {
            res.onAborted(() => {});
            onRequest(res);
          });
          app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
          const client = await Client.connect(port);
          const handled = new Promise((resolve) => (onRequest = resolve));
          client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
          await handled;
          await new Promise(setImmediate);
          app.close();
          client.destroy();
          if (end === 'exit') process.exit();
          if (end === 'throw') {
            process.nextTick(() => {
              throw new Error('the end');
            });
          }
        },
        { args: [how] },
      );
      assert.deepEqual(reports, [['close', 'cut']], how);
    }
  });

  it('does not see what handlers have entered in an AsyncLocalStorage', async () => {
    const main = async ({ App, uWS, RawSocket: Client, frames: of, report }) => {
      const { AsyncLocalStorage } = require('node:async_hooks');
      const storage = new AsyncLocalStorage();
      const channels = require('node:diagnostics_channel');
      const seen = new Set();
      for (const name of ['connect', 'upgrade', 'close']) {
        channels.subscribe(`milliways.${name}`, () => {
          seen.add(`${name} ${storage.getStore()}`);
          storage.enterWith('of a subscriber');
        });
      }
      let port;
      const app = App().ws('/*', {
        message: (ws, message) => {
          seen.add(`message ${storage.getStore()}`);
          storage.enterWith('of a handler');
          ws.send(message);
        },
      });
      app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
      for (let i = 0; i < 2; i += 1) {
        const client = await Client.upgrade(port, '/');
        client.write(of.text('x'));
        await client.readFrame();
        client.write(of.close(1000));
        await client.readToEnd();
        client.destroy();
      }
      app.close();
      while (![...seen].some((line) => line.startsWith('close'))) await new Promise(setImmediate);
      report('seen', ...[...seen].sort());
    };
    const { code, stderr, reports } = await Script.run(main);
    const seen = ['close', 'connect', 'message', 'upgrade'].map((name) => `${name} undefined`);
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [['seen', ...seen]] });
  });

  after(noConnectionLeft);
});

describe('without a subscriber', ours, () => {
  /** What happens to a server of which every channel would be told. */
  const scenario = async ({ App, uWS, RawSocket: Client, frames: of, modulePath: file, report }, subscribesTo) => {
    const { join, dirname } = require('node:path');
    const channels = require('node:diagnostics_channel');
    const native = require(join(dirname(file), 'native.js'));
    const ignore = () => {};
    // A subscriber that has gone again leaves nothing behind.
    for (const name of subscribesTo) channels.subscribe(`milliways.${name}`, ignore);
    for (const name of subscribesTo) channels.unsubscribe(`milliways.${name}`, ignore);
    let port;
    const facts = [];
    const app = App().ws('/*', { message: (ws) => ws.end(1000), close: () => facts.push(...native.takeFacts()) });
    app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
    const client = await Client.upgrade(port, '/');
    client.write(of.text('x'));
    await client.readFrame();
    client.destroy();
    const invalid = await Client.connect(port);
    invalid.write('GET nowhere HTTP/1.1\r\n\r\n');
    await invalid.readToEnd();
    invalid.destroy();
    app.close();
    report('facts', ...facts, ...native.takeFacts());
    report('exit listeners', process.listenerCount('exit'));
  };

  it('nothing is noted', async () => {
    for (const names of [[], ['connect', 'error'], NAMES]) {
      const { code, stderr, reports } = await Script.run(scenario, { args: [names] });
      assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [['facts'], ['exit listeners', 0]] });
    }
  });

  it('and with one, the same is noted', async () => {
    const { reports } = await Script.run(
      `async (prelude, names) => {
        require('node:diagnostics_channel').subscribe('milliways.close', () => {});
        await (${scenario})(prelude, names);
      }`,
      { args: [[]] },
    );
    const [, ...facts] = reports.find(([name]) => name === 'facts');
    assert.ok(facts.length > 0);
  });
});

describe('docs/DIAGNOSTICS.md and index.d.ts', ours, () => {
  it('name all channels, and no others', async () => {
    const { readFile } = require('node:fs/promises');
    const { channels } = require(path.join(path.dirname(modulePath), 'channels.js'));
    const names = Object.values(channels).map(({ name }) => name);
    assert.deepEqual(
      names,
      NAMES.map((name) => `milliways.${name}`),
    );
    for (const name of names) assert.equal(channel(name), channels[name.split('.')[1]]);
    const docs = await readFile(path.join(root, 'docs', 'DIAGNOSTICS.md'), 'utf8');
    const headings = [...docs.matchAll(/^### (milliways\.\w+)$/gm)].map(([, name]) => name);
    assert.deepEqual(headings, names);
    const types = await readFile(path.join(root, 'index.d.ts'), 'utf8');
    const declared = [...types.matchAll(/^ {2}'(milliways\.\w+)': /gm)].map(([, name]) => name);
    assert.deepEqual(declared, names);
  });
});
