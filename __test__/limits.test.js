'use strict';

// The options that limit connections, fragments and topics. attacks.test.js has what they are for.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { describe, it } = require('node:test');
const frames = require('./support/frames.js');
const { RawSocket } = require('./support/RawSocket.js');
const { App, serve } = require('./support/server.js');
const { clear } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, until } = require('./support/wait.js');
const { connectLogged } = require('./support/websocket.js');

const A_COUNT = 'a whole number from 0 to 4294967295';
const NO_COUNTS = [-1, 0.5, NaN, Infinity, 2 ** 32, '10', true, {}, 10n, Symbol('ten')];

describe('limits', ours, () => {
  for (const name of ['maxConnections', 'maxConnectionsPerAddress', 'maxFragments', 'maxTopics']) {
    it(`${name} is a whole number`, async () => {
      const isOfApp = name.startsWith('maxConnections');
      const use = (value) => (isOfApp ? App({ [name]: value }) : App().ws('/*', { [name]: value }));
      for (const value of NO_COUNTS) {
        const error = { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE' };
        assert.throws(() => use(value), { ...error, message: new RegExp(`^${name} must be ${A_COUNT}, and is `) });
      }
      for (const value of [0, 1, 2 ** 32 - 1, undefined, null]) use(value).close();
    });
  }

  it("onConnectionLimit is 'refuse' or 'pause'", () => {
    for (const value of ['refuse', 'pause', undefined, null]) App({ onConnectionLimit: value }).close();
    for (const [value, shown] of [
      ['close', "'close'"],
      ['', "''"],
      [true, 'true'],
    ]) {
      assert.throws(() => App({ onConnectionLimit: value }), {
        name: 'RangeError',
        code: 'ERR_MILLIWAYS_OUT_OF_RANGE',
        message: `onConnectionLimit must be 'refuse' or 'pause', and is ${shown}.`,
      });
    }
  });

  describe('of fragments', () => {
    const behavior = { maxPayloadLength: 32 * 1024, message: (ws, message) => ws.send(String(message.byteLength)) };
    const message = (fragments) => {
      const more = Array.from({ length: fragments - 2 }, () => frames.continuation('x', { fin: false }));
      return Buffer.concat([frames.binary('x', { fin: false }), ...more, frames.continuation('x')]);
    };

    it('16,384 are enough, and one more is not', async (t) => {
      const { app, client, log } = await connectLogged(t, behavior);
      client.write(message(16_384));
      assert.equal(await client.readText(), '16384');
      client.write(message(16_385));
      assert.deepEqual(await client.readClose(), { code: 1008, reason: 'message of more fragments than maxFragments' });
      assert.deepEqual(await log.next('close'), [1006, 'Received too many fragments']);
      assert.equal(app.stats().limits.maxFragments, 1);
      assert.equal(app.stats().webSocket.errors.TOO_MANY_FRAGMENTS, 1);
    });

    it('0 sets no limit', async (t) => {
      const { client } = await connectLogged(t, { ...behavior, maxFragments: 0 });
      client.write(message(20_000));
      assert.equal(await client.readText(), '20000');
    });
  });

  it('subscribe returns false for a topic too many', async (t) => {
    const { app, ws } = await connectLogged(t, { maxTopics: 2 });
    assert.deepEqual(
      ['a', 'b', 'a', 'c'].map((topic) => ws.subscribe(topic)),
      [true, true, true, false],
    );
    assert.deepEqual(ws.getTopics().sort(), ['a', 'b']);
    assert.equal(ws.isSubscribed('c'), false);
    assert.equal(app.numSubscribers('c'), 0);
    ws.unsubscribe('a');
    assert.equal(ws.subscribe('c'), true);
    assert.equal(app.stats().limits.maxTopics, 1);
  });

  it('adoptSocket throws, and leaves the connection to its owner', clear('the client sends plain text'), async (t) => {
    const { app, port } = serve(t, (routes) => routes.get('/*', (res) => res.end('ok')), { maxConnections: 1 });
    const first = await RawSocket.connect(port);
    await until(() => app.stats().connections.plain.http.open === 1, 'connection');
    const owner = net.createServer({ pauseOnConnect: true });
    await once(owner.listen(0, '127.0.0.1'), 'listening');
    const client = net.connect(owner.address().port, '127.0.0.1');
    const [accepted] = await once(owner, 'connection');
    const { fd } = accepted._handle;
    assert.throws(() => app.adoptSocket(fd), {
      code: 'ERR_MILLIWAYS_INVALID_SOCKET',
      message:
        'adoptSocket takes the file descriptor of a connected stream socket: ' +
        `${fd} would be one connection more than maxConnections or maxConnectionsPerAddress allows.`,
    });
    accepted.end('still here');
    client.end();
    assert.equal(Buffer.concat(await client.toArray()).toString(), 'still here');
    owner.close();
    first.destroy();
    await noConnectionLeft();
  });
});
