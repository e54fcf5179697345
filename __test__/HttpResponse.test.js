'use strict';

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const {
  request,
  fetch,
  exchange,
  withoutDate,
  BAD_REQUEST,
  HEADERS_TOO_LARGE,
  VERSION_NOT_SUPPORTED,
} = require('./support/http.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

const DONE = {
  name: 'Error',
  message:
    'uWS.HttpResponse must not be accessed after uWS.HttpResponse.onAborted callback, or after a successful response. ' +
    'See documentation for uWS.HttpResponse and consult the user manual.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_RESPONSE_DONE' }),
};
const INVALID_DATA = {
  name: 'Error',
  message: 'Text and data can only be passed by String, ArrayBuffer or TypedArray.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_INVALID_DATA' }),
};
/** What an answer of `end('ok')` is on the wire. */
const OK = 'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 2\r\n\r\nok';
const MEBIBYTE = 1 << 20;

/** Every method of a response, called with arguments that are right. */
const CALLS = {
  writeStatus: (res) => res.writeStatus('200 OK'),
  writeHeader: (res) => res.writeHeader('a', 'b'),
  onAborted: (res) => res.onAborted(() => {}),
  cork: (res) => res.cork(() => {}),
  end: (res) => res.end(''),
  close: (res) => res.close(),
};

/** Serves one handler, and gives everything that one request makes it send, the date replaced. */
async function sent(t, handler, options = {}) {
  const { port } = serve(t, (app) => app.any('/*', handler));
  return exchange(port, request('/', { ...options, headers: [...(options.headers ?? []), 'Connection: close'] }));
}

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
    it(`closes when the request said Connection: ${value}`, async (t) => {
      const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
      assert.equal(await exchange(port, request('/', { headers: [`Connection: ${value}`] })), OK);
    });
  }

  it('answers a client that has sent its FIN with the request', async (t) => {
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

describe('onAborted', () => {
  /** Serves a handler that waits for ever, and gives a client that waits for the response. */
  async function pending(t, log) {
    const { port } = serve(t, (app) =>
      app.any('/*', (res) => {
        res.onAborted(() => {
          for (const [name, call] of Object.entries(CALLS)) assert.throws(() => call(res), DONE, name);
          log.add('aborted');
        });
        log.add('request');
        setImmediate(() => {
          log.res = res;
        });
      }),
    );
    const client = await RawSocket.connect(port);
    client.write(request('/'));
    await log.next('request');
    return client;
  }

  for (const how of ['end', 'reset', 'destroy']) {
    it(`runs when the client goes (${how}), and nothing can be used in it or after it`, async (t) => {
      const log = new EventLog();
      const client = await pending(t, log);
      client[how]();
      await log.next('aborted');
      await turn();
      for (const [name, call] of Object.entries(CALLS)) assert.throws(() => call(log.res), DONE, name);
      assert.equal(log.count('aborted'), 1);
      client.destroy();
      await noConnectionLeft();
    });
  }

  it('runs once, and the last one given', async (t) => {
    const log = new EventLog();
    const handler = (res) => {
      res.onAborted(() => log.add('first')).onAborted(() => log.add('second'));
      res.close();
    };
    await sent(t, handler);
    assert.deepEqual(log.all, [['second']]);
  });

  it('does not run when the response is out before the client goes', async (t) => {
    const log = new EventLog();
    const { port } = serve(t, (app) =>
      app.any('/*', (res) => {
        res.onAborted(() => log.add('aborted'));
        setImmediate(() => res.cork(() => res.end('ok')));
      }),
    );
    const client = await RawSocket.connect(port);
    client.write(request('/'));
    assert.equal((await client.readResponse()).body, 'ok');
    client.reset();
    await noConnectionLeft();
    assert.deepEqual(log.all, []);
  });

  it('throws on what is no function', ours, async (t) => {
    const handler = (res) => {
      for (const wrong of [undefined, null, 5, {}]) {
        assert.throws(() => res.onAborted(wrong), { name: 'Error', code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
      }
      res.end('ok');
    };
    assert.equal(await sent(t, handler), OK);
  });

  it('of a response whose connection is gone never reaches the connection that took its place', async (t) => {
    const log = new EventLog();
    const kept = [];
    const { port } = serve(t, (app) =>
      app.any('/*', (res, req) => {
        res.onAborted(() => log.add('aborted', kept.indexOf(res)));
        kept.push(res);
        log.add('request', req.getUrl());
      }),
    );
    const first = await RawSocket.connect(port);
    first.write(request('/1'));
    await log.next('request');
    first.reset();
    assert.deepEqual(await log.next('aborted'), [0]);
    await noConnectionLeft();

    const second = await RawSocket.connect(port);
    second.write(request('/2'));
    await log.next('request');
    for (const call of Object.values(CALLS)) assert.throws(() => call(kept[0]), DONE);
    kept[1].cork(() => kept[1].end('mine'));
    assert.equal((await second.readResponse()).body, 'mine');
    second.destroy();
  });
});

describe('requests on one connection', () => {
  const targets = Array.from({ length: 100 }, (_, i) => `/${i}`);

  it('sent at once are answered in order', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res, req) => res.end(req.getUrl())));
    const client = await RawSocket.connect(port);
    client.write(targets.map((target) => request(target)).join(''));
    for (const target of targets) assert.equal((await client.readResponse()).body, target);
    client.destroy();
  });

  it('wait their turn while one of them is pending', ours, async (t) => {
    const log = new EventLog();
    const { port } = serve(t, (app) =>
      app
        .get('/slow/*', async (res, req) => {
          const url = req.getUrl();
          let aborted = false;
          res.onAborted(() => {
            aborted = true;
          });
          log.add('start', url);
          await turn();
          assert.equal(aborted, false);
          log.add('end', url);
          res.cork(() => res.end(url));
        })
        .get('/*', (res, req) => {
          log.add('fast', req.getUrl());
          res.end(req.getUrl());
        }),
    );
    const client = await RawSocket.connect(port);
    const order = ['/slow/1', '/2', '/slow/3', '/slow/4', '/5'];
    client.write(
      order
        .slice(0, 4)
        .map((target) => request(target))
        .join(''),
    );
    await log.next('start');
    client.write(request(order[4]));
    for (const target of order) assert.equal((await client.readResponse()).body, target);
    assert.deepEqual(
      log.all.map((event) => event.join(' ')),
      [
        'start /slow/1',
        'end /slow/1',
        'fast /2',
        'start /slow/3',
        'end /slow/3',
        'start /slow/4',
        'end /slow/4',
        'fast /5',
      ],
    );
    client.destroy();
  });

  it('after one that said Connection: close are not answered', ours, async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
    assert.equal(await exchange(port, request('/', { headers: ['Connection: close'] }) + request('/')), OK);
  });
});

describe('a request body', () => {
  const CONTENT_LENGTH = request('/', { method: 'POST', headers: ['Content-Length: 11'], body: 'hello\r\n\r\nGE' });
  const CHUNKED = request('/', {
    method: 'POST',
    headers: ['Transfer-Encoding: chunked'],
    body: '5\r\nhello\r\nA\r\n\r\n\r\nGET / \r\n0\r\n\r\n',
  });
  const EXTENDED = request('/', {
    method: 'POST',
    headers: ['Transfer-Encoding: Chunked'],
    body: '5;name=value\r\nhello\r\n00a ; b="c"\r\n\r\n\r\nGET / \r\n0;x\r\nTrailer: a\r\nOther:\r\n\r\n',
  });

  function serveEcho(t) {
    return serve(t, (app) => app.post('/*', (res) => res.end('posted')).get('/*', (res, req) => res.end(req.getUrl())));
  }

  for (const [name, bytes, options] of [
    ['Content-Length', CONTENT_LENGTH, {}],
    ['chunked', CHUNKED, {}],
    ['chunked, with extensions and trailers', EXTENDED, ours],
  ]) {
    it(`(${name}) is skipped, at every split`, options, async (t) => {
      const { port } = serveEcho(t);
      const client = await RawSocket.connect(port);
      const all = bytes + request('/next');
      for (let split = 1; split < all.length; split += 1) {
        await client.writeAndTurn(all.slice(0, split));
        client.write(all.slice(split));
        assert.equal((await client.readResponse()).body, 'posted', `split at ${split}`);
        assert.equal((await client.readResponse()).body, '/next', `split at ${split}`);
      }
      client.destroy();
    });

    it(`(${name}) is skipped, byte by byte`, options, async (t) => {
      const { port } = serveEcho(t);
      const client = await RawSocket.connect(port);
      for (const byte of bytes + request('/next')) await client.writeAndTurn(byte);
      assert.equal((await client.readResponse()).body, 'posted');
      assert.equal((await client.readResponse()).body, '/next');
      client.destroy();
    });
  }

  it('of a GET is skipped, too', async (t) => {
    const { port } = serveEcho(t);
    const client = await RawSocket.connect(port);
    client.write(request('/1', { headers: ['Content-Length: 5'], body: 'GET /' }) + request('/2'));
    assert.equal((await client.readResponse()).body, '/1');
    assert.equal((await client.readResponse()).body, '/2');
    client.destroy();
  });

  it('of several MiB is skipped', async (t) => {
    const { port } = serveEcho(t);
    const client = await RawSocket.connect(port);
    const chunk = `${(64 * 1024).toString(16)}\r\n${'x'.repeat(64 * 1024)}\r\n`;
    client.write(request('/', { method: 'POST', headers: [`Content-Length: ${4 * MEBIBYTE}`] }));
    client.write(Buffer.alloc(4 * MEBIBYTE, 'x'));
    client.write(request('/', { method: 'POST', headers: ['Transfer-Encoding: chunked'] }));
    client.write(`${chunk.repeat(64)}0\r\n\r\n`);
    client.write(request('/next'));
    for (const body of ['posted', 'posted', '/next']) assert.equal((await client.readResponse()).body, body);
    client.destroy();
  });

  it('that is announced is asked for', async (t) => {
    const { port } = serveEcho(t);
    const client = await RawSocket.connect(port);
    client.write(request('/', { method: 'POST', headers: ['Expect: 100-continue', 'Content-Length: 5'] }));
    assert.equal(await client.readHead(), 'HTTP/1.1 100 Continue\r\n\r\n');
    client.write('hello');
    assert.equal((await client.readResponse()).body, 'posted');
    client.write(request('/next'));
    assert.equal((await client.readResponse()).body, '/next');
    client.destroy();
  });
});

describe('a malformed request', () => {
  const post = (headers, body = '') => request('/', { method: 'POST', headers, body });
  const chunked = (body) => post(['Transfer-Encoding: chunked'], body);
  const header = (line) => request('/', { headers: [line] });

  /** Whatever the server makes of them, uWebSockets.js makes something else of those of the second list. */
  const BAD_REQUESTS = {
    'no Host': 'GET / HTTP/1.1\r\n\r\n',
    'two Hosts': 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    'a header without a colon': header('name'),
    'a space before the colon': header('name : value'),
    'a bad character in a name': header('na(me: value'),
    'a folded header': header('name: value\r\n more'),
    'a bare LF after a header': 'GET / HTTP/1.1\r\nHost: a\nname: value\r\n\r\n',
    'a NUL in a value': header('name: val\0ue'),
    'a control character in a value': header('name: val\x01ue'),
    'a Content-Length with a sign': post(['Content-Length: +5'], 'hello'),
    'a negative Content-Length': post(['Content-Length: -5'], 'hello'),
    'a Content-Length in hexadecimal': post(['Content-Length: 0x5'], 'hello'),
    'a list as Content-Length': post(['Content-Length: 5, 5'], 'hello'),
    'a Content-Length beyond 64 bits': post(['Content-Length: 99999999999999999999'], 'hello'),
    'Content-Length and Transfer-Encoding': post(['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    'Transfer-Encoding and Content-Length': post(['Transfer-Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'),
  };
  const BAD_REQUESTS_OF_OURS = {
    'an empty Host': 'GET / HTTP/1.1\r\nHost: \r\n\r\n',
    'an empty name': header(': value'),
    'two Content-Lengths': post(['Content-Length: 5', 'Content-Length: 5'], 'hello'),
    'two different Content-Lengths': post(['Content-Length: 5', 'Content-Length: 6'], 'hello'),
    'an empty Content-Length': post(['Content-Length: '], 'hello'),
    'a Transfer-Encoding other than chunked': post(['Transfer-Encoding: gzip'], '0\r\n\r\n'),
    'a list as Transfer-Encoding': post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
    'a bare CR in a value': header('name: val\rue'),
  };
  const TOO_LARGE = {
    'a header of 5000 bytes': header(`name: ${'x'.repeat(5000)}`),
    'headers of 5000 bytes': request('/', { headers: Array(50).fill(`name: ${'x'.repeat(94)}`) }),
    'headers of 5000 bytes without an end': `GET / HTTP/1.1\r\nname: ${'x'.repeat(5000)}`,
    'a header of 100 KB': header(`name: ${'x'.repeat(100_000)}`),
    'a URL of 5000 bytes': request(`/${'x'.repeat(5000)}`),
    '110 headers': request('/', { headers: Array(110).fill('a: b') }),
  };
  const BAD_VERSIONS = {
    'HTTP/1.0': 'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
    'HTTP/1.2': 'GET / HTTP/1.2\r\nHost: a\r\n\r\n',
    'HTTP/2.0': 'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  };
  /** Not a request line at all: a 400, and in uWebSockets.js a 505. */
  const BAD_REQUEST_LINES = {
    'no target': 'GET HTTP/1.1\r\nHost: a\r\n\r\n',
    'two spaces': 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
    'a space in the target': 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n',
    'a NUL in the target': 'GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n',
    'a bare LF after the request line': 'GET / HTTP/1.1\nHost: a\r\n\r\n',
    'the hello of TLS': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc\r\n\r\n',
  };

  function cases(list, expected, options = {}) {
    for (const [name, bytes] of Object.entries(list)) {
      it(`${name} gives ${expected.slice(9, expected.indexOf('\r'))}`, options, async (t) => {
        const { port } = serve(t, (app) => app.any('/*', (res) => res.end('handled')));
        assert.equal(await exchange(port, bytes), expected);
        await noConnectionLeft();
      });
    }
  }
  cases(BAD_REQUESTS, BAD_REQUEST);
  cases(BAD_REQUESTS_OF_OURS, BAD_REQUEST, ours);
  cases(TOO_LARGE, HEADERS_TOO_LARGE);
  cases(BAD_VERSIONS, VERSION_NOT_SUPPORTED);

  for (const [name, bytes] of Object.entries(BAD_REQUEST_LINES)) {
    it(`${name} gives 400 Bad Request, or 505`, async (t) => {
      const { port } = serve(t, (app) => app.any('/*', (res) => res.end('handled')));
      const response = await exchange(port, bytes);
      assert.ok(response === BAD_REQUEST || response === VERSION_NOT_SUPPORTED, response);
    });
  }

  it('is refused as soon as its head is complete, byte by byte', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('handled')));
    for (const [bytes, expected] of [
      [BAD_REQUESTS['a folded header'], BAD_REQUEST],
      [BAD_REQUESTS['Content-Length and Transfer-Encoding'], BAD_REQUEST],
      [BAD_VERSIONS['HTTP/1.0'], VERSION_NOT_SUPPORTED],
    ]) {
      const client = await RawSocket.connect(port);
      for (const byte of bytes) {
        if (client.ended) break;
        await client.writeAndTurn(byte);
      }
      assert.equal((await client.readToEnd()).toString('latin1'), expected);
      client.destroy();
    }
  });

  it('after a good one leaves that one its answer', ours, async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
    assert.equal(await exchange(port, request('/') + BAD_REQUESTS['no Host']), OK + BAD_REQUEST);
  });

  for (const [name, bytes, options] of [
    ['a size that is no number', chunked('zz\r\n\r\n'), {}],
    ['a size beyond 64 bits', chunked('fffffffffffffffff\r\n\r\n'), {}],
    ['an empty size', chunked('\r\nhello\r\n0\r\n\r\n'), ours],
    ['more bytes than its size says', chunked('5\r\nhelloXX0\r\n\r\n'), ours],
    ['a bare LF after its size', chunked('5\nhello\r\n0\r\n\r\n'), ours],
  ]) {
    it(`with a chunk of ${name} ends the connection`, options, async (t) => {
      const { port } = serve(t, (app) => app.post('/*', (res) => res.end('ok')).get('/*', (res) => res.end('next')));
      const received = await exchange(port, bytes + request('/'));
      assert.ok(!received.includes('next'), 'what follows is no request');
    });
  }

  it('of 4000 bytes and 90 headers is none', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res, req) => res.end(req.getHeader('name'))));
    const headers = [`name: ${'x'.repeat(3400)}`, ...Array(88).fill('a: b')];
    const bytes = request('/', { headers });
    assert.ok(bytes.length > 3900 && bytes.length < 4096, `${bytes.length}`);
    assert.equal((await fetch(port, '/', { headers })).body.length, 3400);
  });
});

describe('a handler that leaves a request unanswered', ours, () => {
  const FORBIDDEN = 'Returning from a request handler without responding or attaching an abort handler is forbidden!';

  /** Runs one handler in a process, and reports what a request to /path brings to the client and the process. */
  async function outcome(name) {
    const { code, signal, stderr, reports } = await Script.run(
      async ({ uWS: { App, us_socket_local_port: localPort }, RawSocket: Client, report }, which) => {
        process.on('uncaughtException', (error) => report('uncaught', error.message, error.code));
        const handlers = {
          returns: () => {},
          throws: () => {
            throw new Error('of the handler');
          },
          'answers too late': (res) => {
            setImmediate(() => {
              try {
                res.end('late');
              } catch (error) {
                report('late', error.code);
              }
            });
          },
          'rejects after onAborted': async (res) => {
            res.onAborted(() => report('aborted'));
            await 0;
            throw new Error('of the promise');
          },
          'answers in a microtask': async (res) => {
            await 0;
            res.end('microtask');
          },
          'answers in a tick': (res) => {
            process.nextTick(() => res.end('tick'));
          },
          'throws after its answer': (res) => {
            res.end('answered');
            throw new Error('of the handler');
          },
        };
        let port;
        const app = App()
          .get('/path', handlers[which])
          .get('/other', (res) => res.end('other'));
        app.listen('127.0.0.1', 0, (token) => {
          port = localPort(token);
        });
        const client = await Client.connect(port);
        client.write('GET /path?query HTTP/1.1\r\nHost: a\r\n\r\n');
        if (which !== 'rejects after onAborted') {
          report('status', (await client.readHead()).split('\r\n')[0]);
        }
        client.end();
        if (/^(returns|throws|answers too late)$/.test(which)) await client.readToEnd();
        const other = await Client.connect(port);
        other.write('GET /other HTTP/1.1\r\nHost: a\r\n\r\n');
        report('other', (await other.readResponse()).body);
        app.close();
        client.destroy();
        other.destroy();
      },
      { args: [name] },
    );
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
    assert.deepEqual(
      reports.filter(([kind]) => kind === 'other'),
      [['other', 'other']],
      'the server goes on',
    );
    return reports.filter(([kind]) => kind !== 'other');
  }

  for (const name of ['returns', 'answers too late']) {
    it(`(${name}) makes a 500 and an uncaughtException`, async () => {
      const reports = await outcome(name);
      const uncaught = reports.filter(([kind]) => kind === 'uncaught');
      assert.equal(uncaught.length, 1);
      const [, message, code] = uncaught[0];
      assert.equal(code, 'ERR_MILLIWAYS_NO_RESPONSE');
      assert.ok(message.startsWith(FORBIDDEN) && /\bGET\b/i.test(message) && message.includes('/path'), message);
      assert.match(reports.find(([kind]) => kind === 'status')[1], /^HTTP\/1\.1 500 /);
      if (name === 'answers too late') {
        assert.deepEqual(
          reports.find(([kind]) => kind === 'late'),
          ['late', 'ERR_MILLIWAYS_RESPONSE_DONE'],
        );
      }
    });
  }

  it('(throws) makes its exception an uncaughtException, and a 500', async () => {
    const reports = await outcome('throws');
    assert.deepEqual(
      reports.find(([kind]) => kind === 'uncaught'),
      ['uncaught', 'of the handler', null],
    );
    assert.match(reports.find(([kind]) => kind === 'status')[1], /^HTTP\/1\.1 500 /);
  });

  it('(rejects after onAborted) makes an unhandled rejection, and the request stays pending', async () => {
    assert.deepEqual(await outcome('rejects after onAborted'), [['uncaught', 'of the promise', null], ['aborted']]);
  });

  it('(answers in a microtask) does not leave it unanswered', async () => {
    assert.deepEqual(await outcome('answers in a microtask'), [['status', 'HTTP/1.1 200 OK']]);
  });

  it('(answers in a tick) does not leave it unanswered', async () => {
    assert.deepEqual(await outcome('answers in a tick'), [['status', 'HTTP/1.1 200 OK']]);
  });

  it('(throws after its answer) makes an uncaughtException only', async () => {
    assert.deepEqual((await outcome('throws after its answer')).sort(), [
      ['status', 'HTTP/1.1 200 OK'],
      ['uncaught', 'of the handler', null],
    ]);
  });
});

describe('a write outside a cork', ours, () => {
  it('is warned of once a process', async () => {
    const { code, reports } = await Script.run(
      async ({ uWS: { App, us_socket_local_port: localPort }, RawSocket: Client, report }) => {
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
