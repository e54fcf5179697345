'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { RawSocket } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { serve } = require('./support/server.js');
const { clientOptions, oursOverTLS, webSocketUrl } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn, until } = require('./support/wait.js');
const { CLOSED, CALLS, serveLogged, connectLogged } = require('./support/websocket.js');

describe('close', () => {
  /** Returns what the handlers and the client see of one cause; the client gets all bytes before the FIN. */
  async function outcome(t, behavior, cause) {
    const { client, log, ws, app } = await connectLogged(t, behavior);
    await cause({ client, ws, app });
    const close = await log.next('close');
    const received = client.errorCode ? null : await client.readToEnd();
    client.destroy();
    await noConnectionLeft();
    assert.equal(log.count('close'), 1);
    return { close, received };
  }
  /** Returns the code in the close frame, and asserts that the client got nothing else. */
  function codeOf(received) {
    assert.equal(received[0], 0x88, received.toString('hex'));
    assert.equal(received[1], received.length - 2);
    return received.readUInt16BE(2);
  }
  const whenTold = (act) => ({ message: act });
  const tell = ({ client }) => client.write(frames.text('go'));
  /** The server delays its FIN until the client's close frame. */
  const tellAndClose = ({ client }) => client.write(Buffer.concat([frames.text('go'), frames.close()]));

  const CASES = [
    {
      cause: "client close 1000 'r'",
      act: ({ client }) => client.write(frames.close(1000, 'r')),
      close: [1000, 'r'],
      wire: '880303e872',
    },
    {
      cause: 'client close 1001',
      act: ({ client }) => client.write(frames.close(1001)),
      close: [1001, ''],
      wire: '880203e9',
    },
    {
      cause: 'client close with a reason of 123 bytes',
      act: ({ client }) => client.write(frames.close(4000, '\u00e9'.repeat(61) + '.')),
      close: [4000, '\u00e9'.repeat(61) + '.'],
      wire: '887d0fa0' + 'c3a9'.repeat(61) + '2e',
    },
    {
      cause: 'client close, empty',
      act: ({ client }) => client.write(frames.close()),
      close: [1005, ''],
      wire: '8800',
    },
    {
      cause: 'client close in the middle of a fragmented message',
      act: ({ client }) => client.write(frames.text('a', { fin: false })).write(frames.close(1000, 'r')),
      close: [1000, 'r'],
      wire: '880303e872',
    },
    {
      cause: 'frames after a client close',
      act: ({ client }) => client.write(Buffer.concat([frames.close(1000, 'r'), frames.text('late'), frames.ping('')])),
      close: [1000, 'r'],
      wire: '880303e872',
    },
    {
      cause: "ws.end(4001, 'bye')",
      behavior: whenTold((ws) => ws.end(4001, 'bye')),
      act: tellAndClose,
      close: [4001, 'bye'],
      wire: '88050fa1627965',
    },
    {
      cause: 'ws.end(1000)',
      behavior: whenTold((ws) => ws.end(1000)),
      act: tellAndClose,
      close: [1000, ''],
      wire: '880203e8',
    },
    { cause: 'ws.end()', behavior: whenTold((ws) => ws.end()), act: tellAndClose, close: [0, ''], wire: '8800' },
    {
      cause: 'ws.end(1000) with a reason as bytes',
      behavior: whenTold((ws) => ws.end(1000, new Uint8Array([0x68, 0x69]))),
      act: tellAndClose,
      close: [1000, 'hi'],
      wire: '880403e86869',
    },
    {
      cause: 'ws.end(1000) with a reason too long for a frame',
      behavior: whenTold((ws) => ws.end(1000, 'x'.repeat(200))),
      act: tellAndClose,
      close: [1000, 'x'.repeat(200)],
      wire: '887d03e8' + '78'.repeat(123),
    },
    { cause: 'ws.close()', behavior: whenTold((ws) => ws.close()), act: tell, close: [1006, ''], wire: '' },
    { cause: 'app.close()', act: ({ app }) => app.close(), close: [1006, ''], wire: '' },
    {
      cause: 'TCP FIN first',
      // uWebSockets.js treats a close_notify as a lost connection.
      options: oursOverTLS,
      act: ({ client }) => client.end(),
      close: [1006, 'Received TCP FIN before WebSocket close frame'],
      wire: '',
    },
    { cause: 'TCP RST', act: ({ client }) => client.reset(), close: [1006, ''], wire: '' },
  ];
  for (const { cause, options, behavior, act, close, wire } of CASES) {
    it(`${cause}: ${close[0]} '${close[1].slice(0, 40)}'`, options, async (t) => {
      const result = await outcome(t, behavior, act);
      assert.deepEqual(result.close, close);
      assert.equal(result.received.toString('hex'), wire);
    });
  }

  /** The handler sees 1006 and the reason; the client gets a close frame with the code. uWebSockets.js sends none. */
  const FAILURES = {
    'Received invalid close payload': {
      'a close code of 0': [1002, frames.close(0, 'z')],
      'a close code of 999': [1002, frames.close(999, 'z')],
      'a close code of 1004': [1002, frames.close(1004, 'z')],
      'a close code of 1005': [1002, frames.close(1005, 'z')],
      'a close code of 1006': [1002, frames.close(1006, 'z')],
      'a close code of 1015': [1002, frames.close(1015, 'z')],
      'a close code of 2000': [1002, frames.close(2000, 'z')],
      'a close code of 5000': [1002, frames.close(5000, 'z')],
      'a close reason that is no UTF-8': [1002, frames.close(1000, Buffer.of(0xff))],
    },
    'Received too big message': {
      'one byte over maxPayloadLength': [1009, frames.text('x'.repeat(101))],
      'the head alone of a message over maxPayloadLength': [1009, frames.text('x'.repeat(101)).subarray(0, 6)],
      'fragments over maxPayloadLength together': [
        1009,
        Buffer.concat([frames.text('x'.repeat(60), { fin: false }), frames.continuation('x'.repeat(60))]),
      ],
      'a length of 2^63 - 1': [1009, Buffer.from('82ff7fffffffffffffff00000000', 'hex')],
    },
    'Received invalid UTF-8': {
      'an overlong form': [1007, frames.text(Buffer.of(0xc0, 0xaf))],
      'a surrogate': [1007, frames.text(Buffer.of(0xed, 0xa0, 0x80))],
      'a code point beyond U+10FFFF': [1007, frames.text(Buffer.of(0xf4, 0x90, 0x80, 0x80))],
      'a character cut short': [1007, frames.text(Buffer.of(0x61, 0xe2, 0x82))],
      'bad UTF-8 across fragments': [
        1007,
        Buffer.concat([frames.text(Buffer.of(0xc3), { fin: false }), frames.continuation(Buffer.of(0x28))]),
      ],
    },
    'Received invalid WebSocket frame': {
      'opcode 3': [1002, frames.frame(3, 'x')],
      'opcode 7': [1002, frames.frame(7, 'x')],
      'opcode 11': [1002, frames.frame(11, 'x')],
      'opcode 15': [1002, frames.frame(15, '')],
      RSV1: [1002, frames.text('x', { rsv: frames.RSV1 })],
      RSV2: [1002, frames.text('x', { rsv: frames.RSV2 })],
      RSV3: [1002, frames.text('x', { rsv: frames.RSV3 })],
      'a fragmented ping': [1002, frames.ping('x', { fin: false })],
      'a ping of 126 bytes': [1002, frames.ping('x'.repeat(126))],
      'a close of 126 bytes': [1002, frames.close(1000, 'x'.repeat(124))],
      'a continuation of nothing': [1002, frames.continuation('x')],
      'a text inside a fragmented text': [1002, Buffer.concat([frames.text('x', { fin: false }), frames.text('y')])],
    },
  };
  for (const [reason, cases] of Object.entries(FAILURES)) {
    for (const [cause, [code, bytes]] of Object.entries(cases)) {
      it(`${cause}: 1006 '${reason}', ${code} on the wire`, async (t) => {
        const { close, received } = await outcome(t, { maxPayloadLength: 100 }, ({ client }) => client.write(bytes));
        assert.deepEqual(close, [1006, reason]);
        if (!ours.skip) assert.equal(codeOf(received), code);
      });
    }
  }

  /** uWebSockets.js accepts these, waits for more bytes, or reports another reason. */
  const FAILURES_OF_OURS = {
    'Received invalid close payload': {
      'a close payload of one byte': frames.frame(frames.OPCODE.CLOSE, 'x'),
    },
    'Received invalid WebSocket frame': {
      'an unmasked frame': frames.text('x', { mask: null }),
      'a length of 16 bits that fits in 7': frames.text('x', { lengthBytes: 2 }),
      'a length of 64 bits that fits in 7': frames.text('x', { lengthBytes: 8 }),
      'a length with the highest bit set': Buffer.from('82ff800000000000000000000000', 'hex'),
    },
  };
  for (const [reason, cases] of Object.entries(FAILURES_OF_OURS)) {
    for (const [cause, bytes] of Object.entries(cases)) {
      it(`${cause}: 1006 '${reason}', 1002 on the wire`, ours, async (t) => {
        const { close, received } = await outcome(t, {}, ({ client }) => client.write(bytes));
        assert.deepEqual(close, [1006, reason]);
        assert.equal(codeOf(received), 1002);
      });
    }
  }

  it('a message before a bad frame is still handled, one after it is not', async (t) => {
    const { client, log } = await connectLogged(t);
    client.write(Buffer.concat([frames.text('before'), frames.frame(3, 'bad'), frames.text('after')]));
    await log.next('close');
    await client.readToEnd();
    assert.deepEqual(log.all, [
      ['open'],
      ['message', 'before', false],
      ['close', 1006, 'Received invalid WebSocket frame'],
    ]);
  });

  it('runs inside end() and inside close()', async (t) => {
    for (const act of [(ws) => ws.end(4001, 'bye'), (ws) => ws.close()]) {
      const order = [];
      const { client, log } = await connectLogged(t, {
        message: (ws) => {
          order.push('before');
          assert.equal(act(ws), undefined);
          order.push('after');
        },
        close: () => order.push('close'),
      });
      client.write(frames.text('go'));
      await log.next('close');
      assert.deepEqual(order, ['before', 'close', 'after']);
    }
  });

  it('finds the other WebSockets of an app that closes as they are, until they are closed too', ours, async (t) => {
    const open = new Set();
    const sent = [];
    let closing;
    const { port } = serve(t, (app) => {
      closing = app;
      app.ws('/*', {
        open: (ws) => open.add(ws),
        close: (ws) => {
          open.delete(ws);
          for (const other of open) sent.push(other.send('left'));
        },
      });
    });
    const clients = await Promise.all([1, 2, 3].map(() => RawSocket.upgrade(port, '/')));
    await until(() => open.size === 3, 'three WebSockets');
    closing.close();
    assert.deepEqual(sent, [1, 1, 1]);
    for (const client of clients) client.destroy();
    await noConnectionLeft();
  });

  it('is not caused by a code that must not be sent', ours, async (t) => {
    const { client, ws, log } = await connectLogged(t);
    const codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535, 65_536 + 1000, 2 ** 32 + 1000];
    for (const code of [
      ...codes,
      -1,
      1000.5,
      NaN,
      Infinity,
      null,
      'x',
      '',
      {},
      [],
      [1000],
      true,
      4000n,
      Symbol('4000'),
    ]) {
      assert.throws(() => ws.end(code, 'bye'), {
        name: 'RangeError',
        code: 'ERR_MILLIWAYS_OUT_OF_RANGE',
        message: /^code must be 1000 to 1003, 1007 to 1014, or 3000 to 4999 \(RFC 6455 section 7\.4\), and is ./,
      });
    }
    assert.throws(() => ws.end(1015), /, and is 1015\.$/);
    assert.equal(log.count('close'), 0);
    ws.send('still open');
    assert.equal(await client.readText(), 'still open');
    for (const code of [1000, 1003, 1007, 1011, 1014, 3000, 4999, '4000']) {
      const connected = await connectLogged(t);
      connected.ws.end(code, 'bye');
      assert.deepEqual(await connected.client.readClose(), { code: Number(code), reason: 'bye' });
      assert.deepEqual(await connected.log.next('close'), [Number(code), 'bye']);
    }
  });

  it('runs once, and nothing after it, when the rest of a batch is still there', async (t) => {
    for (const act of [(ws) => ws.end(), (ws) => ws.close()]) {
      const { client, log } = await connectLogged(t, { message: act });
      const rest = [frames.text('two'), frames.ping('x'), frames.close(1000)];
      client.write(Buffer.concat([frames.text('one'), ...rest]));
      await client.readToEnd();
      client.destroy();
      await noConnectionLeft();
      assert.deepEqual(
        log.all.map(([name]) => name),
        ['open', 'message', 'close'],
      );
    }
  });

  it('runs inside the handler of another connection that closes it', async (t) => {
    const all = [];
    const { port, log } = serveLogged(t, {
      open: (ws) => all.push(ws),
      message: () => {
        all[0].end(4000, 'by another');
        log.add('returned');
      },
    });
    const first = await RawSocket.upgrade(port, '/');
    const second = await RawSocket.upgrade(port, '/');
    first.write(frames.ping('x'));
    second.write(frames.text('go'));
    await log.next('returned');
    assert.deepEqual(log.all.slice(-3), [['message', 'go', false], ['close', 4000, 'by another'], ['returned']]);
    first.destroy();
    second.destroy();
  });

  it('leaves the properties of the WebSocket, and getUserData', async (t) => {
    const seen = [];
    const { client, ws, log } = await connectLogged(t, {
      open: (opened) => {
        opened.name = 'Marvin';
        opened[Symbol.for('depth')] = 42;
      },
      close: (closed) => seen.push(closed.name, closed[Symbol.for('depth')], closed.getUserData() === closed),
    });
    assert.equal(ws.getUserData(), ws);
    client.write(frames.close(1000));
    await log.next('close');
    assert.deepEqual(seen, ['Marvin', 42, true]);
    assert.equal(ws.name, 'Marvin');
    assert.equal(ws.getUserData(), ws);
  });

  for (const [name, call] of Object.entries(CALLS)) {
    it(`may not be followed by ${name}, nor may it be called in the handler`, async (t) => {
      let thrown = 0;
      const { client, ws, log } = await connectLogged(t, {
        close: (closed) => {
          assert.throws(() => call(closed), CLOSED);
          thrown += 1;
        },
      });
      client.write(frames.close(1000));
      await log.next('close');
      assert.equal(thrown, 1);
      assert.throws(() => call(ws), CLOSED);
      await turn();
      assert.throws(() => call(ws), CLOSED);
    });

    it(`in a message handler may not be followed by ${name}`, async (t) => {
      const thrown = [];
      const { client, log } = await connectLogged(t, {
        message: (ws) => {
          ws.close();
          assert.throws(() => call(ws), CLOSED);
          thrown.push(name);
        },
      });
      client.write(frames.text('go'));
      await log.next('close');
      await turn();
      assert.deepEqual(thrown, [name]);
    });
  }

  it('lets no method of a kept WebSocket reach the connection that took its place', async (t) => {
    const { port, log } = serveLogged(t, { open: (ws) => kept.push(ws) });
    const kept = [];
    for (let i = 0; i < 3; i += 1) {
      const client = await RawSocket.upgrade(port, '/');
      client.reset();
      await log.next('close');
    }
    await noConnectionLeft();
    const client = await RawSocket.upgrade(port, '/');
    for (const old of kept.slice(0, 3)) {
      for (const call of Object.values(CALLS)) assert.throws(() => call(old), CLOSED);
    }
    kept[3].send('mine');
    assert.equal(await client.readText(), 'mine');
    assert.equal(log.count('close'), 3);
    client.destroy();
  });

  it('tells the client what was wrong, for people to read', ours, async (t) => {
    const cases = {
      'message over maxPayloadLength of 100 bytes': [1009, frames.text('x'.repeat(101))],
      'text that is not UTF-8': [1007, frames.text(Buffer.of(0xff))],
      'frame with the reserved opcode 3': [1002, frames.frame(3, 'x')],
      'frame without a mask': [1002, frames.text('x', { mask: null })],
      'close frame with the code 1006': [1002, frames.close(1006)],
    };
    for (const [reason, [code, bytes]] of Object.entries(cases)) {
      const { client } = await connectLogged(t, { maxPayloadLength: 100 });
      client.write(bytes);
      assert.deepEqual(await client.readClose(), { code, reason });
    }
  });

  it('works with the close handshake of a standard client, from either side', async (t) => {
    const { port, log } = serveLogged(t, { message: (ws) => ws.end(4002, 'server') });
    const first = new WebSocket(webSocketUrl(port), clientOptions);
    await once(first, 'open');
    first.close(4001, 'client');
    const [code, reason] = await once(first, 'close');
    assert.deepEqual([code, reason.toString()], [4001, 'client']);
    assert.deepEqual(await log.next('close'), [4001, 'client']);

    const second = new WebSocket(webSocketUrl(port), clientOptions);
    await once(second, 'open');
    second.send('go');
    const [otherCode, otherReason] = await once(second, 'close');
    assert.deepEqual([otherCode, otherReason.toString()], [4002, 'server']);
    assert.deepEqual(await log.next('close'), [4002, 'server']);
  });
});

after(noConnectionLeft);
