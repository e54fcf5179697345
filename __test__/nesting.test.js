'use strict';

// Nested handlers: through calls that cause events, and through addons that run the event loop inside a handler.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { Script } = require('./support/Script.js');
const { buildNestedLoop } = require('./support/nestedLoop.js');
const { ours } = require('./support/uws.js');

/** For a process that opens a thousand connections or more, in milliseconds. */
const PATIENCE = 60_000;

async function assertRuns(main, { args = [], timeout } = {}, check) {
  const { code, signal, stderr, reports } = await Script.run(main, { args, timeout });
  assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
  check(Object.fromEntries(reports.map(([name, ...details]) => [name, details])));
}

describe('an event loop that runs inside of a handler', ours, () => {
  const addon = buildNestedLoop({ after });

  it('tells the events of other connections, and no other function afterwards', async () => {
    const main = async ({ App, uWS, RawSocket: Client, frames, report }, file) => {
      const runLoop = require(file);
      const log = [];
      let port, other;
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      const app = App().ws('/*', {
        message: (ws, message) => {
          const text = Buffer.from(message).toString();
          log.push(text);
          if (text === 'first') {
            other.write(Buffer.concat([frames.text('inner'), frames.ping('p'), frames.close(1000)]));
            while (log.at(-1) !== 'close') runLoop();
            log.push('outer');
          }
        },
        ping: () => void log.push('ping'),
        close: () => void log.push('close'),
      });
      app.get('/*', (res) => {
        other.write(frames.text('in a request'));
        while (log.at(-1) !== 'in a request') runLoop();
        res.end('done');
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const client = await Client.upgrade(port, '/');
      other = await Client.upgrade(port, '/');
      client.write(Buffer.concat(['first', 'second', 'third'].map((text) => frames.text(text))));
      while (log.at(-1) !== 'third') await new Promise(setImmediate);
      report('log', ...log.splice(0));

      other = await Client.upgrade(port, '/');
      const third = await Client.connect(port);
      third.write('GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n');
      report('bodies', (await third.readResponse()).body, (await third.readResponse()).body);
      report('more', ...log);
      for (const socket of [client, other, third]) socket.destroy();
      app.close();
    };
    await assertRuns(main, { args: [addon] }, ({ log, bodies, more, uncaught }) => {
      assert.equal(uncaught, undefined);
      assert.deepEqual(log, ['first', 'inner', 'ping', 'close', 'outer', 'second', 'third']);
      assert.deepEqual(bodies, ['done', 'done']);
      assert.deepEqual(more, ['in a request', 'in a request']);
    });
  });

  it('keeps the messages of the connection itself for later, in their order', async () => {
    const main = async ({ App, uWS, RawSocket: Client, frames, report }, file) => {
      const runLoop = require(file);
      const log = [];
      let isWritten, port;
      let write = () => {};
      const app = App().ws('/*', {
        message: (ws, message) => {
          const text = Buffer.from(message).toString();
          log.push(text);
          if (text !== '1') return;
          write();
          // The timer fires after the kernel has reported the bytes.
          setTimeout(() => {
            isWritten = true;
          }, 20);
          while (!isWritten) runLoop();
          log.push('end of 1');
        },
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const client = await Client.upgrade(port, '/');
      write = () => client.write(frames.text('3'));
      client.write(Buffer.concat([frames.text('1'), frames.text('2')]));
      while (log.at(-1) !== '3') await new Promise(setImmediate);
      report('log', ...log);
      client.destroy();
      app.close();
    };
    await assertRuns(main, { args: [addon] }, ({ log }) => assert.deepEqual(log, ['1', 'end of 1', '2', '3']));
  });

  it('does not give the slot of a connection that is being told to have ended to another', async () => {
    const main = async ({ App, uWS, RawSocket: Client, startWorker, report }, file) => {
      const runLoop = require(file);
      const log = [];
      const flag = new Int32Array(new SharedArrayBuffer(4));
      let port, opened;
      const app = App().ws('/*', {
        open: (ws) => {
          ws.name = `socket ${log.filter((line) => line.endsWith('open')).length}`;
          ['a', 'b'].forEach((topic) => ws.subscribe(topic));
          log.push(`${ws.name} open`);
          opened = ws;
        },
        subscription: (ws, topic, count, old) => {
          if (count > old) return;
          log.push(`${ws.name} leaves`);
          if (Atomics.exchange(flag, 0, 1) === 1) return;
          Atomics.notify(flag, 0);
          while (!log.at(-1).endsWith('open')) runLoop();
        },
        close: (ws) => void log.push(`${ws.name} close`),
        message: (ws) => ws.send(ws.name),
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      // Another thread has to be the client, because no promise in this thread continues during a handler.
      const other = async ({ RawSocket: Other, frames }, parentPort, { port: there, flag: wait }) => {
        Atomics.wait(wait, 0, 0);
        const client = await Other.upgrade(there, '/');
        client.write(frames.text('x'));
        parentPort.postMessage(await client.readText());
        // What the end of this client adds to the log is of no interest.
        await new Promise((resolve) => parentPort.once('message', resolve));
        client.destroy();
      };
      const thread = startWorker(other, { port, flag });
      thread.on('message', (name) => {
        report('name', name);
        report('log', ...log);
        thread.postMessage('done');
        app.close();
      });
      const first = await Client.upgrade(port, '/');
      opened.close();
      first.destroy();
    };
    await assertRuns(main, { args: [addon] }, ({ name, log }) => {
      assert.deepEqual(name, ['socket 1']);
      assert.deepEqual(log, [
        ...['socket 0 open', 'socket 0 leaves', 'socket 1 open'],
        ...['socket 0 leaves', 'socket 0 close'],
      ]);
    });
  });
});

describe('handlers that call each other', ours, () => {
  const COUNT = 2000;

  it(`are all called: ${COUNT} that close the next WebSocket`, async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }, count) => {
      let port, left, threw;
      const sockets = new Set();
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      const app = App({ idleTimeout: 0 }).ws('/*', {
        idleTimeout: 0,
        open: (ws) => {
          sockets.add(ws.subscribe('topic') && ws);
        },
        subscription: (ws, topic, is, was) => void (is < was && (left = is)),
        close: (ws) => {
          sockets.delete(ws);
          const [next] = sockets;
          next?.close();
          if (sockets.size === 0) threw ??= 'the last';
        },
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const clients = [];
      for (let i = 0; i < count; i += 1) clients.push(await Client.upgrade(port, '/'));
      const [first] = sockets;
      first.close();
      report('done', sockets.size, left, threw);
      for (const client of clients) client.destroy();
      app.close();
    };
    await assertRuns(main, { args: [COUNT], timeout: PATIENCE }, ({ uncaught, done }) => {
      assert.equal(uncaught, undefined);
      assert.deepEqual(done, [0, 0, 'the last']);
    });
  });

  it(`are all called: ${COUNT} that close the next response`, async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }, count) => {
      let port;
      const responses = [];
      const app = App({ idleTimeout: 0 }).get('/*', (res) => {
        responses.push(res);
        res.onAborted(() => responses.pop()?.close());
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const clients = [];
      for (let i = 0; i < count; i += 1) {
        const client = await Client.connect(port);
        client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
        clients.push(client);
      }
      while (responses.length < count) await new Promise(setImmediate);
      responses.pop().close();
      report('done', responses.length);
      for (const client of clients) client.destroy();
      app.close();
    };
    await assertRuns(main, { args: [COUNT], timeout: PATIENCE }, ({ done }) => assert.deepEqual(done, [0]));
  });

  it('are ended by a RangeError where nothing else would', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      let port;
      let deepest = 0;
      const app = App().ws('/*', {
        open: (ws) => {
          try {
            ws.subscribe('0');
          } catch (error) {
            report('thrown', error.name, error.code, deepest > 50);
          }
        },
        subscription: (ws, topic, is, was) => {
          if (is < was) return;
          deepest += 1;
          ws.subscribe(String(deepest));
        },
      });
      process.on('uncaughtException', (error) => report('uncaught', error.name, error.code, deepest > 50));
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      (await Client.upgrade(port, '/')).destroy();
      app.close();
    };
    await assertRuns(main, {}, ({ thrown, uncaught }) => {
      assert.equal(thrown, undefined);
      assert.deepEqual(uncaught, ['RangeError', 'ERR_MILLIWAYS_TOO_DEEP', true]);
    });
  });

  it('of dropped are not called in each other', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      let port, ws, status;
      let calls = 0;
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      const app = App().ws('/*', {
        maxBackpressure: 1000,
        open: (opened) => {
          ws = opened;
        },
        dropped: () => {
          calls += 1;
          status = ws.send('slow');
        },
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const client = await Client.upgrade(port, '/');
      client.pause();
      while (ws.send(Buffer.alloc(1 << 20)) !== 2);
      report('done', calls, status, ws.send('again'), calls);
      client.destroy();
      app.close();
    };
    await assertRuns(main, {}, ({ done, uncaught }) => {
      assert.equal(uncaught, undefined);
      assert.deepEqual(done, [1, 2, 2, 2]);
    });
  });

  it('report what they throw when the outer one has returned, in order, whatever it is', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      let port;
      const sockets = [];
      const log = [];
      process.on('uncaughtException', (error) => log.push(`uncaught ${error?.message ?? error}`));
      const app = App().ws('/*', {
        open: (ws) => void sockets.push(ws),
        close: () => {
          log.push('close');
          sockets.pop()?.end();
          log.push('throws');
          throw log.length > 5 ? null : new Error(`of ${log.length}`);
        },
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const clients = await Promise.all([0, 1, 2].map(() => Client.upgrade(port, '/')));
      while (sockets.length < 3) await new Promise(setImmediate);
      sockets.pop().end();
      log.push('returned');
      while (log.filter((line) => line.startsWith('uncaught')).length < 3) await new Promise(setImmediate);
      report('log', ...log);
      for (const client of clients) client.destroy();
      app.close();
    };
    await assertRuns(main, {}, ({ log }) => {
      assert.deepEqual(log, [
        ...['close', 'close', 'close', 'throws', 'throws', 'throws', 'returned'],
        ...['uncaught of 4', 'uncaught of 5', 'uncaught null'],
      ]);
    });
  });

  it('leave the call that was outermost what it returns', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      let port;
      const sockets = [];
      const app = App({ idleTimeout: 0 }).ws('/*', {
        maxBackpressure: 1000,
        open: (ws) => void sockets.push(ws),
        dropped: () => sockets.pop().end(),
        close: () => sockets.pop()?.end(),
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const clients = [];
      for (let i = 0; i < 200; i += 1) clients.push(await Client.upgrade(port, '/'));
      for (const client of clients) client.pause();
      const first = sockets.shift();
      first.send(Buffer.alloc(1 << 25));
      report('status', first.send('dropped'), sockets.length);
      for (const client of clients) client.destroy();
      app.close();
    };
    await assertRuns(main, { timeout: PATIENCE }, ({ status }) => assert.deepEqual(status, [2, 0]));
  });

  it('are reported when nothing else is left to do', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      let ws, port;
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      const app = App().ws('/*', {
        open: (opened) => {
          ws = opened;
        },
        close: () => {
          throw new Error('of close');
        },
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const client = await Client.upgrade(port, '/');
      client.destroy();
      setImmediate(() => {
        ws.close();
        app.close();
      });
    };
    await assertRuns(main, {}, ({ uncaught }) => assert.deepEqual(uncaught, ['of close']));
  });

  it('may find no room on the stack, and the process goes on', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      let port;
      const sockets = [];
      const app = App().ws('/*', {
        open: (ws) => void sockets.push(ws),
        close: (ws, code, message) => [code, message.byteLength].join(),
        subscription: (ws, topic, is, was) => [is, was].join(),
      });
      process.on('uncaughtException', (error) => {
        if (!(error instanceof RangeError)) report('uncaught', error.message);
      });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const clients = [];
      for (let i = 0; i < 300; i += 1) clients.push(await Client.upgrade(port, '/'));
      // Each socket is closed at another distance from the end of the stack.
      for (const [i, ws] of sockets.entries()) {
        const descend = (...padding) => {
          try {
            descend(...padding);
          } catch {
            try {
              ws.subscribe('topic');
              ws.close();
            } catch (error) {
              if (!(error instanceof RangeError) && !/closed uWS/.test(error.message)) throw error;
            }
          }
        };
        descend(...Array.from({ length: i % 60 }));
      }
      report('done', sockets.length);
      for (const client of clients) client.destroy();
      app.close();
    };
    await assertRuns(main, { timeout: PATIENCE }, ({ done, uncaught }) => {
      assert.equal(uncaught, undefined);
      assert.deepEqual(done, [300]);
    });
  });
});
