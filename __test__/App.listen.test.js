'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const frames = require('./support/frames.js');
const { fetch, request } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { oursOverTLS } = require('./support/tls.js');
const { uWS, isReference, ours } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

/** Returns a handler that responds with the given text. */
const says = (text) => (res) => res.end(text);

describe('listen', () => {
  /** Listens, asserts that the callback has been called exactly once on return, and returns its result. */
  function listen(t, app, ...args) {
    const calls = [];
    assert.equal(
      app.listen(...args, (...given) => calls.push(given)),
      app,
    );
    assert.equal(calls.length, 1, 'the callback ran once, before listen returned');
    const [token, error] = calls[0];
    if (token) t.after(() => uWS.us_listen_socket_close(token));
    if (!isReference) {
      assert.equal(error instanceof Error, token === false, 'an Error with false, and with false only');
      listen.error = error;
    }
    return token;
  }

  it('takes a port', async (t) => {
    const token = listen(t, App().any('/*', says('ok')), 0);
    const port = uWS.us_socket_local_port(token);
    assert.equal((await fetch(port, '/')).body, 'ok', 'over IPv4');
    if (await hasIPv6()) {
      const client = await RawSocket.connect(port, { host: '::1' });
      client.write(request('/'));
      assert.equal((await client.readResponse()).body, 'ok', 'over IPv6');
      client.destroy();
    }
  });

  it('takes a port as text, such as an environment variable has it', ours, (t) => {
    const port = uWS.us_socket_local_port(listen(t, App(), 0));
    const token = listen(t, App(), String(port));
    assert.equal(uWS.us_socket_local_port(token), port);
    assert.equal(listen(t, App(), '65536'), false);
  });

  it('takes a host and a port', async (t) => {
    const token = listen(t, App().any('/*', says('ok')), '127.0.0.1', 0);
    const port = uWS.us_socket_local_port(token);
    assert.equal((await fetch(port, '/')).body, 'ok');
    await assert.rejects(RawSocket.connect(port, { host: '127.0.0.2' }), { code: 'ECONNREFUSED' });
  });

  it('takes a host behind the port, as node:http does', ours, async (t) => {
    for (const args of [
      [0, '127.0.0.1'],
      ['0', '127.0.0.1'],
      [0, Buffer.from('127.0.0.1')],
      [0, '127.0.0.1', uWS.LIBUS_LISTEN_EXCLUSIVE_PORT],
      [0, '127.0.0.1', undefined],
      [0, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, '127.0.0.1'],
      [0, undefined, '127.0.0.1'],
      [0, null, Buffer.from('127.0.0.1')],
    ]) {
      const port = uWS.us_socket_local_port(listen(t, App().any('/*', says('ok')), ...args));
      assert.equal((await fetch(port, '/')).body, 'ok');
      await assert.rejects(RawSocket.connect(port, { host: '127.0.0.2' }), { code: 'ECONNREFUSED' });
    }
    assert.throws(() => listen(t, App(), 0, {}), { code: 'ERR_MILLIWAYS_INVALID_DATA' });
  });

  it('takes the empty host as all addresses', ours, async (t) => {
    for (const args of [
      ['', 0],
      [0, ''],
      [0, undefined],
      [0, null],
      [undefined, 0],
    ]) {
      const port = uWS.us_socket_local_port(listen(t, App().any('/*', says('ok')), ...args));
      const client = await RawSocket.connect(port, { host: '127.0.0.2' });
      client.write(request('/'));
      assert.equal((await client.readResponse()).body, 'ok');
      client.destroy();
    }
  });

  it('tells why it failed as the servers of Node do', ours, async (t) => {
    const used = uWS.us_socket_local_port(listen(t, App(), '127.0.0.1', 0));
    for (const [options, ...args] of [
      [{ port: used, host: '127.0.0.1' }, '127.0.0.1', used, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT],
      [{ port: used, host: '127.0.0.1' }, used, '127.0.0.1', uWS.LIBUS_LISTEN_EXCLUSIVE_PORT],
      [{ port: 0, host: '192.0.2.1' }, '192.0.2.1', 0],
    ]) {
      assert.equal(listen(t, App(), ...args), false);
      const { name, message, code, errno, syscall, address, port } = listen.error;
      const theirs = await new Promise((resolve) => {
        net.createServer().on('error', resolve).listen(options);
      });
      const expected = [theirs.name, theirs.message, theirs.code, theirs.errno, theirs.syscall];
      assert.deepEqual([name, message, code, errno, syscall], expected);
      assert.deepEqual([address, port], [theirs.address, theirs.port]);
    }
  });

  it('tells that there is no such host', ours, (t) => {
    assert.equal(listen(t, App(), 'not a host', 0), false);
    const { message, code, syscall, hostname } = listen.error;
    const expected = ['getaddrinfo ENOTFOUND not a host', 'ENOTFOUND', 'getaddrinfo', 'not a host'];
    assert.deepEqual([message, code, syscall, hostname], expected);
  });

  it('refuses a port that is none, and listens nowhere else', ours, (t) => {
    const numbers = [-1, 65_536, 1.5, NaN, '65536'];
    // Without a host before them, these would be taken for hosts or for neither.
    const others = ['', ' ', '80x', true, 80n, [80], Symbol('port')];
    const failing = () => {
      throw new Error('of a method');
    };
    const objects = [
      Object.create(null),
      { toString: failing },
      { [Symbol.toPrimitive]: failing },
      Object.defineProperty({}, Symbol.toStringTag, { get: failing }),
      Proxy.revocable({}, {}).proxy,
    ];
    const description = (value) => (typeof value === 'object' ? 'a value of type object' : String(value));
    for (const args of [
      ...numbers.map((port) => [port]),
      ...[...numbers, ...others, ...objects].map((port) => ['127.0.0.1', port]),
    ]) {
      assert.equal(listen(t, App(), ...args), false);
      const { name, code, message } = listen.error;
      assert.deepEqual([name, code], ['RangeError', 'ERR_MILLIWAYS_OUT_OF_RANGE']);
      assert.ok(message.includes(description(args.at(-1))), message);
    }
  });

  it('takes a name as host', (t) => {
    assert.ok(listen(t, App(), 'localhost', 0));
  });

  it('takes a port and options', (t) => {
    assert.ok(listen(t, App(), 0, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT));
  });

  it('takes a host, a port and options', (t) => {
    assert.ok(listen(t, App(), '127.0.0.1', 0, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT));
  });

  it('gives false for a host that is none of this machine', (t) => {
    assert.equal(listen(t, App(), '192.0.2.1', 0), false);
  });

  it('gives false for a host that does not exist', (t) => {
    assert.equal(listen(t, App(), 'not a host', 0), false);
  });

  it('gives false for a port in use that it wants for itself', (t) => {
    const port = uWS.us_socket_local_port(listen(t, App(), 0));
    assert.equal(listen(t, App(), port, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT), false);
  });

  it('gives false for a port of another program', async (t) => {
    const other = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    t.after(() => other.close());
    assert.equal(listen(t, App(), '127.0.0.1', other.address().port), false);
  });

  it('shares a port by default', ours, async (t) => {
    const first = listen(t, App().any('/*', says('ok')), 0);
    const port = uWS.us_socket_local_port(first);
    assert.ok(listen(t, App().any('/*', says('ok')), port));
    for (let i = 0; i < 10; i += 1) assert.equal((await fetch(port, '/')).body, 'ok');
  });

  it('may be called several times on an App', async (t) => {
    const app = App().any('/*', says('ok'));
    for (const token of [listen(t, app, 0), listen(t, app, 0)]) {
      assert.equal((await fetch(uWS.us_socket_local_port(token), '/')).body, 'ok');
    }
  });

  it('lets an exception of its callback through, and listens all the same', async (t) => {
    const app = App().any('/*', says('ok'));
    let token;
    const call = () =>
      app.listen(0, (listenSocket) => {
        token = listenSocket;
        throw new TypeError('of the callback');
      });
    assert.throws(call, { name: 'TypeError', message: 'of the callback' });
    t.after(() => uWS.us_listen_socket_close(token));
    assert.equal((await fetch(uWS.us_socket_local_port(token), '/')).body, 'ok');
  });
});

describe('close', () => {
  it('returns the App, and does no harm to one that does not listen', () => {
    const app = App();
    assert.equal(app.close(), app);
    assert.equal(app.close(), app);
  });

  it('ends every connection, the handlers told before it returns', async (t) => {
    const log = new EventLog();
    const { app, port } = serve(t, (routes) =>
      routes
        .ws('/*', log.behavior())
        .get('/pending', (res) => {
          res.onAborted(() => log.add('aborted'));
          log.add('request');
        })
        .get('/idle', says('idle')),
    );
    const webSocket = await RawSocket.upgrade(port, '/');
    const pending = await RawSocket.connect(port);
    pending.write(request('/pending'));
    await log.next('request');
    const idle = await RawSocket.connect(port);
    idle.write(request('/idle'));
    await idle.readResponse();
    const fresh = await RawSocket.connect(port);

    assert.equal(app.close(), app);
    log.add('returned');
    assert.deepEqual(log.all.slice(-3).map(String).sort(), ['aborted', 'close,1006,', 'returned']);
    assert.deepEqual(log.all.at(-1), ['returned']);
    for (const client of [webSocket, pending, idle, fresh]) {
      assert.equal((await client.readToEnd()).toString('latin1'), '');
      client.destroy();
    }
    await assert.rejects(RawSocket.connect(port), { code: 'ECONNREFUSED' });
    await noConnectionLeft();
  });

  it('may be followed by listen', async (t) => {
    const { app, port } = serve(t, (routes) => routes.any('/*', says('again')));
    app.close();
    let token;
    app.listen('127.0.0.1', port, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket) => {
      token = listenSocket;
    });
    assert.ok(token);
    assert.equal((await fetch(port, '/')).body, 'again');
  });

  it('may be called in a handler of a request', async (t) => {
    const { app, port } = serve(t, (routes) =>
      routes.any('/*', (res) => {
        res.onAborted(() => {});
        app.close();
      }),
    );
    const client = await RawSocket.connect(port);
    client.write(request('/'));
    assert.equal((await client.readToEnd()).toString('latin1'), '');
    client.destroy();
  });

  it('may be called in the handler of a message, and no other message comes', async (t) => {
    const log = new EventLog();
    const { app, port } = serve(t, (routes) => routes.ws('/*', log.behavior({ message: () => app.close() })));
    const client = await RawSocket.upgrade(port, '/');
    client.write(Buffer.concat([frames.text('one'), frames.text('two')]));
    assert.equal((await client.readToEnd()).toString('hex'), '');
    assert.deepEqual(log.all, [['open'], ['message', 'one', false], ['close', 1006, '']]);
    client.destroy();
  });

  it('leaves another App alone', async (t) => {
    const first = serve(t, (app) => app.any('/*', says('first')));
    const second = serve(t, (app) => app.any('/*', says('second')));
    first.app.close();
    assert.equal((await fetch(second.port, '/')).body, 'second');
  });
});

describe('an App', () => {
  it('can be extended, and its methods replaced', async (t) => {
    const { port } = serve(t, (app) => {
      app.name = 'mine';
      const any = app.any;
      app.any = (pattern, handler) => any.call(app, `/prefix${pattern}`, handler);
      app.any('/x', says(app.name));
    });
    assert.equal((await fetch(port, '/prefix/x')).body, 'mine');
  });

  it('and its routes outlive every reference to it while it listens', async () => {
    const { code, reports } = await Script.run(
      async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, report }) => {
        let port;
        App()
          .get('/x', (res) => res.end('collected'))
          .listen('127.0.0.1', 0, (token) => {
            port = localPort(token);
          });
        for (let i = 0; i < 5; i += 1) {
          globalThis.gc();
          await new Promise((resolve) => setImmediate(resolve));
        }
        const client = await Client.connect(port);
        client.write('GET /x HTTP/1.1\r\nHost: a\r\n\r\n');
        report('body', (await client.readResponse()).body);
        process.exit(0);
      },
      { execArgv: ['--expose-gc'] },
    );
    assert.deepEqual({ code, reports }, { code: 0, reports: [['body', 'collected']] });
  });
});

describe('a process', () => {
  it('that has an App which never listened ends by itself', async () => {
    const { code, signal } = await Script.run(({ App }) => App().any('/*', () => {}));
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
  });

  it('lives while it listens, and ends by itself once it does not and its connections are gone', async () => {
    const script = new Script(({ App, uWS: { us_listen_socket_close: close, us_socket_local_port: port }, report }) => {
      let token;
      App()
        .get('/', (res) => res.end('alive'))
        .get('/close', (res) => {
          close(token);
          res.end('closed', true);
        })
        .listen('127.0.0.1', 0, (listenSocket) => {
          token = listenSocket;
          report('port', port(token));
        });
    });
    const [port] = await script.next('port');
    for (let i = 0; i < 20; i += 1) assert.equal((await fetch(port, '/')).body, 'alive');
    assert.equal((await fetch(port, '/close')).body, 'closed');
    const { code, signal } = await script.exit(5_000);
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
  });

  it('ends by itself after app.close()', async () => {
    const { code, signal } = await Script.run(
      ({ App }) => {
        const app = App();
        app.listen(0, () => {});
        setImmediate(() => app.close());
      },
      { timeout: 5_000 },
    );
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
  });

  it('that no longer listens lives for the WebSockets it still has', async () => {
    const script = new Script(({ App, uWS: { us_listen_socket_close: close, us_socket_local_port: port }, report }) => {
      let token;
      App()
        .ws('/*', {
          open: () => close(token),
          message: (ws, message) => ws.send(message),
          close: (ws, code) => report('close', code),
        })
        .listen('127.0.0.1', 0, (listenSocket) => {
          token = listenSocket;
          report('port', port(token));
        });
    });
    const [port] = await script.next('port');
    const client = await RawSocket.upgrade(port, '/');
    // If the connection did not keep the loop alive, the process would have ended by the second message.
    for (let i = 0; i < 20; i += 1) {
      client.write(frames.text(`${i}`));
      assert.equal((await client.readFrame()).payload.toString(), `${i}`);
    }
    client.write(frames.close(1000));
    await client.readClose();
    client.destroy();
    const { code, signal, reports } = await script.exit(5_000);
    assert.deepEqual({ code, signal, last: reports.at(-1) }, { code: 0, signal: null, last: ['close', 1000] });
  });

  // uWebSockets.js discards a message that a close_notify follows.
  it('may exit in any handler, with connections open', oursOverTLS, async () => {
    for (const place of ['open', 'message', 'close', 'request']) {
      const { code, signal } = await Script.run(
        async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, frames: { text } }, where) => {
          const exit = (handler) => {
            if (handler === where) process.exit(7);
          };
          let port;
          App()
            .ws('/*', {
              open: () => exit('open'),
              message: () => exit('message'),
              close: () => exit('close'),
            })
            .any('/*', () => exit('request'))
            .listen('127.0.0.1', 0, (token) => {
              port = localPort(token);
            });
          const client = await Client.connect(port);
          if (where === 'request') {
            client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
            return;
          }
          (await Client.upgrade(port, '/')).write(text('x')).end();
        },
        { args: [place] },
      );
      assert.deepEqual({ place, code, signal }, { place, code: 7, signal: null });
    }
  });
});

async function hasIPv6() {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(0, '::1', () => server.close(() => resolve(true)));
  });
}

after(noConnectionLeft);
