'use strict';

// Worker threads with their own servers may end at any moment. Each scenario runs in a process whose exit code shows
// whether it survived.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { Script } = require('./support/Script.js');
const { ours } = require('./support/uws.js');

/** In milliseconds: worker threads start slowly, and many of them on few cores even more so. */
const PATIENCE = 60_000;

/** Asserts that a process ends by itself, without output on stderr, after these reports. */
async function assertReports(main, args, expected) {
  const { code, signal, stderr, reports } = await Script.run(main, { args, timeout: PATIENCE });
  assert.deepEqual({ code, signal, stderr, reports }, { code: 0, signal: null, stderr: '', reports: expected });
}

describe('worker threads that are terminated', ours, () => {
  // The handler under test either loops or waits for something that never happens.
  const scenario = async ({ startWorker, App, uWS, RawSocket, frames, until, report }, place, count) => {
    // The main thread keeps serving throughout.
    let port;
    const app = App().ws('/*', { message: (ws, message) => ws.send(message) });
    app.listen('127.0.0.1', 0, (token) => {
      port = uWS.us_socket_local_port(token);
    });
    const own = await RawSocket.upgrade(port, '/');

    const worker = ({ App, uWS: { us_socket_local_port: localPort } }, parentPort, { where, flag, spin }) => {
      const stay = (here) => (res) => {
        if (here !== where) return;
        res?.onAborted?.(() => {});
        parentPort.postMessage('there');
        if (!spin) Atomics.wait(flag, 0, 0);
        for (;;);
      };
      App()
        .ws('/*', {
          maxBackpressure: 1,
          open: stay('open'),
          message: (ws) => {
            stay('message')();
            ws.send(Buffer.alloc(1 << 24), true);
            ws.send('dropped');
            if (where === 'send') {
              parentPort.postMessage('there');
              for (;;) ws.send(Buffer.alloc(100), true);
            }
            if (where === 'close()') ws.close();
          },
          ping: stay('ping'),
          pong: stay('pong'),
          dropped: stay('dropped'),
          drain: stay('drain'),
          close: stay(where === 'close()' ? where : 'close'),
        })
        .any('/*', (res) => {
          if (where === 'microtask') Promise.resolve().then(() => stay('microtask')(res));
          if (where === 'cork') res.cork(() => stay('cork')(res));
          if (where === 'aborted') {
            res.onAborted(() => stay('aborted')());
            res.close();
          }
          stay('request')(res);
        })
        .listen('127.0.0.1', 0, (token) => {
          parentPort.postMessage(localPort(token));
          if (where === 'listen') stay('listen')();
        });
    };

    const run = async (i) => {
      const flag = new Int32Array(new SharedArrayBuffer(4));
      const thread = startWorker(worker, { where: place, flag, spin: i % 2 === 0 });
      const messages = [];
      thread.on('message', (message) => messages.push(message));
      await until(() => messages.length > 0, 'port');
      let client;
      if (['request', 'microtask', 'cork', 'aborted'].includes(place)) {
        client = await RawSocket.connect(messages[0]);
        client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      } else if (place !== 'listen') {
        client = await RawSocket.connect(messages[0]);
        client.write(
          `GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
            `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
        );
        if (place !== 'open') await client.readHead();
        if (place === 'ping') client.write(frames.ping(''));
        if (place === 'pong') client.write(frames.pong(''));
        if (place === 'close') client.write(frames.close(1000));
        if (place === 'dropped') client.pause();
        if (/^(message|dropped|drain|send|close\(\))$/.test(place)) {
          // More messages wait behind the one that is being handled.
          client.write(Buffer.concat(Array(10).fill(frames.text('go'))));
        }
      }
      await until(() => messages.includes('there'), `worker in ${place}`);
      await thread.terminate();
      client?.resume();
      await client?.readToEnd();
      client?.destroy();
    };
    await Promise.all(Array.from({ length: count }, (_, i) => run(i)));

    own.write(frames.text('alive'));
    report('main thread', await own.readText());
    own.destroy();
    app.close();
  };

  it('inside a message handler, 20 of them, leave the process alive', async () => {
    await assertReports(scenario, ['message', 20], [['main thread', 'alive']]);
  });

  const PLACES = ['listen', 'open', 'ping', 'pong', 'dropped', 'drain', 'send', 'close', 'close()'];
  for (const place of [...PLACES, 'request', 'microtask', 'cork', 'aborted']) {
    it(`inside ${place} leave the process alive`, async () => {
      await assertReports(scenario, [place, 4], [['main thread', 'alive']]);
    });
  }

  it('with idle, pending and slow connections leave the process alive, and end the connections', async () => {
    const main = async ({ startWorker, RawSocket, frames, report }) => {
      const thread = startWorker(({ App, uWS: { us_socket_local_port: localPort } }, parentPort) => {
        App()
          .ws('/*', { maxBackpressure: 0, message: (ws) => ws.send(Buffer.alloc(1 << 24), true) })
          .any('/*', (res) => res.onAborted(() => {}))
          .listen('127.0.0.1', 0, (token) => parentPort.postMessage(localPort(token)));
      });
      const port = await new Promise((resolve) => thread.once('message', resolve));
      const clients = [];
      for (let i = 0; i < 30; i += 1) {
        const idle = await RawSocket.upgrade(port, '/');
        const slow = await RawSocket.upgrade(port, '/');
        slow.pause();
        slow.write(frames.text('go'));
        const pending = await RawSocket.connect(port);
        pending.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        const half = await RawSocket.connect(port);
        half.write('GET / HT');
        clients.push(idle, slow, pending, half);
      }
      report('exit', await thread.terminate());
      for (const client of clients) {
        client.resume();
        await client.readToEnd();
        client.destroy();
      }
      report('ended', clients.length);
    };
    await assertReports(
      main,
      [],
      [
        ['exit', 1],
        ['ended', 120],
      ],
    );
  });

  it('before they have loaded the module, or while they load it, leave the process alive', async () => {
    const main = async ({ startWorker, report }) => {
      const threads = Array.from({ length: 20 }, () =>
        startWorker(({ App }) => {
          for (;;) App().any('/*', () => {});
        }),
      );
      // They end at different moments, because each is terminated after the one before it.
      for (const thread of threads) {
        await new Promise((resolve) => setImmediate(resolve));
        await thread.terminate();
      }
      report('terminated', threads.length);
    };
    await assertReports(main, [], [['terminated', 20]]);
  });
});

describe('a worker thread', () => {
  it('may exit inside a handler', ours, async () => {
    const main = async ({ startWorker, RawSocket, frames, report }, place) => {
      const thread = startWorker(({ App, uWS: { us_socket_local_port: localPort } }, parentPort, where) => {
        const exit = (here) => () => here === where && process.exit(5);
        App()
          .ws('/*', { open: exit('open'), message: exit('message'), close: exit('close') })
          .any('/*', exit('request'))
          .listen('127.0.0.1', 0, (token) => parentPort.postMessage(localPort(token)));
      }, place);
      const port = await new Promise((resolve) => thread.once('message', resolve));
      const exited = new Promise((resolve) => thread.once('exit', resolve));
      const client = await RawSocket.connect(port);
      client.write(
        `GET / HTTP/1.1\r\nHost: a\r\nUpgrade: ${place === 'request' ? 'none' : 'websocket'}\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
      if (place === 'message' || place === 'close') await client.readHead();
      if (place === 'message') client.write(Buffer.concat([frames.text('one'), frames.text('two')]));
      if (place === 'close') client.write(frames.close(1000));
      report('exit', await exited);
      await client.readToEnd();
      client.destroy();
    };
    for (const place of ['open', 'message', 'close', 'request']) await assertReports(main, [place], [['exit', 5]]);
  });

  it('whose handler throws ends, and the process lives', ours, async () => {
    const main = async ({ startWorker, RawSocket, frames, report }) => {
      const thread = startWorker(({ App, uWS: { us_socket_local_port: localPort } }, parentPort) => {
        App()
          .ws('/*', {
            message: () => {
              throw new TypeError('of the handler');
            },
          })
          .listen('127.0.0.1', 0, (token) => parentPort.postMessage(localPort(token)));
      });
      const port = await new Promise((resolve) => thread.once('message', resolve));
      const failed = new Promise((resolve) => thread.once('error', resolve));
      const exited = new Promise((resolve) => thread.once('exit', resolve));
      const client = await RawSocket.upgrade(port, '/');
      client.write(Buffer.concat([frames.text('one'), frames.text('two')]));
      const error = await failed;
      report('error', error.name, error.message);
      report('exit', await exited);
      await client.readToEnd();
      client.destroy();
    };
    await assertReports(
      main,
      [],
      [
        ['error', 'TypeError', 'of the handler'],
        ['exit', 1],
      ],
    );
  });

  it('ends by itself when it has closed its App, or never listened', async () => {
    const main = async ({ startWorker, report }) => {
      for (const how of ['never', 'close', 'token']) {
        const thread = startWorker(({ App, uWS }, _, way) => {
          const app = App().any('/*', () => {});
          if (way === 'never') return;
          app.listen('127.0.0.1', 0, (token) => {
            setImmediate(() => (way === 'close' ? app.close() : uWS.us_listen_socket_close(token)));
          });
        }, how);
        report(how, await new Promise((resolve) => thread.once('exit', resolve)));
      }
    };
    await assertReports(
      main,
      [],
      [
        ['never', 0],
        ['close', 0],
        ['token', 0],
      ],
    );
  });

  it('serves with an App of its own, and may come and go again and again', async () => {
    const main = async ({ startWorker, RawSocket, frames, report }) => {
      for (let round = 0; round < 10; round += 1) {
        const thread = startWorker(({ App, uWS: { us_socket_local_port: localPort } }, parentPort) => {
          const app = App().ws('/*', {
            message: (ws, message, isBinary) => ws.send(message, isBinary),
            close: () => app.close(),
          });
          app.listen('127.0.0.1', 0, (token) => parentPort.postMessage(localPort(token)));
        });
        const port = await new Promise((resolve) => thread.once('message', resolve));
        const exited = new Promise((resolve) => thread.once('exit', resolve));
        const client = await RawSocket.upgrade(port, '/');
        client.write(frames.text(`round ${round}`));
        report('echo', await client.readText());
        client.write(frames.close(1000));
        await client.readToEnd();
        client.destroy();
        report('exit', await exited);
      }
    };
    const expected = Array.from({ length: 10 }, (_, round) => [
      ['echo', `round ${round}`],
      ['exit', 0],
    ]).flat();
    await assertReports(main, [], expected);
  });

  it('shares its port with others that listen on it, each connection being served by one', async () => {
    const main = async ({ startWorker, RawSocket, frames, report }) => {
      const worker = ({ App, uWS: { us_socket_local_port: localPort } }, parentPort, { name, port }) => {
        const app = App().ws('/*', {
          open: (ws) => ws.send(name),
          message: (ws, message) => ws.send(message),
        });
        app.listen(port, (token) => parentPort.postMessage(token ? localPort(token) : 0));
        parentPort.once('message', () => {
          app.close();
        });
      };
      // All threads listen on the same free port; port 0 would give each a different one.
      const probe = require('node:net').createServer().listen(0);
      await new Promise((resolve) => probe.once('listening', resolve));
      const { port } = probe.address();
      await new Promise((resolve) => probe.close(resolve));

      const threads = [];
      for (const name of ['a', 'b', 'c']) {
        const thread = startWorker(worker, { name, port });
        const bound = await new Promise((resolve) => thread.once('message', resolve));
        if (bound !== port) report('not bound', name);
        threads.push(thread);
      }
      const served = new Set();
      for (let i = 0; i < 100; i += 1) {
        const client = await RawSocket.upgrade(port, '/');
        served.add(await client.readText());
        client.write(frames.text(`${i}`));
        if ((await client.readText()) !== `${i}`) report('wrong echo', i);
        client.destroy();
      }
      report('more than one served', served.size > 1);
      for (const thread of threads) {
        const exited = new Promise((resolve) => thread.once('exit', resolve));
        thread.postMessage('close');
        await exited;
      }
    };
    await assertReports(main, [], [['more than one served', true]]);
  });

  it('cut the connections whose requests they have not handled, without an answer', async () => {
    const main = async ({ startWorker, uWS, RawSocket, until, report }) => {
      const worker = ({ App, uWS: { us_socket_local_port: localPort } }, parentPort, flag) => {
        App()
          .get('/*', (res) => res.end('served'))
          .listen('127.0.0.1', 0, (token) => parentPort.postMessage(localPort(token)));
        parentPort.on('message', () => {
          Atomics.store(flag, 0, 1);
          for (;;);
        });
      };
      const flag = new Int32Array(new SharedArrayBuffer(4));
      const thread = startWorker(worker, flag);
      const port = await new Promise((resolve) => thread.once('message', resolve));
      const client = await RawSocket.connect(port);
      const get = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n';
      client.write(get);
      report('before', (await client.readResponse()).body);
      thread.postMessage('block');
      await until(() => Atomics.load(flag, 0) === 1, 'blocked thread');
      await client.writeAndTurn(get);
      await thread.terminate();
      const rest = await client.readToEnd().catch(() => '');
      client.destroy();
      report('after', rest.toString(), uWS.stats().http.errors.NO_RESPONSE);
    };
    await assertReports(
      main,
      [],
      [
        ['before', 'served'],
        ['after', '', 0],
      ],
    );
  });
});
