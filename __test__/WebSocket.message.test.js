'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const frames = require('./support/frames.js');
const { serve } = require('./support/server.js');
const { clientOptions, oursOverTLS, webSocketUrl } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');
const { KIBIBYTE, MEBIBYTE, ECHO, serveLogged, connectLogged } = require('./support/websocket.js');

describe('a message', () => {
  const SIZES = [0, 1, 125, 126, 127, 65535, 65536, MEBIBYTE];

  it('of any size comes back the same, as text and as binary', async (t) => {
    const { port } = serve(t, (app) => app.ws('/*', ECHO));
    const client = new WebSocket(webSocketUrl(port), { ...clientOptions, perMessageDeflate: false });
    await once(client, 'open');
    for (const size of [...SIZES, 16 * KIBIBYTE, 20 * KIBIBYTE, 33 * KIBIBYTE]) {
      for (const binary of [false, true]) {
        const data = Buffer.alloc(size, binary ? Buffer.from([0, 255, 128, 1, 2]) : 'abcdefg');
        client.send(data, { binary });
        const [received, isBinary] = await once(client, 'message');
        assert.equal(isBinary, binary, `${size}`);
        assert.ok(data.equals(received), `${size} bytes, ${binary ? 'binary' : 'text'}`);
      }
    }
    client.close(1000);
    const [code] = await once(client, 'close');
    assert.equal(code, 1000);
  });

  it('comes back in the shortest form of its length', async (t) => {
    const { client } = await connectLogged(t, ECHO);
    for (const [size, head] of [
      [0, '8200'],
      [125, '827d'],
      [126, '827e007e'],
      [65535, '827effff'],
      [65536, '827f0000000000010000'],
    ]) {
      client.write(frames.binary(Buffer.alloc(size, 'x')));
      assert.equal((await client.read(head.length / 2)).toString('hex'), head);
      assert.ok(Buffer.alloc(size, 'x').equals(await client.read(size)));
    }
  });

  it('of UTF-8 comes back the same', async (t) => {
    const { client } = await connectLogged(t, ECHO);
    for (const text of ['\u00e9', '\u20ac', '\u{1f600}', 'a\0b', '\ufeffbom', '\uffff']) {
      client.write(frames.text(text));
      assert.equal(await client.readText(), text);
    }
  });

  for (const size of [0, 5, 125, 126, 300]) {
    it(`of ${size} bytes is the same at every split`, async (t) => {
      const { client } = await connectLogged(t, ECHO);
      const payload = Buffer.alloc(size, 'abcdefg');
      const bytes = Buffer.concat([frames.binary(payload), frames.text('next')]);
      for (let split = 1; split < bytes.length; split += 1) {
        await client.writeAndTurn(bytes.subarray(0, split));
        client.write(bytes.subarray(split));
        assert.ok(payload.equals((await client.readFrame()).payload), `split at ${split}`);
        assert.equal(await client.readText(), 'next', `split at ${split}`);
      }
    });
  }

  it('of 70,000 bytes is the same at splits in its head and around the ends of its payload', async (t) => {
    const { client } = await connectLogged(t, ECHO);
    const payload = Buffer.alloc(70_000, 'abcdefg');
    const bytes = frames.binary(payload);
    const head = bytes.length - payload.length;
    for (const split of [1, 2, 3, 9, 10, 11, 12, 13, head, head + 1, 35_000, 65_536, bytes.length - 1]) {
      await client.writeAndTurn(bytes.subarray(0, split));
      client.write(bytes.subarray(split));
      assert.ok(payload.equals((await client.readFrame()).payload), `split at ${split}`);
    }
  });

  it('of several frames is the same byte by byte', async (t) => {
    const { client } = await connectLogged(t, ECHO);
    const parts = [frames.text('one ', { fin: false }), frames.ping('p'), frames.continuation('two')];
    for (const byte of Buffer.concat(parts)) await client.writeAndTurn(Buffer.of(byte));
    assert.equal((await client.readFrame()).opcode, frames.OPCODE.PONG);
    assert.equal(await client.readText(), 'one two');
  });

  it('is unmasked with any key', async (t) => {
    const { client } = await connectLogged(t, ECHO);
    for (const mask of [
      [0, 0, 0, 0],
      [255, 255, 255, 255],
      [0, 0, 0, 1],
    ]) {
      for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 1000]) {
        const payload = Buffer.alloc(size, 'abcdefghijk');
        client.write(frames.binary(payload, { mask }));
        assert.ok(payload.equals((await client.readFrame()).payload), `${mask}, ${size} bytes`);
      }
    }
  });

  it('of many comes in order when they come at once', async (t) => {
    const { client, log } = await connectLogged(t, ECHO);
    const texts = Array.from({ length: 5000 }, (_, i) => `message ${i}`);
    client.write(Buffer.concat(texts.map((text) => frames.text(text))));
    for (const text of texts) assert.equal(await client.readText(), text);
    assert.equal(log.count('message'), texts.length);
  });

  it('in fragments comes as one, with control frames between them answered at once', async (t) => {
    const { client, log } = await connectLogged(t, ECHO);
    client.write(frames.binary('a', { fin: false }));
    client.write(frames.ping('between'));
    assert.deepEqual(await client.readFrame(), {
      fin: true,
      rsv: 0,
      opcode: frames.OPCODE.PONG,
      payload: Buffer.from('between'),
    });
    client.write(frames.continuation('b', { fin: false }));
    client.write(frames.pong('unasked'));
    client.write(frames.continuation('', { fin: false }));
    client.write(frames.continuation('c'));
    const { opcode, payload } = await client.readFrame();
    assert.deepEqual({ opcode, payload: payload.toString() }, { opcode: frames.OPCODE.BINARY, payload: 'abc' });
    assert.deepEqual(log.all, [['open'], ['ping', 'between'], ['pong', 'unasked'], ['message', 'abc', true]]);
  });

  it('in fragments may be empty', async (t) => {
    const { client, log } = await connectLogged(t);
    client.write(Buffer.concat([frames.text('', { fin: false }), frames.continuation(''), frames.text('next')]));
    await log.next('message');
    await log.next('message');
    assert.deepEqual(log.all.slice(1), [
      ['message', '', false],
      ['message', 'next', false],
    ]);
  });

  it('in fragments may be split inside a character', async (t) => {
    const { client } = await connectLogged(t, ECHO);
    const bytes = Buffer.from('\u{1f600}');
    client.write(frames.text(bytes.subarray(0, 1), { fin: false }));
    client.write(frames.continuation(bytes.subarray(1, 3), { fin: false }));
    client.write(frames.continuation(bytes.subarray(3)));
    assert.equal(await client.readText(), '\u{1f600}');
  });

  it('in many fragments comes as one', async (t) => {
    const { client } = await connectLogged(t, ECHO);
    const parts = Array.from({ length: 1000 }, (_, i) => Buffer.alloc(100, `${i} `));
    const last = parts.length - 1;
    parts.forEach((part, i) => {
      client.write(
        frames.frame(i === 0 ? frames.OPCODE.BINARY : frames.OPCODE.CONTINUATION, part, { fin: i === last }),
      );
    });
    assert.ok(Buffer.concat(parts).equals((await client.readFrame()).payload));
  });

  it('of one client never reaches another', async (t) => {
    const { port } = serveLogged(t, ECHO);
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawSocket.upgrade(port, '/')));
    for (let round = 0; round < 5; round += 1) {
      clients.forEach((client, i) => client.write(frames.text(`${i}.${round}.`.repeat(50))));
      for (const [i, client] of clients.entries()) assert.equal(await client.readText(), `${i}.${round}.`.repeat(50));
    }
    for (const client of clients) client.destroy();
  });

  it('is seen by a handler that was replaced on the App only by connections that come after', async (t) => {
    const { app, port } = serve(t, (routes) => routes.ws('/*', { message: (ws) => ws.send('first') }));
    const early = await RawSocket.upgrade(port, '/');
    app.ws('/*', { message: (ws) => ws.send('second') });
    const late = await RawSocket.upgrade(port, '/');
    early.write(frames.text('x'));
    late.write(frames.text('x'));
    assert.equal(await early.readText(), 'first');
    assert.equal(await late.readText(), 'second');
    early.destroy();
    late.destroy();
  });
});

describe('the ArrayBuffer of a handler', () => {
  const SIZES = [1, 1000, 16 * KIBIBYTE, 20 * KIBIBYTE, 21 * KIBIBYTE, 100 * KIBIBYTE, MEBIBYTE];

  it('is an ArrayBuffer with exactly the message', async (t) => {
    const seen = [];
    const { client } = await connectLogged(t, {
      ...ECHO,
      message: (ws, message, isBinary) => {
        seen.push([message instanceof ArrayBuffer, message.byteLength, isBinary]);
        ws.send('ok');
      },
    });
    client.write(frames.text('abc'));
    await client.readText();
    client.write(frames.binary(''));
    await client.readText();
    assert.deepEqual(seen, [
      [true, 3, false],
      [true, 0, true],
    ]);
  });

  for (const size of SIZES) {
    it(`may be kept: ${size} bytes`, ours, async (t) => {
      const kept = [];
      const { client } = await connectLogged(t, {
        ...ECHO,
        message: (ws, message) => {
          kept.push(message);
          ws.send('ok');
        },
      });
      const payloads = Array.from({ length: 4 }, (_, i) => Buffer.alloc(size, i + 1));
      for (const payload of payloads) {
        client.write(frames.binary(payload));
        await client.readText();
      }
      await turn();
      payloads.forEach((payload, i) => assert.ok(payload.equals(Buffer.from(kept[i])), `message ${i}`));
    });
  }

  it('may be kept from a ping, pong or close handler, too', ours, async (t) => {
    const kept = {};
    const keep = (name) => (ws, message) => {
      kept[name] = message;
    };
    const { client, log } = await connectLogged(t, {
      ping: keep('ping'),
      pong: keep('pong'),
      close: (ws, code, message) => keep('close')(ws, message),
    });
    client.write(Buffer.concat([frames.ping('a'), frames.pong('bb'), frames.close(1000, 'ccc')]));
    await log.next('close');
    await turn();
    for (const [name, expected] of Object.entries({ ping: 'a', pong: 'bb', close: 'ccc' })) {
      assert.equal(Buffer.from(kept[name]).toString(), expected, name);
    }
  });

  it('may be sent, copied or transferred in the handler', async (t) => {
    let copy;
    const { client } = await connectLogged(t, {
      ...ECHO,
      message: (ws, message) => {
        copy = message.slice(0);
        ws.send(new Uint8Array(message, 1, 2));
        structuredClone(message, { transfer: [message] });
        ws.send('transferred');
      },
    });
    client.write(frames.text('abcd'));
    assert.equal(await client.readText(), 'bc');
    assert.equal(await client.readText(), 'transferred');
    assert.equal(Buffer.from(copy).toString(), 'abcd');
  });

  for (const size of SIZES) {
    it(`is valid in an async handler, however long that takes: ${size} bytes`, ours, async (t) => {
      const payloads = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b')];
      const { client, log } = await connectLogged(t, {
        ...ECHO,
        message: async (ws, message) => {
          await turn();
          log.add('later', Buffer.from(message));
        },
      });
      client.write(Buffer.concat(payloads.map((payload) => frames.binary(payload))));
      for (const payload of payloads) assert.ok(payload.equals((await log.next('later'))[0]));
    });
  }

  for (const size of SIZES) {
    // Over TLS, uWebSockets.js closes the connection when this much arrives at once.
    const options = size < 100 * KIBIBYTE ? {} : oursOverTLS;
    it(`is valid in what a handler that is not async has put off: ${size} bytes`, options, async (t) => {
      const { client } = await connectLogged(t, {
        maxPayloadLength: size,
        maxBackpressure: 0,
        message: (ws, message) => {
          Promise.resolve().then(() => ws.send(message, true));
        },
      });
      const payloads = Array.from({ length: 10 }, (_, i) => Buffer.alloc(size, i));
      client.write(Buffer.concat(payloads.map((payload) => frames.binary(payload))));
      for (const payload of payloads) assert.ok((await client.readFrame()).payload.equals(payload));
    });
  }

  it('is valid in a nextTick of an async handler', async (t) => {
    const { client } = await connectLogged(t, {
      message: async (ws, message) => {
        process.nextTick(() => ws.send(message));
      },
    });
    client.write(Buffer.concat([frames.text('one'), frames.text('two')]));
    assert.equal(await client.readText(), 'one');
    assert.equal(await client.readText(), 'two');
  });
});

describe('an exception in a handler', () => {
  it('becomes an uncaughtException, and the connection and the server go on', async () => {
    const { code, stderr, reports } = await Script.run(
      async ({
        App,
        uWS: { us_socket_local_port: localPort },
        RawSocket: Client,
        frames: wire,
        report,
        until: wait,
      }) => {
        const uncaught = [];
        process.on('uncaughtException', (error) => uncaught.push(error.message));
        const throws = (name) => (ws) => {
          if (name === 'message' || name === 'ping') ws.send(`sent in ${name}`);
          throw new Error(name);
        };
        const behavior = { maxBackpressure: 1 };
        for (const name of ['open', 'message', 'ping', 'pong', 'drain', 'dropped', 'close'])
          behavior[name] = throws(name);
        let server;
        const open = behavior.open;
        behavior.open = (ws) => {
          server = ws;
          open(ws);
        };
        let port;
        const app = App().ws('/*', behavior);
        app.listen('127.0.0.1', 0, (token) => {
          port = localPort(token);
        });
        const client = await Client.upgrade(port, '/');
        client.write(Buffer.concat([wire.text('one'), wire.text('two'), wire.pong(''), wire.ping('')]));
        for (let i = 0; i < 2; i += 1) report('got', await client.readText());
        report('got', (await client.readFrame()).opcode);
        report('got', await client.readText());
        report('uncaught', ...uncaught.splice(0));

        client.pause();
        while (server.send(Buffer.alloc(1 << 20), true) === 1);
        try {
          report('status', server.send('dropped'));
        } catch (error) {
          // The handler may also throw into send(), which called it.
          uncaught.push(error.message);
          report('status', 2);
        }
        client.resume();
        await wait(() => uncaught.includes('drain'), 'drain');
        report('uncaught', ...new Set(uncaught.splice(0)));

        client.write(wire.close(1000));
        await client.readToEnd();
        await wait(() => uncaught.length > 0, 'close');
        report('uncaught', ...uncaught.splice(0));
        client.destroy();

        const second = await Client.upgrade(port, '/');
        report('uncaught', ...uncaught.splice(0));
        app.close();
        second.destroy();
      },
    );
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(reports, [
      ['got', 'sent in message'],
      ['got', 'sent in message'],
      ['got', frames.OPCODE.PONG],
      ['got', 'sent in ping'],
      ['uncaught', 'open', 'message', 'message', 'pong', 'ping'],
      ['status', 2],
      ['uncaught', 'dropped', 'drain'],
      ['uncaught', 'close'],
      ['uncaught', 'open'],
    ]);
  });

  it('that nobody catches ends the process, as any other', async () => {
    const { code, stderr } = await Script.run(
      async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, frames: { text } }) => {
        let port;
        App()
          .ws('/*', {
            message: () => {
              throw new Error('nobody catches this');
            },
          })
          .listen('127.0.0.1', 0, (token) => {
            port = localPort(token);
          });
        (await Client.upgrade(port, '/')).write(text('x'));
      },
    );
    assert.equal(code, 1);
    assert.match(stderr, /Error: nobody catches this/);
  });

  it('of an async handler becomes an unhandledRejection', async () => {
    const { code, reports } = await Script.run(
      async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, frames: { text }, report }) => {
        process.on('unhandledRejection', (error) => report('rejected', error.message));
        let port;
        const app = App().ws('/*', {
          message: async (ws) => {
            ws.send('got it');
            throw new Error('async');
          },
        });
        app.listen('127.0.0.1', 0, (token) => {
          port = localPort(token);
        });
        const client = await Client.upgrade(port, '/');
        client.write(text('x'));
        report('text', await client.readText());
        client.write(text('x'));
        report('text', await client.readText());
        app.close();
        client.destroy();
      },
    );
    assert.equal(code, 0);
    const kinds = reports.map(([kind, value]) => `${kind} ${value}`).sort();
    assert.deepEqual(kinds, ['rejected async', 'rejected async', 'text got it', 'text got it']);
  });
});

describe('microtasks and ticks', () => {
  it('of an open handler run before the next event of the connection', async (t) => {
    const log = new EventLog();
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        open: () => {
          log.add('open');
          Promise.resolve().then(() => log.add('microtask'));
          process.nextTick(() => log.add('tick'));
        },
        message: () => log.add('message'),
      }),
    );
    const client = await RawSocket.upgrade(port, '/');
    client.write(frames.text('x'));
    await log.next('message');
    assert.deepEqual(log.all.map(String).sort(), ['message', 'microtask', 'open', 'tick']);
    assert.deepEqual(log.all.at(-1), ['message']);
    client.destroy();
  });

  it('of a message handler that returns nothing run once the batch is through', async (t) => {
    const { client, log } = await connectLogged(t, {
      message: (ws) => {
        Promise.resolve().then(() => ws.send('microtask'));
      },
    });
    client.write(Buffer.concat([frames.text('a'), frames.text('b')]));
    assert.equal(await client.readText(), 'microtask');
    assert.equal(await client.readText(), 'microtask');
    assert.equal(log.count('message'), 2);
  });

  it('of a close handler run without another event', async (t) => {
    const { client, log } = await connectLogged(t, {
      close: () => {
        process.nextTick(() => log.add('tick'));
        Promise.resolve().then(() => log.add('microtask'));
      },
    });
    client.reset();
    await log.next('tick');
    await log.next('microtask');
  });
});

after(noConnectionLeft);
