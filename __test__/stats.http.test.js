'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { describe, it } = require('node:test');
const { RawSocket, upgradeRequest } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { request } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { LAYER, assertCounts } = require('./support/stats.js');
const { overTLS } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { until } = require('./support/wait.js');

/** What is counted when a connection begins. */
const BEGUN = { 'connections.*.http.open': 1, 'connections.*.http.total': 1 };
const MAX_BODY_SIZE = 1000;

function routes(app) {
  app
    .get('/', (res) => res.end('hello'))
    .get('/status/:status', (res, req) => res.writeStatus(req.getParameter(0)).end())
    .get('/close', (res) => res.close())
    .get('/wait', (res) => res.onAborted(() => {}))
    .get('/chunks', (res) => {
      res.write('abc');
      res.end('de');
    })
    .get('/try', (res) => res.tryEnd('0123456789', 10))
    .post('/upload', (res) => {
      res.onAborted(() => {});
      res.onData((_, isLast) => isLast && res.end('got it'));
    })
    .ws('/odd', {
      upgrade: (res, req) => {
        res.writeStatus('200 OK');
        req.setYield(true);
      },
    })
    .ws('/*', {});
}

/** Serves, and connects a client whose beginning is not counted. */
async function connect(t, options) {
  const { app, port } = serve(t, routes, options);
  const client = await RawSocket.connect(port);
  t.after(() => client.destroy());
  // Over TLS 1.3, the client completes the handshake before the server.
  await until(() => app.stats().connections[LAYER].http.open === 1, 'connection');
  await until(() => !overTLS || app.stats().tls.handshakes.full === 1, 'handshake');
  return { app, port, client };
}

describe('app.stats() counts', ours, () => {
  it('a connection, and its end', async (t) => {
    const { app, port } = serve(t, routes);
    const before = app.stats();
    assert.equal(before.listeners, 1);
    let client;
    const handshake = overTLS ? { 'tls.handshakes.full': 1 } : {};
    await assertCounts(app, { ...BEGUN, ...handshake }, async () => {
      client = await RawSocket.connect(port);
    });
    await assertCounts(app, { 'connections.*.http.open': -1, 'ended.http.fin': 1 }, () => client.end());
    client.destroy();
  });

  it('requests, responses by the class of their status, and the bytes of bodies', async (t) => {
    const { app, client } = await connect(t);
    const ask = (text, options) => async () => {
      client.write(text);
      await client.readResponse(options);
    };
    await assertCounts(
      app,
      { 'http.requests': 1, 'http.responses.2xx': 1, 'http.responseBodyBytes': 5 },
      ask(request('/')),
    );
    for (const [status, path] of [
      ['301 Moved Permanently', '3xx'],
      ['404 Not Found', '4xx'],
      ['503 Service Unavailable', '5xx'],
      ['999 Beyond', 'other'],
    ]) {
      const counts = { 'http.requests': 1, [`http.responses.${path}`]: 1 };
      await assertCounts(app, counts, ask(request(`/status/${status.slice(0, 3)}`)));
    }
    // The server's own answer has a body.
    const before = app.stats().http;
    client.write('DELETE / HTTP/1.1\r\nHost: h\r\n\r\n');
    const { body } = await client.readResponse();
    assert.equal(app.stats().http.responses['4xx'] - before.responses['4xx'], 1);
    assert.equal(app.stats().http.responseBodyBytes - before.responseBodyBytes, body.length);
    await assertCounts(
      app,
      { 'http.requests': 1, 'http.responses.2xx': 1, 'http.responseBodyBytes': 10 },
      ask(request('/try')),
    );
    await assertCounts(app, { 'http.requests': 1, 'http.responses.2xx': 1, 'http.responseBodyBytes': 5 }, async () => {
      client.write(request('/chunks'));
      await client.readHead();
      await client.read('3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'.length);
    });
    const upload = 'POST /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n';
    const counts = {
      'http.requests': 1,
      'http.requestBodyBytes': 7,
      'http.responseBodyBytes': 6,
      'http.responses.1xx': 1,
      'http.responses.2xx': 1,
    };
    await assertCounts(app, counts, async () => {
      client.write(`${upload}4\r\nsome\r\n3\r\nmor\r\n0\r\n\r\n`);
      await client.readHead();
      await client.readResponse();
    });
  });

  it('requests that are not answered yet', async (t) => {
    const { app, client } = await connect(t);
    await assertCounts(app, { 'http.requests': 1, 'http.activeRequests.*': 1 }, () => client.write(request('/wait')));
    const gone = {
      'connections.*.http.open': -1,
      'http.activeRequests.*': -1,
      'http.aborted': 1,
      'ended.http.failed': 1,
    };
    await assertCounts(app, gone, () => client.reset());
  });

  describe('how connections end', () => {
    const END = { 'connections.*.http.open': -1 };
    const cases = {
      'after a response': [
        { ...END, 'ended.http.answered': 1, 'http.requests': 1, 'http.responses.2xx': 1, 'http.responseBodyBytes': 5 },
        (client) => client.write('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'),
      ],
      'by res.close()': [
        { ...END, 'ended.http.cut': 1, 'http.requests': 1, 'http.aborted': 1 },
        (client) => client.write(request('/close')),
      ],
      'by the client': [{ ...END, 'ended.http.fin': 1 }, (client) => client.end()],
      'by a reset': [{ ...END, 'ended.http.failed': 1 }, (client) => client.reset()],
      'by a shutdown': [
        {
          ...END,
          'ended.http.shutDown': 1,
          listeners: -1,
          'http.requests': 1,
          'http.responses.2xx': 1,
          'http.responseBodyBytes': 5,
        },
        async (client, app) => {
          client.write(request('/'));
          await client.readResponse();
          await Promise.all([app.shutdown(), client.readToEnd().then(() => client.end())]);
        },
      ],
    };
    for (const [name, [counts, act]] of Object.entries(cases)) {
      it(name, async (t) => {
        const { app, client } = await connect(t);
        await assertCounts(app, counts, async () => {
          const acted = act(client, app);
          if (name.startsWith('after') || name.endsWith('()')) {
            await client.readToEnd();
            client.end();
          }
          await acted;
        });
      });
    }
  });

  describe('requests that the server refuses', () => {
    const head = (lines) => `GET / HTTP/1.1\r\n${lines}\r\n`;
    const chunks = (bytes) => `POST /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}`;
    const BEGUN_REQUEST = { 'http.requests': 1, 'http.aborted': 0 };
    // Each is a request, the status, and what is counted besides.
    const cases = {
      INVALID_REQUEST_LINE: ['G=T\x01 / HTTP/1.1\r\nHost: h\r\n\r\n', 400],
      INVALID_TARGET: ['GET x HTTP/1.1\r\nHost: h\r\n\r\n', 400],
      INVALID_VERSION: ['GET / JUNK\r\nHost: h\r\n\r\n', 400],
      UNSUPPORTED_VERSION: ['GET / HTTP/2.0\r\nHost: h\r\n\r\n', 505],
      INVALID_LINE_END: [head('Host: h\nX: y\r\n'), 400],
      INVALID_HEADER_NAME: [head('Host : h\r\n'), 400],
      INVALID_HEADER_VALUE: [head('Host: h\r\nX: a\0b\r\n'), 400],
      MISSING_HOST: [head(''), 400],
      REPEATED_HOST: [head('Host: a\r\nHost: b\r\n'), 400],
      INVALID_CONTENT_LENGTH: [head('Host: h\r\nContent-Length: +1\r\n'), 400],
      INVALID_TRANSFER_ENCODING: [head('Host: h\r\nTransfer-Encoding: gzip\r\n'), 400],
      AMBIGUOUS_LENGTH: [head('Host: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n'), 400],
      INVALID_CHUNK_SIZE: [chunks('g\r\n'), 400, BEGUN_REQUEST],
      INVALID_CHUNK_EXTENSION: [chunks('3;=\r\n'), 400, BEGUN_REQUEST],
      INVALID_CHUNK_END: [chunks('3\r\nabcd\r\n'), 400, { ...BEGUN_REQUEST, 'http.requestBodyBytes': 3 }],
      INVALID_TRAILER: [chunks('0\r\n:\r\n'), 400, BEGUN_REQUEST],
      UPGRADE_WITH_BODY: [
        upgradeRequest('/', { 'Content-Length': 1 }),
        400,
        { ...BEGUN_REQUEST, 'http.upgradeRequests': 1 },
      ],
      REPEATED_WEBSOCKET_KEY: [
        upgradeRequest('/', { 'sec-websocket-key': 'x' }),
        400,
        { ...BEGUN_REQUEST, 'http.upgradeRequests': 1 },
      ],
      REPEATED_WEBSOCKET_VERSION: [
        upgradeRequest('/', { 'sec-websocket-version': '13' }),
        400,
        { ...BEGUN_REQUEST, 'http.upgradeRequests': 1 },
      ],
      UNEXPECTED_RESPONSE: [upgradeRequest('/odd'), 400, { ...BEGUN_REQUEST, 'http.upgradeRequests': 1 }],
      UNSUPPORTED_WEBSOCKET_VERSION: [
        upgradeRequest('/', { 'Sec-WebSocket-Version': '8' }),
        426,
        { ...BEGUN_REQUEST, 'http.upgradeRequests': 1 },
      ],
      HEAD_TOO_LARGE: [head(`Host: h\r\nX: ${'y'.repeat(5000)}\r\n`), 431, { 'limits.maxHeaderSize': 1 }],
      TOO_MANY_HEADERS: [head(`Host: h\r\n${'a: b\r\n'.repeat(100)}`), 431, { 'limits.headerCount': 1 }],
      CHUNK_FRAMING_TOO_LARGE: [chunks(`1;${'x'.repeat(5000)}`), 431, { ...BEGUN_REQUEST, 'limits.chunkFraming': 1 }],
      BODY_TOO_LARGE: [
        `POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: ${MAX_BODY_SIZE + 1}\r\n\r\n`,
        413,
        { 'http.requests': 1, 'limits.maxBodySize': 1 },
      ],
    };
    for (const [cause, [bytes, status, more]] of Object.entries(cases)) {
      it(cause, async (t) => {
        const { app, client } = await connect(t, { maxBodySize: MAX_BODY_SIZE });
        const counts = {
          'connections.*.http.open': -1,
          'ended.http.refused': 1,
          [`http.errors.${cause}`]: 1,
          [`http.responses.${String(status)[0]}xx`]: 1,
          ...more,
        };
        const changes = Object.fromEntries(Object.entries(counts).filter(([, change]) => change !== 0));
        await assertCounts(app, changes, async () => {
          client.write(bytes);
          const answer = (await client.readToEnd()).toString('latin1');
          assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
          client.end();
        });
      });
    }

    it('INVALID_PROXY_HEADER', async (t) => {
      const { app, port } = serve(t, routes, { proxyProtocol: true });
      const end = overTLS ? { 'ended.http.tlsError': 1 } : { 'ended.http.refused': 1, 'http.responses.4xx': 1 };
      const counts = { 'connections.*.http.total': 1, 'http.errors.INVALID_PROXY_HEADER': 1, ...end };
      await assertCounts(app, counts, async () => {
        // Over TLS, the header comes before the handshake.
        const socket = net.connect(port, '127.0.0.1');
        socket.on('error', () => {});
        socket.resume().end('PROXY TCP4 nonsense\r\n');
        await once(socket, 'close');
      });
    });
  });

  it('requests without a response, and handlers that fail', async () => {
    const main = async ({ App, uWS, RawSocket, report, until }) => {
      process.on('uncaughtException', () => {});
      process.on('unhandledRejection', () => {});
      let port;
      const app = App()
        .get('/nothing', () => {})
        .get('/throws', () => {
          throw new Error('on purpose');
        })
        .get('/rejects', async (res) => {
          res.onAborted(() => {});
          await undefined;
          throw new Error('on purpose');
        })
        .ws('/*', {
          message: () => {
            throw new Error('on purpose');
          },
          close: () => {
            throw new Error('on purpose');
          },
        });
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      for (const path of ['nothing', 'throws', 'rejects']) {
        const client = await RawSocket.connect(port);
        client.write(`GET /${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
        await client.readToEnd();
        client.destroy();
        const { handlerErrors, http } = app.stats();
        report(path, handlerErrors, http.errors.NO_RESPONSE, http.responses['5xx']);
      }
      const client = await RawSocket.upgrade(port, '/');
      client.write(Buffer.from([0x81, 0x80, 0, 0, 0, 0]));
      await until(() => app.stats().handlerErrors === 3, 'error of the message handler');
      client.destroy();
      await until(() => app.stats().handlerErrors === 4, 'error of the close handler');
      report('done', uWS.stats().handlerErrors);
      app.close();
    };
    const { code, stderr, reports } = await Script.run(main);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(reports, [
      ['nothing', 0, 1, 1],
      ['throws', 1, 2, 2],
      ['rejects', 2, 3, 3],
      ['done', 4],
    ]);
  });

  it('connections that are handed over to another app', async (t) => {
    const { app, port } = serve(t, routes);
    const child = serve(t, routes).app;
    app.addChildAppDescriptor(child.getDescriptor());
    const before = child.stats();
    await assertCounts(app, { 'connections.handedOver': 1 }, async () => {
      const client = await RawSocket.connect(port);
      client.write(request('/'));
      await client.readResponse();
      client.destroy();
    });
    const { http, connections } = child.stats();
    assert.equal(http.requests - before.http.requests, 1);
    assert.equal(connections[LAYER].http.total, 1);
  });

  it('connections that cannot be accepted, because the process has no descriptor left', async () => {
    const main = async ({ App, uWS, report, until }) => {
      const fs = require('node:fs');
      const net = require('node:net');
      let port;
      const app = App().get('/', (res) => res.end('hello'));
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      // The client's own descriptor is the last one.
      const socket = new net.Socket();
      const files = [];
      try {
        for (;;) files.push(fs.openSync('/dev/null'));
      } catch (error) {
        report(error.code);
      }
      fs.closeSync(files.pop());
      socket.connect(port, '127.0.0.1');
      socket.on('error', () => {});
      await until(() => app.stats().limits.descriptors > 0, 'failure');
      report('accepted', app.stats().connections.plain.http.total + app.stats().connections.tls.http.total);
      files.forEach((file) => fs.closeSync(file));
      await until(
        () => app.stats().connections.plain.http.total + app.stats().connections.tls.http.total === 1,
        'connection',
      );
      socket.destroy();
      app.close();
      report('done');
    };
    const { code, reports } = await Script.run(main, { descriptors: 200 });
    assert.deepEqual({ code, reports }, { code: 0, reports: [['EMFILE'], ['accepted', 0], ['done']] });
  });
});
