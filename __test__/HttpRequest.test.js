'use strict';

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const { fetch, request } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

const EXPIRED = {
  name: 'Error',
  message:
    'uWS.HttpRequest must not be accessed after await or route handler return. ' +
    'See documentation for uWS.HttpRequest and consult the user manual.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_REQUEST_EXPIRED' }),
};
const INVALID_DATA = {
  name: 'Error',
  message: 'Text and data can only be passed by String, ArrayBuffer or TypedArray.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_INVALID_DATA' }),
};

/** Responds to one request with the result of `look(req)` as JSON, and returns it; undefined becomes '<undefined>'. */
async function see(t, look, target = '/', options = {}) {
  const { port } = serve(t, (app) =>
    app.any('/*', (res, req) => {
      res.end(JSON.stringify(look(req), (_, value) => (value === undefined ? '<undefined>' : value)));
    }),
  );
  return JSON.parse((await fetch(port, target, options)).body);
}

describe('getUrl', () => {
  const look = (req) => req.getUrl();

  it('is the path without the query', async (t) => assert.equal(await see(t, look, '/a/b?c=d'), '/a/b'));
  it('is not decoded', async (t) => assert.equal(await see(t, look, '/a%20b%2Fc'), '/a%20b%2Fc'));
  it('keeps its slashes', async (t) => assert.equal(await see(t, look, '//a//'), '//a//'));
});

describe('getMethod', () => {
  const look = (req) => req.getMethod();

  for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'get', 'Custom-Method']) {
    it(`is lower case for ${method}`, async (t) =>
      assert.equal(await see(t, look, '/', { method }), method.toLowerCase()));
  }
});

describe('getCaseSensitiveMethod', () => {
  for (const method of ['GET', 'get', 'Custom-Method']) {
    it(`is ${method} for ${method}`, async (t) => {
      assert.equal(await see(t, (req) => req.getCaseSensitiveMethod(), '/', { method }), method);
    });
  }

  it('is the same after getMethod', ours, async (t) => {
    const look = (req) => [req.getMethod(), req.getCaseSensitiveMethod(), req.getMethod()];
    assert.deepEqual(await see(t, look), ['get', 'GET', 'get']);
  });
});

describe('getQuery', () => {
  const look = (req) => req.getQuery();

  it('is what follows the question mark, not decoded', async (t) => {
    assert.equal(await see(t, look, '/a?b=c%20d&e=f+g'), 'b=c%20d&e=f+g');
  });
  it('keeps further question marks', async (t) => assert.equal(await see(t, look, '/a?b?c'), 'b?c'));
  it('is empty after a bare question mark', async (t) => assert.equal(await see(t, look, '/a?'), ''));
  it('is undefined without one', async (t) => assert.equal(await see(t, look, '/a'), '<undefined>'));
});

describe('getHeader', () => {
  const header = (name) => (req) => req.getHeader(name);

  it('finds a header whatever its case, by its name in lower case', async (t) => {
    assert.equal(await see(t, header('x-mixed'), '/', { headers: ['X-MiXeD: Value'] }), 'Value');
  });
  it('does not fold the case of the name it is given', async (t) => {
    assert.equal(await see(t, header('X-Mixed'), '/', { headers: ['X-Mixed: Value'] }), '');
  });
  it('is empty for a header that is not there', async (t) => assert.equal(await see(t, header('x-missing')), ''));
  it('is empty for a header without a value', async (t) => {
    assert.equal(await see(t, header('x-empty'), '/', { headers: ['X-Empty:'] }), '');
  });
  it('is trimmed of spaces and tabs, and keeps those inside', async (t) => {
    assert.equal(await see(t, header('x'), '/', { headers: ['X: \t a \t b\t '] }), 'a \t b');
    assert.equal(await see(t, header('x'), '/', { headers: ['X:tight'] }), 'tight');
  });
  it('is the first of several', async (t) => {
    assert.equal(await see(t, header('x'), '/', { headers: ['X: one', 'x: two'] }), 'one');
  });
  it('decodes Latin-1', async (t) => {
    assert.equal(await see(t, header('x'), '/', { headers: ['X: caf\xe9 \xff.'] }), 'caf\xe9 \xff.');
  });
  it('decodes Latin-1 to its very end', ours, async (t) => {
    assert.equal(await see(t, header('x'), '/', { headers: ['X: caf\xe9'] }), 'caf\xe9');
  });
  it('finds the Host', async (t) => assert.equal(await see(t, header('host')), 'localhost'));
  it('takes the name as bytes, too', async (t) => {
    assert.equal(await see(t, header(Buffer.from('x-bytes')), '/', { headers: ['X-Bytes: v'] }), 'v');
  });
  it('throws on a name that is neither text nor bytes', async (t) => {
    const look = (req) => {
      for (const wrong of [5, null, {}, true]) assert.throws(() => req.getHeader(wrong), INVALID_DATA);
      return 'thrown';
    };
    assert.equal(await see(t, look), 'thrown');
  });
  it('finds each of many', async (t) => {
    const headers = Array.from({ length: 60 }, (_, i) => `X-${i}: value ${i}`);
    const look = (req) => headers.map((_, i) => req.getHeader(`x-${i}`));
    assert.deepEqual(
      await see(t, look, '/', { headers }),
      headers.map((_, i) => `value ${i}`),
    );
  });
});

describe('a request', () => {
  const LOOKS = {
    getUrl: (req) => req.getUrl(),
    getMethod: (req) => req.getMethod(),
    getCaseSensitiveMethod: (req) => req.getCaseSensitiveMethod(),
    getQuery: (req) => req.getQuery(),
    getHeader: (req) => req.getHeader('host'),
  };

  it('is valid after await, while the microtasks of its handler run', async (t) => {
    const { port } = serve(t, (app) =>
      app.any('/*', async (res, req) => {
        res.onAborted(() => {});
        await 0;
        const first = req.getUrl();
        await null;
        await Promise.resolve();
        res.end(`${first} ${req.getHeader('host')} ${req.getQuery()}`);
      }),
    );
    assert.equal((await fetch(port, '/await?q')).body, '/await localhost q');
  });

  it('is valid in process.nextTick, also from a microtask', async (t) => {
    const { port } = serve(t, (app) =>
      app.any('/*', (res, req) => {
        res.onAborted(() => {});
        Promise.resolve().then(() => process.nextTick(() => res.end(req.getUrl())));
      }),
    );
    assert.equal((await fetch(port, '/tick')).body, '/tick');
  });

  for (const [name, look] of Object.entries(LOOKS)) {
    it(`throws in setImmediate: ${name}`, async (t) => {
      const { port } = serve(t, (app) =>
        app.any('/*', (res, req) => {
          res.onAborted(() => {});
          setImmediate(() => {
            try {
              assert.throws(() => look(req), EXPIRED);
              res.cork(() => res.end('expired'));
            } catch (error) {
              res.end(error.message);
            }
          });
        }),
      );
      assert.equal((await fetch(port, '/')).body, 'expired');
    });
  }

  it('throws once its handler has returned, though it has answered', async (t) => {
    let kept;
    const { port } = serve(t, (app) =>
      app.any('/*', (res, req) => {
        kept = req;
        res.end();
      }),
    );
    await fetch(port, '/');
    for (const look of Object.values(LOOKS)) assert.throws(() => look(kept), EXPIRED);
  });

  it('that was kept never shows the next one', async (t) => {
    const kept = [];
    const seen = [];
    const { port } = serve(t, (app) =>
      app.any('/*', (res, req) => {
        for (const old of kept) assert.throws(() => old.getUrl(), EXPIRED);
        seen.push(req.getUrl());
        kept.push(req);
        res.end();
      }),
    );
    const client = await RawSocket.connect(port);
    client.write(request('/1') + request('/2') + request('/3'));
    for (let i = 0; i < 3; i += 1) assert.equal((await client.readResponse()).status, 200);
    client.destroy();
    assert.deepEqual(seen, ['/1', '/2', '/3']);
  });

  it('can be extended', async (t) => {
    const look = (req) => {
      req.url = '/mine';
      req.getUrl = () => req.url;
      return req.getUrl();
    };
    assert.equal(await see(t, look, '/theirs'), '/mine');
  });

  it('throws when a method is called on something else', ours, async (t) => {
    const look = (req) => {
      for (const name of Object.keys(LOOKS)) {
        for (const other of [undefined, null, {}, 5]) assert.throws(() => req[name].call(other, 'host'), name);
      }
      return req.getUrl();
    };
    assert.equal(await see(t, look, '/still'), '/still');
  });

  it('is the same at every split of its bytes', async (t) => {
    const { port } = serve(t, (app) =>
      app.any('/*', (res, req) => {
        res.end([req.getMethod(), req.getUrl(), req.getQuery(), req.getHeader('x'), req.getHeader('yy')].join());
      }),
    );
    const bytes = request('/path?query', { headers: ['X: one', 'YY: two'] });
    await assertSameAtEverySplit(port, bytes, 'get,/path,query,one,two');
  });

  it('is the same byte by byte', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res, req) => res.end(req.getHeader('x'))));
    const client = await RawSocket.connect(port);
    for (const byte of request('/path', { headers: ['X: one'] })) await client.writeAndTurn(byte);
    assert.equal((await client.readResponse()).body, 'one');
    client.destroy();
  });

  async function assertSameAtEverySplit(port, bytes, body) {
    const client = await RawSocket.connect(port);
    for (let split = 1; split < bytes.length; split += 1) {
      await client.writeAndTurn(bytes.slice(0, split));
      client.write(bytes.slice(split));
      assert.equal((await client.readResponse()).body, body, `split at ${split}`);
    }
    client.destroy();
  }
});

after(noConnectionLeft);
