'use strict';

// Methods called on anything but an object of their class, as in `const { send } = ws; send('x')`.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const { fetch } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { overTLS } = require('./support/tls.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

/** Returns the names of all methods that an object inherits from its class. */
function methodsOf(object) {
  const names = new Set();
  for (let proto = Object.getPrototypeOf(object); proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    for (const name of Object.getOwnPropertyNames(proto)) {
      if (name !== 'constructor' && typeof proto[name] === 'function') names.add(name);
    }
  }
  return [...names];
}

/** Calls every method of an object on other receivers, with arguments that would be valid. */
function callElsewhere(object, count, name) {
  const names = methodsOf(object);
  assert.ok(names.length >= count, `${names.length} methods`);
  const receivers = {
    nothing: undefined,
    null: null,
    'a number': 1,
    text: 'text',
    'an object': {},
    'a function': () => {},
    'a Proxy': new Proxy(object, {}),
    'a copy': Object.assign(Object.create(Object.getPrototypeOf(object)), object),
    'one that inherits': Object.create(object),
    'the prototype': Object.getPrototypeOf(object),
  };
  for (const method of names) {
    for (const [what, receiver] of Object.entries(receivers)) {
      const call = () => object[method].call(receiver, '/*', () => {}, '', '', {});
      const without = receiver === undefined || receiver === null;
      assert.throws(
        call,
        (error) => {
          const shown = `${method} on ${what}: ${error.stack}`;
          assert.deepEqual([error.name, error.code], ['TypeError', 'ERR_MILLIWAYS_INVALID_THIS'], shown);
          assert.ok(error.message.startsWith(`A method of ${name} was called`), shown);
          assert.match(error.message, without ? /without its object/ : /on something else, such as a Proxy/, shown);
          return true;
        },
        `${method} on ${what}`,
      );
    }
  }
}

describe('a method that is called without its object says so', ours, () => {
  it('of an app', (t) => {
    const app = App();
    t.after(() => app.close());
    callElsewhere(app, 22, 'uWS.App');
    const { get } = app;
    assert.throws(() => get('/*', () => {}), { code: 'ERR_MILLIWAYS_INVALID_THIS' });
  });

  it('of a request and a response, which can still be answered', async (t) => {
    const { port } = serve(t, (app) =>
      app.get('/*', (res, req) => {
        callElsewhere(req, 8, 'uWS.HttpRequest');
        callElsewhere(res, overTLS ? 26 : 25, 'uWS.HttpResponse');
        const { end } = res;
        assert.throws(() => end('x'), { code: 'ERR_MILLIWAYS_INVALID_THIS' });
        res.end(`${req.getUrl()} is answered`);
      }),
    );
    assert.equal(String((await fetch(port, '/path')).body), '/path is answered');
  });

  it('of a WebSocket, open or closed', async (t) => {
    const closed = [];
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        open: (ws) => {
          callElsewhere(ws, 22, 'uWS.WebSocket');
          const { send } = ws;
          assert.throws(() => send('x'), { code: 'ERR_MILLIWAYS_INVALID_THIS' });
          ws.send('open');
        },
        close: (ws) => {
          callElsewhere(ws, 22, 'uWS.WebSocket');
          closed.push(ws.getUserData() === ws);
        },
      }),
    );
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(await client.readText(), 'open');
    client.destroy();
    await noConnectionLeft();
    assert.deepEqual(closed, [true]);
  });

  it('of a declarative response', () => {
    const response = new uWS.DeclarativeResponse();
    callElsewhere(response, 8, 'DeclarativeResponse');
    assert.deepEqual(response.end('x'), new uWS.DeclarativeResponse().end('x'));
  });

  it('and works where it is bound, also in a Proxy', async (t) => {
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        open: (ws) => {
          const proxy = new Proxy(ws, {
            get: (target, key) => (typeof target[key] === 'function' ? target[key].bind(target) : target[key]),
          });
          const { send } = proxy;
          send('bound');
          proxy.send('by a Proxy');
        },
      }),
    );
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(await client.readText(), 'bound');
    assert.equal(await client.readText(), 'by a Proxy');
    client.destroy();
  });
});

after(noConnectionLeft);
