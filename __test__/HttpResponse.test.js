'use strict';

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { request, exchange, withoutDate, OK, closing } = require('./support/http.js');
const { DONE, CALLS, sent } = require('./support/response.js');
const { serve } = require('./support/server.js');
const { oursOverTLS } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

const INVALID_DATA = {
  name: 'Error',
  message: 'Text and data can only be passed by String, ArrayBuffer or TypedArray.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_INVALID_DATA' }),
};
const MEBIBYTE = 1 << 20;

describe('a response', () => {
  it('has a status, a date, the name of the server and the length, and the body', async (t) => {
    assert.equal(await sent(t, (res) => res.end('ok')), OK);
  });

  it('has a length of 0 without a body', async (t) => {
    const expected = 'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 0\r\n\r\n';
    assert.equal(await sent(t, (res) => res.end()), expected);
  });

  it('has the given status and headers as they were given, before its own', async (t) => {
    const handler = (res) => {
      res.writeStatus('201 Created').writeHeader('X-Mixed', 'a').writeHeader('x-mixed', '').end('ok');
    };
    assert.equal(
      await sent(t, handler),
      'HTTP/1.1 201 Created\r\nX-Mixed: a\r\nx-mixed: \r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 2\r\n\r\nok',
    );
  });

  it('keeps its first status', async (t) => {
    const handler = (res) => res.writeStatus('201 Created').writeStatus('202 Accepted').end('ok');
    assert.match(await sent(t, handler), /^HTTP\/1\.1 201 Created\r\nDate/);
  });

  it('has status 200 once a header was written first', async (t) => {
    const handler = (res) => res.writeHeader('a', 'b').writeStatus('202 Accepted').end('ok');
    assert.match(await sent(t, handler), /^HTTP\/1\.1 200 OK\r\na: b\r\nDate/);
  });

  it('is written in UTF-8, whose bytes its length counts', async (t) => {
    const handler = (res) => res.writeStatus('200 d\u00e9j\u00e0').writeHeader('x', '\u20ac').end('\u00e9\u{1f600}');
    const expected =
      'HTTP/1.1 200 d\u00e9j\u00e0\r\nx: \u20ac\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 6\r\n\r\n\u00e9\u{1f600}';
    assert.equal(Buffer.from(await sent(t, handler), 'latin1').toString('utf8'), expected);
  });

  it('writes a lone surrogate as the replacement character', ours, async (t) => {
    const raw = await sent(t, (res) => res.end('a\ud800b'));
    assert.equal(Buffer.from(raw.slice(raw.indexOf('\r\n\r\n') + 4), 'latin1').toString('hex'), '61efbfbd62');
  });

  it('takes text and bytes of every kind', async (t) => {
    const bytes = new Uint8Array([0x21, 0x61, 0x62, 0x63, 0x21]);
    const shared = new SharedArrayBuffer(3);
    new Uint8Array(shared).set([0x61, 0x62, 0x63]);
    const bodies = {
      string: 'abc',
      ArrayBuffer: bytes.buffer.slice(1, 4),
      'Uint8Array with an offset': bytes.subarray(1, 4),
      Buffer: Buffer.from('abc'),
      Int8Array: new Int8Array(bytes.buffer, 1, 3),
      SharedArrayBuffer: shared,
      'view of a SharedArrayBuffer': new Uint8Array(shared),
    };
    for (const [kind, body] of Object.entries(bodies)) {
      const raw = await sent(t, (res) => res.end(body));
      assert.equal(raw.slice(-7), '\r\n\r\nabc', kind);
    }
    const wide = await sent(t, (res) => res.end(new Uint16Array([0x6261, 0x6463])));
    assert.equal(wide.slice(-8), '\r\n\r\nabcd', 'Uint16Array');
  });

  it('takes undefined as an empty text', async (t) => {
    const raw = await sent(t, (res) => res.writeHeader('x', undefined).end(undefined));
    assert.equal(raw, 'HTTP/1.1 200 OK\r\nx: \r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 0\r\n\r\n');
  });

  it('refuses everything else, and can still be used', async (t) => {
    for (const wrong of [null, 5, {}, [], true, new DataView(new ArrayBuffer(1)), () => {}]) {
      const handler = (res) => {
        assert.throws(() => res.writeHeader('x', wrong), INVALID_DATA);
        assert.throws(() => res.writeHeader(wrong, 'x'), INVALID_DATA);
        assert.throws(() => res.writeStatus(wrong), INVALID_DATA);
        assert.throws(() => res.end(wrong), INVALID_DATA);
        res.end('ok');
      };
      assert.equal((await sent(t, handler)).slice(-6), '\r\n\r\nok', String(wrong));
    }
  });

  it('is returned by each of its methods', async (t) => {
    const handler = (res) => {
      assert.equal(
        res.onAborted(() => {}),
        res,
      );
      assert.equal(res.writeStatus('200 OK'), res);
      assert.equal(res.writeHeader('a', 'b'), res);
      assert.equal(
        res.cork(() => {}),
        res,
      );
      assert.equal(res.end('ok'), res);
    };
    assert.match(await sent(t, handler), /ok$/);
    assert.equal(await sent(t, (res) => assert.equal(res.close(), res)), '');
  });

  it('can be extended, and its methods replaced', async (t) => {
    const handler = (res) => {
      res.json = (value) => res.end(JSON.stringify(value));
      const end = res.end;
      res.end = (body) => end.call(res, `[${body}]`);
      res.json({ a: 1 });
    };
    assert.match(await sent(t, handler), /\r\n\r\n\[\{"a":1\}\]$/);
  });

  it('throws when a method is called on something else', ours, async (t) => {
    const handler = (res) => {
      for (const name of Object.keys(CALLS)) {
        for (const other of [undefined, null, {}, 5]) assert.throws(() => res[name].call(other, () => {}), name);
      }
      res.end('ok');
    };
    assert.equal(await sent(t, handler), OK);
  });

  it('of several MiB comes whole, also to a slow reader', async (t) => {
    const body = Buffer.alloc(8 * MEBIBYTE, 'abcdefghijklmnopqrstuvwxyz');
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end(body)));
    for (const headers of [[], ['Connection: close']]) {
      const client = await RawSocket.connect(port);
      client.pause();
      await client.writeAndTurn(request('/', { headers }));
      client.resume();
      const { headers: received } = await client.readResponse({ noBody: true });
      assert.equal(received['content-length'], String(body.length));
      assert.ok(body.equals(await client.read(body.length)));
      if (headers.length > 0) assert.equal((await client.readToEnd()).length, 0);
      client.destroy();
    }
  });

  it('of several MiB stands before the answer to the next request', async (t) => {
    const { port } = serve(t, (app) =>
      app.any('/big', (res) => res.end(Buffer.alloc(8 * MEBIBYTE, 'x'))).any('/small', (res) => res.end('small')),
    );
    const client = await RawSocket.connect(port);
    client.pause();
    await client.writeAndTurn(request('/big') + request('/small'));
    client.resume();
    assert.equal((await client.readResponse()).body.length, 8 * MEBIBYTE);
    assert.equal((await client.readResponse()).body, 'small');
    client.destroy();
  });
});

describe('a response to HEAD', ours, () => {
  it('has the length of its body, and no body', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('body')));
    const client = await RawSocket.connect(port);
    client.write(request('/', { method: 'HEAD' }) + request('/'));
    assert.equal(
      withoutDate((await client.readResponse({ noBody: true })).head),
      'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 4\r\n\r\n',
    );
    assert.equal((await client.readResponse()).body, 'body', 'the next response follows at once');
    client.destroy();
  });

  it('has no body when nothing matched, either', async (t) => {
    const { port } = serve(t, () => {});
    const client = await RawSocket.connect(port);
    client.write(request('/', { method: 'HEAD' }) + request('/', { method: 'HEAD' }));
    for (let i = 0; i < 2; i += 1) assert.equal((await client.readResponse({ noBody: true })).status, 404);
    client.destroy();
  });

  for (const status of ['204 No Content', '304 Not Modified']) {
    it(`and one with status ${status} never have a body`, async (t) => {
      const { port } = serve(t, (app) =>
        app.any('/none', (res) => res.writeStatus(status).end('body')).any('/ok', (res) => res.end('ok')),
      );
      const client = await RawSocket.connect(port);
      client.write(request('/none') + request('/ok'));
      assert.equal((await client.readResponse({ noBody: true })).statusLine, `HTTP/1.1 ${status}`);
      assert.equal((await client.readResponse()).body, 'ok');
      client.destroy();
    });
  }
});

describe('a line break or NUL', ours, () => {
  for (const [name, bad] of Object.entries({ CR: '\r', LF: '\n', CRLF: '\r\nInjected: 1', NUL: '\0' })) {
    it(`${name} in a status, a header's name or its value throws, and is not written`, async (t) => {
      const handler = (res) => {
        const refused = { name: 'Error', code: 'ERR_MILLIWAYS_INVALID_HEADER' };
        assert.throws(() => res.writeStatus(`200${bad}OK`), refused);
        assert.throws(() => res.writeHeader(`a${bad}b`, 'c'), refused);
        assert.throws(() => res.writeHeader('a', `b${bad}c`), refused);
        assert.throws(() => res.writeHeader('a', Buffer.from(`b${bad}`)), refused);
        res.writeHeader('fine', 'value').end('ok');
      };
      assert.equal(
        await sent(t, handler),
        'HTTP/1.1 200 OK\r\nfine: value\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 2\r\n\r\nok',
      );
    });
  }
});

describe('end', () => {
  it('keeps the connection for the next request', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res, req) => res.end(req.getUrl())));
    const client = await RawSocket.connect(port);
    for (const target of ['/1', '/2', '/3']) {
      client.write(request(target));
      assert.equal((await client.readResponse()).body, target);
    }
    client.destroy();
  });

  it('says Connection: close and closes when its second argument is true', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok', true)));
    assert.equal(
      await exchange(port, request('/')),
      'HTTP/1.1 200 OK\r\nConnection: close\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 2\r\n\r\nok',
    );
  });

  for (const value of ['close', 'Close', 'CLOSE']) {
    it(`closes when the request said Connection: ${value}, and says so`, async (t) => {
      const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
      assert.equal(await exchange(port, request('/', { headers: [`Connection: ${value}`] })), closing(OK));
    });
  }

  // uWebSockets.js ignores a request that a close_notify follows, and closes the connection.
  it('answers a client that has sent its FIN with the request', oursOverTLS, async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
    const client = await RawSocket.connect(port);
    client.write(request('/')).end();
    assert.equal(withoutDate((await client.readToEnd()).toString('latin1')), OK);
    client.destroy();
  });

  for (const [name, call] of Object.entries(CALLS)) {
    it(`may not be followed by ${name}`, async (t) => {
      let thrown = 0;
      const { port } = serve(t, (app) =>
        app.any('/*', (res) => {
          res.end('ok');
          assert.throws(() => call(res), DONE);
          thrown += 1;
          setImmediate(() => {
            assert.throws(() => call(res), DONE);
            thrown += 1;
          });
        }),
      );
      const client = await RawSocket.connect(port);
      client.write(request('/'));
      assert.equal((await client.readResponse()).body, 'ok');
      await turn();
      assert.equal(thrown, 2);
      client.destroy();
    });
  }

  it('may be called later, corked or not', async (t) => {
    const { port } = serve(t, (app) =>
      app
        .get('/corked', (res) => {
          res.onAborted(() => {});
          setImmediate(() => {
            const returned = res.cork(() => {
              res.writeStatus('201 Created').writeHeader('a', 'b').end('corked');
            });
            assert.equal(returned, res);
          });
        })
        .get('/uncorked', (res) => {
          res.onAborted(() => {});
          setTimeout(() => {
            res.writeStatus('202 Accepted');
            res.writeHeader('a', 'b');
            res.end('uncorked');
          }, 1);
        }),
    );
    const client = await RawSocket.connect(port);
    for (const [target, status] of [
      ['/corked', '201 Created'],
      ['/uncorked', '202 Accepted'],
    ]) {
      client.write(request(target));
      const { head, body } = await client.readResponse();
      const length = `Content-Length: ${target.length - 1}`;
      assert.equal(withoutDate(head), `HTTP/1.1 ${status}\r\na: b\r\nDate: -\r\nuWebSockets: 20\r\n${length}\r\n\r\n`);
      assert.equal(body, target.slice(1));
    }
    client.destroy();
  });
});

describe('cork', () => {
  it('lets an exception of its callback through, and the response goes on', async (t) => {
    const handler = (res) => {
      assert.throws(
        () =>
          res.cork(() => {
            res.writeStatus('201 Created');
            throw new TypeError('of the callback');
          }),
        { name: 'TypeError', message: 'of the callback' },
      );
      res.end('ok');
    };
    assert.match(await sent(t, handler), /^HTTP\/1\.1 201 Created\r\n.*\r\n\r\nok$/s);
  });

  it('may stand in another', async (t) => {
    const handler = (res) => res.cork(() => res.cork(() => res.writeStatus('201 Created')).end('ok'));
    assert.match(await sent(t, handler), /^HTTP\/1\.1 201 Created\r\n.*\r\n\r\nok$/s);
  });

  it('throws on what is no function', ours, async (t) => {
    const handler = (res) => {
      for (const wrong of [undefined, null, 5, {}, 'text']) {
        assert.throws(() => res.cork(wrong), { name: 'Error', code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
      }
      res.end('ok');
    };
    assert.equal(await sent(t, handler), OK);
  });
});

describe('close', () => {
  it('ends the connection without a byte, and runs onAborted before it returns', async (t) => {
    const log = new EventLog();
    const handler = (res) => {
      res.onAborted(() => log.add('aborted'));
      res.writeStatus('200 OK').writeHeader('a', 'b');
      res.close();
      log.add('returned');
      assert.throws(() => res.end(), DONE);
    };
    assert.equal(await sent(t, handler), '');
    assert.deepEqual(log.all, [['aborted'], ['returned']]);
  });

  it('may be called later', async (t) => {
    const handler = (res) => {
      res.onAborted(() => {});
      setImmediate(() => res.close());
    };
    assert.equal(await sent(t, handler), '');
  });
});

describe('a write outside a cork', ours, () => {
  it('is warned of once a process', async () => {
    const { code, reports } = await Script.run(
      async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, report }) => {
        process.on('warning', (warning) => report('warning', warning.message, typeof warning.code));
        let port;
        const app = App().get('/*', (res) => {
          res.onAborted(() => {});
          setImmediate(() => {
            res.writeHeader('a', 'b');
            res.end('ok');
          });
        });
        app.listen('127.0.0.1', 0, (token) => {
          port = localPort(token);
        });
        const client = await Client.connect(port);
        for (let i = 0; i < 3; i += 1) {
          client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
          await client.readResponse();
        }
        app.close();
        client.destroy();
      },
      { execArgv: ['--no-warnings'] },
    );
    const message =
      'uWS.HttpResponse writes must be made from within a corked callback. ' +
      'See documentation for uWS.HttpResponse.cork and consult the user manual.';
    assert.deepEqual({ code, reports }, { code: 0, reports: [['warning', message, 'string']] });
  });
});

after(noConnectionLeft);
