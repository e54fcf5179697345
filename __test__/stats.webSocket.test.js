'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const zlib = require('node:zlib');
const { RawSocket } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { LAYER, assertCounts } = require('./support/stats.js');
const { ours, uWS } = require('./support/uws.js');
const { until } = require('./support/wait.js');
const { KIBIBYTE, MEBIBYTE, connectLogged } = require('./support/websocket.js');

const { OPCODE } = frames;
const MAX = 16 * KIBIBYTE;
const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate; server_no_context_takeover' };
/** What is counted when a WebSocket ends and its closing handshake is complete. */
const ENDED = { 'connections.*.webSocket.open': -1 };

/** Compresses a message as RFC 7692 section 7.2.1 describes it. */
const deflated = (message) =>
  zlib.deflateRawSync(message, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);

describe('app.stats() counts', ours, () => {
  it('an upgrade', async (t) => {
    const { app, port } = await connectLogged(t);
    let client;
    await assertCounts(
      app,
      {
        'connections.*.http.total': 1,
        'connections.*.webSocket.open': 1,
        'connections.*.webSocket.total': 1,
        'http.requests': 1,
        'http.upgradeRequests': 1,
        'http.responses.1xx': 1,
        ...(LAYER === 'tls' ? { 'tls.handshakes.full': 1 } : {}),
      },
      async () => {
        client = await RawSocket.upgrade(port, '/');
      },
    );
    client.destroy();
  });

  it('what a client sends', async (t) => {
    const { app, client } = await connectLogged(t);
    const send =
      (...all) =>
      () =>
        client.write(Buffer.concat(all));
    const received = (counts) =>
      Object.fromEntries(Object.entries(counts).map(([name, count]) => [`webSocket.received.${name}`, count]));
    await assertCounts(app, received({ messages: 1, bytes: 5 }), send(frames.text('hello')));
    await assertCounts(
      app,
      received({ messages: 2, bytes: 300 }),
      send(frames.binary('x'.repeat(300)), frames.text('')),
    );
    const parts = [
      frames.text('a', { fin: false }),
      frames.continuation('b', { fin: false }),
      frames.continuation('c'),
    ];
    await assertCounts(app, received({ messages: 1, bytes: 3 }), send(...parts));
    await assertCounts(app, received({ pings: 1 }), send(frames.ping('x')));
    await assertCounts(app, received({ pongs: 1 }), send(frames.pong('x')));
  });

  it('what a client sends compressed, as it was before', async (t) => {
    const behavior = { compression: uWS.SHARED_COMPRESSOR };
    const { app, client } = await connectLogged(t, behavior, { headers: DEFLATE });
    const message = 'a'.repeat(10_000);
    await assertCounts(app, { 'webSocket.received.messages': 1, 'webSocket.received.bytes': message.length }, () =>
      client.write(frames.text(deflated(message), { rsv: frames.RSV1 })),
    );
  });

  it('what the program sends', async (t) => {
    const { app, ws } = await connectLogged(t, { compression: uWS.SHARED_COMPRESSOR }, { headers: DEFLATE });
    const sent = (messages, bytes) => ({ 'webSocket.sent.messages': messages, 'webSocket.sent.bytes': bytes });
    await assertCounts(app, sent(1, 5), () => ws.send('hello'));
    await assertCounts(app, sent(1, 3), () => ws.send('€'));
    await assertCounts(app, sent(1, 4), () => ws.send(new Uint8Array(4), true));
    await assertCounts(app, sent(1, 100_000), () => ws.send(new Uint8Array(100_000), true));
    await assertCounts(app, sent(1, 10_000), () => ws.send('a'.repeat(10_000), false, true));
    await assertCounts(app, { 'webSocket.sent.bytes': 2 }, () => {
      ws.sendFirstFragment('a');
      ws.sendFragment('b');
    });
    await assertCounts(app, sent(1, 1), () => ws.sendLastFragment('c'));
    await assertCounts(app, { 'webSocket.sent.pings': 1 }, () => ws.ping('x'));
  });

  it('topics, subscriptions, publications and deliveries', async (t) => {
    const { app, port, ws } = await connectLogged(t);
    const client = await RawSocket.upgrade(port, '/');
    t.after(() => client.destroy());
    await assertCounts(app, { 'pubSub.topics': 2, 'pubSub.subscriptions': 2 }, () => {
      ws.subscribe('a');
      ws.subscribe('b');
      ws.subscribe('a');
    });
    const counts = {
      'pubSub.published': 1,
      'pubSub.delivered': 1,
      'webSocket.sent.messages': 1,
      'webSocket.sent.bytes': 5,
    };
    await assertCounts(app, counts, () => app.publish('a', 'hello'));
    await assertCounts(app, { 'pubSub.published': 2 }, () => {
      // Nobody receives either.
      app.publish('c', 'hello');
      ws.publish('a', 'hello');
    });
    await assertCounts(app, { 'pubSub.topics': -1, 'pubSub.subscriptions': -1 }, () => ws.unsubscribe('a'));
    const left = { ...ENDED, 'pubSub.topics': -1, 'pubSub.subscriptions': -1, 'ended.webSocket.cut': 1 };
    await assertCounts(app, left, () => ws.close());
  });

  it('what waits for a slow client, and what is dropped', async (t) => {
    for (const closeOnBackpressureLimit of [false, true]) {
      const behavior = { maxBackpressure: MEBIBYTE, closeOnBackpressureLimit };
      const { app, client, ws } = await connectLogged(t, behavior);
      client.pause();
      const waiting = () => app.stats().sockets.bytesWaiting;
      assert.equal(waiting(), 0);
      while (ws.getBufferedAmount() <= MEBIBYTE) ws.send(new Uint8Array(MEBIBYTE), true);
      await until(() => waiting() === ws.getBufferedAmount(), 'number of bytes');
      const counts = { 'webSocket.dropped': 1, 'limits.maxBackpressure': 1 };
      const bytes = waiting();
      const closed = {
        ...ENDED,
        'limits.closeOnBackpressureLimit': 1,
        'ended.webSocket.cut': 1,
        'sockets.bytesWaiting': -bytes,
      };
      await assertCounts(app, closeOnBackpressureLimit ? { ...counts, ...closed } : counts, () => ws.send('too much'));
      if (!closeOnBackpressureLimit) {
        client.resume();
        await until(() => waiting() === 0, 'end of waiting');
      }
      client.destroy();
    }
  });

  it('messages that are published in vain to a slow client', async (t) => {
    const { app, client, ws } = await connectLogged(t, { maxBackpressure: KIBIBYTE });
    client.pause();
    ws.subscribe('a');
    while (ws.getBufferedAmount() <= KIBIBYTE) ws.send(new Uint8Array(MEBIBYTE), true);
    await until(() => app.stats().sockets.bytesWaiting === ws.getBufferedAmount(), 'number of bytes');
    for (const message of ['short', 'long'.repeat(10_000), new Uint8Array(100_000)]) {
      const counts = { 'pubSub.published': 1, 'webSocket.dropped': 1, 'limits.maxBackpressure': 1 };
      await assertCounts(app, counts, () => app.publish('a', message));
    }
  });

  describe('how WebSockets end', () => {
    const cases = {
      'by ws.end()': [{ 'ended.webSocket.closedByServer': 1 }, (client, ws) => ws.end(1000), true],
      'by ws.close()': [{ 'ended.webSocket.cut': 1 }, (client, ws) => ws.close()],
      'by a Close frame of the client': [
        { 'ended.webSocket.closedByClient': 1 },
        (client) => client.write(frames.close(1000)),
      ],
      'by a FIN of the client': [{ 'ended.webSocket.fin': 1 }, (client) => client.end()],
      'by a reset of the client': [{ 'ended.webSocket.failed': 1 }, (client) => client.reset()],
    };
    for (const [name, [counts, act, isAnswered]] of Object.entries(cases)) {
      it(name, async (t) => {
        const { app, client, ws } = await connectLogged(t);
        await assertCounts(app, { ...ENDED, ...counts }, async () => {
          act(client, ws);
          if (isAnswered) await client.readClose();
          else if (!name.includes('reset')) await client.readToEnd();
          client.destroy();
        });
      });
    }

    it('by a shutdown', async (t) => {
      const { app, client } = await connectLogged(t);
      await assertCounts(app, { ...ENDED, listeners: -1, 'ended.webSocket.shutDown': 1 }, async () => {
        const done = app.shutdown();
        await client.readClose();
        client.destroy();
        await done;
      });
    });

    it('and are counted as closing until the client has answered', async (t) => {
      const { app, client, ws } = await connectLogged(t);
      const closing = { ...ENDED, 'ended.webSocket.closedByServer': 1, 'connections.*.closing': 1 };
      await assertCounts(app, closing, () => ws.end(1000));
      await assertCounts(app, { 'connections.*.closing': -1 }, async () => {
        await client.readClose();
        client.destroy();
      });
    });
  });

  describe('clients that violate the protocol', () => {
    const cases = {
      UNEXPECTED_RSV_2_3: frames.text('a', { rsv: frames.RSV2 }),
      UNEXPECTED_RSV_1: frames.continuation('a', { rsv: frames.RSV1 }),
      INVALID_OPCODE: frames.frame(3, 'a'),
      EXPECTED_MASK: frames.text('a', { mask: null }),
      FRAGMENTED_CONTROL_FRAME: frames.ping('a', { fin: false }),
      INVALID_CONTROL_PAYLOAD_LENGTH: frames.ping('a'.repeat(126)),
      PAYLOAD_LENGTH_NOT_MINIMAL: frames.text('a', { lengthBytes: 2 }),
      PAYLOAD_LENGTH_OVER_63_BITS: Buffer.from('82ff8000000000000000', 'hex'),
      UNEXPECTED_CONTINUATION: frames.continuation('a'),
      EXPECTED_CONTINUATION: Buffer.concat([frames.text('a', { fin: false }), frames.text('b')]),
      INVALID_UTF8: frames.text(Buffer.from([0xff])),
      INVALID_CLOSE_PAYLOAD_LENGTH: frames.frame(OPCODE.CLOSE, 'a'),
      INVALID_CLOSE_CODE: frames.close(1005),
      INVALID_CLOSE_REASON: frames.frame(OPCODE.CLOSE, Buffer.from([0x03, 0xe8, 0xff])),
      INVALID_DEFLATE: frames.text(Buffer.from([0xff, 0xff]), { rsv: frames.RSV1 }),
      MESSAGE_TOO_BIG: frames.binary(Buffer.alloc(2 * MAX)),
      INFLATED_MESSAGE_TOO_BIG: frames.binary(deflated(Buffer.alloc(2 * MAX)), { rsv: frames.RSV1 }),
    };
    for (const [cause, bytes] of Object.entries(cases)) {
      it(cause, async (t) => {
        const behavior = { compression: uWS.SHARED_COMPRESSOR, maxPayloadLength: MAX };
        const { app, client } = await connectLogged(t, behavior, { headers: DEFLATE });
        const counts = {
          ...ENDED,
          'ended.webSocket.protocolError': 1,
          [`webSocket.errors.${cause}`]: 1,
          ...(cause.includes('BIG') ? { 'limits.maxPayloadLength': 1 } : {}),
        };
        await assertCounts(app, counts, async () => {
          client.write(bytes);
          await client.readToEnd();
          client.destroy();
        });
      });
    }
  });
});
