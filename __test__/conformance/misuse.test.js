'use strict';

// No program can crash the process through the interface. Every function of the module and every method of its objects
// is called with all kinds of values, in every state of the objects. Whether it returns or throws, the server must
// still respond afterwards.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { once } = require('node:events');
const WebSocketClient = require('ws');
const { RawSocket } = require('../support/RawSocket.js');
const { fetch, request } = require('../support/http.js');
const { clientOptions, webSocketUrl } = require('../support/tls.js');
const { uWS, ours } = require('../support/uws.js');
const { App, serve } = require('../support/server.js');

/**
 * Returns values that a program may pass by mistake or malice. They are created anew each time, because calls use some
 * up.
 */
function values() {
  const detached = new ArrayBuffer(8);
  structuredClone(detached, { transfer: [detached] });
  const throwing = new Proxy(
    {},
    {
      get() {
        throw new RangeError('from a getter');
      },
    },
  );
  return [
    undefined,
    null,
    true,
    0,
    -1,
    1.5,
    NaN,
    Infinity,
    2 ** 31,
    2 ** 53,
    10n,
    Symbol('symbol'),
    '',
    'text',
    'lone \ud800 surrogate',
    'x'.repeat(100_000),
    'a\r\nb: c',
    new ArrayBuffer(0),
    new ArrayBuffer(70_000),
    detached,
    new SharedArrayBuffer(8),
    new Uint8Array(new SharedArrayBuffer(8), 2, 3),
    new Float64Array(3),
    new BigUint64Array(2),
    new DataView(new ArrayBuffer(4)),
    Buffer.from('buffer'),
    [],
    {},
    throwing,
    Object.create(null),
    () => {},
    () => {
      throw new RangeError('from a callback');
    },
    class {},
    new Date(),
    /x/,
    new Map(),
  ];
}

/** Calls a method without arguments, and with each value alone, before and after others. Exceptions are ignored. */
function callWithEverything(call, name) {
  for (const value of [values(), values()].flat()) {
    for (const parameters of [[], [value], [value, value], ['/x', value], [value, () => {}], [1, value, value]]) {
      try {
        call(...parameters);
      } catch (error) {
        assert.ok(error instanceof Error, `${name} threw ${String(error)}`);
      }
    }
  }
}

/** Returns all methods of an object, including those of its class. */
function methodsOf(object) {
  const names = new Set();
  for (let at = object; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  names.delete('constructor');
  return [...names].filter((name) => typeof object[name] === 'function');
}

/** Misuses every method of a reusable object, on the object itself and on lookalikes. */
function misuse(object, { but = [] } = {}) {
  const fakes = [object, Object.create(object), {}, null, new Proxy(object, {})];
  for (const name of methodsOf(object)) {
    if (but.includes(name)) continue;
    for (const self of fakes) callWithEverything((...values) => object[name].apply(self, values), name);
  }
}

/** Methods that complete a response, or after which it is no longer one. */
const ENDINGS = ['end', 'endWithoutBody', 'tryEnd', 'upgrade', 'close'];

describe('whatever a program passes', ours, () => {
  it('the functions of the module live through it', () => {
    for (const [name, member] of Object.entries(uWS)) {
      // A timer's callback would throw without anybody to catch it.
      if (typeof member === 'function' && name !== 'setTimeout') callWithEverything(member, name);
    }
  });

  it('an app lives through it', (t) => {
    const tokens = [];
    const app = App();
    t.after(() => app.close());
    // With all values as ports and hosts, `listen` would look up names and open hundreds of sockets.
    misuse(app, { but: ['listen'] });
    callWithEverything((value) => app.listen('127.0.0.1', 0, value), 'listen');
    app.listen('127.0.0.1', 0, (token) => tokens.push(token));
    assert.ok(tokens[0]);
  });

  it('behaviors live through it', () => {
    const names = ['maxPayloadLength', 'idleTimeout', 'maxBackpressure', 'maxLifetime', 'open', 'message', 'close'];
    for (const name of [...names, 'compression', 'closeOnBackpressureLimit', 'sendPingsAutomatically', 'upgrade']) {
      callWithEverything((value) => App().ws('/*', { [name]: value }), name);
    }
  });

  it('requests and responses live through it, in every state', async (t) => {
    const kept = [];
    const { port } = serve(t, (app) => {
      app.get('/misused', (res, req) => {
        misuse(req);
        misuse(res, { but: ENDINGS });
        kept.push(res, req);
        if (res.aborted) return;
        res.end('end');
        misuse(res);
      });
      for (const name of ENDINGS) {
        app.get(`/${name}`, (res) => {
          res.onAborted(() => {});
          callWithEverything((...values) => res[name](...values), name);
          misuse(res);
        });
      }
      app.post('/body', (res) => {
        res.onAborted(() => {});
        // The first handler that asks for the body gets it.
        res.collectBody(10, (body) => res.end(body));
        for (const name of ['onData', 'onDataV2', 'collectBody', 'onWritable']) {
          callWithEverything((...given) => res[name](...given), name);
        }
        // Handlers that throw are tested elsewhere.
        res.onWritable(() => true);
      });
      app.get('/fine', (res) => res.end('fine'));
    });
    // A client that parses responses would object to these.
    const get = async (path) => {
      const client = await RawSocket.connect(port);
      client.write(request(path, { headers: ['Connection: close'] }));
      const received = (await client.readToEnd()).toString();
      client.destroy();
      return received;
    };
    await get('/misused');
    assert.equal(kept.length, 2);
    for (const object of kept) misuse(object);
    for (const name of ENDINGS) await get(`/${name}`);
    const posted = await fetch(port, '/body', { method: 'POST', headers: ['Content-Length: 4'], body: 'body' });
    assert.equal(String(posted.body), 'body');
    assert.match(await get('/fine'), /\r\n\r\nfine$/);
  });

  it('a WebSocket lives through it, in every state', async (t) => {
    const states = [];
    const { port } = serve(t, (app) => {
      app.ws('/*', {
        maxBackpressure: 0,
        open: (ws) => {
          misuse(ws, { but: ['end', 'close'] });
          states.push('open');
        },
        message: (ws, message) => {
          misuse(ws, { but: ['end', 'close'] });
          states.push('message');
          callWithEverything((...values) => ws.end(...values), 'end');
          misuse(ws);
          assert.equal(message.byteLength, 2);
        },
        close: (ws) => {
          misuse(ws);
          states.push('close');
          setImmediate(() => {
            misuse(ws);
            states.push('later');
          });
        },
      });
      app.get('/fine', (res) => res.end('fine'));
    });
    const client = new WebSocketClient(webSocketUrl(port), clientOptions);
    await once(client, 'open');
    client.send('go');
    // Text messages need not be UTF-8 and close codes need not be valid here, so the client may object.
    client.on('error', () => {});
    await once(client, 'close');
    await new Promise(setImmediate);
    assert.deepEqual(states, ['open', 'message', 'close', 'later']);
    assert.equal(String((await fetch(port, '/fine')).body), 'fine');
  });
});
