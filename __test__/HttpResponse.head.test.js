'use strict';

// What programs write into the head of a response themselves: the status, Content-Length, Connection and similar
// fields.

const assert = require('node:assert/strict');
const http = require('node:http');
const { after, describe, it } = require('node:test');
const { RawSocket, SAMPLE_ACCEPT, upgradeRequest } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { fetch, request, withoutDate } = require('./support/http.js');
const { sent } = require('./support/response.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

const MARKS = 'Date: -\r\nuWebSockets: 20\r\n';
const OUT_OF_RANGE = { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE' };
const INVALID_HEADER = { name: 'Error', code: 'ERR_MILLIWAYS_INVALID_HEADER' };
const CONTENT_LENGTH = { name: 'Error', code: 'ERR_MILLIWAYS_CONTENT_LENGTH' };

/** Returns a 200 response with these header lines at the end of its head. */
const response = (lines, body) => `HTTP/1.1 200 OK\r\n${MARKS}${lines}\r\n${body}`;

describe('a status', ours, () => {
  for (const status of [
    '',
    ' ',
    'OK',
    '20',
    '20x OK',
    '1000 x',
    '200OK',
    '099 x',
    '100 Continue',
    '103 Early Hints',
    '199',
  ]) {
    it(`${JSON.stringify(status)} throws, and the response can still be given`, async (t) => {
      const handler = (res) => {
        assert.throws(() => res.writeStatus(status), OUT_OF_RANGE);
        assert.throws(() => res.writeStatus(Buffer.from(status)), OUT_OF_RANGE);
        res.writeStatus('200 OK').end('ok');
      };
      assert.equal(await sent(t, handler), response('Content-Length: 2\r\n', 'ok'));
    });
  }

  for (const [status, line] of [
    ['200', '200 OK'],
    ['404', '404 Not Found'],
    ['299', '299 '],
    ['200 ', '200 '],
    ['404 File Not Found', '404 File Not Found'],
    ['999 Whatever', '999 Whatever'],
  ]) {
    it(`${JSON.stringify(status)} goes out as ${JSON.stringify(line)}`, async (t) => {
      const text = await sent(t, (res) => res.writeStatus(status).end());
      assert.equal(text, `HTTP/1.1 ${line}\r\n${MARKS}Content-Length: 0\r\n\r\n`);
    });
  }

  it('101 completes no response but that to an upgrade', async (t) => {
    const handler = (res) => {
      res.writeStatus('101 Switching Protocols');
      for (const complete of [
        () => res.end(),
        () => res.endWithoutBody(),
        () => res.write('x'),
        () => res.beginWrite(),
        () => res.tryEnd('x', 1),
      ]) {
        assert.throws(complete, OUT_OF_RANGE);
      }
      res.close();
    };
    assert.equal(await sent(t, handler), '');
  });
});

describe('a Content-Length of the program', ours, () => {
  const ways = {
    end: (res) => res.end('hello'),
    write: (res) => {
      assert.equal(res.write('hel'), true);
      res.end('lo');
    },
    beginWrite: (res) => {
      res.beginWrite();
      res.write('hello');
      res.end();
    },
    tryEnd: (res) => assert.deepEqual(res.tryEnd('hello', 5), [true, true]),
    'tryEnd without a size': (res) => assert.deepEqual(res.tryEnd('hello'), [true, true]),
  };
  for (const [way, give] of Object.entries(ways)) {
    for (const name of ['Content-Length', 'content-length', 'CONTENT-LENGTH']) {
      it(`is said once, as ${name}, with ${way}`, async (t) => {
        const text = await sent(t, (res) => give(res.writeHeader(name, '5')));
        assert.equal(text, response('Content-Length: 5\r\n', 'hello'));
      });
    }
    it(`of another body throws with ${way}`, async (t) => {
      for (const length of ['4', '6']) {
        const handler = (res) => {
          assert.throws(() => give(res.writeHeader('Content-Length', length)), CONTENT_LENGTH);
          res.close();
        };
        const text = await sent(t, handler);
        assert.ok(!text.includes('chunked') && !/(?:Content-Length.*){2}/s.test(text), text);
      }
    });
  }

  it('of another body makes a 500 where nobody catches the error', async () => {
    const { code, reports } = await Script.run(async ({ App, uWS, RawSocket: Client, report }) => {
      process.on('uncaughtException', (error) => report('uncaught', error.code));
      const app = App().get('/*', (res) => res.writeHeader('Content-Length', '4').end('hello'));
      app.listen('127.0.0.1', 0, async (token) => {
        const client = await Client.connect(uWS.us_socket_local_port(token));
        client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
        report((await client.readToEnd()).toString().split('\r\n')[0]);
        app.close();
      });
    });
    const expected = [['uncaught', CONTENT_LENGTH.code], ['HTTP/1.1 500 Internal Server Error']];
    assert.deepEqual({ code, reports }, { code: 0, reports: expected });
  });

  it('that is not a length, or another one than before, throws', async (t) => {
    const handler = (res) => {
      for (const wrong of ['', 'abc', '-1', '1.5', '5, 5', '0x5', '99999999999999999999']) {
        assert.throws(() => res.writeHeader('Content-Length', wrong), INVALID_HEADER, wrong);
      }
      for (const name of ['Content-Length ', 'Content-Length:', ' Content-Length', 'Content Length']) {
        assert.throws(() => res.writeHeader(name, '5'), INVALID_HEADER, name);
      }
      res.writeHeader('Content-Length', '2').writeHeader('content-length', '2');
      assert.throws(() => res.writeHeader('Content-Length', '3'), INVALID_HEADER);
      res.end('ok');
    };
    // The last refused header does not affect those before it.
    assert.equal(await sent(t, handler), response('Content-Length: 2\r\n', 'ok'));
  });

  it('counts in the answer to HEAD', async (t) => {
    for (const give of [(res) => res.end(), (res) => res.endWithoutBody(), (res) => res.end('hello')]) {
      const text = await sent(t, (res) => give(res.writeHeader('Content-Length', '1234')), { method: 'HEAD' });
      assert.equal(text, response('Content-Length: 1234\r\n', ''));
    }
  });

  it('with a Transfer-Encoding beside it leaves one of them', async (t) => {
    const handler = (res) => {
      res.writeHeader('Transfer-Encoding', 'chunked').writeHeader('Content-Length', '2');
      res.write('o');
      res.end('k');
    };
    assert.equal(await sent(t, handler), response('Content-Length: 2\r\n', 'ok'));
  });

  it('is understood by clients', async (t) => {
    const { port } = serve(t, (app) =>
      app.get('/*', (res, req) => ways[req.getQuery('way')](res.writeHeader('Content-Length', '5'))),
    );
    if (process.env.MILLIWAYS_TEST_TLS) return;
    for (const way of ['end', 'write', 'tryEnd']) {
      const body = await new Promise((resolve, reject) => {
        http.get({ port, path: `/?way=${way}` }, (res) => res.toArray().then(resolve, reject)).on('error', reject);
      });
      assert.equal(Buffer.concat(body).toString(), 'hello');
    }
  });
});

describe('a 304', ours, () => {
  it('has the length that endWithoutBody reports', async (t) => {
    const text = await sent(t, (res) => res.writeStatus('304 Not Modified').endWithoutBody(100));
    assert.equal(text, `HTTP/1.1 304 Not Modified\r\n${MARKS}Content-Length: 100\r\n\r\n`);
  });

  it('has the length that the program writes', async (t) => {
    const text = await sent(t, (res) => res.writeStatus('304').writeHeader('Content-Length', '100').end());
    assert.equal(text, `HTTP/1.1 304 Not Modified\r\n${MARKS}Content-Length: 100\r\n\r\n`);
  });

  it('has none otherwise, and a 204 never', async (t) => {
    const none = (status) => `HTTP/1.1 ${status}\r\n${MARKS}\r\n`;
    assert.equal(await sent(t, (res) => res.writeStatus('304').end()), none('304 Not Modified'));
    assert.equal(await sent(t, (res) => res.writeStatus('204').endWithoutBody(100)), none('204 No Content'));
    const handler = (res) => res.writeStatus('204').writeHeader('Content-Length', '0').end();
    assert.equal(await sent(t, handler), none('204 No Content'));
  });
});

describe('a Transfer-Encoding of the program', ours, () => {
  it('is said once where the body comes in chunks', async (t) => {
    const handler = (res) => {
      res.writeHeader('TRANSFER-ENCODING', 'Chunked').write('ok');
      res.end();
    };
    assert.equal(await sent(t, handler), response('Transfer-Encoding: chunked\r\n', '2\r\nok\r\n0\r\n\r\n'));
  });

  it('gives way to the length where that is known', async (t) => {
    const text = await sent(t, (res) => res.writeHeader('transfer-encoding', 'chunked').end('ok'));
    assert.equal(text, response('Content-Length: 2\r\n', 'ok'));
  });

  it('other than chunked throws', async (t) => {
    const handler = (res) => {
      for (const wrong of ['gzip', 'gzip, chunked', 'identity', '']) {
        assert.throws(() => res.writeHeader('Transfer-Encoding', wrong), INVALID_HEADER, wrong);
      }
      res.end('ok');
    };
    assert.equal(await sent(t, handler), response('Content-Length: 2\r\n', 'ok'));
  });
});

describe('a Connection header of the program', ours, () => {
  /** Returns what two requests on one connection receive. */
  async function twice(t, handler) {
    const { port } = serve(t, (app) => app.any('/*', handler));
    const client = await RawSocket.connect(port);
    client.write(request('/').repeat(2));
    const responses = [];
    try {
      while (responses.length < 2) responses.push(withoutDate((await client.readResponse()).head));
    } catch {
      assert.equal((await client.readToEnd()).length, 0);
    }
    client.destroy();
    return responses;
  }

  const head = (lines) => `HTTP/1.1 200 OK\r\n${lines}${MARKS}Content-Length: 2\r\n\r\n`;

  for (const [name, value] of [
    ['Connection', 'close'],
    ['connection', 'Close'],
    ['CONNECTION', ' keep-alive , CLOSE'],
  ]) {
    it(`(${name}: ${value}) closes after the response`, async (t) => {
      const responses = await twice(t, (res) => res.writeHeader(name, value).end('ok'));
      assert.deepEqual(responses, [head('Connection: close\r\n')]);
    });
  }

  it('closes after a body in parts', async (t) => {
    const chunked = await sent(t, (res) => {
      res.writeHeader('Connection', 'close').write('ok');
      res.end();
    });
    assert.match(chunked, /\r\n0\r\n\r\n$/);
    const responses = await twice(t, (res) => res.writeHeader('Connection', 'close').tryEnd('ok', 2));
    assert.deepEqual(responses, [head('Connection: close\r\n')]);
  });

  it('(keep-alive) keeps the connection, and is said once', async (t) => {
    const responses = await twice(t, (res) => res.writeHeader('Connection', 'keep-alive').end('ok'));
    assert.deepEqual(responses, [head('Connection: keep-alive\r\n'), head('Connection: keep-alive\r\n')]);
  });

  it('(keep-alive) gives way to a close', async (t) => {
    const responses = await twice(t, (res) => res.writeHeader('Connection', 'keep-alive').end('ok', true));
    assert.deepEqual(responses, [head('Connection: close\r\n')]);
  });

  it('of other options has them beside', async (t) => {
    const handler = (res) => res.writeHeader('Connection', 'Upgrade').writeHeader('Upgrade', 'h2c').end('ok', true);
    assert.deepEqual(await twice(t, handler), [head('Connection: close, Upgrade\r\nUpgrade: h2c\r\n')]);
  });
});

describe('a Date of the program', ours, () => {
  it('stands for ours, in any letter case', async (t) => {
    const { port } = serve(t, (app) =>
      app.get('/:name', (res, req) => res.writeHeader(req.getParameter(0), 'Thu, 01 Jan 1970 00:00:00 GMT').end('ok')),
    );
    for (const name of ['Date', 'date', 'DATE']) {
      const { head } = await fetch(port, `/${name}`);
      assert.deepEqual(head.match(/^date:.*$/gim), [`${name}: Thu, 01 Jan 1970 00:00:00 GMT`]);
    }
  });
});

describe('headers of the program before an upgrade', ours, () => {
  /** Returns the head of an upgrade before which the handler writes these headers. */
  async function upgraded(t, headers, protocol = '') {
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        upgrade: (res, req, context) => {
          for (const [name, value] of headers) res.writeHeader(name, value);
          res.upgrade({}, req.getHeader('sec-websocket-key'), protocol, '', context);
        },
      }),
    );
    const client = await RawSocket.connect(port);
    client.write(upgradeRequest('/'));
    const head = withoutDate(await client.readHead());
    client.destroy();
    return head;
  }

  it('are sent with the status of an upgrade, which need not be written', async (t) => {
    assert.equal(
      await upgraded(t, [['Set-Cookie', 'a=b']]),
      'HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n${MARKS}\r\n`,
    );
  });

  it('say nothing twice that the handshake says', async (t) => {
    const headers = [
      ['upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
      ['Sec-WebSocket-Accept', SAMPLE_ACCEPT],
      ['sec-websocket-protocol', 'mine'],
      ['Content-Length', '0'],
      ['Transfer-Encoding', 'chunked'],
    ];
    assert.equal(
      await upgraded(t, headers, 'mine'),
      'HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: mine\r\nUpgrade: websocket\r\n' +
        `Connection: Upgrade\r\nSec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n${MARKS}\r\n`,
    );
  });

  it('may not follow another status', async (t) => {
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        upgrade: (res, req, context) => {
          res.writeStatus('200 OK');
          assert.throws(() => res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context), {
            code: 'ERR_MILLIWAYS_INVALID_UPGRADE',
          });
          res.end('no');
        },
      }),
    );
    const client = await RawSocket.connect(port);
    client.write(upgradeRequest('/'));
    assert.equal((await client.readResponse()).body, 'no');
    client.destroy();
  });
});

after(noConnectionLeft);
