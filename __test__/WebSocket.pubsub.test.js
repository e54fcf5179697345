'use strict';

const assert = require('node:assert/strict');
const { constants } = require('node:buffer');
const { after, describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn, until } = require('./support/wait.js');
const { CLOSED, INVALID_DATA, MEBIBYTE, connectLogged } = require('./support/websocket.js');

const MISSING = (count) => ({ message: `Function requires at least ${count} arguments.` });

/** Serves WebSockets that subscribe to the topics in their path (`/a,b`), and returns each of them by its path. */
async function subscribers(t, paths, behavior = {}) {
  const sockets = new Map();
  const { app, port } = serve(t, (routes) =>
    routes.ws('/*', {
      ...behavior,
      upgrade: (res, req, context) => {
        const [key, url] = [req.getHeader('sec-websocket-key'), req.getUrl()];
        res.upgrade({ url }, key, '', '', context);
      },
      open: (ws) => {
        sockets.set(ws.url, ws);
        for (const topic of ws.url.slice(1).split(',').filter(Boolean)) assert.equal(ws.subscribe(topic), true);
      },
    }),
  );
  const clients = [];
  for (const path of paths) {
    const client = await RawSocket.upgrade(port, path);
    t.after(() => client.destroy());
    clients.push(client);
  }
  return { app, port, clients, sockets };
}

describe('publish', () => {
  it('of an app reaches all who have subscribed, and tells whether there are any', async (t) => {
    const { app, clients } = await subscribers(t, ['/a', '/a,b', '/b,c', '/']);
    assert.equal(app.publish('a', 'to a'), true);
    assert.equal(app.publish('b', 'to b'), true);
    assert.equal(app.publish('nobody', 'x'), false);
    assert.deepEqual(
      ['a', 'b', 'c', 'nobody'].map((topic) => app.numSubscribers(topic)),
      [2, 2, 1, 0],
    );
    assert.equal(await clients[0].readText(), 'to a');
    assert.equal(await clients[1].readText(), 'to a');
    assert.equal(await clients[1].readText(), 'to b');
    assert.equal(await clients[2].readText(), 'to b');
    app.publish('c', 'only the third');
    assert.equal(await clients[2].readText(), 'only the third');
  });

  it('of a WebSocket leaves it out, whether it has subscribed or not', ours, async (t) => {
    const { clients, sockets } = await subscribers(t, ['/a', '/a,b', '/']);
    assert.equal(sockets.get('/a').publish('a', '1'), true);
    assert.equal(sockets.get('/').publish('a', '2'), true);
    assert.equal(sockets.get('/a,b').publish('b', 'alone'), false);
    assert.equal(await clients[0].readText(), '2');
    assert.equal(await clients[1].readText(), '1');
    assert.equal(await clients[1].readText(), '2');
  });

  it('takes text and bytes, and sends text unless told otherwise', async (t) => {
    const { app, clients, sockets } = await subscribers(t, ['/a']);
    sockets.get('/a').subscribe('é');
    const bytes = new Uint8Array([0x61, 0x62]);
    for (const message of ['ab', bytes, bytes.buffer, Buffer.from('ab')]) {
      app.publish('a', message);
      assert.equal((await clients[0].read(4)).toString('hex'), '81026162');
      app.publish(new Uint8Array([0x61]), message, true);
      assert.equal((await clients[0].read(4)).toString('hex'), '82026162');
    }
    app.publish('é', undefined, true);
    assert.equal((await clients[0].read(2)).toString('hex'), '8200');
    app.publish(Buffer.from('é'), 'by its bytes');
    assert.equal(await clients[0].readText(), 'by its bytes');
  });

  it('keeps the order of what is published and sent', async (t) => {
    const served = await subscribers(t, ['/a'], {
      message: (ws) => {
        const { app } = served;
        app.publish('a', 'p1');
        ws.send('s1');
        app.publish('a', 'p2');
        app.publish('a', 'p3');
        ws.send('s2');
        app.publish('a', 'p4');
      },
    });
    const [client] = served.clients;
    client.write(frames.text('go'));
    const seen = [];
    for (let i = 0; i < 6; i += 1) seen.push(await client.readText());
    assert.deepEqual(seen, ['p1', 's1', 'p2', 'p3', 's2', 'p4']);
  });
  it('works for many, and for long messages', async (t) => {
    const { app, clients } = await subscribers(
      t,
      Array.from({ length: 200 }, (_, i) => `/all,${i}`),
    );
    const long = 'x'.repeat(100_000);
    for (let i = 0; i < 10; i += 1) app.publish('all', String(i));
    app.publish('all', long);
    app.publish('7', 'one');
    for (const [index, client] of clients.entries()) {
      for (let i = 0; i < 10; i += 1) assert.equal(await client.readText(), String(i));
      assert.equal(await client.readText(), long);
      if (index === 7) assert.equal(await client.readText(), 'one');
    }
  });

  it('is for one app, not for another', async (t) => {
    const one = await subscribers(t, ['/a']);
    const other = await subscribers(t, ['/b']);
    assert.equal(one.app.publish('b', 'x'), false);
    assert.equal(other.app.publish('b', 'y'), true);
    assert.equal(await other.clients[0].readText(), 'y');
  });

  it('drops what a slow subscriber has no room for, and tells its dropped handler', async (t) => {
    const dropped = [];
    const { app, clients, sockets } = await subscribers(t, ['/a', '/a,b'], {
      maxBackpressure: 1000,
      dropped: (ws, message, isBinary) => dropped.push([ws.url, message.byteLength, isBinary]),
    });
    const slow = sockets.get('/a,b');
    clients[1].pause();
    const message = 'm'.repeat(50_000);
    let count = 0;
    await until(() => {
      app.publish('a', message, true);
      count += 1;
      return dropped.length > 0;
    });
    assert.deepEqual(dropped[0], ['/a,b', 50_000, true]);
    assert.ok(slow.getBufferedAmount() > 1000);
    for (let i = 0; i < count; i += 1) assert.equal((await clients[0].read(50_004)).length, 50_004);
  });

  it('refuses what is neither text nor bytes, and too few arguments', async (t) => {
    const { app, sockets } = await subscribers(t, ['/a']);
    const ws = sockets.get('/a');
    for (const wrong of [null, 5, {}, []]) {
      for (const call of [
        () => app.publish(wrong, 'x'),
        () => app.publish('a', wrong),
        () => ws.publish(wrong, 'x'),
        () => ws.publish('a', wrong),
        () => ws.subscribe(wrong),
        () => ws.unsubscribe(wrong),
        () => ws.isSubscribed(wrong),
        () => app.numSubscribers(wrong),
      ]) {
        assert.throws(call, INVALID_DATA);
      }
    }
    assert.throws(() => app.publish('a'), MISSING(2));
    assert.throws(() => ws.publish('a'), MISSING(2));
    assert.throws(() => app.numSubscribers(), MISSING(1));
  });
});

describe('subscriptions', () => {
  it('can be asked for, and end', async (t) => {
    const { app, clients, sockets } = await subscribers(t, ['/a,b']);
    const ws = sockets.get('/a,b');
    assert.deepEqual(ws.getTopics().sort(), ['a', 'b']);
    assert.deepEqual([ws.isSubscribed('a'), ws.isSubscribed('c')], [true, false]);
    app.publish('a', 'still arrives');
    assert.equal(ws.unsubscribe('a'), true);
    assert.equal(ws.unsubscribe('a'), false);
    assert.equal(app.publish('a', 'nobody'), false);
    app.publish('b', 'b');
    assert.equal(await clients[0].readText(), 'still arrives');
    assert.equal(await clients[0].readText(), 'b');
    assert.equal(ws.subscribe(''), true);
    assert.deepEqual(ws.getTopics().sort(), ['', 'b']);
  });

  it('have names that can be given back, whatever their bytes', ours, async (t) => {
    const { app, sockets } = await subscribers(t, ['/']);
    const ws = sockets.get('/');
    const names = ['', 'plain', 'h\u00e9 \u{1f42c}', '\0', '\ufeffx', '\ud800', '\ufffd'];
    const binary = ['ff', '00ff', 'c3', 'eda080', 'c080', 'f4908080', '61ff62', 'c328'].map((hex) =>
      Buffer.from(hex, 'hex'),
    );
    for (const name of names) ws.subscribe(name);
    for (const name of binary) ws.subscribe(name);
    const topics = ws.getTopics();
    // A lone surrogate is encoded as U+FFFD.
    const strings = topics.filter((topic) => typeof topic === 'string');
    assert.deepEqual(strings.sort(), names.filter((name) => name !== '\ud800').sort());
    const buffers = topics.filter((topic) => topic instanceof ArrayBuffer).map((topic) => Buffer.from(topic));
    assert.deepEqual(buffers.sort(Buffer.compare), [...binary].sort(Buffer.compare));
    for (const topic of topics) {
      assert.equal(app.numSubscribers(topic), 1);
      assert.equal(ws.isSubscribed(topic), true);
      assert.equal(ws.unsubscribe(topic), true);
    }
    assert.deepEqual(ws.getTopics(), []);
  });

  it('end all at once, as in 2019', ours, async (t) => {
    const { sockets } = await subscribers(t, ['/a,b,c']);
    const ws = sockets.get('/a,b,c');
    ws.subscribe(new Uint8Array([0xff]));
    ws.unsubscribeAll();
    assert.deepEqual(ws.getTopics(), []);
  });

  it('cost the same for each, however many a WebSocket has', async (t) => {
    const { sockets } = await subscribers(t, ['/', '/many']);
    const [few, many] = [sockets.get('/'), sockets.get('/many')];
    const topics = Array.from({ length: 100_000 }, (_, i) => `topic ${i}`);
    for (const topic of topics) many.subscribe(topic);
    for (const topic of topics.slice(0, 10)) few.subscribe(topic);
    const shortest = (ws, of) => {
      const times = Array.from({ length: 5 }, () => {
        const began = process.hrtime.bigint();
        for (let i = 0; i < 1000; i += 1) {
          const topic = topics[(7919 * i) % of];
          assert.equal(ws.isSubscribed(topic), true);
          assert.equal(ws.unsubscribe(topic), true);
          assert.equal(ws.isSubscribed(topic), false);
          ws.subscribe(topic);
        }
        return Number(process.hrtime.bigint() - began);
      });
      return Math.min(...times);
    };
    const [one, other] = [shortest(few, 10), shortest(many, topics.length)];
    // A linear search would take dozens of times as long.
    assert.ok(other < 10 * one, `${other} ns with 100,000, ${one} ns with 10`);
    // Many subscriptions end at once, in the least favourable order.
    const count = many.getTopics().length;
    for (const topic of topics.slice(0, 100)) assert.equal(many.unsubscribe(topic), true);
    assert.equal(many.getTopics().length, count - 100);
    many.unsubscribeAll();
    assert.deepEqual(many.getTopics(), []);
    assert.equal(few.getTopics().length, 10);
  });

  it('cost the same for each also where something published waits to be delivered', async (t) => {
    const { app, clients, sockets } = await subscribers(t, ['/', '/many']);
    const [few, many] = [sockets.get('/'), sockets.get('/many')];
    const topics = Array.from({ length: 50_000 }, (_, i) => `topic ${i}`);
    for (const topic of topics) many.subscribe(topic);
    for (const topic of topics.slice(0, 100)) few.subscribe(topic);
    const time = (ws, of) => {
      const began = process.hrtime.bigint();
      for (let i = 0; i < 500; i += 1) {
        app.publish(topics[(7919 * i) % of], 'x');
        ws.send('y');
      }
      return Number(process.hrtime.bigint() - began);
    };
    const [one, other] = [time(few, 100), time(many, topics.length)];
    assert.ok(other < 20 * one, `${other} ns with 50,000, ${one} ns with 100`);
    for (let i = 0; i < 500; i += 1) {
      // The messages to the first hundred topics were published to both.
      assert.equal(await clients[0].readText(), 'x');
      assert.equal(await clients[0].readText(), 'y');
    }
  });

  it('end one after the other with unsubscribeAll, and with the WebSocket that a handler closes', ours, async (t) => {
    const seen = [];
    const { sockets } = await subscribers(t, ['/'], {
      subscription: (ws, topic, newCount, oldCount) => {
        seen.push([ws.constructor.name, Buffer.from(topic).toString(), newCount]);
        if (seen.length === 1 && newCount < oldCount) ws.close();
      },
      close: (ws) => seen.push([ws.constructor.name, 'close']),
    });
    const ws = sockets.get('/');
    for (const topic of ['a', 'b']) ws.subscribe(topic);
    seen.length = 0;
    assert.throws(() => ws.unsubscribeAll(), { code: 'ERR_MILLIWAYS_WEBSOCKET_CLOSED' });
    assert.deepEqual(
      seen.map((event) => event.slice(1)),
      [['b', 0], ['a', 0], ['close']],
    );
    assert.equal(new Set(seen.map(([name]) => name)).size, 1);
  });

  it('are counted for the subscription handler, whatever begins or ends them', async (t) => {
    const seen = [];
    const subscription = (ws, topic, newCount, oldCount) => {
      seen.push([ws.url, Buffer.from(topic).toString(), newCount, oldCount]);
    };
    const { clients, sockets } = await subscribers(t, ['/a', '/a,b'], {
      subscription,
      close: (ws) => seen.push(ws.url),
    });
    assert.deepEqual(seen.splice(0), [
      ['/a', 'a', 1, 0],
      ['/a,b', 'a', 2, 1],
      ['/a,b', 'b', 1, 0],
    ]);
    const ws = sockets.get('/a,b');
    ws.subscribe('b');
    ws.unsubscribe('nothing');
    assert.deepEqual(seen, []);
    ws.unsubscribe('b');
    assert.deepEqual(seen.splice(0), [['/a,b', 'b', 0, 1]]);
    clients[1].destroy();
    await until(() => seen.length === 2);
    assert.deepEqual(seen.splice(0), [['/a,b', 'a', 1, 2], '/a,b']);
    sockets.get('/a').end();
    assert.deepEqual(seen.splice(0), [['/a', 'a', 0, 1], '/a']);
  });

  it('hand a topic to the handler that it may keep', ours, async (t) => {
    let kept;
    const { sockets } = await subscribers(t, ['/'], { subscription: (ws, topic) => (kept ??= topic) && undefined });
    sockets.get('/').subscribe('topic');
    sockets.get('/').subscribe('other');
    assert.equal(Buffer.from(kept).toString(), 'topic');
  });

  it('are not to be had after the end', async (t) => {
    const { sockets } = await subscribers(t, ['/a']);
    const ws = sockets.get('/a');
    ws.close();
    for (const call of [() => ws.subscribe('a'), () => ws.publish('a', 'x'), () => ws.getTopics()]) {
      assert.throws(call, CLOSED);
    }
  });
});

describe('a message in fragments', () => {
  it('arrives as one', async (t) => {
    const { client, ws } = await connectLogged(t);
    assert.deepEqual([ws.sendFirstFragment('a'), ws.sendFragment('b'), ws.sendLastFragment('c')], [1, 1, 1]);
    assert.equal((await client.read(9)).toString('hex'), '010161' + '000162' + '800163');
    ws.sendFirstFragment(new Uint8Array([1]), true);
    ws.ping();
    ws.sendLastFragment(new Uint8Array([2]));
    assert.equal((await client.read(8)).toString('hex'), '020101' + '8900' + '800102');
  });

  it('cannot be interrupted, nor begin with its middle', ours, async (t) => {
    const { client, ws } = await connectLogged(t);
    const disorder = { name: 'Error', code: 'ERR_MILLIWAYS_FRAGMENT_ORDER' };
    assert.throws(() => ws.sendFragment('b'), disorder);
    assert.throws(() => ws.sendLastFragment('c'), disorder);
    ws.sendFirstFragment('a');
    assert.throws(() => ws.send('whole'), disorder);
    assert.throws(() => ws.sendFirstFragment('another'), disorder);
    ws.sendLastFragment('c');
    ws.send('whole');
    assert.equal((await client.read(13)).toString('hex'), '010161' + '800163' + '810577686f6c65');
  });
});

describe('pause and resume', () => {
  it('hold back what comes in', ours, async (t) => {
    const seen = [];
    const { client, ws } = await connectLogged(t, {
      message: (socket, message) => {
        seen.push(Buffer.from(message).toString());
        if (seen.length === 1) assert.equal(socket.pause(), socket);
      },
    });
    client.write(Buffer.concat([frames.text('1'), frames.text('2')]));
    await until(() => seen.length === 1);
    await client.writeAndTurn(frames.text('3'));
    ws.send('sending works');
    assert.equal(await client.readText(), 'sending works');
    assert.deepEqual(seen, ['1']);
    assert.equal(ws.resume(), ws);
    await until(() => seen.length === 3);
    assert.deepEqual(seen, ['1', '2', '3']);
  });

  for (const [name, last, code] of [
    ['a close frame and a FIN', frames.close(1000), 1000],
    ['a FIN', Buffer.alloc(0), 1006],
  ]) {
    it(`hold back what came in with ${name}`, ours, async (t) => {
      const { client, ws, log } = await connectLogged(t, {
        message: (socket, message) => {
          if (Buffer.from(message).toString() === 'pause') socket.pause();
        },
      });
      client.write(Buffer.concat([frames.text('pause'), frames.text('second'), last])).end();
      assert.deepEqual(await log.next('message'), ['pause', false]);
      await turn();
      ws.resume();
      assert.deepEqual(await log.next('message'), ['second', false]);
      assert.equal((await log.next('close'))[0], code);
    });
  }
});

describe('textAsString', () => {
  it('gives text as a string, and bytes as before', ours, async (t) => {
    const seen = [];
    const { client } = await connectLogged(t, {
      textAsString: true,
      message: (ws, message, isBinary) =>
        seen.push([typeof message === 'string' ? message : message.byteLength, isBinary]),
    });
    const long = 'é😀x'.repeat(1000);
    for (const text of ['', 'ascii', 'é€😀', long]) client.write(frames.text(text));
    client.write(frames.frame(frames.OPCODE.BINARY, 'four'));
    await until(() => seen.length === 5);
    assert.deepEqual(seen, [
      ['', false],
      ['ascii', false],
      ['é€😀', false],
      [long, false],
      [4, true],
    ]);
  });

  it('refuses a text that no string can hold, and gives one that just fits', ours, async (t) => {
    const longest = constants.MAX_STRING_LENGTH;
    const seen = [];
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        textAsString: true,
        maxPayloadLength: 2 * longest,
        message: (ws, message) => seen.push(message.length),
        close: (ws, code, message) => seen.push([code, Buffer.from(message).toString()]),
      }),
    );
    const client = await RawSocket.upgrade(port, '/');
    t.after(() => client.destroy());
    const send = (character, count) => {
      const part = Buffer.from(character.repeat(4 * MEBIBYTE));
      const length = Buffer.byteLength(character) * count;
      const head = Buffer.from('81ff0000000000000000' + '00000000', 'hex');
      head.writeBigUInt64BE(BigInt(length), 2);
      client.write(head);
      for (let left = length; left > 0; left -= part.length) client.write(part.subarray(0, left));
    };
    // This has more bytes than the longest string has UTF-16 code units.
    const many = Math.floor(longest / 3) + 1;
    send('\u20ac', many);
    send('a', longest);
    send('a', longest + 1);
    await until(() => seen.length === 3, 'the end', 60_000);
    assert.deepEqual(seen, [many, longest, [1006, 'Received too big message']]);
    const reason = `text over the longest string of ${longest} UTF-16 code units`;
    assert.deepEqual(await client.readClose(), { code: 1009, reason });
  });
});

describe('drainEachMessage', () => {
  /** Serves a synchronous handler that starts a microtask and a nextTick, which log the length of the message. */
  const program = async (t, options) => {
    const seen = [];
    const { port } = serve(
      t,
      (app) =>
        app.ws('/*', {
          message: (ws, message) => {
            seen.push('message');
            Promise.resolve().then(() => seen.push(`microtask ${message.byteLength}`));
            process.nextTick(() => seen.push(`tick ${message.byteLength}`));
          },
        }),
      options,
    );
    const client = await RawSocket.upgrade(port, '/');
    t.after(() => client.destroy());
    client.write(Buffer.concat([frames.text('one'), frames.text('three')]));
    await until(() => seen.length === 6);
    return seen;
  };

  it('runs what a message has caused before the next, and before its bytes are taken back', async (t) => {
    const seen = await program(t, { drainEachMessage: true });
    assert.deepEqual(seen, ['message', 'tick 3', 'microtask 3', 'message', 'tick 5', 'microtask 5']);
  });

  it('is off: what messages have caused runs after all that came in together, and has their bytes', ours, async (t) => {
    const seen = await program(t, {});
    assert.deepEqual(seen, ['message', 'message', 'tick 3', 'tick 5', 'microtask 3', 'microtask 5']);
  });
});

after(noConnectionLeft);
