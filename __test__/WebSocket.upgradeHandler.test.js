'use strict';

// Requests that their upgrade handler turns into WebSockets.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket, upgradeRequest } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { withoutDate } = require('./support/http.js');
const { DONE } = require('./support/response.js');
const { serve } = require('./support/server.js');
const { overTLS } = require('./support/tls.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

const HEAD =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nDate: -\r\nuWebSockets: 20\r\n\r\n';

/** Upgrades with the fields of the request. */
function accept(res, req, context, userData = {}) {
  const [key, protocol, extensions] = ['key', 'protocol', 'extensions'].map((name) =>
    req.getHeader(`sec-websocket-${name}`),
  );
  return res.upgrade(userData, key, protocol, extensions, context);
}

/** Serves a WebSocket route with this upgrade handler, and logs its events. */
function serveUpgrade(t, upgrade, more = {}) {
  const log = new EventLog();
  const { port } = serve(t, (app) => {
    app.ws('/*', { upgrade: (res, req, context) => upgrade(res, req, context, log), ...log.behavior(more) });
    app.any('/*', (res) => res.end('no WebSocket'));
  });
  return { port, log };
}

describe('an upgrade handler', () => {
  it('may use the context of another app, which then has the WebSocket', ours, async (t) => {
    const log = new EventLog();
    let kept;
    const other = serve(t, (app) => {
      const upgrade = (res, req, context) => {
        kept = context;
        res.writeStatus('403 Forbidden').end();
      };
      app.ws('/*', { upgrade, ...log.behavior({ open: (ws) => ws.subscribe('topic') }) });
    });
    const { app, port } = serve(t, (routes) => routes.ws('/*', { upgrade: (res, req) => accept(res, req, kept) }));
    const asking = await RawSocket.connect(other.port);
    asking.write(upgradeRequest());
    await asking.readHead();
    asking.destroy();
    // Nothing but this WebSocket keeps the other app's handlers.
    uWS.us_listen_socket_close(other.token);
    await noConnectionLeft();
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(other.app.publish('topic', 'from the other app'), true);
    assert.equal(await client.readText(), 'from the other app');
    assert.equal(app.numSubscribers('topic'), 0);
    client.end();
    await log.next('close');
    client.destroy();
  });

  it('that is null is none, as is any other', ours, async (t) => {
    const { port } = serve(t, (app) => {
      app.ws('/*', { upgrade: null, open: null, close: null, message: (ws, message) => ws.send(message) });
    });
    const client = await RawSocket.upgrade(port, '/');
    client.write(frames.text('hello'));
    assert.equal(await client.readText(), 'hello');
    client.destroy();
  });

  it('gets what reading the user data throws, and can still answer', ours, async (t) => {
    const { port } = serveUpgrade(t, (res, req, context) => {
      const userData = {
        get broken() {
          throw new Error('of the getter');
        },
      };
      assert.throws(() => accept(res, req, context, userData), /of the getter/);
      res.writeStatus('400 Bad Request').end('no');
    });
    const client = await RawSocket.connect(port);
    client.write(upgradeRequest('/'));
    assert.equal((await client.readResponse()).status, 400);
    client.destroy();
  });

  it('opens the WebSocket before upgrade returns, which is undefined', async (t) => {
    const { port, log } = serveUpgrade(t, (res, req, context, log) => {
      log.add('returned', accept(res, req, context));
      if (!ours.skip) assert.throws(() => res.end(), DONE);
    });
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(withoutDate(client.head), HEAD);
    assert.deepEqual(log.all, [['open'], ['returned', undefined]]);
    client.write(frames.text('hello'));
    assert.deepEqual(await log.next('message'), ['hello', false]);
    client.destroy();
    await log.next('close');
  });

  it('gives the WebSocket the properties of its data, those of symbols too', async (t) => {
    const symbol = Symbol('of the user');
    const data = Object.assign(Object.create({ inherited: 1 }), { name: 'n', [symbol]: 2 });
    let seen;
    const { port } = serveUpgrade(t, (res, req, context) => accept(res, req, context, data), {
      open: (ws) => {
        seen = [ws.name, ws[symbol], ws.inherited, ws.getUserData() === ws];
      },
    });
    (await RawSocket.upgrade(port, '/')).destroy();
    assert.deepEqual(seen, ['n', 2, undefined, true]);
  });

  it('may give no data', ours, async (t) => {
    for (const data of [undefined, null, 5, 'text']) {
      const { port, log } = serveUpgrade(t, (res, req, context) => accept(res, req, context, data));
      (await RawSocket.upgrade(port, '/')).destroy();
      await log.next('close');
    }
  });

  for (const [offered, given, chosen] of [
    ['a, b', undefined, 'a'],
    ['a, b', 'b', 'b'],
    ['a, b', 'b, a', 'b'],
    ['a', '', undefined],
    ['a', new Uint8Array(0), undefined],
    [undefined, undefined, undefined],
  ]) {
    it(`chooses the subprotocol ${chosen} of ${offered} when it gives ${given === undefined ? 'that' : `'${given}'`}`, async (t) => {
      const { port } = serveUpgrade(t, (res, req, context) => {
        const protocol = given ?? req.getHeader('sec-websocket-protocol');
        res.upgrade({}, req.getHeader('sec-websocket-key'), protocol, '', context);
      });
      const client = await RawSocket.upgrade(port, '/', { headers: { 'Sec-WebSocket-Protocol': offered } });
      const line = chosen === undefined ? '' : `Sec-WebSocket-Protocol: ${chosen}\r\n`;
      assert.equal(withoutDate(client.head), HEAD.replace('Date', `${line}Date`));
      client.destroy();
    });
  }

  it('may write headers of its own', async (t) => {
    const { port } = serveUpgrade(t, (res, req, context) => {
      res.writeStatus('101 Switching Protocols').writeHeader('Set-Cookie', 'a=b');
      accept(res, req, context);
    });
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(withoutDate(client.head), HEAD.replace('Upgrade: w', 'Set-Cookie: a=b\r\nUpgrade: w'));
    client.destroy();
  });

  for (const [when, wait] of [
    ['at once', () => {}],
    ['in a microtask', () => Promise.resolve()],
    ['later, when what was written before has gone out', turn],
  ]) {
    it(`may write headers and no status: upgraded ${when} it is 101`, ours, async (t) => {
      const { port, log } = serveUpgrade(t, async (res, req, context, log) => {
        const key = req.getHeader('sec-websocket-key');
        res.onAborted(() => log.add('aborted'));
        res.writeHeader('Set-Cookie', 'HTTP/1.1 200 OK');
        await wait();
        res.cork(() => res.writeHeader('X-Other', 'c').upgrade({}, key, '', '', context));
      });
      const client = await RawSocket.connect(port);
      client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n' + upgradeRequest('/'));
      assert.equal((await client.readResponse()).body, 'no WebSocket');
      const headers = 'Set-Cookie: HTTP/1.1 200 OK\r\nX-Other: c\r\n';
      assert.equal(withoutDate(await client.readHead()), HEAD.replace('Upgrade: w', `${headers}Upgrade: w`));
      client.write(frames.text('hello'));
      assert.deepEqual(await log.next('message'), ['hello', false]);
      client.destroy();
      await log.next('close');
    });

    it(`may write headers and no status: answered ${when} it is 200`, ours, async (t) => {
      const { port } = serveUpgrade(t, async (res) => {
        res.onAborted(() => {});
        res.writeHeader('X-Some', 'b');
        await wait();
        res.cork(() => res.writeStatus('404 Not Found').writeHeader('X-Other', 'c').end('no'));
      });
      const client = await RawSocket.connect(port);
      client.write(upgradeRequest('/') + upgradeRequest('/'));
      for (let i = 0; i < 2; i += 1) {
        const { head, body } = await client.readResponse();
        assert.match(head, /^HTTP\/1\.1 200 OK\r\nX-Some: b\r\nX-Other: c\r\nDate: /);
        assert.equal(body, 'no');
      }
      client.destroy();
    });
  }

  it('gets several lines of subprotocols and extensions as one list', ours, async (t) => {
    const seen = [];
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        compression: uWS.SHARED_COMPRESSOR,
        upgrade: (res, req, context) => {
          seen.push(req.getHeader('sec-websocket-protocol'), req.getHeader('sec-websocket-extensions'));
          accept(res, req, context);
        },
      }),
    );
    const client = await RawSocket.connect(port);
    client.write(
      upgradeRequest('/', {
        'Sec-WebSocket-Protocol': 'a, b',
        'Sec-WebSocket-Extensions': 'x-other',
        'sec-websocket-protocol': 'c',
        'sec-websocket-extensions': 'permessage-deflate',
      }),
    );
    const head = await client.readHead();
    assert.deepEqual(seen, ['a, b, c', 'x-other, permessage-deflate']);
    assert.match(head, /\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Extensions: permessage-deflate; /);
    client.destroy();
  });

  it('may refuse, pass on, and see parameters', async (t) => {
    const log = new EventLog();
    const { port } = serve(t, (app) => {
      app.ws('/room/:name', {
        upgrade: (res, req, context) => {
          if (req.getParameter(0) === 'open') accept(res, req, context);
          else if (req.getParameter('name') === 'other') req.setYield(true);
          else res.writeStatus('403 Forbidden').end('no');
        },
        open: () => log.add('open'),
      });
      app.ws('/*', { open: () => log.add('open anyway') });
    });
    const ask = async (path) => {
      const client = await RawSocket.connect(port);
      client.write(upgradeRequest(path));
      const head = await client.readHead();
      client.destroy();
      return head.split('\r\n')[0];
    };
    assert.equal(await ask('/room/closed'), 'HTTP/1.1 403 Forbidden');
    assert.equal(await ask('/room/open'), 'HTTP/1.1 101 Switching Protocols');
    assert.equal(await ask('/room/other'), 'HTTP/1.1 101 Switching Protocols');
    assert.deepEqual(log.all, [['open'], ['open anyway']]);
  });

  it('is not asked about what is no request for a WebSocket, or for one of another version', ours, async (t) => {
    const { port, log } = serveUpgrade(t, (res, req, context, log) => log.add('asked'));
    const client = await RawSocket.connect(port);
    client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    assert.equal((await client.readResponse()).body, 'no WebSocket');
    client.write(upgradeRequest('/', { 'Sec-WebSocket-Version': '8' }));
    assert.match((await client.readToEnd()).toString(), /^HTTP\/1\.1 426 Upgrade Required\r\n/);
    assert.deepEqual(log.all, []);
  });

  it('may take its time, with what the client sends meanwhile', ours, async (t) => {
    const { port, log } = serveUpgrade(t, async (res, req, context, log) => {
      const key = req.getHeader('sec-websocket-key');
      res.onAborted(() => log.add('aborted'));
      await turn();
      await turn();
      res.cork(() => res.upgrade({}, key, '', '', context));
    });
    const client = await RawSocket.connect(port);
    client.write(Buffer.concat([Buffer.from(upgradeRequest('/')), frames.text('early')]));
    assert.equal(withoutDate(await client.readHead()), HEAD);
    assert.deepEqual(await log.next('message'), ['early', false]);
    client.destroy();
    await log.next('close');
    assert.equal(log.count('aborted'), 0);
  });

  it('hears when the client goes while it takes its time, and cannot upgrade any more', async (t) => {
    const { port, log } = serveUpgrade(t, (res, req, context, log) => {
      res.onAborted(() => log.add('aborted', () => res.upgrade({}, 'dGhlIHNhbXBsZSBub25jZQ==', '', '', context)));
      log.add('asked');
    });
    const client = await RawSocket.connect(port);
    client.write(upgradeRequest('/'));
    await log.next('asked');
    client.destroy();
    const [upgrade] = await log.next('aborted');
    assert.throws(upgrade, DONE);
  });

  it('that upgrades wrongly is told, and can do better', ours, async (t) => {
    const { port } = serveUpgrade(t, (res, req, context) => {
      const key = req.getHeader('sec-websocket-key');
      res.onAborted(() => {});
      for (const wrong of [undefined, null, {}, 0, Object.create(context)]) {
        const expected = { name: 'TypeError', code: 'ERR_MILLIWAYS_INVALID_UPGRADE' };
        assert.throws(() => res.upgrade({}, key, '', '', wrong), expected);
      }
      assert.throws(() => res.upgrade({}, key, ''), { code: 'ERR_MILLIWAYS_MISSING_ARGUMENT' });
      assert.throws(() => res.upgrade({}, {}, '', '', context), { code: 'ERR_MILLIWAYS_INVALID_DATA' });
      assert.throws(() => res.upgrade({}, key, 'a\r\nb: c', '', context), { code: 'ERR_MILLIWAYS_INVALID_UPGRADE' });
      for (const wrong of [
        '',
        undefined,
        'x',
        key.slice(1),
        `${key}=`,
        ` ${key}`,
        '='.repeat(24),
        'A'.repeat(24),
        'é'.repeat(12),
      ]) {
        assert.throws(() => res.upgrade({}, wrong, '', '', context), {
          name: 'Error',
          code: 'ERR_MILLIWAYS_INVALID_UPGRADE',
          message: /sec-websocket-key/,
        });
      }
      accept(res, req, context);
    });
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(withoutDate(client.head), HEAD);
    client.destroy();
  });

  it(
    'gives the WebSocket what a peer may have chosen as properties of its own, and no other prototype',
    ours,
    async (t) => {
      const log = new EventLog();
      const userData = JSON.parse('{"__proto__":{"isAdmin":true},"constructor":1,"toString":2,"name":"x"}');
      let isSet = false;
      const set = () => {
        isSet = true;
      };
      Object.defineProperty(Object.prototype, 'inherited', { set, configurable: true });
      t.after(() => delete Object.prototype.inherited);
      const { port } = serve(t, (app) =>
        app.ws('/*', {
          upgrade: (res, req, context) => {
            Object.defineProperty(userData, 'inherited', { value: 'own', enumerable: true });
            res.upgrade(userData, req.getHeader('sec-websocket-key'), '', '', context);
          },
          open: (ws) => log.add('open', ws),
        }),
      );
      const client = await RawSocket.upgrade(port, '/');
      const [ws] = await log.next('open');
      assert.equal(ws.send('works'), 1);
      assert.equal(ws.isAdmin, undefined);
      assert.equal(Object.getPrototypeOf(ws).constructor.name, overTLS ? 'uWS.SSLWebSocket' : 'uWS.WebSocket');
      assert.deepEqual([ws.constructor, ws.toString, ws.name, ws.inherited, isSet], [1, 2, 'x', 'own', false]);
      assert.ok(!Object.hasOwn(ws, '__proto__'));
      client.destroy();
    },
  );

  it('whose open handler throws has its WebSocket nevertheless', ours, async () => {
    const { Script } = require('./support/Script.js');
    const { code, reports } = await Script.run(async ({ App, uWS, RawSocket: Client, report }) => {
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      const app = App().ws('/*', {
        upgrade: (res, req, context) => {
          res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context);
          report('returned');
        },
        open: () => {
          throw new Error('of open');
        },
      });
      app.listen('127.0.0.1', 0, async (token) => {
        const client = await Client.upgrade(uWS.us_socket_local_port(token), '/');
        report('open');
        client.destroy();
        app.close();
      });
    });
    assert.deepEqual({ code, reports }, { code: 0, reports: [['returned'], ['uncaught', 'of open'], ['open']] });
  });

  it('knows where a WebSocket comes from', async (t) => {
    let seen;
    const { port } = serveUpgrade(t, (res, req, context) => accept(res, req, context), {
      open: (ws) => {
        const text = Buffer.from(ws.getRemoteAddressAsText()).toString();
        seen = [Buffer.from(ws.getRemoteAddress()).toString('hex'), text, ws.getRemotePort() > 0];
      },
    });
    (await RawSocket.upgrade(port, '/')).destroy();
    assert.deepEqual(seen, ['7f000001', '127.0.0.1', true]);
  });
});
