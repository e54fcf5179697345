'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket, SAMPLE_ACCEPT, upgradeRequest } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const frames = require('./support/frames.js');
const { fetch, request, withoutDate } = require('./support/http.js');
const { serve } = require('./support/server.js');
const { uWS, ours } = require('./support/uws.js');
const { deadline, noConnectionLeft, turn, until } = require('./support/wait.js');

const CLOSED = {
  name: 'Error',
  message: 'Invalid access of closed uWS.WebSocket/SSLWebSocket.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_WEBSOCKET_CLOSED' }),
};
const INVALID_DATA = {
  name: 'Error',
  message: 'Text and data can only be passed by String, ArrayBuffer or TypedArray.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_INVALID_DATA' }),
};
const KIBIBYTE = 1 << 10;
const MEBIBYTE = 1 << 20;
/** A behavior that sends every message back. */
const ECHO = {
  maxPayloadLength: 16 * MEBIBYTE,
  maxBackpressure: 0,
  message: (ws, message, isBinary) => ws.send(message, isBinary),
};

/** Every method of a WebSocket that a closed one refuses. */
const CALLS = {
  send: (ws) => ws.send('evil'),
  ping: (ws) => ws.ping('evil'),
  end: (ws) => ws.end(1000, 'evil'),
  close: (ws) => ws.close(),
  getBufferedAmount: (ws) => ws.getBufferedAmount(),
  cork: (ws) => ws.cork(() => {}),
  ...(ours.skip ? {} : { experimental_cork: (ws) => ws.experimental_cork(() => {}) }),
};

/** Serves one WebSocket route, and gives its port and the log of its handlers. */
function serveLogged(t, behavior) {
  const log = new EventLog();
  const { app, port } = serve(t, (routes) => routes.ws('/*', log.behavior(behavior)));
  return { app, port, log };
}

/** Serves one WebSocket route, and gives an upgraded raw client, the log, and the server's end of it. */
async function connectLogged(t, behavior = {}, options = {}) {
  let ws;
  const { app, port, log } = serveLogged(t, {
    ...behavior,
    open: (opened, ...more) => {
      ws = opened;
      return behavior.open?.(opened, ...more);
    },
  });
  const client = await RawSocket.upgrade(port, '/', options);
  t.after(() => client.destroy());
  return { app, port, log, client, ws };
}

describe('the upgrade', () => {
  it('is answered with exactly these bytes', async (t) => {
    const { client } = await connectLogged(t);
    assert.equal(
      withoutDate(client.head),
      'HTTP/1.1 101 Switching Protocols\r\n' +
        'Upgrade: websocket\r\n' +
        'Connection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n` +
        'Date: -\r\n' +
        'uWebSockets: 20\r\n\r\n',
    );
  });

  for (const [offer, chosen] of [
    ['chat', 'chat'],
    ['chat, superchat', 'chat'],
    ['chat,superchat', 'chat'],
  ]) {
    it(`chooses the subprotocol ${chosen} of ${offer}`, async (t) => {
      const { client } = await connectLogged(t, {}, { headers: { 'Sec-WebSocket-Protocol': offer } });
      assert.match(
        client.head,
        new RegExp(`\r\nSec-WebSocket-Accept: [^\r]*\r\nSec-WebSocket-Protocol: ${chosen}\r\nDate: `),
      );
    });
  }

  it('declines an offered permessage-deflate', async (t) => {
    const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' };
    const { client } = await connectLogged(t, { compression: 0 }, { headers });
    assert.doesNotMatch(client.head, /Sec-WebSocket-Extensions/i);
  });

  it('works with a client that offers permessage-deflate, whatever the compression', async (t) => {
    for (const compression of [uWS.DISABLED, uWS.SHARED_COMPRESSOR, uWS.DEDICATED_COMPRESSOR_4KB, 2]) {
      const { port } = serve(t, (app) => app.ws('/*', { ...ECHO, compression }));
      const client = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: true });
      await once(client, 'open');
      client.send('text '.repeat(100));
      const [data] = await once(client, 'message');
      assert.equal(data.toString(), 'text '.repeat(100));
      client.close();
      await once(client, 'close');
    }
  });

  it('names of headers and values of Upgrade and Connection have any case', async (t) => {
    const { port } = serveLogged(t);
    const client = await RawSocket.connect(port);
    client.write(
      upgradeRequest()
        .replace('Upgrade: websocket', 'uPGRADE: WebSocket')
        .replace('Connection: Upgrade', 'CONNECTION: keep-alive, upgrade')
        .replace('Sec-WebSocket-Key', 'sec-websocket-KEY'),
    );
    assert.match(await client.readHead(), /^HTTP\/1\.1 101 /);
    client.destroy();
  });

  it('is the same at every split of the request', async (t) => {
    const { port, log } = serveLogged(t, ECHO);
    const bytes = upgradeRequest();
    for (let split = 1; split < bytes.length; split += 1) {
      const client = await RawSocket.connect(port);
      await client.writeAndTurn(bytes.slice(0, split));
      client.write(bytes.slice(split));
      assert.match(await client.readHead(), /^HTTP\/1\.1 101 /, `split at ${split}`);
      client.write(frames.text(`${split}`));
      assert.equal(await client.readText(), `${split}`);
      client.destroy();
    }
    await until(() => log.count('close') === bytes.length - 1, 'close of each');
  });

  it('may follow other requests on its connection', async (t) => {
    const { port } = serve(t, (app) => app.ws('/ws', ECHO).any('/*', (res) => res.end('http')));
    const client = await RawSocket.connect(port);
    client.write(request('/1') + request('/2') + upgradeRequest('/ws'));
    assert.equal((await client.readResponse()).body, 'http');
    assert.equal((await client.readResponse()).body, 'http');
    assert.match(await client.readHead(), /^HTTP\/1\.1 101 /);
    client.write(frames.text('hi'));
    assert.equal(await client.readText(), 'hi');
    client.destroy();
  });

  it('does not lose frames that came with its request', ours, async (t) => {
    const { port } = serveLogged(t, ECHO);
    const client = await RawSocket.connect(port);
    const early = Buffer.concat([frames.text('one'), frames.binary('two'), frames.text('three').subarray(0, 4)]);
    client.write(Buffer.concat([Buffer.from(upgradeRequest()), early]));
    await client.readHead();
    assert.equal(await client.readText(), 'one');
    assert.equal((await client.readFrame()).payload.toString(), 'two');
    client.write(frames.text('three').subarray(4));
    assert.equal(await client.readText(), 'three');
    client.destroy();
  });

  it('matches the route by its path', async (t) => {
    const { port } = serve(t, (app) => {
      for (const pattern of ['/*', '/a/*', '/a/b']) {
        app.ws(pattern, { open: (ws) => ws.send(pattern) });
      }
    });
    for (const [target, pattern] of [
      ['/a/b', '/a/b'],
      ['/a/c?query', '/a/*'],
      ['/', '/*'],
    ]) {
      const client = await RawSocket.upgrade(port, target);
      assert.equal(await client.readText(), pattern);
      client.destroy();
    }
  });

  it('goes before a route of get or any with the same pattern', async (t) => {
    const { port } = serve(t, (app) =>
      app
        .any('/*', (res) => res.end('any'))
        .get('/*', (res) => res.end('get'))
        .ws('/*', { open: (ws) => ws.send('ws') }),
    );
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(await client.readText(), 'ws');
    client.destroy();
    assert.equal((await fetch(port, '/')).body, 'get');
  });

  const NO_UPGRADES = [
    ['no Sec-WebSocket-Key', upgradeRequest('/', { 'Sec-WebSocket-Key': undefined }), {}],
    ['a Sec-WebSocket-Key of another length', upgradeRequest('/', { 'Sec-WebSocket-Key': 'c2hvcnQ=' }), {}],
    ['another method', upgradeRequest().replace('GET', 'POST'), {}],
    ['no Upgrade', upgradeRequest('/', { Upgrade: undefined }), ours],
    ['another Upgrade', upgradeRequest('/', { Upgrade: 'h2c' }), ours],
  ];
  for (const [name, bytes, options] of NO_UPGRADES) {
    it(`(${name}) is none: the request goes to the other routes`, options, async (t) => {
      const { port } = serve(t, (app) => app.ws('/*', {}).any('/*', (res) => res.end('any')));
      const client = await RawSocket.connect(port);
      client.write(bytes);
      const { status, body } = await client.readResponse();
      assert.deepEqual({ status, body }, { status: 200, body: 'any' });
      client.destroy();
    });

    it(`(${name}) is none: without other routes it is a 404`, options, async (t) => {
      const { port } = serve(t, (app) => app.ws('/*', {}));
      const client = await RawSocket.connect(port);
      client.write(bytes);
      assert.equal((await client.readResponse()).status, 404);
      client.destroy();
    });
  }

  for (const version of ['8', '7', '0', '14', 'x']) {
    it(`of version ${version} is refused with the version that there is`, ours, async (t) => {
      const { port, log } = serveLogged(t);
      const client = await RawSocket.connect(port);
      client.write(upgradeRequest('/', { 'Sec-WebSocket-Version': version }));
      const head = await client.readHead();
      assert.match(head, /^HTTP\/1\.1 426 /);
      assert.match(head, /\r\nSec-WebSocket-Version: 13\r\n/i);
      assert.deepEqual(log.all, []);
      client.destroy();
    });
  }
});

describe('open', () => {
  it('gets the WebSocket that the other handlers get', async (t) => {
    const seen = new Set();
    const note = (ws) => seen.add(ws);
    const { client, log } = await connectLogged(t, { open: note, message: note, ping: note, pong: note, close: note });
    client.write(Buffer.concat([frames.text('a'), frames.ping('b'), frames.pong('c'), frames.close(1000)]));
    await log.next('close');
    assert.equal(seen.size, 1);
  });

  it('may send, and the client gets it after the response', async (t) => {
    const { client } = await connectLogged(t, { open: (ws) => ws.send('hello') });
    assert.equal(await client.readText(), 'hello');
  });

  it('may end the WebSocket', async (t) => {
    const { client, log } = await connectLogged(t, { open: (ws) => ws.end(4000, 'no') });
    assert.deepEqual(await client.readClose(), { code: 4000, reason: 'no' });
    assert.deepEqual(log.all, [['open'], ['close', 4000, 'no']]);
  });

  it('may close the WebSocket', async (t) => {
    const { port, log } = serveLogged(t, { open: (ws) => ws.close() });
    const client = await RawSocket.connect(port);
    client.write(upgradeRequest());
    await client.readToEnd();
    client.destroy();
    assert.deepEqual(log.all, [['open'], ['close', 1006, '']]);
  });

  it('that takes two parameters gets the request, as in 2019', ours, async (t) => {
    const log = new EventLog();
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        open: async (ws, req) => {
          log.add('open', req.constructor.name, req.getUrl(), req.getMethod(), req.getHeader('x-name'), req.getQuery());
          await 0;
          log.add('await', req.getUrl());
          setImmediate(() => {
            assert.throws(() => req.getUrl(), { code: 'ERR_MILLIWAYS_REQUEST_EXPIRED' });
            log.add('immediate');
          });
        },
      }),
    );
    const client = await RawSocket.upgrade(port, '/chat/room?a=b', { headers: { 'X-Name': 'value' } });
    await log.next('immediate');
    assert.deepEqual(log.all, [
      ['open', 'uWS.HttpRequest', '/chat/room', 'get', 'value', 'a=b'],
      ['await', '/chat/room'],
      ['immediate'],
    ]);
    client.destroy();
  });

  it('that takes one parameter gets nothing more', async (t) => {
    const counts = [];
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        open(ws) {
          counts.push(ws && arguments.length);
        },
      }),
    );
    (await RawSocket.upgrade(port, '/')).destroy();
    assert.deepEqual(counts, [1]);
  });

  it('is not needed, nor is any other handler', async (t) => {
    const { port } = serve(t, (app) => app.ws('/*', {}));
    const client = await RawSocket.upgrade(port, '/');
    client.write(Buffer.concat([frames.text('a'), frames.ping('b'), frames.pong('c')]));
    assert.equal((await client.readFrame()).opcode, frames.OPCODE.PONG);
    client.write(frames.close(1000));
    assert.deepEqual(await client.readClose(), { code: 1000, reason: '' });
    client.destroy();
  });
});

describe('a message', () => {
  const SIZES = [0, 1, 125, 126, 127, 65535, 65536, MEBIBYTE];

  it('of any size comes back the same, as text and as binary', async (t) => {
    const { port } = serve(t, (app) => app.ws('/*', ECHO));
    const client = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false });
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
    it(`is detached once a message handler has returned: ${size} bytes`, async (t) => {
      const kept = [];
      const { client } = await connectLogged(t, {
        ...ECHO,
        message: (ws, message) => {
          const view = new Uint8Array(message);
          kept.push({ message, view, before: view.length });
          ws.send('ok');
        },
      });
      client.write(frames.binary(Buffer.alloc(size, 'x')));
      await client.readText();
      const [{ message, view, before }] = kept;
      assert.deepEqual({ before, after: [message.byteLength, view.length] }, { before: size, after: [0, 0] });
      assert.throws(() => new Uint8Array(message), TypeError);
    });
  }

  it('is detached once a ping, pong or close handler has returned', ours, async (t) => {
    const kept = {};
    const keep = (name) => (ws, message) => {
      kept[name] = { message, before: message.byteLength };
    };
    const { client, log } = await connectLogged(t, {
      ping: keep('ping'),
      pong: keep('pong'),
      close: (ws, code, message) => keep('close')(ws, message),
    });
    client.write(Buffer.concat([frames.ping('a'), frames.pong('bb'), frames.close(1000, 'ccc')]));
    await log.next('close');
    await turn();
    for (const [name, before] of Object.entries({ ping: 1, pong: 2, close: 3 })) {
      assert.deepEqual([name, kept[name].before, kept[name].message.byteLength], [name, before, 0]);
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
    it(`is valid in an async handler until its first await resolves, then detached: ${size} bytes`, async (t) => {
      const seen = [];
      const payloads = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b')];
      const { client, log } = await connectLogged(t, {
        ...ECHO,
        message: async (ws, message) => {
          await 0;
          const copy = Buffer.from(message.slice(0));
          await null;
          seen.push({ copy, lengthInMicrotask: message.byteLength });
          setImmediate(() => log.add('immediate', message.byteLength));
        },
      });
      client.write(Buffer.concat(payloads.map((payload) => frames.binary(payload))));
      assert.deepEqual(await log.next('immediate'), [0]);
      assert.deepEqual(await log.next('immediate'), [0]);
      assert.equal(seen.length, 2);
      seen.forEach(({ copy, lengthInMicrotask }, i) => {
        assert.ok(payloads[i].equals(copy), `message ${i}`);
        assert.equal(lengthInMicrotask, size);
      });
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

  it('that was kept never shows what comes later, on this or another connection', async (t) => {
    const kept = [];
    const { port } = serveLogged(t, {
      ...ECHO,
      message: (ws, message) => {
        kept.push(message, new Uint8Array(message));
        ws.send('ok');
      },
    });
    const clients = await Promise.all([RawSocket.upgrade(port, '/'), RawSocket.upgrade(port, '/')]);
    for (const size of [10, 30 * KIBIBYTE]) {
      for (const client of clients) {
        client.write(frames.binary(Buffer.alloc(size, 'secret')));
        await client.readText();
      }
    }
    for (const buffer of kept) assert.equal(buffer.byteLength, 0);
    for (const client of clients) client.destroy();
  });
});

describe('send', () => {
  it('gives 1 when the message went out, and nothing is buffered', async (t) => {
    const { client, ws } = await connectLogged(t);
    assert.equal(ws.send('text'), 1);
    assert.equal(ws.send(new Uint8Array([1]), true), 1);
    assert.equal(ws.getBufferedAmount(), 0);
    assert.equal((await client.read(9)).toString('hex'), '810474657874' + '820101');
  });

  it('gives the same inside a handler', async (t) => {
    const seen = [];
    const { client } = await connectLogged(t, {
      message: (ws) => seen.push(ws.send('a'), ws.getBufferedAmount(), ws.send('b'), ws.getBufferedAmount()),
    });
    client.write(frames.text('go'));
    assert.equal(await client.readText(), 'a');
    assert.equal(await client.readText(), 'b');
    assert.deepEqual(seen, [1, 0, 1, 0]);
  });

  it('takes text and bytes of every kind, and sends text unless told otherwise', async (t) => {
    const { client, ws } = await connectLogged(t);
    const bytes = new Uint8Array([0x21, 0x61, 0x62, 0x63, 0x21]);
    const shared = new SharedArrayBuffer(3);
    new Uint8Array(shared).set([0x61, 0x62, 0x63]);
    for (const message of [
      'abc',
      bytes.buffer.slice(1, 4),
      bytes.subarray(1, 4),
      Buffer.from('abc'),
      new Int8Array(bytes.buffer, 1, 3),
      shared,
      new Uint8Array(shared),
    ]) {
      ws.send(message);
      assert.equal((await client.read(5)).toString('hex'), '8103616263');
      ws.send(message, true);
      assert.equal((await client.read(5)).toString('hex'), '8203616263');
      ws.send(message, false);
      assert.equal((await client.read(5)).toString('hex'), '8103616263');
    }
    ws.send(new Uint16Array([0x6261, 0x6463]), true);
    assert.equal((await client.read(6)).toString('hex'), '820461626364');
  });

  it('takes undefined as an empty text', async (t) => {
    const { client, ws } = await connectLogged(t);
    ws.send(undefined);
    ws.send('');
    assert.equal((await client.read(4)).toString('hex'), '81008100');
  });

  it('refuses everything else, and sends nothing', async (t) => {
    const { client, ws } = await connectLogged(t);
    for (const wrong of [null, 5, {}, [], true, new DataView(new ArrayBuffer(1)), () => {}]) {
      assert.throws(() => ws.send(wrong), INVALID_DATA);
    }
    ws.send('end');
    assert.equal(await client.readText(), 'end');
  });

  it('writes UTF-8, of any string', async (t) => {
    const { client, ws } = await connectLogged(t);
    for (const text of [
      'ascii',
      'latin1 \u00e9\u00ff',
      'two bytes \u0416',
      '\u20ac',
      '\u{1f600}',
      'a\0b',
      'x'.repeat(100_000),
      '\u00e9'.repeat(100_000),
      '\u20ac'.repeat(50_000),
    ]) {
      ws.send(text);
      assert.equal(await client.readText(), text);
    }
  });

  it('writes a lone surrogate as the replacement character', ours, async (t) => {
    const { client, ws } = await connectLogged(t);
    ws.send('a\ud800b');
    assert.equal((await client.readFrame()).payload.toString('hex'), '61efbfbd62');
  });

  it('may be called at any time: in a timer, an immediate, a promise', async (t) => {
    const { client, ws } = await connectLogged(t);
    await new Promise((resolve) => setTimeout(resolve, 1));
    ws.send('timer');
    assert.equal(await client.readText(), 'timer');
    await new Promise((resolve) => setImmediate(resolve));
    ws.send('immediate');
    assert.equal(await client.readText(), 'immediate');
    await null;
    ws.send('promise');
    assert.equal(await client.readText(), 'promise');
  });

  it('to another connection may be called in a handler', async (t) => {
    const all = [];
    const { port } = serve(t, (app) =>
      app.ws('/*', {
        open: (ws) => all.push(ws),
        message: (ws, message) => all.forEach((other) => other !== ws && other.send(message)),
      }),
    );
    const first = await RawSocket.upgrade(port, '/');
    const second = await RawSocket.upgrade(port, '/');
    first.write(frames.text('from first'));
    assert.equal(await second.readText(), 'from first');
    second.write(frames.text('from second'));
    assert.equal(await first.readText(), 'from second');
    first.destroy();
    second.destroy();
  });

  it('takes the compress flag, which changes nothing where no compression was negotiated', async (t) => {
    const { client, ws } = await connectLogged(t);
    assert.equal(ws.send('abc', false, true), 1);
    assert.equal((await client.read(5)).toString('hex'), '8103616263');
  });
});

describe('ping and pong', () => {
  it('ping sends a ping frame, and the pong of the client reaches the pong handler', async (t) => {
    const { client, ws, log } = await connectLogged(t);
    assert.equal(ws.ping('payload'), 1);
    assert.equal((await client.read(9)).toString('hex'), '89077061796c6f6164');
    client.write(frames.pong('payload'));
    assert.deepEqual(await log.next('pong'), ['payload']);
  });

  it('ping needs no message', async (t) => {
    const { client, ws } = await connectLogged(t);
    assert.equal(ws.ping(), 1);
    assert.equal((await client.read(2)).toString('hex'), '8900');
  });

  it('a ping of the client is answered before its handler runs', async (t) => {
    const { client, log } = await connectLogged(t, { ping: (ws) => ws.send('handler') });
    client.write(frames.ping('x'.repeat(125)));
    assert.equal((await client.read(2)).toString('hex'), '8a7d');
    assert.equal((await client.read(125)).toString(), 'x'.repeat(125));
    assert.equal(await client.readText(), 'handler');
    assert.deepEqual(await log.next('ping'), ['x'.repeat(125)]);
  });

  it('a pong that nobody asked for reaches the handler, and nothing is sent', async (t) => {
    const { client, log } = await connectLogged(t, ECHO);
    client.write(Buffer.concat([frames.pong(''), frames.text('next')]));
    assert.equal(await client.readText(), 'next');
    assert.deepEqual(log.all, [['open'], ['pong', ''], ['message', 'next', false]]);
  });
});

describe('close', () => {
  /** What one cause makes the handlers see, and what the client gets: all bytes before the FIN. */
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
  /** The code in the close frame that is all a client got. */
  function codeOf(received) {
    assert.equal(received[0], 0x88, received.toString('hex'));
    assert.equal(received[1], received.length - 2);
    return received.readUInt16BE(2);
  }
  const whenTold = (act) => ({ message: act });
  const tell = ({ client }) => client.write(frames.text('go'));

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
      act: tell,
      close: [4001, 'bye'],
      wire: '88050fa1627965',
    },
    {
      cause: 'ws.end(1000)',
      behavior: whenTold((ws) => ws.end(1000)),
      act: tell,
      close: [1000, ''],
      wire: '880203e8',
    },
    { cause: 'ws.end()', behavior: whenTold((ws) => ws.end()), act: tell, close: [0, ''], wire: '8800' },
    {
      cause: 'ws.end(1000) with a reason as bytes',
      behavior: whenTold((ws) => ws.end(1000, new Uint8Array([0x68, 0x69]))),
      act: tell,
      close: [1000, 'hi'],
      wire: '880403e86869',
    },
    {
      cause: 'ws.end(1000) with a reason too long for a frame',
      behavior: whenTold((ws) => ws.end(1000, 'x'.repeat(200))),
      act: tell,
      close: [1000, 'x'.repeat(200)],
      wire: '887d03e8' + '78'.repeat(123),
    },
    { cause: 'ws.close()', behavior: whenTold((ws) => ws.close()), act: tell, close: [1006, ''], wire: '' },
    { cause: 'app.close()', act: ({ app }) => app.close(), close: [1006, ''], wire: '' },
    {
      cause: 'TCP FIN first',
      act: ({ client }) => client.end(),
      close: [1006, 'Received TCP FIN before WebSocket close frame'],
      wire: '',
    },
    { cause: 'TCP RST', act: ({ client }) => client.reset(), close: [1006, ''], wire: '' },
  ];
  for (const { cause, behavior, act, close, wire } of CASES) {
    it(`${cause}: ${close[0]} '${close[1].slice(0, 40)}'`, async (t) => {
      const result = await outcome(t, behavior, act);
      assert.deepEqual(result.close, close);
      assert.equal(result.received.toString('hex'), wire);
    });
  }

  /** The handler sees 1006 and the reason, the client a close frame with the code. uWebSockets.js sends none. */
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

  /** What uWebSockets.js takes, waits for, or calls otherwise. */
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

  it('works with the close handshake of a standard client, from either side', async (t) => {
    const { port, log } = serveLogged(t, { message: (ws) => ws.end(4002, 'server') });
    const first = new WebSocket(`ws://127.0.0.1:${port}/`);
    await once(first, 'open');
    first.close(4001, 'client');
    const [code, reason] = await once(first, 'close');
    assert.deepEqual([code, reason.toString()], [4001, 'client']);
    assert.deepEqual(await log.next('close'), [4001, 'client']);

    const second = new WebSocket(`ws://127.0.0.1:${port}/`);
    await once(second, 'open');
    second.send('go');
    const [otherCode, otherReason] = await once(second, 'close');
    assert.deepEqual([otherCode, otherReason.toString()], [4002, 'server']);
    assert.deepEqual(await log.next('close'), [4002, 'server']);
  });
});

describe('back pressure', () => {
  const MESSAGE = Buffer.alloc(MEBIBYTE, 'x');

  /** Sends MESSAGE to a client that does not read until send gives `status`; how many went out with which status. */
  function sendUntil(ws, status) {
    const counts = { 0: 0, 1: 0, 2: 0 };
    for (let i = 0; i < 100; i += 1) {
      const result = ws.send(MESSAGE, true);
      counts[result] += 1;
      if (result === status) return counts;
    }
    throw new Error(`send never gave ${status}: ${JSON.stringify(counts)}`);
  }

  it('makes send give 0, and what is buffered arrives, and drain runs', async (t) => {
    const log = new EventLog();
    const { client, ws } = await connectLogged(t, {
      maxBackpressure: 64 * MEBIBYTE,
      drain: (drained) => log.add('drain', drained.getBufferedAmount()),
      dropped: () => log.add('dropped'),
    });
    client.pause();
    const counts = sendUntil(ws, 0);
    assert.ok(ws.getBufferedAmount() > 0);
    assert.ok(ws.getBufferedAmount() <= MEBIBYTE + 10);
    assert.equal(ws.send('last'), 0);
    client.resume();
    for (let i = 0; i < counts[0] + counts[1]; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
    assert.equal(await client.readText(), 'last');
    await until(() => log.all.some(([, amount]) => amount === 0), 'drain of everything');
    assert.equal(log.count('dropped'), 0);
    assert.equal(ws.getBufferedAmount(), 0);
    assert.equal(ws.send('again'), 1);
    assert.equal(await client.readText(), 'again');
  });

  it('above maxBackpressure makes send give 2 and dropped run, and the rest arrives', async (t) => {
    const log = new EventLog();
    const { client, ws } = await connectLogged(t, {
      maxBackpressure: 2 * MEBIBYTE,
      dropped: (from, message, isBinary) => log.add('dropped', from === ws, message.byteLength, isBinary),
      drain: () => log.add('drain'),
    });
    client.pause();
    const counts = sendUntil(ws, 2);
    assert.ok(counts[0] >= 2, 'a message is dropped only when the buffer is above the limit already');
    assert.ok(ws.getBufferedAmount() > 2 * MEBIBYTE);
    assert.ok(ws.getBufferedAmount() <= 3 * MEBIBYTE + 20);
    assert.equal(ws.send('dropped, too'), 2);
    assert.equal(ws.ping('dropped, too'), 2);
    assert.deepEqual(log.all.slice(0, 2), [
      ['dropped', true, MEBIBYTE, true],
      ['dropped', true, 12, false],
    ]);
    client.resume();
    for (let i = 0; i < counts[0] + counts[1]; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
    await until(() => ws.getBufferedAmount() === 0, 'drain of everything');
    assert.equal(ws.send('again'), 1);
    assert.equal(await client.readText(), 'again');
  });

  it('detaches the message of dropped', async (t) => {
    const kept = [];
    const { client, ws } = await connectLogged(t, {
      maxBackpressure: 1,
      dropped: (from, message) => kept.push([message, Buffer.from(message.slice(0)).toString()]),
    });
    client.pause();
    sendUntil(ws, 0);
    ws.send('text');
    assert.equal(kept.length, 1);
    assert.equal(kept[0][1], 'text');
    assert.equal(kept[0][0].byteLength, 0);
  });

  it('has a limit of 64 KiB unless told otherwise', async (t) => {
    const { client, ws } = await connectLogged(t);
    client.pause();
    sendUntil(ws, 2);
    assert.ok(ws.getBufferedAmount() > 64 * KIBIBYTE && ws.getBufferedAmount() <= MEBIBYTE + 64 * KIBIBYTE + 20);
  });

  it('has no limit with a maxBackpressure of 0', async (t) => {
    const { client, ws } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    for (let i = 0; i < 40; i += 1) assert.notEqual(ws.send(MESSAGE, true), 2);
    assert.ok(ws.getBufferedAmount() > 16 * MEBIBYTE);
    client.resume();
    for (let i = 0; i < 40; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
  });

  it('above the limit closes the WebSocket with closeOnBackpressureLimit', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: MEBIBYTE, closeOnBackpressureLimit: true });
    client.pause();
    for (let i = 0; i < 100 && log.count('close') === 0; i += 1) {
      try {
        if (ws.send(MESSAGE, true) === 2) break;
      } catch {
        break;
      }
    }
    const [code] = await log.next('close');
    assert.equal(code, 1006);
    assert.throws(() => ws.send('x'), CLOSED);
    client.resume();
    await client.readToEnd();
  });

  it('does not keep end() from sending what is buffered, then the close frame', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    const counts = sendUntil(ws, 0);
    ws.end(1000, 'bye');
    assert.deepEqual(log.all.at(-1), ['close', 1000, 'bye']);
    client.resume();
    for (let i = 0; i < counts[0] + counts[1]; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
    assert.deepEqual(await client.readClose(), { code: 1000, reason: 'bye' });
    client.destroy();
    await noConnectionLeft();
  });

  it('does not keep close() from ending the connection at once', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    sendUntil(ws, 0);
    ws.close();
    assert.deepEqual(log.all.at(-1), ['close', 1006, '']);
    client.resume();
    await client.readToEnd();
    client.destroy();
    await noConnectionLeft();
  });

  it('of a client that goes is forgotten', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    for (let i = 0; i < 30; i += 1) ws.send(MESSAGE, true);
    client.reset();
    assert.deepEqual(await log.next('close'), [1006, '']);
    await noConnectionLeft();
  });

  it('lets messages of the client through', async (t) => {
    const { client, ws, log } = await connectLogged(t, { maxBackpressure: 0 });
    client.pause();
    sendUntil(ws, 0);
    client.write(frames.text('still here'));
    assert.deepEqual(await log.next('message'), ['still here', false]);
  });

  it('in a handler counts what is corked', async (t) => {
    const seen = [];
    const { client, log } = await connectLogged(t, {
      maxBackpressure: 0,
      message: (ws) => {
        for (let i = 0; i < 40; i += 1) seen.push(ws.send(MESSAGE, true));
        seen.push(ws.getBufferedAmount());
      },
    });
    client.pause();
    client.write(frames.text('go'));
    await log.next('message');
    assert.ok(seen.includes(0));
    assert.ok(seen.at(-1) > 16 * MEBIBYTE);
    client.resume();
    for (let i = 0; i < 40; i += 1) assert.ok(MESSAGE.equals((await client.readFrame()).payload));
  });
});

describe('cork', () => {
  for (const method of ours.skip ? ['cork'] : ['cork', 'experimental_cork']) {
    it(`${method} runs its callback at once, returns the WebSocket, and keeps the order`, async (t) => {
      const { client, ws } = await connectLogged(t);
      const seen = [];
      const returned = ws[method](() => {
        seen.push(ws.send('one'), ws.send('two'));
        ws.ping('three');
      });
      seen.push('after');
      assert.equal(returned, ws);
      assert.deepEqual(seen, [1, 1, 'after']);
      ws.send('four');
      assert.equal((await client.read(5 + 5 + 7)).toString('hex'), '81036f6e65' + '810374776f' + '89057468726565');
      assert.equal(await client.readText(), 'four');
    });
  }

  it('lets an exception of its callback through, and what was sent in it is sent', async (t) => {
    const { client, ws } = await connectLogged(t);
    const call = () =>
      ws.cork(() => {
        ws.send('before');
        throw new TypeError('of the callback');
      });
    assert.throws(call, { name: 'TypeError', message: 'of the callback' });
    assert.equal(await client.readText(), 'before');
    ws.send('after');
    assert.equal(await client.readText(), 'after');
  });

  it('may stand in another, of the same WebSocket or of another one', async (t) => {
    const all = [];
    const { port } = serve(t, (app) => app.ws('/*', { open: (ws) => all.push(ws) }));
    const first = await RawSocket.upgrade(port, '/');
    const second = await RawSocket.upgrade(port, '/');
    all[0].cork(() => {
      all[0].send('a');
      all[1].cork(() => {
        all[1].send('b');
        all[0].cork(() => all[0].send('c'));
      });
      all[0].send('d');
    });
    for (const text of ['a', 'c', 'd']) assert.equal(await first.readText(), text);
    assert.equal(await second.readText(), 'b');
    first.destroy();
    second.destroy();
  });

  it('may end the WebSocket', ours, async (t) => {
    const { client, ws, log } = await connectLogged(t);
    ws.cork(() => {
      ws.send('last');
      ws.end(1000);
      assert.throws(() => ws.send('x'), CLOSED);
    });
    assert.equal(await client.readText(), 'last');
    assert.deepEqual(await client.readClose(), { code: 1000, reason: '' });
    assert.equal(log.count('close'), 1);
  });

  it('may close the WebSocket', async (t) => {
    const { client, ws, log } = await connectLogged(t);
    assert.equal(
      ws.cork(() => ws.close()),
      ws,
    );
    assert.equal((await client.readToEnd()).length, 0);
    assert.equal(log.count('close'), 1);
  });

  it('of more than any buffer holds keeps the order, too', async (t) => {
    const { client, ws } = await connectLogged(t, { maxBackpressure: 0 });
    const parts = Array.from({ length: 200 }, (_, i) => Buffer.alloc(i % 2 ? 10 : 40_000, `${i} `));
    client.pause();
    ws.cork(() => parts.forEach((part) => ws.send(part, true)));
    client.resume();
    for (const part of parts) assert.ok(part.equals((await client.readFrame()).payload));
  });

  it('throws on what is no function', ours, async (t) => {
    const { ws } = await connectLogged(t);
    for (const wrong of [undefined, null, 5, {}, 'text']) {
      assert.throws(() => ws.cork(wrong), { name: 'Error', code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
    }
  });
});

describe('a WebSocket', () => {
  it('can be extended, and its methods replaced', async (t) => {
    const { client, ws } = await connectLogged(t);
    ws.sendJson = (value) => ws.send(JSON.stringify(value));
    const send = ws.send;
    ws.send = (message) => send.call(ws, `<${message}>`);
    ws.sendJson({ a: 1 });
    assert.equal(await client.readText(), '<{"a":1}>');
  });

  it('throws when a method is called on something else', ours, async (t) => {
    const { client, ws } = await connectLogged(t);
    for (const name of Object.keys(CALLS)) {
      for (const other of [undefined, null, {}, 5]) assert.throws(() => ws[name].call(other, () => {}), name);
    }
    ws.send('alive');
    assert.equal(await client.readText(), 'alive');
  });

  it('is the same object for the whole of its life, also when nobody else keeps it', async () => {
    const { code, reports } = await Script.run(
      async ({ uWS: { App, us_socket_local_port: localPort }, RawSocket: Client, frames: { text }, report }) => {
        let port;
        const app = App().ws('/*', {
          open: (ws) => {
            ws.count = 0;
          },
          message: (ws) => {
            ws.count += 1;
            ws.send(`${ws.count}`);
          },
          close: (ws) => report('close', ws.count),
        });
        app.listen('127.0.0.1', 0, (token) => {
          port = localPort(token);
        });
        const client = await Client.upgrade(port, '/');
        for (let i = 1; i <= 5; i += 1) {
          globalThis.gc();
          client.write(text('x'));
          report('text', await client.readText());
        }
        app.close();
        client.destroy();
      },
      { execArgv: ['--expose-gc'] },
    );
    const texts = ['1', '2', '3', '4', '5'].map((count) => ['text', count]);
    assert.deepEqual({ code, reports }, { code: 0, reports: [...texts, ['close', 5]] });
  });
});

describe('the options of a route', () => {
  /** The greatest of the sizes that a route with the options takes. */
  async function greatest(t, options, sizes) {
    const { port } = serve(t, (app) => app.ws('/*', { ...options, message: (ws) => ws.send('taken') }));
    let taken = 0;
    for (const size of sizes) {
      const client = await RawSocket.upgrade(port, '/');
      client.write(frames.binary(Buffer.alloc(size)));
      await until(() => client.pendingLength > 0 || client.ended, 'an answer or the end');
      if (client.pending.includes('taken')) taken = size;
      client.destroy();
    }
    return taken;
  }

  for (const [shown, value, limit] of [
    ["'30'", '30', 30],
    ['10.7', 10.7, 10],
    ['100', 100, 100],
    ['true', true, 1],
  ]) {
    it(`maxPayloadLength ${shown} is ${limit}`, async (t) => {
      assert.equal(await greatest(t, { maxPayloadLength: value }, [limit, limit + 1]), limit);
    });
  }

  it('maxPayloadLength is 16 KiB when it is left out or undefined', async (t) => {
    const sizes = [16 * KIBIBYTE, 16 * KIBIBYTE + 1];
    assert.equal(await greatest(t, {}, sizes), sizes[0]);
    assert.equal(await greatest(t, { maxPayloadLength: undefined }, sizes), sizes[0]);
  });

  it('take any number that is in range', () => {
    const app = uWS.App();
    for (const idleTimeout of [0, 8, 10.7, '30', 960, undefined]) app.ws('/*', { idleTimeout });
    for (const maxLifetime of [0, 1, 240, '10', undefined]) app.ws('/*', { maxLifetime });
    for (const maxBackpressure of [0, 1, '65536', undefined]) app.ws('/*', { maxBackpressure });
    for (const compression of [0, 1, 2, 248, 3840 | 145, undefined]) app.ws('/*', { compression });
    app.ws('/*', { sendPingsAutomatically: false, closeOnBackpressureLimit: 1, unknown: 5 });
  });

  for (const [option, value, message] of [
    ['idleTimeout', 1, 'idleTimeout must be either 0 or greater than 8!'],
    ['idleTimeout', 7, 'idleTimeout must be either 0 or greater than 8!'],
    ['idleTimeout', 7.9, 'idleTimeout must be either 0 or greater than 8!'],
    ['idleTimeout', 961, 'idleTimeout must not be greater than 960 seconds!'],
    ['idleTimeout', '100000', 'idleTimeout must not be greater than 960 seconds!'],
    ['maxLifetime', 241, 'maxLifetime must not be greater than 240 minutes!'],
  ]) {
    it(`refuse ${option} ${value}`, ours, () => {
      const call = () => uWS.App().ws('/*', { [option]: value });
      assert.throws(call, { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE', message });
    });
  }

  it('are read once, when the route is registered', async (t) => {
    const behavior = { maxPayloadLength: 10, message: (ws) => ws.send('first') };
    const { port } = serve(t, (app) => app.ws('/*', behavior));
    behavior.maxPayloadLength = 1000;
    behavior.message = (ws) => ws.send('second');
    const client = await RawSocket.upgrade(port, '/');
    client.write(frames.text('x'));
    assert.equal(await client.readText(), 'first');
    client.write(frames.text('x'.repeat(11)));
    await client.readToEnd();
    client.destroy();
  });
});

describe('an exception in a handler', () => {
  it('becomes an uncaughtException, and the connection and the server go on', async () => {
    const { code, stderr, reports } = await Script.run(
      async ({
        uWS: { App, us_socket_local_port: localPort },
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
      async ({ uWS: { App, us_socket_local_port: localPort }, RawSocket: Client, frames: { text } }) => {
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
      async ({ uWS: { App, us_socket_local_port: localPort }, RawSocket: Client, frames: { text }, report }) => {
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

describe('many connections', () => {
  it('come, talk and go at once', async (t) => {
    const { port, log } = serveLogged(t, ECHO);
    const count = 200;
    const clients = Array.from({ length: count }, () => new WebSocket(`ws://127.0.0.1:${port}/`));
    await deadline(Promise.all(clients.map((client) => once(client, 'open'))), `${count} connections`);
    const answers = clients.map(async (client, i) => {
      client.send(`hello ${i}`);
      const [data] = await once(client, 'message');
      return data.toString();
    });
    assert.deepEqual(
      await deadline(Promise.all(answers), 'every answer'),
      clients.map((_, i) => `hello ${i}`),
    );
    clients.forEach((client, i) => (i % 2 ? client.close(1000) : client.terminate()));
    await until(() => log.count('close') === count, 'the end of all of them');
    await noConnectionLeft();
  });
});

after(noConnectionLeft);
