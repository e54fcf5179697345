'use strict';

// Acceptors: apps that hand connections over to apps of other threads.

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');
const { describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { startWorker } = require('./support/prelude.js');
const frames = require('./support/frames.js');
const { fetch } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { ordinaryCertificate } = require('./support/certificates.js');
const { clear } = require('./support/tls.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft, until } = require('./support/wait.js');

/** Milliseconds: worker threads start slowly. */
const PATIENCE = 60_000;

/** A worker thread whose app answers with its number, and sends its descriptor. */
function child({ App: ServedApp }, parentPort, number) {
  const app = ServedApp()
    .get('/end', (res) => {
      res.end('bye', true);
      parentPort.close();
      setImmediate(() => app.close());
    })
    .get('/*', (res) => res.end(String(number)))
    .ws('/*', {
      open: (ws) => ws.subscribe('all'),
      message: (ws, message, isBinary) => {
        app.publish('all', `${number}: ${Buffer.from(message)}`, isBinary);
      },
    });
  parentPort.on('message', () => app.close());
  parentPort.postMessage(app.getDescriptor());
}

/** Starts a child; resolves to its thread and its descriptor. */
async function start(t, number) {
  const thread = startWorker(child, number);
  t.after(() => thread.terminate());
  const ended = new Promise((resolve) => thread.once('exit', resolve));
  const descriptor = await new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
  });
  return { thread, descriptor, ended };
}

async function startAll(t, count) {
  return Promise.all(Array.from({ length: count }, (_, number) => start(t, number)));
}

/** The bodies of the responses to as many requests, each on its own connection. */
async function ask(port, count) {
  const bodies = [];
  for (let i = 0; i < count; i += 1) bodies.push((await fetch(port, '/')).body);
  return bodies;
}

const says = (text) => (app) => app.any('/*', (res) => res.end(text));

describe('an acceptor', ours, () => {
  it('hands its connections over to its children in turn', async (t) => {
    const { app, port } = serve(t, says('acceptor'));
    const children = await startAll(t, 3);
    assert.deepEqual(await ask(port, 2), ['acceptor', 'acceptor'], 'without children');
    for (const { descriptor } of children) assert.equal(app.addChildAppDescriptor(descriptor), app);
    app.addChildAppDescriptor(children[1].descriptor);
    assert.deepEqual(await ask(port, 7), ['0', '1', '2', '0', '1', '2', '0']);
    assert.equal(app.removeChildAppDescriptor(children[2].descriptor), app);
    app.removeChildAppDescriptor(children[2].descriptor);
    assert.deepEqual(await ask(port, 3), ['1', '0', '1']);
    assert.equal(uWS._stats().connections, 0, 'none of them was this thread’s');
  });

  it('has children with WebSockets, topics and clients of their own', async (t) => {
    const { app, port } = serve(t, says('acceptor'));
    for (const { descriptor } of await startAll(t, 2)) app.addChildAppDescriptor(descriptor);
    const clients = [];
    for (let i = 0; i < 4; i += 1) clients.push(await RawSocket.upgrade(port, '/'));
    clients[0].write(frames.text('hello'));
    clients[1].write(frames.text('hi'));
    const heard = await Promise.all(clients.map((client) => client.readText()));
    assert.deepEqual(heard, ['0: hello', '1: hi', '0: hello', '1: hi']);
    for (const client of clients) client.destroy();
  });

  it('skips a child whose thread has ended, and serves by itself when none is left', async (t) => {
    const { app, port } = serve(t, says('acceptor'));
    const [first, second, third] = await startAll(t, 3);
    for (const { descriptor } of [first, second, third]) app.addChildAppDescriptor(descriptor);
    await first.thread.terminate();
    assert.deepEqual(await ask(port, 3), ['1', '2', '1']);
    // This one ends by itself, because nothing keeps it running any more.
    assert.equal((await fetch(port, '/end')).body, 'bye');
    await third.ended;
    assert.deepEqual(await ask(port, 2), ['1', '1']);
    second.thread.postMessage('close');
    // A connection that is handed to it while it closes is cut.
    const answer = () => fetch(port, '/').catch(() => ({ body: undefined }));
    await until(async () => (await answer()).body === 'acceptor', 'end of the last child');
    app.addChildAppDescriptor(first.descriptor);
    assert.deepEqual(await ask(port, 1), ['acceptor'], 'a descriptor of a thread that has ended');
  });

  it('never takes the descriptor of one app for another one', async (t) => {
    const { app } = serve(t, says('acceptor'));
    const seen = new Set();
    for (let i = 0; i < 20; i += 1) {
      const other = App();
      const descriptor = other.getDescriptor();
      assert.ok(Number.isSafeInteger(descriptor) && descriptor > 0);
      assert.equal(other.getDescriptor(), descriptor, 'it stays the same');
      assert.ok(!seen.has(descriptor));
      seen.add(descriptor);
      other.close();
    }
    for (const descriptor of seen) app.addChildAppDescriptor(descriptor);
    const invalid = [
      0,
      -1,
      1,
      NaN,
      Infinity,
      1.5,
      2 ** 53,
      '1',
      1n,
      null,
      undefined,
      {},
      [...seen][0] + 0.5,
      Symbol('x'),
    ];
    invalid.push(Math.max(...seen) + 1);
    for (const value of invalid) {
      for (const method of ['addChildAppDescriptor', 'removeChildAppDescriptor']) {
        assert.throws(() => app[method](value), { code: 'ERR_MILLIWAYS_INVALID_DESCRIPTOR' }, String(value));
      }
    }
    assert.throws(() => app.addChildAppDescriptor(), { code: 'ERR_MILLIWAYS_MISSING_ARGUMENT' });
    assert.throws(() => app.getDescriptor(1), { code: 'ERR_MILLIWAYS_NOT_SUPPORTED' });
  });

  it('hands over connections of a Unix domain socket', clear('the client speaks plain HTTP'), async (t) => {
    const file = path.join(os.tmpdir(), `milliways-acceptor-${process.pid}.sock`);
    const app = App();
    t.after(() => app.close());
    const [{ descriptor }] = await startAll(t, 1);
    app.addChildAppDescriptor(descriptor);
    app.listen_unix((token) => assert.ok(token), file);
    const body = await new Promise((resolve, reject) => {
      const request = http.get({ socketPath: file, path: '/', agent: false }, (response) => {
        response.setEncoding('utf8').on('data', resolve);
      });
      request.on('error', reject);
    });
    assert.equal(body, '0');
  });

  it('without TLS hands over to children with TLS', async (t) => {
    const acceptor = uWS.App().any('/*', (res) => res.end('acceptor'));
    t.after(() => acceptor.close());
    let port;
    acceptor.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
    const { key, cert } = ordinaryCertificate();
    const thread = startWorker(
      ({ uWS: { SSLApp } }, parentPort, options) => {
        const app = SSLApp(options).get('/*', (res) => res.end('secret'));
        parentPort.postMessage(app.getDescriptor());
      },
      { key_file_name: key, cert_file_name: cert },
    );
    t.after(() => thread.terminate());
    acceptor.addChildAppDescriptor(await new Promise((resolve) => thread.once('message', resolve)));
    const body = await new Promise((resolve, reject) => {
      const options = { ca: readFileSync(cert), servername: 'localhost', host: '127.0.0.1', port, agent: false };
      const request = https.get(options, (response) => response.setEncoding('utf8').on('data', resolve));
      request.on('error', reject);
    });
    assert.equal(body, 'secret');
    await noConnectionLeft();
  });

  it('calls its child’s filter, and not its own', async (t) => {
    const counts = [];
    const { app, port } = serve(t, (it) => it.filter((_res, count) => counts.push(['acceptor', count])));
    const other = App()
      .filter((_res, count) => counts.push(['child', count]))
      .any('/*', (res) => res.end('child'));
    t.after(() => other.close());
    app.addChildAppDescriptor(other.getDescriptor());
    assert.deepEqual(await ask(port, 1), ['child']);
    await noConnectionLeft();
    assert.deepEqual(counts, [
      ['child', 1],
      ['child', -1],
    ]);
  });
});

describe('an app with a descriptor', ours, () => {
  it('keeps its process running until it is closed', async () => {
    const main = ({ App: ServedApp, report }) => {
      const app = ServedApp();
      app.getDescriptor();
      process.once('SIGTERM', () => {
        report('closing');
        app.close();
      });
      setImmediate(() => setImmediate(() => report('running')));
    };
    const script = new Script(main);
    await script.next('running');
    script.kill('SIGTERM');
    const { code, stderr, reports } = await script.exit();
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [['running'], ['closing']] });
  });

  it('keeps its handlers when its object is unreachable', async () => {
    const main = async ({ App: ServedApp, uWS: { us_socket_local_port: localPort }, RawSocket: Client, report }) => {
      let port;
      const acceptor = ServedApp().listen('127.0.0.1', 0, (token) => (port = localPort(token)));
      acceptor.addChildAppDescriptor(
        ServedApp()
          .get('/*', (res) => res.end('still here'))
          .getDescriptor(),
      );
      for (let i = 0; i < 5; i += 1) {
        await new Promise((resolve) => setImmediate(resolve));
        globalThis.gc();
      }
      const client = await Client.connect(port);
      client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      report((await client.readResponse()).body);
      process.exit();
    };
    const { reports, stderr } = await Script.run(main, { execArgv: ['--expose-gc'] });
    assert.deepEqual({ reports, stderr }, { reports: [['still here']], stderr: '' });
  });
});

describe('children that end at random', ours, () => {
  it('leave the process alive, and every client is answered or disconnected', async () => {
    const main = async ({
      startWorker: begin,
      App: ServedApp,
      uWS: { us_socket_local_port: localPort },
      RawSocket: Client,
      report,
    }) => {
      let port;
      const acceptor = ServedApp()
        .get('/*', (res) => res.end('acceptor'))
        .listen('127.0.0.1', 0, (token) => (port = localPort(token)));
      const worker = ({ App: WorkerApp }, parentPort) => {
        const app = WorkerApp().get('/*', (res) => res.end('child'));
        parentPort.postMessage(app.getDescriptor());
      };
      const outcomes = { answered: 0, disconnected: 0 };
      const client = async () => {
        const socket = await Client.connect(port).catch(() => undefined);
        socket?.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
        const read = await socket?.readToEnd().catch(() => Buffer.alloc(0));
        outcomes[/child|acceptor/.test(read?.toString()) ? 'answered' : 'disconnected'] += 1;
        socket?.destroy();
      };
      for (let round = 0; round < 8; round += 1) {
        const thread = begin(worker);
        acceptor.addChildAppDescriptor(await new Promise((resolve) => thread.once('message', resolve)));
        const clients = Array.from({ length: 20 }, client);
        if (round % 2 === 0) await clients[0];
        await thread.terminate();
        await Promise.all(clients);
      }
      report('clients', outcomes.answered + outcomes.disconnected, outcomes.answered > 0);
      await client();
      report('acceptor', outcomes.answered > 0);
      acceptor.close();
    };
    const { code, signal, stderr, reports } = await Script.run(main, { timeout: PATIENCE });
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
    assert.deepEqual(reports, [
      ['clients', 160, true],
      ['acceptor', true],
    ]);
  });
});
