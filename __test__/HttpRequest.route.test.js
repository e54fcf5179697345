'use strict';

// The parts of a request that depend on its route: parameters, the query, headers and yielding.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { request, fetch } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { until } = require('./support/wait.js');

const EXPIRED = /uWS\.HttpRequest must not be accessed after await or route handler return/;

/** Returns the result of `ask(req)` for a request with this target, routed by `pattern`. */
async function asked(t, pattern, target, ask, options = {}) {
  let answer;
  const { port } = serve(t, (app) =>
    app.any(pattern, (res, req) => {
      answer = ask(req);
      res.end();
    }),
  );
  await fetch(port, target, options);
  return answer;
}

describe('getParameter', () => {
  it('gives the segments of the path by number and by name, as they were sent', async (t) => {
    const ask = (req) => [req.getParameter(0), req.getParameter(1), req.getParameter('b'), req.getParameter('a')];
    const expected = ['x%20y', '2', '2', 'x%20y'];
    assert.deepEqual(await asked(t, '/p/:a/q/:b', '/p/x%20y/q/2?r=3', ask), expected);
    assert.deepEqual(await asked(t, '/:a/:b/*', '/x%20y/2/3/4', ask), expected);
  });

  it('is undefined where there is none', ours, async (t) => {
    const ask = (req) => [2, -1, 1.5e9, 'c', '', '0', undefined].map((key) => req.getParameter(key));
    assert.deepEqual(await asked(t, '/:a/:b', '/1/2', ask), Array(7).fill(undefined));
  });

  it('is that of the route at which the request is', async (t) => {
    const seen = [];
    const { port } = serve(t, (app) => {
      app.get('/:first/b', (res, req) => {
        seen.push(req.getParameter('first'));
        req.setYield(true);
      });
      app.get('/*', (res, req) => {
        seen.push(req.getUrl());
        req.setYield(true);
      });
      app.any('/a/:second', (res, req) => {
        seen.push(req.getParameter('second'), req.getParameter(0));
        res.end();
      });
    });
    await fetch(port, '/a/b');
    assert.deepEqual(seen, ['a', '/a/b', 'b', 'b']);
  });
});

describe('getQuery of a key', () => {
  it('gives the decoded value of the first pair', async (t) => {
    const ask = (req) => ['a', 'b', 'c', '+'].map((key) => req.getQuery(key));
    const target = '/?a=1&b=2+3%20%C3%A9&a=9&c=&+=plus';
    assert.deepEqual(await asked(t, '/*', target, ask), ['1', '2 3 é', '', 'plus']);
  });

  it('leaves a percent sign alone that begins no escape', ours, async (t) => {
    assert.equal(await asked(t, '/*', '/?a=%zz', (req) => req.getQuery('a')), '%zz');
  });

  it('is undefined where there is no pair', async (t) => {
    const ask = (req) => ['x', 'flag', '', 'A'].map((key) => req.getQuery(key));
    for (const target of ['/', '/?', '/?flag&a=1&xx=2']) {
      assert.deepEqual(await asked(t, '/*', target, ask), Array(4).fill(undefined));
    }
  });

  it('takes undefined for a key, which no pair has', async (t) => {
    assert.equal(await asked(t, '/*', '/?=1&a=2', (req) => req.getQuery(undefined)), undefined);
  });

  it('refuses a key that is neither text nor bytes', async (t) => {
    const ask = (req) => assert.throws(() => req.getQuery(5), /Text and data can only be passed by/);
    await asked(t, '/*', '/?5=6', ask);
  });
});

describe('forEach', () => {
  it('gives all headers in order, names in lower case, values trimmed and as UTF-8', ours, async (t) => {
    const seen = [];
    const headers = ['X-Mixed:  a \t', 'x-mixed: b', 'Empty:', 'U: \xc3\xa9', 'L: a\xe9b'];
    await asked(t, '/*', '/', (req) => req.forEach((key, value) => seen.push([key, value])), { headers });
    assert.deepEqual(seen, [
      ['host', 'localhost'],
      ['x-mixed', 'a'],
      ['x-mixed', 'b'],
      ['empty', ''],
      ['u', 'é'],
      ['l', 'a\ufffdb'],
    ]);
  });

  it('passes on what the callback throws, and refuses what is no function', ours, async (t) => {
    const ask = (req) => {
      const thrown = new Error('of the callback');
      assert.throws(
        () =>
          req.forEach(() => {
            throw thrown;
          }),
        thrown,
      );
      assert.throws(() => req.forEach(), { code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
      return 'asked';
    };
    assert.equal(await asked(t, '/*', '/', ask), 'asked');
  });
});

describe('setYield', () => {
  it('passes the request on: to parameters, wildcards, any, and in the end to nobody', async (t) => {
    const seen = [];
    const { port } = serve(t, (app) => {
      const pass = (name) => (res, req) => {
        seen.push(name);
        assert.equal(req.setYield(true), req);
      };
      app.any('/a/b', pass('any /a/b')).get('/*', pass('/*')).get('/a/:x', pass('/a/:x')).get('/a/b', pass('/a/b'));
    });
    const { status } = await fetch(port, '/a/b');
    assert.equal(status, 404);
    assert.deepEqual(seen, ['/a/b', '/a/:x', '/*', 'any /a/b']);
  });

  it('leaves to the next handler what the first has attached', async (t) => {
    const seen = [];
    const { port } = serve(t, (app) => {
      app.post('/*', (res, req) => {
        res.onAborted(() => seen.push('aborted'));
        res.onData((chunk, isLast) => seen.push(`data ${chunk.byteLength} ${isLast}`));
        req.setYield(true);
      });
      app.any('/answered', (res) => res.onWritable(() => true));
      app.any('/replaced', (res) => res.onAborted(() => seen.push('aborted later')));
    });
    for (const [target, expected] of [
      ['/answered', 'aborted'],
      ['/replaced', 'aborted later'],
    ]) {
      const client = await RawSocket.connect(port);
      client.write(`POST ${target} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc`);
      await until(() => seen.length === 1);
      client.destroy();
      await until(() => seen.length === 2);
      assert.deepEqual(seen.splice(0), ['data 3 true', expected]);
    }
  });

  it('to an answer that cannot be given any more ends the response, whatever was attached', ours, async () => {
    const { code, stderr, reports } = await Script.run(
      async ({ App, uWS: { DeclarativeResponse, us_socket_local_port: localPort }, RawSocket: Client, report }) => {
        process.on('uncaughtException', (error) => report('uncaught', error.code));
        const yielding = (write) => (res, req) => {
          res.onAborted(() => report('aborted'));
          write(res);
          req.setYield(true);
        };
        const app = App();
        app.get(
          '/longer/:x',
          yielding(() => {}),
        );
        app.get(
          '/written/:x',
          yielding((res) => res.writeHeader('Content-Length', '100').write('x')),
        );
        app.get('/longer/*', new DeclarativeResponse().writeHeader('Content-Length', '99').end('hello'));
        app.listen(0, async (token) => {
          for (const target of ['/longer/1', '/written/1']) {
            const client = await Client.connect(localPort(token));
            client.write(`GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`);
            report(String(await client.readToEnd()).split('\r\n')[0]);
          }
          app.close();
        });
      },
    );
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(
      reports.map((report) => report.join(' ')),
      ['HTTP/1.1 500 Internal Server Error', 'HTTP/1.1 200 OK'].flatMap((status) => [
        'aborted',
        'uncaught ERR_MILLIWAYS_NO_RESPONSE',
        status,
      ]),
    );
  });

  it('leaves nothing of a response that no route completes to the next one', ours, async (t) => {
    const { port } = serve(t, (app) => {
      app.get('/begun', (res, req) => {
        res.onAborted(() => {});
        res.write('begun');
        req.setYield(true);
      });
      app.get('/next', (res) => res.end('next'));
    });
    const client = await RawSocket.connect(port);
    client.write(request('/begun') + request('/next', { headers: ['Connection: close'] }));
    const answers = (await client.readToEnd()).toString('latin1');
    assert.deepEqual(answers.match(/^HTTP\/1\.1 .*(?=\r)/gm), ['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK']);
    assert.match(answers, /\r\n\r\nnext$/);
  });

  it('can be taken back, and counts for nothing where there is an answer', async (t) => {
    const { port } = serve(t, (app) => {
      app.get('/kept', (res, req) => {
        req.setYield(true).setYield(false);
        res.end('kept');
      });
      app.get('/answered', (res, req) => {
        req.setYield(true);
        res.end('answered');
      });
      app.any('/*', (res) => res.end('passed on'));
    });
    assert.equal((await fetch(port, '/kept')).body, 'kept');
    if (!ours.skip) assert.equal((await fetch(port, '/answered')).body, 'answered');
  });

  it('after a microtask is in time, after that it throws, like all else', async (t) => {
    let late;
    const { port } = serve(t, (app) => {
      app.get('/a', async (res, req) => {
        await null;
        req.setYield(true);
        await new Promise(setImmediate);
        late = [
          () => req.setYield(true),
          () => req.getParameter(0),
          () => req.forEach(() => {}),
          () => req.getQuery('a'),
        ];
      });
      app.any('/*', (res) => res.end('passed on'));
    });
    const client = await RawSocket.connect(port);
    client.write(request('/a'));
    assert.equal((await client.readResponse()).body, 'passed on');
    while (late === undefined) await new Promise(setImmediate);
    for (const call of late) assert.throws(call, EXPIRED);
    client.destroy();
  });
});

describe('a target in absolute form', ours, () => {
  const ask = (req) => {
    const all = [];
    req.forEach((name, value) => all.push(`${name}: ${value}`));
    return [req.getUrl(), req.getQuery(), req.getHeader('host'), req.getParameter('id'), all.join(', ')];
  };

  it('goes to the route of its path, and its host counts in place of the Host header', async (t) => {
    const expected = ['/items/5', 'a=b?c', 'other.example:8080', '5', 'host: other.example:8080'];
    const target = '://other.example:8080/items/5?a=b?c';
    assert.deepEqual(await asked(t, '/items/:id', `http${target}`, ask), expected);
    assert.deepEqual(await asked(t, '/items/:id', `HTTPS${target}`, ask), expected);
  });

  it('may have an empty path', async (t) => {
    const expected = (query) => ['/', query, '[::1]', undefined, 'host: [::1]'];
    assert.deepEqual(await asked(t, '/', 'http://[::1]', ask), expected(undefined));
    assert.deepEqual(await asked(t, '/', 'http://[::1]/', ask), expected(undefined));
    assert.deepEqual(await asked(t, '/', 'http://[::1]?a', ask), expected('a'));
  });
});

describe('OPTIONS *', ours, () => {
  const route = (name) => (res, req) => res.end(`${name} ${req.getUrl()} ${req.getMethod()}`);

  for (const pattern of ['*', '/*']) {
    it(`reaches options('${pattern}'), and no route of another method or path`, async (t) => {
      const { port } = serve(t, (app) =>
        app
          .get(pattern, route('get'))
          .options('/:a', route('parameter'))
          .options('/', route('root'))
          .any(pattern, route('any'))
          .options(pattern, route('options')),
      );
      for (const target of ['*', 'http://h']) {
        assert.equal((await fetch(port, target, { method: 'OPTIONS' })).body, 'options * options');
      }
    });

    it(`reaches any('${pattern}') where there is no such route, also when one yields`, async (t) => {
      const { port } = serve(t, (app) =>
        app.options('/*', (res, req) => req.setYield(true)).any(pattern, route('any')),
      );
      assert.equal((await fetch(port, '*', { method: 'OPTIONS' })).body, 'any * options');
    });
  }

  it('is not found where there is neither', async (t) => {
    const { port } = serve(t, (app) => app.options('/:a', route('parameter')).options('/', route('root')));
    assert.equal((await fetch(port, '*', { method: 'OPTIONS' })).status, 404);
  });
});
