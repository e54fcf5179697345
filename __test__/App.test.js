'use strict';

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { freePort } = require('./support/freePort.js');
const { RawSocket } = require('./support/RawSocket.js');
const { fetch, request, withoutDate } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { uWS, ours } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

const NOT_FOUND = '<html><body><h1>File Not Found</h1><hr><i>uWebSockets/20 Server</i></body></html>';
const INVALID_DATA = 'Text and data can only be passed by String, ArrayBuffer or TypedArray.';
const INVALID_HANDLER = 'Passed callback is not a valid function.';

/** Returns a handler that responds with the given text. */
const says = (text) => (res) => res.end(text);

describe('a route', () => {
  /** Serves the routes, and returns the body of a GET request for each target. */
  async function bodies(t, routes, ...targets) {
    const { port } = serve(t, routes);
    return Promise.all(targets.map(async (target) => (await fetch(port, target)).body));
  }

  it('is registered for each method by its name', async (t) => {
    const methods = { get: 'GET', post: 'POST', options: 'OPTIONS', del: 'DELETE', patch: 'PATCH', put: 'PUT' };
    Object.assign(methods, { connect: 'CONNECT', trace: 'TRACE' });
    const { port } = serve(t, (app) => {
      for (const name of Object.keys(methods)) assert.equal(app[name]('/path', says(name)), app);
      app.any('/path', says('any'));
    });
    for (const [name, method] of Object.entries(methods)) {
      assert.equal((await fetch(port, '/path', { method })).body, name);
    }
    assert.equal((await fetch(port, '/path', { method: 'FOO' })).body, 'any', 'a method without a name of its own');
    assert.equal((await fetch(port, '/path', { method: 'get' })).body, 'any', 'methods are case-sensitive');
  });

  it('of the exact method beats one of any, even with a wildcard', async (t) => {
    const routes = (app) => app.any('/hello', says('any')).get('/*', says('get'));
    assert.deepEqual(await bodies(t, routes, '/hello', '/other'), ['get', 'get']);
  });

  it('that is static beats a wildcard, whatever came first', async (t) => {
    const routes = (app) => app.get('/*', says('*')).get('/a/*', says('a/*')).get('/a/b', says('a/b'));
    assert.deepEqual(await bodies(t, routes, '/a/b', '/a/c', '/c', '/a/b/c'), ['a/b', 'a/*', '*', 'a/*']);
  });

  it('with a wildcard matches the empty segment, not the lack of one', async (t) => {
    const routes = (app) => app.get('/x/*', says('x/*')).any('/*', says('any'));
    assert.deepEqual(await bodies(t, routes, '/x/', '/x/y', '/x'), ['x/*', 'x/*', 'any']);
  });

  it('is case-sensitive, and a slash at the end matters', async (t) => {
    const routes = (app) => app.get('/x/static', says('static')).any('/*', says('any'));
    assert.deepEqual(await bodies(t, routes, '/x/static', '/x/static/', '/X/static'), ['static', 'any', 'any']);
  });

  it('with a parameter matches one segment that is not empty', async (t) => {
    const routes = (app) => app.get('/user/:id', says('user')).any('/*', says('any'));
    assert.deepEqual(await bodies(t, routes, '/user/1', '/user/', '/user/1/2'), ['user', 'any', 'any']);
  });

  it('is replaced by another of the same pattern', async (t) => {
    const routes = (app) => app.get('/x', says('first')).get('/x', says('second'));
    assert.deepEqual(await bodies(t, routes, '/x'), ['second']);
  });

  it('is removed by null', async (t) => {
    const routes = (app) => app.get('/x', says('get')).any('/x', says('any')).get('/x', null);
    assert.deepEqual(await bodies(t, routes, '/x'), ['any']);
  });

  it('may be added, replaced and removed while listening', async (t) => {
    const { app, port } = serve(t, (routes) => routes.get('/x', says('first')));
    assert.equal((await fetch(port, '/x')).body, 'first');
    app.get('/x', says('second')).get('/y', says('y'));
    assert.equal((await fetch(port, '/x')).body, 'second');
    assert.equal((await fetch(port, '/y')).body, 'y');
    app.get('/y', null);
    assert.equal((await fetch(port, '/y')).status, 404);
  });

  it('takes its pattern as bytes, too', async (t) => {
    const routes = (app) =>
      app
        .get(Buffer.from('/buffer'), says('buffer'))
        .get(new TextEncoder().encode('/array').buffer, says('array'))
        .ws(Buffer.from('/ws'), {});
    assert.deepEqual(await bodies(t, routes, '/buffer', '/array'), ['buffer', 'array']);
  });

  it('for HEAD is one of head or any', async (t) => {
    const { port } = serve(t, (app) =>
      app.get('/get', says('get')).head('/head', says('four')).any('/any', says('three')),
    );
    const lengths = [];
    for (const target of ['/get', '/head', '/any']) {
      const { status, headers } = await fetch(port, target, { method: 'HEAD' });
      lengths.push([status, headers['content-length']]);
    }
    assert.deepEqual(lengths, [
      [404, '81'],
      [200, '4'],
      [200, '5'],
    ]);
  });

  it('that matches nothing gives the page of uWebSockets.js, and the connection goes on', async (t) => {
    const { port } = serve(t, (app) => app.get('/x', says('x')));
    const client = await RawSocket.connect(port);
    client.write(request('/nowhere'));
    const { head, body } = await client.readResponse();
    assert.equal(
      withoutDate(head),
      'HTTP/1.1 404 File Not Found\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 81\r\n\r\n',
    );
    assert.equal(body, NOT_FOUND);
    client.write(request('/x'));
    assert.equal((await client.readResponse()).body, 'x');
    client.destroy();
  });

  it('that is refused leaves the App as it was', async (t) => {
    const routes = (app) => {
      app.get('/x', says('first'));
      assert.throws(() => app.get('/x', 'second'));
    };
    assert.deepEqual(await bodies(t, routes, '/x'), ['first']);
  });
});

describe('a wrong argument', () => {
  const app = App();
  const handler = () => {};

  for (const method of ['get', 'post', 'options', 'del', 'patch', 'put', 'head', 'connect', 'trace', 'any']) {
    it(`${method}: a handler that is no function throws`, () => {
      for (const wrong of [undefined, 'text', 5, {}, true]) {
        assertThrows(() => app[method]('/x', wrong), 'ERR_MILLIWAYS_INVALID_HANDLER', INVALID_HANDLER);
      }
    });

    it(`${method}: a pattern that is neither text nor bytes throws`, () => {
      for (const wrong of [null, 5, {}, true, handler, new DataView(new ArrayBuffer(1))]) {
        assertThrows(() => app[method](wrong, handler), 'ERR_MILLIWAYS_INVALID_DATA', INVALID_DATA);
      }
    });
  }

  it('ws: too few of them throw', () => {
    for (const args of [[], ['/x']]) {
      const call = () => app.ws(...args);
      assertThrows(call, 'ERR_MILLIWAYS_MISSING_ARGUMENT', 'Function requires at least 2 arguments.');
    }
  });

  it('ws: a pattern that is neither text nor bytes throws', () => {
    for (const wrong of [5, {}, null]) {
      assertThrows(() => app.ws(wrong, {}), 'ERR_MILLIWAYS_INVALID_DATA', INVALID_DATA);
    }
  });

  it('ws: a handler that is no function throws', ours, () => {
    for (const name of ['open', 'message', 'dropped', 'drain', 'close', 'ping', 'pong']) {
      assertThrows(() => app.ws('/x', { [name]: 5 }), 'ERR_MILLIWAYS_INVALID_HANDLER', INVALID_HANDLER);
    }
  });

  it('ws: a behavior that is no object throws', ours, () => {
    for (const wrong of [undefined, null, 5, 'x', Symbol('x'), () => {}]) {
      assert.throws(() => app.ws('/x', wrong), { name: 'TypeError', code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
    }
  });

  it('ws: a handler that is undefined counts as left out', () => {
    app.ws('/undefined', { open: undefined, message: undefined, close: undefined });
  });

  it('listen: too few of them throw', () => {
    for (const args of [[], [0], [handler]]) {
      const call = () => app.listen(...args);
      assertThrows(call, 'ERR_MILLIWAYS_MISSING_ARGUMENT', 'Function requires at least 2 arguments.');
    }
  });

  it('listen: a callback that is no function throws, and nothing listens', ours, async () => {
    const port = await freePort();
    for (const args of [
      [port, 5],
      ['127.0.0.1', port, undefined],
      [port, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, {}],
    ]) {
      assertThrows(() => app.listen(...args), 'ERR_MILLIWAYS_INVALID_HANDLER', INVALID_HANDLER);
    }
    await assert.rejects(RawSocket.connect(port), { code: 'ECONNREFUSED' });
  });

  it('listen: a host that is neither text nor bytes throws', () => {
    assertThrows(() => app.listen({}, 0, handler), 'ERR_MILLIWAYS_INVALID_DATA', INVALID_DATA);
  });

  it('a pattern of more than 100 segments throws', ours, () => {
    assert.throws(() => app.get('/x'.repeat(101), handler), { name: 'Error', code: 'ERR_MILLIWAYS_INVALID_PATTERN' });
    app.get('/x'.repeat(100), handler);
  });

  it('one more than a method takes throws, and is not ignored', ours, () => {
    const { message } = { message: /takes .*, and argument \d is of type/ };
    const refused = { name: 'Error', code: 'ERR_MILLIWAYS_NOT_SUPPORTED', message };
    for (const name of ['get', 'post', 'options', 'del', 'patch', 'put', 'head', 'connect', 'trace', 'any']) {
      assert.throws(() => app[name]('/extra', handler, 5), refused, name);
      assert.throws(() => app[name]('/extra', handler, handler), refused, name);
      app[name]('/extra', handler, undefined);
    }
    assert.throws(() => app.ws('/extra', {}, {}), refused);
    assert.throws(() => app.listen('127.0.0.1', 0, 0, 511, handler), refused);
    assert.throws(() => app.listen_unix(handler, '/nowhere', handler), refused);
    assert.throws(() => app.close(handler), refused);
    assert.throws(() => app.filter(handler, handler), refused);
    for (const name of ['addServerName', 'removeServerName', 'domain']) {
      assert.throws(() => app[name]('a.example', {}, {}), refused, name);
    }
    assert.throws(() => app.missingServerName(handler, {}), refused);
  });

  it('a method taken off its object throws', ours, () => {
    const { get, listen, ws, close } = app;
    assert.throws(() => get.call({}, '/x', handler));
    assert.throws(() => listen.call(undefined, 0, handler));
    assert.throws(() => ws.call(null, '/x', {}));
    assert.throws(() => close.call('app'));
  });

  /** uWebSockets.js has the same error messages, but no codes. */
  function assertThrows(call, code, message) {
    assert.throws(call, ours.skip ? { name: 'Error', message } : { name: 'Error', code, message });
  }
});

after(noConnectionLeft);
