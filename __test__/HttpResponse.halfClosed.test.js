'use strict';

// Clients whose FIN or close_notify arrives while their request is pending. They may still read (RFC 9293 section 3.6),
// or they may have gone; uWebSockets.js assumes the latter.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { request, withoutDate, OK } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

/** More than the kernel accepts at once. */
const LARGE = Buffer.alloc(16 << 20, 'large');

/** Serves `handler`, logs the events of each request, and returns a client that has sent its requests and its FIN. */
async function halfClosed(t, handler, bytes = request('/')) {
  const log = new EventLog();
  const { port } = serve(t, (app) =>
    app.any('/*', (res, req) => {
      log.add('request', res);
      res.onAborted(() => log.add('aborted'));
      handler(res, req);
    }),
  );
  const client = await RawSocket.connect(port);
  t.after(() => client.destroy());
  client.write(bytes).end();
  return { client, log };
}

async function readAll(client) {
  return withoutDate((await client.readToEnd()).toString('latin1'));
}

describe('a request with a FIN behind it', ours, () => {
  for (const [when, later] of [
    ['in setImmediate', setImmediate],
    ['some turns later', (answer) => turn().then(turn).then(turn).then(answer)],
    ['after a while', (answer) => setTimeout(answer, 1500)],
  ]) {
    it(`is answered ${when}, and the connection closed`, async (t) => {
      const { client, log } = await halfClosed(t, (res) => later(() => res.cork(() => res.end('ok'))));
      assert.equal(await readAll(client), OK);
      await noConnectionLeft();
      assert.equal(log.count('aborted'), 0);
    });
  }

  it('that is one of several is answered, and so are the others', async (t) => {
    const handler = (res) => setImmediate(() => res.cork(() => res.end('ok')));
    const { client, log } = await halfClosed(t, handler, request('/').repeat(5));
    assert.equal(await readAll(client), OK.repeat(5));
    assert.deepEqual([log.count('request'), log.count('aborted')], [5, 0]);
  });

  it('and a body is answered when the body has been read', async (t) => {
    const body = 'x'.repeat(300_000);
    const handler = (res) => {
      res.pause();
      res.collectBody(1 << 20, (collected) => {
        setImmediate(() => res.cork(() => res.end(`${collected.byteLength}`)));
      });
      setImmediate(() => res.resume());
    };
    const headers = [`Content-Length: ${body.length}`];
    const { client, log } = await halfClosed(t, handler, request('/', { method: 'POST', headers, body }));
    assert.match(await readAll(client), /\r\n\r\n300000$/);
    assert.equal(log.count('aborted'), 0);
  });

  it('gets a long response, in every way to write one', async (t) => {
    for (const answer of [
      (res) => res.end(LARGE),
      (res) => {
        res.write(LARGE);
        setImmediate(() => res.end());
      },
      (res) => {
        res.onWritable((offset) => res.tryEnd(LARGE.subarray(offset), LARGE.length)[0]);
        res.tryEnd(LARGE, LARGE.length);
      },
    ]) {
      const { client, log } = await halfClosed(t, (res) => setImmediate(() => res.cork(() => answer(res))));
      const head = await client.readHead();
      const body = await client.readToEnd();
      assert.ok(body.length >= LARGE.length && (!/^Content-Length/m.test(head) || body.equals(LARGE)));
      assert.equal(log.count('aborted'), 0);
    }
  });

  it('whose client has gone is aborted as soon as something is written', async (t) => {
    const { client, log } = await halfClosed(t, () => {});
    const [res] = await log.next('request');
    await turn();
    assert.equal(log.count('aborted'), 0);
    client.destroy();
    await turn();
    // The client's kernel answers the first write with a reset once the client is destroyed.
    for (let i = 0; i < 100 && log.count('aborted') === 0; i += 1) {
      res.cork(() => res.write('x'));
      await turn();
    }
    await log.next('aborted');
    await noConnectionLeft();
  });

  it('that comes while it waits is answered for some turns more, and otherwise aborted', async (t) => {
    for (const answers of [true, false]) {
      const log = new EventLog();
      const { port } = serve(t, (app) =>
        app.any('/*', (res) => {
          res.onAborted(() => log.add('aborted'));
          log.add('request', res);
        }),
      );
      const client = await RawSocket.connect(port);
      t.after(() => client.destroy());
      client.write(request('/'));
      const [res] = await log.next('request');
      await turn();
      client.end();
      await turn();
      if (answers) {
        res.cork(() => res.end('ok'));
        assert.equal(await readAll(client), OK);
        assert.equal(log.count('aborted'), 0);
      } else {
        await log.next('aborted');
        assert.equal(await readAll(client), '');
      }
      await noConnectionLeft();
    }
  });

  it('is aborted after some seconds in which nothing is written', async (t) => {
    const { client, log } = await halfClosed(t, () => {});
    await log.next('aborted');
    assert.equal(await readAll(client), '');
    await noConnectionLeft();
  });

  for (const how of ['end', 'reset', 'destroy']) {
    it(`or another end (${how}) behind a body that is paused is noticed`, async (t) => {
      const log = new EventLog();
      const { port } = serve(t, (app) =>
        app.post('/*', (res) => {
          res.onAborted(() => log.add('aborted'));
          res.onData(() => log.add('data'));
          res.pause();
          log.add('request');
        }),
      );
      const client = await RawSocket.connect(port);
      client.write(request('/', { method: 'POST', headers: ['Content-Length: 50000'], body: 'x'.repeat(50_000) }));
      await log.next('request');
      await turn();
      client[how]();
      await log.next('aborted');
      assert.equal(log.count('data'), 0);
      client.destroy();
      await noConnectionLeft();
    });
  }
});

after(noConnectionLeft);
