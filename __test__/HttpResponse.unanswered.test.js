'use strict';

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { request, OK } = require('./support/http.js');
const { DONE, CALLS, sent } = require('./support/response.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

describe('onAborted', () => {
  /** Serves a handler that never responds, and returns a client that waits for the response. */
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

describe('a handler that leaves a request unanswered', ours, () => {
  const FORBIDDEN = 'Returning from a request handler without responding or attaching an abort handler is forbidden!';

  /** Runs one handler in its own process, and returns what a request for /path does to the client and the process. */
  async function outcome(name) {
    const { code, signal, stderr, reports } = await Script.run(
      async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, report }, which) => {
        const vm = process.getBuiltinModule?.('node:vm') ?? require('node:vm');
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
            throw new Error('of the handler');
          },
          'rejects later': async (res) => {
            res.onAborted(() => report('aborted'));
            await new Promise(setImmediate);
            throw new Error('of the handler');
          },
          'throws after onAborted': (res) => {
            res.onAborted(() => report('aborted'));
            throw new Error('of the handler');
          },
          'rejects in onData': (res) => {
            res.onAborted(() => report('aborted'));
            res.onData(async () => {
              await 0;
              throw new Error('of the handler');
            });
          },
          'throws in onData': (res) => {
            res.onAborted(() => report('aborted'));
            res.onData(() => {
              throw new Error('of the handler');
            });
          },
          'rejects in collectBody': (res) => {
            res.onAborted(() => report('aborted'));
            res.collectBody(1, () => Promise.reject(new Error('of the handler')));
          },
          'throws in collectBody': (res) => {
            res.onAborted(() => report('aborted'));
            res.collectBody(1, () => {
              throw new Error('of the handler');
            });
          },
          'returns what throws in collectBody': (res) => {
            res.onAborted(() => report('aborted'));
            res.collectBody(1, () => ({
              get then() {
                throw new Error('of the handler');
              },
            }));
          },
          'rejects behind a head': async (res) => {
            res.onAborted(() => report('aborted'));
            res.writeStatus('201 Created').writeHeader('Content-Type', 'text/html');
            await new Promise(setImmediate);
            throw new Error('of the handler');
          },
          'rejects with a promise of another realm': (res) => {
            res.onAborted(() => report('aborted'));
            return vm.runInNewContext('Promise.reject(error)', { error: new Error('of the handler') });
          },
          'rejects in the middle': async (res) => {
            res.onAborted(() => report('aborted'));
            res.write('begin');
            await new Promise(setImmediate);
            throw new Error('of the handler');
          },
          'rejects after its answer': async (res) => {
            res.end('answered');
            await 0;
            throw new Error('of the handler');
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
        report('status', (await client.readHead()).split('\r\n')[0]);
        if (which === 'rejects in the middle') report('rest', (await client.readToEnd()).toString());
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

  for (const name of [
    'rejects after onAborted',
    'rejects later',
    'throws after onAborted',
    'rejects in onData',
    'throws in onData',
    'rejects in collectBody',
    'throws in collectBody',
    'returns what throws in collectBody',
    'rejects behind a head',
    'rejects with a promise of another realm',
  ]) {
    it(`(${name}) makes a 500, an abort and one exception`, async () => {
      const reports = await outcome(name);
      const uncaught = ['uncaught', 'of the handler', null];
      assert.deepEqual(
        reports.sort(),
        [['aborted'], ['status', 'HTTP/1.1 500 Internal Server Error'], uncaught].sort(),
      );
    });
  }

  it('(rejects in the middle) ends the connection, and makes one exception', async () => {
    const reports = await outcome('rejects in the middle');
    const expected = [['aborted'], ['rest', '5\r\nbegin\r\n'], ['status', 'HTTP/1.1 200 OK']];
    assert.deepEqual(reports.sort(), [...expected, ['uncaught', 'of the handler', null]]);
  });

  it('(rejects after its answer) makes one exception, and the connection goes on', async () => {
    const reports = await outcome('rejects after its answer');
    assert.deepEqual(reports.sort(), [
      ['status', 'HTTP/1.1 200 OK'],
      ['uncaught', 'of the handler', null],
    ]);
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

after(noConnectionLeft);
