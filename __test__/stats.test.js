'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const ts = require('typescript');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { request } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { LAYER, flat } = require('./support/stats.js');
const { clear } = require('./support/tls.js');
const { ours, root, uWS } = require('./support/uws.js');
const { noConnectionLeft, until } = require('./support/wait.js');
const { connectLogged } = require('./support/websocket.js');

/** Returns the paths of all numbers that an interface of index.d.ts declares. */
function declaredPaths(name) {
  const file = path.join(root, 'index.d.ts');
  const program = ts.createProgram([file], { types: [] });
  const checker = program.getTypeChecker();
  const paths = [];
  const walk = (type, prefix) => {
    for (const property of type.getProperties()) {
      const at = prefix + property.name;
      const inner = checker.getTypeOfSymbol(property);
      if (inner.flags & ts.TypeFlags.Number) paths.push(at);
      else walk(inner, `${at}.`);
    }
  };
  for (const statement of program.getSourceFile(file).statements) {
    if (ts.isInterfaceDeclaration(statement) && statement.name.text === name) {
      walk(checker.getTypeAtLocation(statement), '');
    }
  }
  return paths.sort();
}

describe('stats', ours, () => {
  after(noConnectionLeft);

  it('has the properties that index.d.ts declares, and no others', () => {
    assert.deepEqual(Object.keys(flat(App().stats())).sort(), declaredPaths('AppStats'));
    const { threads, ...process } = uWS.stats();
    assert.deepEqual(Object.keys(flat(process)).sort(), declaredPaths('ThreadStats'));
    const { threadId, ...thread } = threads[0];
    assert.equal(threadId, 0);
    assert.deepEqual(Object.keys(flat(thread)).sort(), declaredPaths('ThreadStats'));
  });

  it('has only zeros at the beginning', () => {
    assert.deepEqual(
      Object.entries(flat(App().stats())).filter(([, number]) => number !== 0),
      [],
    );
  });

  it('is a new object of defined properties each time', (t) => {
    const name = 'listeners';
    t.after(() => delete Object.prototype[name]);
    Object.defineProperty(Object.prototype, name, {
      configurable: true,
      set() {
        assert.fail('a setter was called');
      },
    });
    const app = App();
    const stats = app.stats();
    assert.notEqual(stats, app.stats());
    stats.http.requests = 7;
    assert.equal(app.stats().http.requests, 0);
    const descriptor = { value: 0, writable: true, enumerable: true, configurable: true };
    assert.deepEqual(Object.getOwnPropertyDescriptor(stats, name), descriptor);
  });

  it('and metrics take no arguments, and only an app’s own can be asked for', () => {
    const app = App();
    for (const method of ['stats', 'metrics']) {
      assert.throws(() => app[method](1), { code: 'ERR_MILLIWAYS_NOT_SUPPORTED' });
      assert.throws(() => app[method].call({}), { code: 'ERR_MILLIWAYS_INVALID_THIS' });
    }
  });

  it('tells apps apart, and sums them up for the process', async (t) => {
    const [first, second] = [serve(t, (app) => app.get('/', (res) => res.end())), serve(t, () => {})];
    const before = uWS.stats();
    for (const { port } of [first, first, second]) {
      const client = await RawSocket.connect(port);
      client.write(request('/'));
      await client.readResponse();
      client.destroy();
    }
    assert.deepEqual(
      [first, second].map(({ app }) => [app.stats().http.requests, app.stats().http.responses['4xx']]),
      [
        [2, 0],
        [1, 1],
      ],
    );
    const now = uWS.stats();
    assert.equal(now.http.requests - before.http.requests, 3);
    const [main] = now.threads.filter(({ threadId }) => threadId === 0);
    assert.equal(main.http.requests, now.http.requests);
    assert.equal(main.listeners, now.listeners);
  });

  it('keeps for the process what apps had counted that have been collected', async () => {
    const main = async ({ App, uWS, RawSocket, report, until }) => {
      const serveOnce = async () => {
        let port;
        const app = App().get('/', (res) => res.end());
        app.listen('127.0.0.1', 0, (token) => {
          port = uWS.us_socket_local_port(token);
        });
        const client = await RawSocket.connect(port);
        client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
        await client.readResponse();
        client.destroy();
        app.close();
      };
      for (let i = 0; i < 3; i += 1) await serveOnce();
      await until(() => {
        global.gc();
        return uWS._stats().apps === 0;
      }, 'end of all apps');
      report(uWS.stats().http.requests, uWS.stats().threads[0].http.requests, uWS.stats().listeners);
    };
    const { code, stderr, reports } = await Script.run(main, { execArgv: ['--expose-gc'] });
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [[3, 3, 0]] });
  });

  it('shows what worker threads do, and keeps it when they have ended', async () => {
    const main = async ({ startWorker, uWS, RawSocket, report, until }) => {
      const worker = startWorker(({ App, uWS: { us_socket_local_port: localPort } }, parentPort) => {
        let port;
        App()
          .get('/', (res) => res.end())
          .ws('/*', { message: (ws, message) => ws.send(message) })
          .listen('127.0.0.1', 0, (token) => {
            port = localPort(token);
          });
        parentPort.postMessage(port);
        parentPort.on('message', () => process.exit());
      });
      const port = await new Promise((resolve) => {
        worker.once('message', resolve);
      });
      const client = await RawSocket.upgrade(port, '/');
      for (let i = 0; i < 5; i += 1) {
        client.write(Buffer.from([0x81, 0x80, 0, 0, 0, 0]));
        await client.readText();
      }
      const open = ({ connections: { plain, tls } }) => plain.webSocket.open + tls.webSocket.open;
      const of = (threadId) => uWS.stats().threads.find((thread) => thread.threadId === threadId);
      report(worker.threadId, of(worker.threadId).webSocket.received.messages, open(of(worker.threadId)));
      report(uWS.stats().webSocket.received.messages, open(uWS.stats()), uWS.stats().threads.length);
      report(of(worker.threadId).memory.connections > 0, of(0).webSocket.received.messages);
      const { threadId } = worker;
      worker.postMessage('end');
      await new Promise((resolve) => {
        worker.once('exit', resolve);
      });
      client.destroy();
      await until(() => of(threadId) === undefined, 'end of the thread');
      report(uWS.stats().webSocket.received.messages, open(uWS.stats()), uWS.stats().threads.length);
    };
    const { code, stderr, reports } = await Script.run(main);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(reports, [
      [1, 5, 1],
      [5, 1, 2],
      [true, 0],
      [5, 0, 1],
    ]);
  });

  it('has the bytes on the wire', clear('these are the bytes of the client'), async (t) => {
    const net = require('node:net');
    const { app, port } = serve(t, (routes) => routes.get('/', (res) => res.end('hello')));
    const socket = net.connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.write(request('/'));
    await new Promise((resolve) => {
      socket.once('data', resolve);
    });
    const { sockets } = app.stats();
    assert.deepEqual([sockets.bytesReceived, sockets.bytesSent], [socket.bytesWritten, socket.bytesRead]);
  });

  it('has the memory that connections, output, messages and topics take', async (t) => {
    const memory = () => uWS.stats().threads.find(({ threadId }) => threadId === 0).memory;
    const { client, ws, app } = await connectLogged(t, { maxPayloadLength: 2 << 20, maxBackpressure: 0 });
    const before = memory();
    assert.ok(before.connections > 0 && before.buffers >= 256 << 10);
    assert.equal(before.tls > 0, LAYER === 'tls');
    client.pause();
    while (ws.getBufferedAmount() < 1 << 20) ws.send(new Uint8Array(1 << 20), true);
    await until(() => memory().output >= before.output + (1 << 20), 'memory for output');
    client.resume();
    await until(() => app.stats().sockets.bytesWaiting === 0, 'end of waiting');
    await until(() => memory().output < before.output + (1 << 20), 'end of output');
    // The beginning of a message of 1 MiB.
    const frames = require('./support/frames.js');
    client.write(frames.binary(Buffer.alloc(1 << 20)).subarray(0, 600_000));
    await until(() => memory().busyConnections >= before.busyConnections + 500_000, 'memory for a message');
    for (let i = 0; i < 100; i += 1) ws.subscribe(`topic ${i}`);
    assert.ok(memory().pubSub >= before.pubSub + 100 * 40);
    client.destroy();
    await until(() => memory().busyConnections < before.busyConnections + 100_000, 'end of the message');
  });
});
