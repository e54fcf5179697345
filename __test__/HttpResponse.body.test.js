'use strict';

// Request bodies, as the response provides them: onData, onDataV2, collectBody, pause and resume.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { request, fetch } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { turn, until } = require('./support/wait.js');

const text = (data) => data && Buffer.from(data).toString('latin1');
const MEBIBYTE = 1 << 20;

/** Serves `handler` with a log; returns the log and a connected client. */
async function connect(t, handler, options) {
  const log = new EventLog();
  const { port } = serve(t, (app) => app.any('/*', (res, req) => handler(res, log, req)), options);
  const client = await RawSocket.connect(port);
  t.after(() => client.destroy());
  return { client, log, port };
}

const put = (body, length = body.length) =>
  request('/', { method: 'PUT', headers: [`Content-Length: ${length}`], body });
const chunked = (body) => request('/', { method: 'POST', headers: ['Transfer-Encoding: chunked'], body });

/** Logs the chunks of onData, and responds after the last. */
function logData(res, log) {
  res.onAborted(() => log.add('aborted'));
  res.onData((chunk, isLast) => {
    log.add('data', text(chunk), isLast);
    if (isLast) res.end('done');
  });
}

/**
 * Runs a server whose handlers attach to responses without responding, and requests each of `targets` from it. Returns
 * the names of the garbage-collected responses, the statuses that the clients got, and all other events.
 */
async function unanswered(...targets) {
  const { code, stderr, reports } = await Script.run(
    async ({ App, uWS, RawSocket: Client, report }, paths) => {
      process.on('uncaughtException', (error) => report('uncaught', error.code));
      const gone = new Set();
      const registry = new FinalizationRegistry((name) => gone.add(name));
      const attach = {
        data: (res) => res.onData(() => {}),
        collected: (res) => res.collectBody(100, () => {}),
        writable: (res) => res.onWritable(() => true),
      };
      const app = App()
        .post('/attach/:name', (res, req) => {
          const name = req.getParameter(0);
          registry.register(res, name);
          attach[name](res);
        })
        .post('/yield/:name', (res, req) => {
          registry.register(res, req.getParameter(0));
          res.onAborted(() => report('aborted'));
          res.onData(() => report('data'));
          req.setYield(true);
        })
        .any('/yield/declared', new uWS.DeclarativeResponse().end('declared'));
      let port;
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      // No other connection follows, because it would reuse the slots.
      for (const path of paths) {
        const client = await Client.connect(port);
        client.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nh`);
        report('status', (await client.readResponse()).status);
        client.destroy();
      }
      while (gone.size < paths.length) {
        globalThis.gc();
        await new Promise(setImmediate);
      }
      report('collected', ...gone);
      app.close();
    },
    { args: [targets], execArgv: ['--expose-gc'] },
  );
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const [, ...collected] = reports.pop();
  const isStatus = ([name]) => name === 'status';
  return {
    collected: new Set(collected),
    statuses: reports.filter(isStatus).map(([, status]) => status),
    others: reports.filter((event) => !isStatus(event)),
  };
}

describe('onData', () => {
  it('gets the body as it comes, and whether that was all', async (t) => {
    const { client, log } = await connect(t, logData);
    await client.writeAndTurn(put('hello', 8));
    client.write('you');
    assert.equal((await client.readResponse()).body, 'done');
    assert.deepEqual(log.all, [
      ['data', 'hello', false],
      ['data', 'you', true],
    ]);
  });

  it('gets the next piece when what the last one has put off has run', async (t) => {
    const { client, log } = await connect(t, (res, log) => {
      res.onAborted(() => {});
      res.onData((chunk, isLast) => {
        log.add('data', text(chunk));
        process.nextTick(() => log.add('tick', text(chunk)));
        Promise.resolve().then(() => log.add('microtask', text(chunk)));
        if (isLast) res.end('done');
      });
    });
    client.write(chunked('1\r\na\r\n1\r\nb\r\n0\r\n\r\n'));
    assert.equal((await client.readResponse()).body, 'done');
    const pieces = ['a', 'b', ''];
    const expected = pieces.flatMap((piece) => ['data', 'tick', 'microtask'].map((name) => [name, piece]));
    assert.deepEqual(log.all, expected);
  });

  it('gets the data of chunks, and their end as an empty last one', ours, async (t) => {
    const { client, log } = await connect(t, logData);
    client.write(chunked('3\r\nabc\r\n2;x="y"\r\nde\r\n0\r\nTrailer: t\r\n\r\n'));
    assert.equal((await client.readResponse()).body, 'done');
    assert.deepEqual(log.all, [
      ['data', 'abc', false],
      ['data', 'de', false],
      ['data', '', true],
    ]);
  });

  it('gets one empty chunk, the last, where there is no body', async (t) => {
    const { client, log } = await connect(t, logData);
    client.write(request('/'));
    assert.equal((await client.readResponse()).body, 'done');
    assert.deepEqual(log.all, [['data', '', true]]);
  });

  it('gets all of a body that came before it was attached', ours, async (t) => {
    const { client, log } = await connect(t, (res, log) => {
      res.onAborted(() => {});
      setImmediate(() => setImmediate(() => logData(res, log)));
    });
    client.write(put('early'));
    assert.equal((await client.readResponse()).body, 'done');
    assert.deepEqual(log.all, [['data', 'early', true]]);
  });

  it('is not told of a body whose connection has gone', async (t) => {
    const { client, log } = await connect(t, logData);
    await client.writeAndTurn(put('hel', 5));
    client.end();
    await log.next('aborted');
    assert.deepEqual(log.all, [['data', 'hel', false], ['aborted']]);
  });

  it('does not keep a response that its handler has attached something to and left', ours, async () => {
    const { collected, statuses, others } = await unanswered('/attach/data', '/attach/collected', '/attach/writable');
    assert.deepEqual(statuses, [500, 500, 500]);
    assert.deepEqual(others, Array(3).fill(['uncaught', 'ERR_MILLIWAYS_NO_RESPONSE']));
    assert.deepEqual(collected, new Set(['data', 'collected', 'writable']));
  });

  it('does not keep a response that it has yielded and no handler has answered', ours, async () => {
    const { collected, statuses, others } = await unanswered('/yield/declared', '/yield/missing');
    assert.deepEqual(statuses, [200, 404]);
    assert.deepEqual(others, []);
    assert.deepEqual(collected, new Set(['declared', 'missing']));
  });

  it('may keep its chunks', ours, async (t) => {
    const kept = [];
    const { client } = await connect(t, (res) => {
      res.onAborted(() => {});
      res.onData((chunk, isLast) => {
        kept.push(chunk);
        if (isLast) setImmediate(() => res.end(kept.map(text).join(' ')));
      });
    });
    await client.writeAndTurn(put('hel', 5));
    client.write('lo');
    assert.equal((await client.readResponse()).body, 'hel lo');
    assert.deepEqual(kept.map(text), ['hel', 'lo']);
  });

  it('reports what it throws, and the request goes on', ours, async () => {
    const { code, reports } = await Script.run(async ({ App, uWS, RawSocket: Client, report }) => {
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      const app = App().post('/*', (res) => {
        res.onAborted(() => {});
        res.onData((chunk, isLast) => {
          if (isLast) res.end('done');
          else throw new Error('first chunk');
        });
      });
      app.listen('127.0.0.1', 0, async (token) => {
        const client = await Client.connect(uWS.us_socket_local_port(token));
        client.write('POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n');
        report('response', (await client.readResponse()).body);
        client.destroy();
        app.close();
      });
    });
    assert.deepEqual(
      { code, reports },
      {
        code: 0,
        reports: [
          ['uncaught', 'first chunk'],
          ['response', 'done'],
        ],
      },
    );
  });
});

describe('onDataV2', () => {
  it('gets how much can still come', async (t) => {
    const seen = [];
    const { client } = await connect(t, (res) => {
      res.onAborted(() => {});
      res.onDataV2((chunk, remaining) => {
        seen.push([text(chunk), remaining]);
        if (remaining === 0n) res.end('done');
      });
    });
    await client.writeAndTurn(put('hello', 8));
    client.write('you');
    await client.readResponse();
    client.write(chunked('3\r\nabc\r\n0\r\n\r\n'));
    await client.readResponse();
    client.write(request('/'));
    await client.readResponse();
    assert.deepEqual(seen, [
      ['hello', 3n],
      ['you', 0n],
      ['abc', 2n ** 64n - 1n],
      ['', 0n],
      ['', 0n],
    ]);
  });
});

describe('collectBody', () => {
  const collect = (max) => (res, log) => {
    res.onAborted(() => log.add('aborted'));
    res.collectBody(max, (body) => {
      log.add('body', text(body));
      res.end('done');
    });
  };

  it('gets the whole body, up to the limit', async (t) => {
    const { client, log } = await connect(t, collect(5));
    await client.writeAndTurn(put('hel', 5));
    client.write('lo');
    await client.readResponse();
    client.write(chunked('2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n'));
    await client.readResponse();
    client.write(request('/'));
    await client.readResponse();
    assert.deepEqual(log.all, [
      ['body', 'hello'],
      ['body', 'hello'],
      ['body', ''],
    ]);
  });

  it('gets null as soon as the body is longer, and the connection goes on', async (t) => {
    const { client, log } = await connect(t, collect(4));
    client.write(chunked('2\r\nhe\r\n3\r\nllo\r\n'));
    await client.readResponse();
    assert.deepEqual(log.all, [['body', null]]);
    client.write('1\r\n!\r\n0\r\n\r\n' + put('four'));
    await client.readResponse();
    assert.deepEqual(log.all.at(-1), ['body', 'four']);
  });

  it('gets a large body in one piece, which it may keep', ours, async (t) => {
    const body = Buffer.alloc(3 * MEBIBYTE, 'x');
    let kept;
    const { client } = await connect(t, (res) => {
      res.onAborted(() => {});
      res.collectBody(4 * MEBIBYTE, (received) => {
        kept = received;
        res.end(String(Buffer.from(received).equals(body)));
      });
    });
    client.write(put('', body.length)).write(body);
    assert.equal((await client.readResponse()).body, 'true');
    await turn();
    assert.ok(Buffer.from(kept).equals(body));
  });

  it('refuses a limit that is none', ours, async (t) => {
    const { port } = serve(t, (app) =>
      app.post('/*', (res) => {
        for (const limit of [-1, 1.5, NaN, Infinity, 'x']) {
          assert.throws(() => res.collectBody(limit, () => {}), {
            name: 'RangeError',
            code: 'ERR_MILLIWAYS_OUT_OF_RANGE',
          });
        }
        assert.throws(() => res.collectBody(5), { code: 'ERR_MILLIWAYS_MISSING_ARGUMENT' });
        assert.throws(() => res.collectBody(5, null), { code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
        res.end('refused');
      }),
    );
    assert.equal((await fetch(port, '/', { method: 'POST' })).body, 'refused');
  });
});

describe('a body that has a handler already', ours, () => {
  const TAKEN = { name: 'Error', code: 'ERR_MILLIWAYS_BODY_TAKEN' };
  const ways = {
    onData: (res, log) => res.onData((chunk, isLast) => log.add('data', text(chunk), isLast)),
    onDataV2: (res, log) => res.onDataV2((chunk, remaining) => log.add('data', text(chunk), remaining === 0n)),
    collectBody: (res, log) => res.collectBody(5, (body) => log.add('data', text(body), true)),
  };
  for (const [first, claim] of Object.entries(ways)) {
    for (const [second, claimAgain] of Object.entries(ways)) {
      const isReplaced = first !== 'collectBody' && second !== 'collectBody';
      it(`by ${first} gets none by ${second}, and loses nothing`, async (t) => {
        const { client, log } = await connect(t, (res, events) => {
          res.onAborted(() => {});
          claim(res, events);
          // A handler of chunks may be replaced by another until it has been called.
          if (isReplaced) claimAgain(res, events);
          else assert.throws(() => claimAgain(res, events), TAKEN);
          events.res = res;
        });
        await client.writeAndTurn(put('hel', 5));
        await until(() => log.res !== undefined, 'the request');
        assert.throws(() => claimAgain(log.res, log), TAKEN);
        client.write('lo');
        let isLast = false;
        while (!isLast) [, isLast] = await log.next('data');
        const received = log.all.filter(([kind]) => kind === 'data').map(([, chunk]) => chunk);
        assert.equal(received.join(''), 'hello');
        assert.throws(() => claimAgain(log.res, log), TAKEN);
        log.res.cork(() => log.res.end('done'));
        assert.equal((await client.readResponse()).body, 'done');
      });
    }
  }
});

describe('pause and resume', () => {
  it('stop and start the body, and with it its sender', ours, async (t) => {
    const length = 64 * MEBIBYTE;
    let received = 0;
    let response;
    const { client, log } = await connect(t, (res, log) => {
      response = res;
      res.onAborted(() => {});
      res.onData((chunk, isLast) => {
        if (received === 0) log.add('paused', res.pause() === res);
        received += chunk.byteLength;
        if (isLast) res.end('done');
      });
    });
    client.write(put('', length));
    client.write(Buffer.alloc(length));
    assert.deepEqual(await log.next('paused'), [true]);
    for (let i = 0; i < 50; i += 1) await turn();
    const atPause = received;
    assert.ok(atPause < MEBIBYTE, `${atPause} bytes came although it was paused`);
    assert.equal(response.resume(), response);
    assert.equal((await client.readResponse()).body, 'done');
    assert.equal(received, length);
  });
});

describe('limits on bodies', ours, () => {
  const tooLarge =
    'HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n' +
    '<h1>Content Too Large</h1><hr><i>uWebSockets/20 Server</i>';

  it('maxBodySize: a longer one gets 413', async (t) => {
    const { client, log, port } = await connect(t, logData, { maxBodySize: 5 });
    client.write(put('123456'));
    assert.equal((await client.readToEnd()).toString(), tooLarge);
    assert.deepEqual(log.all, []);
    const other = await RawSocket.connect(port);
    other.write(chunked('5\r\n12345\r\n1\r\n6\r\n'));
    assert.equal((await other.readToEnd()).toString(), tooLarge);
    await log.next('aborted');
    const third = await RawSocket.connect(port);
    third.write(put('12345'));
    assert.equal((await third.readResponse()).body, 'done');
    third.destroy();
  });

  it('what nobody reads of a body is thrown away behind the response', async (t) => {
    const { client } = await connect(t, (res) => res.end('no'));
    client.write(put('', 5 * MEBIBYTE));
    assert.equal((await client.readResponse()).body, 'no');
    client.write(Buffer.alloc(5 * MEBIBYTE)).write(request('/'));
    assert.equal((await client.readResponse()).body, 'no');
  });

  it('a body is not held for an app that has been closed', async (t) => {
    const log = new EventLog();
    const { app, port } = serve(t, (app) => app.any('/*', (res) => res.onAborted(() => log.add('aborted'))));
    const client = await RawSocket.connect(port);
    client.write(put('he', 5));
    await turn();
    app.close();
    await log.next('aborted');
    await until(() => client.ended || client.closed, 'the end of the connection');
  });
});
