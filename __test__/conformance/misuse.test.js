'use strict';

// No program crashes the process through the interface: every function of the module and every method of its objects
// is called with whatever JavaScript has, in every state that the objects have. Whatever comes of it, it is a value or an
// exception, and afterwards the server still answers.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { once } = require('node:events');
const WebSocketClient = require('ws');
const { RawSocket } = require('../support/RawSocket.js');
const { fetch, request } = require('../support/http.js');
const { clientOptions, webSocketUrl } = require('../support/tls.js');
const { uWS, ours } = require('../support/uws.js');
const { App, serve } = require('../support/server.js');

/** Values that a program may hand over by mistake or by malice. Made anew each time: some are used up. */
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

/** Calls a method with no argument, each value, and each value behind and before others. Exceptions are fine. */
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

/** All methods of an object, those of its class included. */
function methodsOf(object) {
  const names = new Set();
  for (let at = object; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  names.delete('constructor');
  return [...names].filter((name) => typeof object[name] === 'function');
}

/** Misuses every method of an object that stays usable, and of things that only look like it. */
function misuse(object, { but = [] } = {}) {
  const fakes = [object, Object.create(object), {}, null, new Proxy(object, {})];
  for (const name of methodsOf(object)) {
    if (but.includes(name)) continue;
    for (const self of fakes) callWithEverything((...values) => object[name].apply(self, values), name);
  }
}

/** Methods of a response after which it is complete, or no response any more. */
const ENDINGS = ['end', 'endWithoutBody', 'tryEnd', 'upgrade', 'close'];

describe('whatever a program passes', ours, () => {
  it('the functions of the module live through it', () => {
    for (const [name, member] of Object.entries(uWS)) {
      // What a timer calls throws when nobody catches it.
      if (typeof member === 'function' && name !== 'setTimeout') callWithEverything(member, name);
    }
  });

  it('an app lives through it', (t) => {
    const tokens = [];
    const app = App();
    t.after(() => app.close());
    // `listen` on whatever port and host comes of a value would look names up and open hundreds of sockets.
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
        // The first one that asks for the body gets it.
        res.collectBody(10, (body) => res.end(body));
        for (const name of ['onData', 'onDataV2', 'collectBody', 'onWritable']) {
          callWithEverything((...given) => res[name](...given), name);
        }
        // What throws when it is called is another test's.
        res.onWritable(() => true);
      });
      app.get('/fine', (res) => res.end('fine'));
    });
    // Not by a client that makes sense of what it gets.
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
    // What was sent as text need not be UTF-8, and a code need not be valid: the client may object.
    client.on('error', () => {});
    await once(client, 'close');
    await new Promise(setImmediate);
    assert.deepEqual(states, ['open', 'message', 'close', 'later']);
    assert.equal(String((await fetch(port, '/fine')).body), 'fine');
  });
});
