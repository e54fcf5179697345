'use strict';

// Clients of HTTP/1.0 (RFC 9112 sections 6.3 and 9.3, appendix C.2), such as nginx with its upstreams by default, and
// many health checks. uWebSockets.js refuses them with 505.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { RawSocket, upgradeRequest } = require('./support/RawSocket.js');
const { exchange, withoutDate, BAD_REQUEST } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

const CLOSE = 'Connection: close\r\n';
const KEEP_ALIVE = 'Connection: keep-alive\r\n';
const MARKS = 'Date: -\r\nuWebSockets: 20\r\n';
/** More than the kernel accepts at once. */
const LARGE = Buffer.alloc(8 << 20, 'large');

/** Returns an HTTP/1.0 request without a Host field. */
function request(target, { method = 'GET', headers = '', body = '' } = {}) {
  return `${method} ${target} HTTP/1.0\r\n${headers}\r\n${body}`;
}

/** Calls back with the whole body as text. */
function collect(res, done) {
  res.onAborted(() => {});
  res.collectBody(1 << 20, (body) => res.cork(() => done(Buffer.from(new Uint8Array(body)).toString())));
}

function routes(app) {
  const declared = (...parts) => parts.reduce((response, part) => response.write(part), new uWS.DeclarativeResponse());
  app
    .get('/end', (res) => res.writeHeader('A', 'b').end('hello'))
    .get('/end-close', (res) => res.end('hello', true))
    .get('/async', (res) => {
      res.onAborted(() => {});
      setImmediate(() => res.cork(() => res.end('later')));
    })
    .any('/write', (res) => {
      res.write('one');
      res.write('');
      res.write('two');
      res.end('three');
    })
    .get('/write-only', (res) => {
      res.write('one');
      res.end();
    })
    .get('/write-no-content', (res) => {
      res.writeStatus('204 No Content').write('none');
      res.end();
    })
    .get('/begin', (res) => {
      res.onAborted(() => {});
      res.writeStatus('201 Created').beginWrite();
      setImmediate(() => res.cork(() => res.end('begun')));
    })
    .get('/large', (res) => {
      res.onAborted(() => {});
      res.write(LARGE);
      res.end('!');
    })
    .any('/try', (res) => {
      res.onAborted(() => {});
      res.tryEnd('tried', 5);
    })
    .get('/no-content', (res) => res.writeStatus('204 No Content').end())
    .any('/without-body', (res) => res.endWithoutBody())
    .any('/without-body-length', (res) => res.endWithoutBody(5))
    .get('/declared', new uWS.DeclarativeResponse().writeHeader('X', 'y').end('declared'))
    .get('/declared-write', declared('declared ', 'in ').end('parts'))
    .post('/upload', (res) => collect(res, (body) => res.end(body)))
    .get('/host', (res, req) => res.end(`[${req.getHeader('host')}] ${req.getUrl()}`))
    .get('/error', () => {
      throw new Error('thrown by the handler');
    })
    .head('/end', (res) => res.endWithoutBody(5))
    .ws('/ws', { message: () => {} })
    .get('/ws', (res) => res.end('no upgrade'));
}

const NOT_FOUND_BODY = '<html><body><h1>File Not Found</h1><hr><i>uWebSockets/20 Server</i></body></html>';
/** The responses to a client that does not send Connection, and to one that asks for keep-alive. */
const CASES = {
  '/end': (connection) => `200 OK\r\nA: b\r\n${connection}${MARKS}Content-Length: 5\r\n\r\nhello`,
  '/async': (connection) => `200 OK\r\n${connection}${MARKS}Content-Length: 5\r\n\r\nlater`,
  '/try': (connection) => `200 OK\r\n${connection}${MARKS}Content-Length: 5\r\n\r\ntried`,
  '/declared': (connection) => `200 OK\r\nX: y\r\n${connection}${MARKS}Content-Length: 8\r\n\r\ndeclared`,
  '/nowhere': (connection) =>
    `404 File Not Found\r\n${connection}${MARKS}Content-Length: ${NOT_FOUND_BODY.length}\r\n\r\n${NOT_FOUND_BODY}`,
  '/no-content': (connection) => `204 No Content\r\n${connection}${MARKS}\r\n`,
  '/write-no-content': (connection) => `204 No Content\r\n${connection}${MARKS}\r\n`,
  'HEAD /end': (connection) => `200 OK\r\n${connection}${MARKS}Content-Length: 5\r\n\r\n`,
  'HEAD /try': (connection) => `200 OK\r\n${connection}${MARKS}Content-Length: 5\r\n\r\n`,
  'HEAD /write': (connection) => `200 OK\r\n${connection}${MARKS}\r\n`,
  'HEAD /without-body': (connection) => `200 OK\r\n${connection}${MARKS}\r\n`,
  'HEAD /without-body-length': (connection) => `200 OK\r\n${connection}${MARKS}Content-Length: 5\r\n\r\n`,
};
/** Responses that only the end of the connection delimits, or whose handler closes the connection. */
const CLOSING_CASES = {
  '/end-close': `200 OK\r\n${CLOSE}${MARKS}Content-Length: 5\r\n\r\nhello`,
  '/write': `200 OK\r\n${CLOSE}${MARKS}\r\nonetwothree`,
  '/write-only': `200 OK\r\n${CLOSE}${MARKS}\r\none`,
  '/begin': `201 Created\r\n${CLOSE}${MARKS}\r\nbegun`,
  '/without-body': `200 OK\r\n${CLOSE}${MARKS}\r\n`,
  '/declared-write': `200 OK\r\n${CLOSE}${MARKS}\r\ndeclared in parts`,
};

describe('a request of HTTP/1.0', ours, () => {
  const { port } = serve({ after }, routes);

  const bytesOf = (name, headers) => {
    const [target, method] = name.split(' ').reverse();
    return request(target, { method, headers });
  };

  for (const [name, expected] of Object.entries(CASES)) {
    it(`for ${name} is answered, and the connection is kept only where that is asked for`, async () => {
      for (const headers of ['', CLOSE, 'Connection: keep-alive, close\r\n', 'Host: h\r\nX: y\r\n']) {
        assert.equal(await exchange(port, bytesOf(name, headers)), `HTTP/1.1 ${expected(CLOSE)}`);
      }
      const kept = bytesOf(name, KEEP_ALIVE);
      const last = bytesOf(name, '');
      const answers = `HTTP/1.1 ${expected(KEEP_ALIVE)}`.repeat(2) + `HTTP/1.1 ${expected(CLOSE)}`;
      assert.equal(await exchange(port, kept + kept + last), answers);
    });
  }

  for (const [name, expected] of Object.entries(CLOSING_CASES)) {
    it(`for ${name} is answered, and the connection closed, whatever is asked for`, async () => {
      for (const headers of ['', CLOSE, KEEP_ALIVE]) {
        const behind = request('/end');
        assert.equal(await exchange(port, bytesOf(name, headers) + behind), `HTTP/1.1 ${expected}`);
      }
    });
  }

  it('gets a body in pieces that is more than the kernel takes at once', async () => {
    const client = await RawSocket.connect(port);
    client.write(request('/large', { headers: KEEP_ALIVE }));
    assert.equal(withoutDate(await client.readHead()), `HTTP/1.1 200 OK\r\n${CLOSE}${MARKS}\r\n`);
    const body = await client.readToEnd();
    assert.equal(body.length, LARGE.length + 1);
    assert.ok(body.subarray(0, -1).equals(LARGE));
    client.destroy();
  });

  it('is read at every split', async () => {
    const bytes = request('/host', { headers: `${KEEP_ALIVE}X: y\r\n` });
    const expected = `HTTP/1.1 200 OK\r\n${KEEP_ALIVE}${MARKS}Content-Length: 8\r\n\r\n[] /host`;
    const client = await RawSocket.connect(port);
    for (let split = 1; split < bytes.length; split += 1) {
      await client.writeAndTurn(bytes.slice(0, split));
      client.write(bytes.slice(split));
      assert.equal(withoutDate((await client.readHead()) + (await client.read(8)).toString()), expected);
    }
    client.destroy();
  });

  it('may have a body with a Content-Length, and is never told to continue', async () => {
    const headers = `Expect: 100-continue\r\nContent-Length: 4\r\n`;
    const expected = `HTTP/1.1 200 OK\r\n${CLOSE}${MARKS}Content-Length: 4\r\n\r\nbody`;
    assert.equal(await exchange(port, request('/upload', { method: 'POST', headers, body: 'body' })), expected);
    const client = await RawSocket.connect(port);
    await client.writeAndTurn(request('/upload', { method: 'POST', headers }));
    await turn();
    assert.equal(client.pendingLength, 0);
    client.write('body');
    assert.equal(withoutDate((await client.readToEnd()).toString()), expected);
    client.destroy();
  });

  it('with a Transfer-Encoding is a bad request', async () => {
    for (const more of ['', 'Content-Length: 5\r\n', KEEP_ALIVE]) {
      const headers = `Transfer-Encoding: chunked\r\n${more}`;
      const bytes = request('/upload', { method: 'POST', headers, body: '0\r\n\r\n' });
      assert.equal(await exchange(port, bytes), BAD_REQUEST);
    }
  });

  it('may have one Host, but not two', async () => {
    const body = '[h] /host';
    const expected = `HTTP/1.1 200 OK\r\n${CLOSE}${MARKS}Content-Length: ${body.length}\r\n\r\n${body}`;
    assert.equal(await exchange(port, request('/host', { headers: 'Host: h\r\n' })), expected);
    assert.equal(await exchange(port, request('http://h/host')), expected);
    assert.equal(await exchange(port, request('/host', { headers: 'Host: h\r\nHost: h\r\n' })), BAD_REQUEST);
  });

  it('is no upgrade', async () => {
    const bytes = upgradeRequest('/ws').replace('HTTP/1.1', 'HTTP/1.0');
    const expected = `HTTP/1.1 200 OK\r\n${CLOSE}${MARKS}Content-Length: 10\r\n\r\nno upgrade`;
    assert.equal(await exchange(port, bytes), expected);
  });

  it('whose handler throws gets 500', async () => {
    const listeners = process.rawListeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
    try {
      const answer = await exchange(port, request('/error', { headers: KEEP_ALIVE }));
      assert.match(answer, /^HTTP\/1\.1 500 Internal Server Error\r\nConnection: close\r\n\r\n/);
      assert.equal((await thrown).message, 'thrown by the handler');
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });

  it('may stand before and behind one of HTTP/1.1', async () => {
    const newer = 'GET /write HTTP/1.1\r\nHost: h\r\n\r\n';
    const chunked = `HTTP/1.1 200 OK\r\n${MARKS}Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n`;
    const answers = [CASES['/end'](KEEP_ALIVE), chunked.slice(9), CASES['/end'](CLOSE)];
    const bytes = request('/end', { headers: KEEP_ALIVE }) + newer + request('/end');
    assert.equal(await exchange(port, bytes), answers.map((answer) => `HTTP/1.1 ${answer}`).join(''));
  });
});

describe('a request of HTTP/1.2 or later', ours, () => {
  it('is one of HTTP/1.1, and one of another major version is refused', async (t) => {
    const { port } = serve(t, routes);
    for (const version of ['HTTP/1.2', 'HTTP/1.9']) {
      const client = await RawSocket.connect(port);
      const bytes = `GET /end ${version}\r\nHost: h\r\n\r\n`;
      for (let split = 1; split < bytes.length; split += 1) {
        await client.writeAndTurn(bytes.slice(0, split));
        client.write(bytes.slice(split));
        assert.equal((await client.readResponse()).head.includes('Connection'), false);
      }
      client.destroy();
    }
    for (const version of ['HTTP/0.9', 'HTTP/2.0', 'HTTP/3.0']) {
      assert.match(await exchange(port, `GET /end ${version}\r\nHost: h\r\n\r\n`), /^HTTP\/1\.1 505 /);
    }
  });
});

after(noConnectionLeft);
