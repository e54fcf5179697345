'use strict';

// In every kind of handler, an AsyncLocalStorage returns what it returned where the handler was registered or attached,
// in the main thread and in workers.

const { describe, it } = require('node:test');
const { KINDS, assertReports } = require('./support/asyncContext.js');
const { ordinaryCertificate } = require('./support/certificates.js');
const { files } = require('./support/secure.js');
const { ours } = require('./support/uws.js');

/** The handlers, and where each is registered. */
const HANDLERS = {
  ...Object.fromEntries(
    ['upgrade', 'open', 'message', 'dropped', 'drain', 'ping', 'pong', 'close', 'subscription'].map((name) => [
      name,
      'ws',
    ]),
  ),
  ...Object.fromEntries(['get', 'post', 'any', 'filter', 'listen', 'missingServerName'].map((name) => [name, name])),
  ...Object.fromEntries(['aborted', 'writable', 'data', 'dataV2', 'body', 'cork'].map((name) => [name, name])),
  domain: 'domain',
  shutdown: 'shutdown',
};

/** Has every handler called at least twice, and reports what each has seen. Every handler enters another store. */
const scenario = async (prelude, { names, options }) => {
  const { App, uWS, RawSocket: Client, frames, secure, report } = prelude;
  const { AsyncLocalStorage } = require('node:async_hooks');
  const storage = new AsyncLocalStorage();
  const seen = Object.fromEntries(names.map((name) => [name, new Set()]));
  const counts = Object.fromEntries(names.map((name) => [name, 0]));
  const see = (name) => {
    seen[name].add(storage.getStore());
    counts[name] += 1;
    storage.enterWith('of a handler');
  };
  const within = (name, register) => storage.run(name, register);
  const reached = async (name, count) => {
    while (counts[name] < count) await new Promise(setImmediate);
  };

  const big = Buffer.alloc(1 << 24);
  const app = App();
  within('ws', () =>
    app.ws('/*', {
      maxBackpressure: 1,
      upgrade: (res, req, context) => {
        see('upgrade');
        res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context);
      },
      open: (ws) => {
        see('open');
        ws.subscribe('topic');
      },
      message: (ws) => {
        see('message');
        ws.send(big);
        ws.send('dropped');
      },
      ...Object.fromEntries(
        ['dropped', 'drain', 'ping', 'pong', 'close', 'subscription'].map((name) => [name, () => see(name)]),
      ),
    }),
  );
  const attached = {
    aborted: (res) => within('aborted', () => res.onAborted(() => see('aborted'))),
    writable: (res) => {
      within('writable', () =>
        res.onWritable((offset) => {
          see('writable');
          return res.tryEnd(big.subarray(offset), big.length)[0];
        }),
      );
      res.tryEnd(big, big.length);
    },
    data: (res) => within('data', () => res.onData((_, isLast) => see('data') ?? (isLast && res.end()))),
    dataV2: (res) => within('dataV2', () => res.onDataV2((_, rest) => see('dataV2') ?? (rest === 0n && res.end()))),
    body: (res) => within('body', () => res.collectBody(100, () => see('body') ?? res.end())),
    cork: (res) =>
      setImmediate(() =>
        within('cork', () =>
          res.cork(() => {
            see('cork');
            res.end();
          }),
        ),
      ),
  };
  for (const method of ['get', 'post']) {
    within(method, () =>
      app[method]('/:name', (res, req) => {
        see(method);
        if (req.getParameter(0) !== 'aborted') res.onAborted(() => {});
        attached[req.getParameter(0)](res);
      }),
    );
  }
  within('any', () =>
    app.any('/*', (res) => {
      see('any');
      res.end();
    }),
  );
  within('filter', () => app.filter(() => see('filter')));
  const listenOn = (its) => {
    let port;
    within('listen', () =>
      its.listen('127.0.0.1', 0, (token) => {
        see('listen');
        port = uWS.us_socket_local_port(token);
      }),
    );
    return port;
  };
  const port = listenOn(app);

  for (let i = 1; i <= 2; i += 1) {
    const socket = await Client.upgrade(port, '/');
    socket.pause();
    socket.write(Buffer.concat([frames.ping('a'), frames.pong('b'), frames.text('c')]));
    await reached('dropped', i);
    socket.resume();
    await reached('drain', i);
    socket.destroy();
    await reached('close', i);

    const http = await Client.connect(port);
    for (const name of ['data', 'dataV2', 'body']) {
      http.write(`POST /${name} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx`);
      await reached('post', 1);
      http.write('x');
      await http.readResponse();
    }
    for (const target of ['GET /writable', 'GET /cork', 'PUT /']) {
      http.write(`${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await http.readResponse();
    }
    http.write('GET /aborted HTTP/1.1\r\nHost: x\r\n\r\n');
    await reached('get', 3 * i);
    http.destroy();
    await reached('aborted', i);
  }

  const secured = uWS.SSLApp(options);
  within('missingServerName', () => secured.missingServerName(() => see('missingServerName')));
  secured.addServerName('a.example', options).domain('a.example');
  within('domain', () =>
    secured.any('/*', (res) => {
      see('domain');
      res.end();
    }),
  );
  const securePort = listenOn(secured);
  for (const servername of ['a.example', 'b.example', 'a.example', 'b.example']) {
    const client = await secure.connectSecure(securePort, { servername, rejectUnauthorized: false });
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await require('node:events').once(client, 'data');
    client.destroy();
  }
  for (const its of [app, secured]) {
    await within('shutdown', async () => {
      await its.shutdown();
      see('shutdown');
    });
  }
  for (const name of names) report(name, counts[name] >= 2, ...seen[name]);
};

for (const kind of Object.keys(KINDS)) {
  const expected = Object.entries(HANDLERS).map(([name, where]) => [name, true, where]);
  const args = [{ names: Object.keys(HANDLERS), options: files(ordinaryCertificate()) }];

  describe(`every handler sees the store of its registration, with stores in ${kind}`, ours, () => {
    it('in the main thread', async () => {
      await assertReports(kind, scenario, expected, { args, timeout: 60_000 });
    });

    it('in a worker', async () => {
      const main = `({ startWorker }, data) => {
        startWorker((prelude, parentPort, its) => (${scenario})(prelude, its), data);
      }`;
      await assertReports(kind, main, expected, { args, timeout: 60_000 });
    });
  });
}
