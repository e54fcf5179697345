'use strict';

// Tests that take real time. They use the shortest possible timeouts, and run concurrently.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const frames = require('./support/frames.js');
const { request } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { ours, isReference } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

/** The shortest idle timeout of a WebSocket, in seconds. */
const SHORTEST = 8;
/** Milliseconds that a test waits for a connection to end; sweeps may be 4 s apart. */
const LATEST = (SHORTEST + 4 + 3) * 1000;
/** Milliseconds after which a connection that is to time out would have ended. */
const LONG = (SHORTEST + 4 + 1) * 1000;
const TIMED_OUT = [1006, 'WebSocket timed out from inactivity'];

const now = () => performance.now() / 1000;

describe('without traffic', { concurrency: true }, () => {
  describe('a WebSocket', { concurrency: true }, () => {
    /** Serves one route, and returns an upgraded client, the log, and the WebSocket. */
    async function connect(t, behavior) {
      const log = new EventLog();
      let ws;
      const { port } = serve(t, (app) =>
        app.ws(
          '/*',
          log.behavior({
            ...behavior,
            open: (opened) => {
              ws = opened;
            },
          }),
        ),
      );
      const client = await RawSocket.upgrade(port, '/', { deadline: LATEST });
      t.after(() => client.destroy());
      return { client, log, ws };
    }

    it('that is silent gets a ping, and is closed when nothing comes', async (t) => {
      const start = now();
      const { client, log } = await connect(t, { idleTimeout: SHORTEST });
      assert.equal((await client.read(2)).toString('hex'), '8900');
      const pinged = now() - start;
      assert.ok(pinged > 2 && pinged < SHORTEST, `pinged after ${pinged} s`);
      assert.deepEqual(await log.next('close', LATEST), TIMED_OUT);
      const closed = now() - start;
      assert.ok(closed > SHORTEST - 1.5 && closed < SHORTEST + 5, `closed after ${closed} s`);
      if (isReference) assert.equal((await client.readToEnd()).toString('hex'), '');
      else assert.equal((await client.readClose()).code, 1001);
    });

    it('gets no ping without sendPingsAutomatically, and is closed all the same', async (t) => {
      const { client, log } = await connect(t, { idleTimeout: SHORTEST, sendPingsAutomatically: false });
      assert.deepEqual(await log.next('close', LATEST), TIMED_OUT);
      if (isReference) assert.equal((await client.readToEnd()).toString('hex'), '');
      else assert.equal((await client.readClose()).code, 1001);
    });

    it('that answers pings stays', async (t) => {
      const { client, log } = await connect(t, { idleTimeout: SHORTEST });
      for (let i = 0; i < 3; i += 1) {
        assert.equal((await client.read(2)).toString('hex'), '8900');
        client.write(frames.pong());
        assert.deepEqual(await log.next('pong'), ['']);
      }
      assert.equal(log.count('close'), 0);
    });

    it('that sends stays', async (t) => {
      const { client, log } = await connect(t, {
        idleTimeout: SHORTEST,
        sendPingsAutomatically: false,
        message: (ws, message) => ws.send(message),
      });
      for (let elapsed = 0; elapsed < LONG; elapsed += 3000) {
        await delay(3000);
        client.write(frames.text('x'));
        assert.equal(await client.readText(), 'x');
      }
      assert.equal(log.count('close'), 0);
    });

    it('that is only sent to is closed', async (t) => {
      const { log, ws } = await connect(t, { idleTimeout: SHORTEST, sendPingsAutomatically: false });
      const timer = setInterval(() => ws.send('x'), 500);
      t.after(() => clearInterval(timer));
      const closed = log.next('close', LATEST);
      closed.finally(() => clearInterval(timer)).catch(() => {});
      assert.deepEqual(await closed, TIMED_OUT);
    });

    it('that does not read is closed, too, and what was buffered is given back', async (t) => {
      const { client, log, ws } = await connect(t, { idleTimeout: SHORTEST, maxBackpressure: 0 });
      client.pause();
      for (let i = 0; i < 20; i += 1) ws.send(Buffer.alloc(1 << 20), true);
      assert.deepEqual(await log.next('close', LATEST), TIMED_OUT);
    });

    it('stays for ever with an idleTimeout of 0, and gets no ping', async (t) => {
      const { client, log } = await connect(t, { idleTimeout: 0, message: (ws, message) => ws.send(message) });
      await delay(LONG);
      assert.equal(client.pendingLength, 0);
      client.write(frames.text('still here'));
      assert.equal(await client.readText(), 'still here');
      assert.equal(log.count('close'), 0);
    });
  });

  describe('an HTTP connection', { concurrency: true }, () => {
    /** In milliseconds: the timeout is 10 s, and sweeps are 4 s apart. */
    const END = 17_000;

    for (const [name, bytes] of [
      ['that never sends a request', ''],
      ['that never ends the head of its request', 'GET / HTTP/1.1\r\nHost: a\r\nX: '],
    ]) {
      it(`${name} is closed without a word`, async (t) => {
        const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
        const start = now();
        const client = await RawSocket.connect(port, { deadline: END });
        client.write(bytes);
        assert.equal((await client.readToEnd()).toString('latin1'), '');
        assert.ok(now() - start > 8, `closed after ${now() - start} s`);
        client.destroy();
      });
    }

    it('is closed when no request follows the last response', async (t) => {
      const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
      const client = await RawSocket.connect(port, { deadline: END });
      client.write(request('/'));
      assert.equal((await client.readResponse()).body, 'ok');
      const start = now();
      assert.equal((await client.readToEnd()).toString('latin1'), '');
      assert.ok(now() - start > 8, `closed after ${now() - start} s`);
      client.destroy();
    });

    it('whose response is pending stays', async (t) => {
      const { port } = serve(t, (app) =>
        app.any('/*', async (res) => {
          res.onAborted(() => {
            res.aborted = true;
          });
          await delay(15_000);
          if (!res.aborted) res.cork(() => res.end('at last'));
        }),
      );
      const client = await RawSocket.connect(port, { deadline: 20_000 });
      client.write(request('/'));
      assert.equal((await client.readResponse()).body, 'at last');
      client.destroy();
    });

    it('has its time also behind a response that comes after a long silence', ours, async () => {
      // This runs in its own process, so that no other event tells the server the time.
      const { code, stderr, reports } = await Script.run(
        ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, report }) => {
          App({ idleTimeout: 2 })
            .any('/:milliseconds', (res, req) => {
              res.onAborted(() => {});
              setTimeout(() => res.cork(() => res.end('answered')), Number(req.getParameter(0)));
            })
            .listen(0, async (token) => {
              const client = await Client.connect(localPort(token));
              for (const milliseconds of [2700, 0]) {
                client.write(`GET /${milliseconds} HTTP/1.1\r\nHost: h\r\n\r\n`);
                report((await client.readResponse()).body);
                await new Promise((resolve) => setTimeout(resolve, 500));
              }
              process.exit();
            });
        },
      );
      assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [['answered'], ['answered']] });
    });

    it('that never sends the whole of a body is closed, though it was answered', ours, async (t) => {
      const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
      const client = await RawSocket.connect(port, { deadline: END });
      client.write(request('/', { method: 'POST', headers: ['Content-Length: 100'], body: 'x' }));
      assert.equal((await client.readResponse()).body, 'ok');
      assert.equal((await client.readToEnd()).toString('latin1'), '');
      client.destroy();
    });
  });
});

after(noConnectionLeft);
