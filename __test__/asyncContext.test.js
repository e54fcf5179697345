'use strict';

// In a handler, an AsyncLocalStorage returns the value it had where the handler was registered, whatever others have
// entered.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { Script } = require('./support/Script.js');
const { KINDS, assertReports } = require('./support/asyncContext.js');
const { ours } = require('./support/uws.js');

for (const kind of Object.keys(KINDS)) {
  describe(`an AsyncLocalStorage, its stores in ${kind}`, ours, () => {
    it('shows no handler what one of another connection has entered', async () => {
      await assertReports(
        kind,
        async ({ App, uWS, RawSocket: Client, frames, report }) => {
          const { AsyncLocalStorage } = require('node:async_hooks');
          const [storage, second] = [new AsyncLocalStorage(), new AsyncLocalStorage()];
          const seen = {};
          const note = (name) => {
            seen[name] ??= new Set();
            seen[name].add(String(storage.getStore())).add(String(second.getStore()));
            storage.enterWith(name);
            second.run('inside', () => storage.getStore());
            second.enterWith(name);
            if (storage.getStore() !== name || second.getStore() !== name) report('lost', name);
          };
          const sockets = [];
          const app = App()
            .ws('/*', {
              maxBackpressure: 1,
              upgrade: (res, req, context) => {
                note('upgrade');
                res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context);
              },
              open: (ws) => {
                note('open');
                sockets.push(ws);
                ws.subscribe('topic');
              },
              subscription: () => note('subscription'),
              message: (ws, message) => {
                note('message');
                if (message.byteLength === 3) {
                  ws.send(Buffer.alloc(1 << 24));
                  ws.send('dropped');
                  sockets.find((other) => other !== ws).end();
                }
              },
              dropped: () => note('dropped'),
              drain: () => note('drain'),
              ping: () => note('ping'),
              pong: () => note('pong'),
              close: () => note('close'),
            })
            .get('/*', (res) => {
              note('get');
              setImmediate(() => res.cork(() => res.end('ok')));
              res.onAborted(() => {});
            })
            .filter(() => note('filter'));
          let port;
          app.listen('127.0.0.1', 0, (token) => {
            port = uWS.us_socket_local_port(token);
          });
          const http = await Client.connect(port);
          for (let i = 0; i < 3; i += 1) {
            http.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
            await http.readResponse();
          }
          const clients = [await Client.upgrade(port, '/'), await Client.upgrade(port, '/')];
          for (const client of clients) {
            client.write(Buffer.concat([frames.text('a'), frames.ping('b'), frames.pong('c'), frames.text('d')]));
            await client.readFrame();
          }
          storage.run('outside', () => {
            sockets[1].send(Buffer.alloc(1 << 24));
            sockets[1].send('dropped');
            sockets[1].subscribe('another');
            if (storage.getStore() !== 'outside') report('lost', 'outside');
          });
          clients[0].write(frames.text('end'));
          while ((await clients[0].readFrame()).payload.length < 1 << 24);
          for (const client of [http, ...clients]) client.destroy();
          const all = [
            'upgrade',
            'open',
            'subscription',
            'message',
            'dropped',
            'drain',
            'ping',
            'pong',
            'close',
            'get',
          ];
          while (![...all, 'filter'].every((name) => seen[name])) await new Promise(setImmediate);
          app.close();
          for (const name of [...all, 'filter']) report(name, ...seen[name]);
        },
        [
          ...[
            'upgrade',
            'open',
            'subscription',
            'message',
            'dropped',
            'drain',
            'ping',
            'pong',
            'close',
            'get',
            'filter',
          ],
        ].map((name) => [name, 'undefined']),
      );
    });

    it('shows a handler what was there when its route was registered, or it was attached', async () => {
      await assertReports(
        kind,
        async ({ App, uWS, RawSocket: Client, frames, report }) => {
          const { AsyncLocalStorage } = require('node:async_hooks');
          const storage = new AsyncLocalStorage();
          const seen = new Set();
          const see = (name) => {
            seen.add(`${name}: ${storage.getStore()}`);
            storage.enterWith('of a handler');
          };
          const app = App();
          storage.run('of the ws route', () =>
            app.ws('/*', {
              message: (ws) => {
                see('message');
                storage.run('inner', () => ws.end());
                seen.add(`after end: ${storage.getStore()}`);
              },
              close: () => see('close'),
            }),
          );
          storage.run('of the post route', () =>
            app.post('/*', (res) => {
              see('post');
              res.onAborted(() => {});
              storage.run('of the request', () => res.onData((_, isLast) => see('data') ?? (isLast && res.end('ok'))));
            }),
          );
          let port;
          app.listen('127.0.0.1', 0, (token) => {
            port = uWS.us_socket_local_port(token);
          });
          for (let i = 0; i < 2; i += 1) {
            const client = await Client.upgrade(port, '/');
            client.write(frames.text('x'));
            await client.readFrame();
            client.destroy();
            const http = await Client.connect(port);
            http.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx');
            await http.readResponse();
            http.destroy();
          }
          app.close();
          report('seen', ...seen);
        },
        [
          [
            'seen',
            ...['message: of the ws route', 'close: of the ws route', 'after end: of a handler'],
            ...['post: of the post route', 'data: of the request'],
          ],
        ],
      );
    });

    it('shows no handler what one of another connection has entered, when the module is evaluated anew', async () => {
      await assertReports(
        kind,
        async ({ uWS, modulePath, RawSocket: Client, frames, report, overTLS, serverOptions }) => {
          const { AsyncLocalStorage } = require('node:async_hooks');
          const dist = require('node:path').dirname(modulePath);
          // Evaluates the module again, as jest does; the addon stays loaded.
          for (const file of Object.keys(require.cache)) {
            if (file.startsWith(dist) && !file.endsWith('.node')) delete require.cache[file];
          }
          const storage = new AsyncLocalStorage();
          for (const module of [uWS, require(modulePath)]) {
            const seen = new Set();
            const enter = (ws) => {
              seen.add(String(storage.getStore()));
              storage.enterWith('entered');
              ws?.send('seen');
            };
            const app = (overTLS ? module.SSLApp(serverOptions) : module.App()).ws('/*', {
              open: () => enter(),
              message: enter,
              ping: enter,
            });
            let port;
            app.listen('127.0.0.1', 0, (token) => {
              port = uWS.us_socket_local_port(token);
            });
            const clients = [await Client.upgrade(port, '/'), await Client.upgrade(port, '/')];
            for (const client of [...clients, ...clients]) {
              client.write(frames.text('a'));
              await client.readText();
            }
            for (const client of clients) client.destroy();
            app.close();
            report('seen', ...seen);
          }
        },
        [
          ['seen', 'undefined'],
          ['seen', 'undefined'],
        ],
      );
    });

    it('shows no handler what others have entered, however often the module is evaluated anew', async () => {
      await assertReports(
        kind,
        async ({ uWS, modulePath, RawSocket: Client, frames, report, overTLS, serverOptions }) => {
          const { AsyncLocalStorage } = require('node:async_hooks');
          const dist = require('node:path').dirname(modulePath);
          const evaluate = () => {
            for (const file of Object.keys(require.cache)) {
              if (file.startsWith(dist) && !file.endsWith('.node')) delete require.cache[file];
            }
            return require(modulePath);
          };
          // The module is evaluated while the storage has a value, after it was evaluated without one.
          const storage = new AsyncLocalStorage();
          const inside = storage.run('of the program', evaluate);
          // For most repetitions it is enough to evaluate the file that handles stores.
          const scope = require('node:path').join(dist, 'scope.js');
          for (let i = 0; i < 3000; i += 1) {
            delete require.cache[scope];
            require(scope);
          }
          for (const module of [uWS, inside, evaluate()]) {
            const seen = new Set();
            const enter = (ws) => {
              seen.add(String(storage.getStore()));
              storage.enterWith('entered');
              seen.add(String(storage.getStore()));
              ws?.send('seen');
            };
            const app = (overTLS ? module.SSLApp(serverOptions) : module.App()).ws('/*', {
              open: () => enter(),
              message: enter,
            });
            let port;
            app.listen('127.0.0.1', 0, (token) => {
              port = uWS.us_socket_local_port(token);
            });
            const client = await Client.upgrade(port, '/');
            for (let i = 0; i < 2; i += 1) {
              client.write(frames.text('a'));
              await client.readText();
            }
            client.destroy();
            app.close();
            report('seen', ...seen);
          }
        },
        [
          ['seen', 'undefined', 'entered'],
          ['seen', 'undefined', 'entered'],
          ['seen', 'undefined', 'entered'],
        ],
      );
    });

    it('shows nothing of others after a handler has thrown', async () => {
      await assertReports(
        kind,
        async ({ App, uWS, RawSocket: Client, frames, report }) => {
          const { AsyncLocalStorage } = require('node:async_hooks');
          const storage = new AsyncLocalStorage();
          const seen = [];
          const note = (name) => {
            seen.push(`${name}: ${storage.getStore()}`);
            storage.enterWith(name);
          };
          process.on('uncaughtException', () => {});
          const app = App().ws('/*', {
            upgrade: (res, req, context) => {
              note('upgrade');
              res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context);
              throw new Error('of upgrade');
            },
            open: (ws) => {
              note('open');
              if (ws) throw new Error('of open');
            },
            message: (ws, message) => {
              note('message');
              if (message.byteLength === 5) throw new Error('of message');
              if (message.byteLength === 4) ws.send('last');
            },
            ping: () => {
              note('ping');
              throw new Error('of ping');
            },
            close: () => note('close'),
          });
          let port;
          app.listen('127.0.0.1', 0, (token) => {
            port = uWS.us_socket_local_port(token);
          });
          for (let i = 0; i < 2; i += 1) {
            const client = await Client.upgrade(port, '/');
            client.write(
              Buffer.concat([
                ...['throw', 'next', 'throw'].map((text) => frames.text(text)),
                ...[frames.ping('throw'), frames.text('last')],
              ]),
            );
            while ((await client.readFrame()).payload.toString() !== 'last');
            client.destroy();
          }
          while (seen.filter((line) => line.startsWith('close')).length < 2) await new Promise(setImmediate);
          report('seen', ...new Set(seen));
          report('outside', String(storage.getStore()));
          app.close();
        },
        [
          ['seen', ...['upgrade', 'open', 'message', 'ping', 'close'].map((name) => `${name}: undefined`)],
          ['outside', 'undefined'],
        ],
      );
    });

    it('shows each piece of a body what was there when its handler was attached', async () => {
      await assertReports(
        kind,
        async ({ App, uWS, RawSocket: Client, report }) => {
          const { AsyncLocalStorage } = require('node:async_hooks');
          const [storage, second] = [new AsyncLocalStorage(), new AsyncLocalStorage()];
          const seen = [];
          const app = App().post('/*', (res) => {
            res.onAborted(() => {});
            storage.run('of the request', () =>
              res.onData((_, isLast) => {
                seen.push(`${storage.getStore()} ${second.getStore()}`);
                storage.enterWith('of a piece');
                second.enterWith('of a piece');
                if (isLast) res.end('ok');
              }),
            );
          });
          let port;
          app.listen('127.0.0.1', 0, (token) => {
            port = uWS.us_socket_local_port(token);
          });
          const client = await Client.connect(port);
          client.write('POST /* HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n');
          for (let i = 0; i < 3; i += 1) {
            client.write('x');
            while (seen.length <= i) await new Promise(setImmediate);
          }
          await client.readResponse();
          client.destroy();
          app.close();
          report('seen', ...seen);
        },
        [['seen', ...Array.from({ length: 3 }, () => 'of the request undefined')]],
      );
    });

    it('goes on in what a handler has put off', async () => {
      await assertReports(
        kind,
        async ({ App, uWS, RawSocket: Client, frames, report }) => {
          const { AsyncLocalStorage } = require('node:async_hooks');
          const storage = new AsyncLocalStorage();
          const seen = [];
          const app = App().ws('/*', {
            message: async (ws, message) => {
              const name = Buffer.from(message).toString();
              storage.enterWith(name);
              await null;
              seen.push(`${name} await ${storage.getStore()}`);
              process.nextTick(() => seen.push(`${name} tick ${storage.getStore()}`));
              setImmediate(() => {
                seen.push(`${name} immediate ${storage.getStore()}`);
                ws.send('done');
              });
            },
          });
          let port;
          app.listen('127.0.0.1', 0, (token) => {
            port = uWS.us_socket_local_port(token);
          });
          const client = await Client.upgrade(port, '/');
          client.write(Buffer.concat([frames.text('a'), frames.text('b')]));
          await client.readText();
          await client.readText();
          client.destroy();
          app.close();
          report('seen', ...seen.sort());
        },
        [
          [
            'seen',
            ...['a', 'b'].flatMap((name) => ['await', 'immediate', 'tick'].map((how) => `${name} ${how} ${name}`)),
          ],
        ],
      );
    });
  });
}

describe('hooks of async_hooks', ours, () => {
  it('are told when what was attached to responses has gone', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      const kept = new Set();
      let count = 0;
      const hook = {
        init: (id, type) => {
          if (type !== 'milliways') return;
          count += 1;
          kept.add(id);
        },
        destroy: (id) => kept.delete(id),
      };
      require('node:async_hooks').createHook(hook).enable();
      const app = App().post('/*', (res) => {
        res.onAborted(() => {});
        res.onData((_, isLast) => isLast && res.end('ok'));
      });
      let port;
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const client = await Client.connect(port);
      for (let i = 0; i < 100; i += 1) {
        client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx');
        await client.readResponse();
      }
      for (let i = 0; i < 100 && kept.size > 10; i += 1) {
        globalThis.gc();
        await new Promise(setImmediate);
      }
      report('told', count >= 200, kept.size <= 10);
      client.destroy();
      app.close();
    };
    const { code, stderr, reports } = await Script.run(main, { execArgv: ['--expose-gc'] });
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [['told', true, true]] });
  });
});
