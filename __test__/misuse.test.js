'use strict';

// Every method of every class, in every state, with wrong arguments, and inside of every handler. A call returns, or
// throws an Error that docs/ERRORS.md lists; the process and all other connections go on. Each scenario runs in a
// process of its own, whose exit code shows whether it survived.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { Script } = require('./support/Script.js');
const { ours } = require('./support/uws.js');

const PATIENCE = 120_000;

/** Runs a scenario, and expects no problem and at least as many calls. */
async function expectGood(main, args, atLeast) {
  const { code, signal, stderr, reports } = await Script.run(main, { args, timeout: PATIENCE });
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
  const [[, { calls, problems, isAlive }]] = reports;
  assert.deepEqual(problems, []);
  assert.ok(isAlive, 'a new connection is served');
  assert.ok(calls >= atLeast, `only ${calls} calls`);
}

/** The methods of a response and of a WebSocket, in a state. */
async function connections({ App, uWS, RawSocket, frames, until, report }, kind, state) {
  const { Judge, methodsOf, argumentLists } = require(`${process.cwd()}/__test__/support/misuse.js`);
  const judge = new Judge();
  /** The calls to be made, each on an object that is still in the state, if possible. */
  let queue;
  const plan = (object) => {
    queue ??= methodsOf(object).flatMap((name) => [...argumentLists(3)].map(([label]) => [name, label]));
  };
  const lists = () => new Map(argumentLists(3));
  /** Makes calls until one has ended the object, which the next ones would only find ended. */
  const work = (object, isOver) => {
    plan(object);
    const all = lists();
    for (let i = 0; i < 200 && queue.length > 0; i += 1) {
      const [name, label] = queue.shift();
      judge.call(object, name, all.get(label), `${kind} ${state}: ${name}(${label})`);
      if (isOver?.()) return;
    }
  };

  let context;
  const later = (run) => setImmediate(run);
  const isResponse = kind === 'response';
  const app = App({ idleTimeout: 1 })
    .ws('/*', {
      maxBackpressure: 1024,
      upgrade: (res, req, it) => {
        context = it;
        const header = (name) => req.getHeader(`sec-websocket-${name}`);
        res.upgrade({}, header('key'), header('protocol'), header('extensions'), it);
      },
      open: (ws) => {
        if (isResponse) return;
        let isClosed = false;
        ws.onClosed = () => (isClosed = true);
        if (state === 'open') work(ws, () => isClosed);
        if (state === 'outside of handlers') later(() => work(ws, () => isClosed));
        if (state === 'in the middle of fragments') {
          ws.sendFirstFragment('a');
          work(ws, () => isClosed);
        }
        if (state === 'closed') {
          ws.close();
          work(ws);
        }
        if (state === 'ended') {
          ws.end(1000);
          work(ws);
        }
        later(() => !isClosed && ws.close());
      },
      close: (ws) => {
        ws.onClosed?.();
        if (state === 'in its close handler') work(ws);
      },
    })
    .any('/alive', (res) => res.end('alive'))
    .any('/*', (res) => {
      let isOver = false;
      const over = () => isOver;
      res.onAborted(() => {
        isOver = true;
        if (state === 'aborted') work(res);
      });
      if (state === 'fresh') work(res, over);
      if (state === 'later') return later(() => [work(res, over), end(res)]);
      if (state === 'begun') work(res.write('a') ? res : res, over);
      if (state === 'with a part of its body') [res.tryEnd('a', 10), work(res, over)];
      if (state === 'ended') [res.end('x'), work(res)];
      if (state === 'closed' || state === 'aborted') res.close();
      if (state === 'closed') work(res);
      if (state === 'upgraded') {
        try {
          res.upgrade({}, 'dGhlIHNhbXBsZSBub25jZQ==', '', '', context);
        } catch {
          // There is no context before the first WebSocket.
        }
        work(res);
      }
      end(res);
    });
  const end = (res) => {
    try {
      res.close();
    } catch {
      // It has ended.
    }
  };
  let port;
  app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
  if (isResponse) (await RawSocket.upgrade(port, '/')).destroy();
  while (queue === undefined || queue.length > 0) {
    const left = queue?.length;
    const client = await RawSocket.connect(port);
    const more = isResponse
      ? 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'
      : 'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';
    client.write(more);
    if (!isResponse && state === 'in its close handler') client.write(frames.close(1000));
    await until(() => queue !== undefined && queue.length !== left, 'next calls');
    client.destroy();
  }
  const next = await RawSocket.connect(port);
  next.write('GET /alive HTTP/1.1\r\nHost: a\r\n\r\n');
  const isAlive = (await next.readResponse()).body === 'alive';
  report('judged', { calls: judge.calls, problems: judge.problems, isAlive });
  process.exit();
}

/** The methods of a request, an app, a listen socket, the module and its classes. */
async function others({ App, uWS, RawSocket, report }, kind) {
  const { Judge } = require(`${process.cwd()}/__test__/support/misuse.js`);
  const judge = new Judge();
  let request;
  const main = App()
    .any('/alive', (res) => res.end('alive'))
    .any('/*', (res, req) => {
      request = req;
      if (kind === 'request') judge.all(req, 'request');
      res.end('x');
    });
  let port;
  main.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
  const ask = async (path) => {
    const client = await RawSocket.connect(port);
    client.write(`GET ${path}?a=b HTTP/1.1\r\nHost: a\r\n\r\n`);
    const { body } = await client.readResponse();
    client.destroy();
    return body;
  };
  await ask('/');
  await new Promise((resolve) => setImmediate(resolve));
  if (kind === 'request after its handler') judge.all(request, kind);
  // `listen` with a name looks it up, which blocks.
  const without = ['listen', 'listen_unix'];
  if (kind === 'app') judge.all(App(), kind, { without });
  if (kind === 'app that listens')
    judge.all(
      App().listen('127.0.0.1', 0, () => {}),
      kind,
      { without },
    );
  if (kind === 'closed app') judge.all(App().close(), kind, { without });
  if (kind === 'app that is shut down') {
    const app = App();
    app.getDescriptor();
    app.shutdown();
    judge.all(app, kind, { without });
  }
  if (kind === 'listen') {
    for (const values of [
      [],
      [1],
      ['127.0.0.1'],
      [null, null],
      [{}, {}, {}],
      [Symbol('x'), 0],
      [-1, () => {}],
      [NaN, () => {}],
      ['', 0, {}, () => {}],
      [0, 0, 0, 0],
      ['127.0.0.1', 1n, () => {}],
      [() => {}, '/nowhere/at/all'],
      [() => {}, 1n],
      [() => {}, '\0'],
    ]) {
      judge.call(App(), 'listen', values, `listen ${values.length}`);
      judge.call(App(), 'listen_unix', values, `listen_unix ${values.length}`);
    }
  }
  if (kind === 'module') {
    // These are Node's own, or make a thread wait, or an app, which has its own row.
    // `DeclarativeResponse` is a class, and has its own row as well.
    const own = ['setTimeout', 'clearTimeout', 'lock', 'unlock', 'App', 'SSLApp', 'DeclarativeResponse', '_provoke'];
    judge.all(uWS, kind, { without: own, places: 3 });
    judge.all(new uWS.DeclarativeResponse(), 'DeclarativeResponse', { places: 2 });
    for (const Class of ['App', 'SSLApp'])
      judge.all({ [Class]: (...list) => uWS[Class](...list) }, kind, { places: 1 });
  }
  if (kind === 'this') {
    // Methods of one class with the object of another.
    const app = App();
    const objects = [app, request, new uWS.DeclarativeResponse(), {}, null, undefined, 1, 'x', new Proxy(app, {})];
    const prototypes = [app, request, new uWS.DeclarativeResponse()].map(Object.getPrototypeOf);
    for (const prototype of prototypes) {
      for (const name of Object.getOwnPropertyNames(prototype)) {
        const { value } = Object.getOwnPropertyDescriptor(prototype, name);
        if (typeof value !== 'function' || name === 'constructor') continue;
        for (const object of objects) {
          // It is right for its own class, which the other rows test.
          if (object !== null && object !== undefined && Object.getPrototypeOf(object) === prototype) continue;
          judge.call({ run: () => Reflect.apply(value, object, ['a', () => {}]) }, 'run', [], `${name} of another`);
        }
      }
    }
  }
  const isAlive = (await ask('/alive')) === 'alive';
  report('judged', { calls: judge.calls, problems: judge.problems, isAlive });
  process.exit();
}

describe('misuse', ours, () => {
  const STATES = {
    response: ['fresh', 'later', 'begun', 'with a part of its body', 'ended', 'closed', 'aborted', 'upgraded'],
    WebSocket: ['open', 'outside of handlers', 'in the middle of fragments', 'closed', 'ended', 'in its close handler'],
  };
  for (const [kind, states] of Object.entries(STATES)) {
    for (const state of states) {
      it(`of a ${kind} that is ${state} is an error with a code, or harmless`, async () => {
        await expectGood(connections, [kind, state], 1500);
      });
    }
  }
  const KINDS = ['request', 'request after its handler', 'app', 'app that listens', 'closed app'];
  for (const kind of [...KINDS, 'app that is shut down', 'listen', 'module', 'this']) {
    it(`of the ${kind} is an error with a code, or harmless`, async () => {
      await expectGood(others, [kind], 25);
    });
  }
});
