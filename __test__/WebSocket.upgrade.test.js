'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket, SAMPLE_ACCEPT, SAMPLE_KEY, upgradeRequest } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { fetch, request, withoutDate } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { clientOptions, webSocketUrl } = require('./support/tls.js');
const { uWS, ours } = require('./support/uws.js');
const { noConnectionLeft, until } = require('./support/wait.js');
const { KIBIBYTE, MEBIBYTE, ECHO, serveLogged, connectLogged } = require('./support/websocket.js');

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
      const client = new WebSocket(webSocketUrl(port), { ...clientOptions, perMessageDeflate: true });
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
    ['no Connection', upgradeRequest('/', { Connection: undefined }), ours],
    ['another Connection', upgradeRequest('/', { Connection: 'keep-alive' }), ours],
    ['a Connection that has upgrade in a word', upgradeRequest('/', { Connection: 'Upgrades, x-upgrade' }), ours],
    ['a Sec-WebSocket-Key of 18 bytes', upgradeRequest('/', { 'Sec-WebSocket-Key': 'A'.repeat(24) }), ours],
    ['a Sec-WebSocket-Key of padding', upgradeRequest('/', { 'Sec-WebSocket-Key': '='.repeat(24) }), ours],
    [
      'a Sec-WebSocket-Key of base64url',
      upgradeRequest('/', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25-_Q==' }),
      ours,
    ],
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

  for (const [name, value] of [
    ['Sec-WebSocket-Key', SAMPLE_KEY],
    ['Sec-WebSocket-Key', 'x'],
    ['sec-websocket-version', '13'],
    ['Sec-WebSocket-Version', '8'],
  ]) {
    for (const place of ['first', 'last']) {
      it(`with a second ${name}, ${value}, that comes ${place} is a bad request`, ours, async (t) => {
        const { port, log } = serveLogged(t);
        const client = await RawSocket.connect(port);
        const line = `${name}: ${value}\r\n`;
        const bytes = upgradeRequest();
        client.write(place === 'last' ? `${bytes.slice(0, -2)}${line}\r\n` : bytes.replace('Host', `${line}Host`));
        assert.match((await client.readToEnd()).toString(), /^HTTP\/1\.1 400 Bad Request\r\n/);
        assert.deepEqual(log.all, []);
      });
    }
  }

  it('has the offers of several lines', ours, async (t) => {
    const { port } = serveLogged(t, { compression: uWS.SHARED_COMPRESSOR });
    const client = await RawSocket.connect(port);
    const more = 'Sec-WebSocket-Extensions: x-other; a="b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n';
    client.write(upgradeRequest().replace('Host', `${more}Host`));
    assert.match(await client.readHead(), /\r\nSec-WebSocket-Extensions: permessage-deflate; /);
    client.destroy();
  });

  it('with two keys that are none is a bad request as well', ours, async (t) => {
    const { port } = serve(t, (app) => app.ws('/*', {}).any('/*', (res) => res.end('any')));
    const client = await RawSocket.connect(port);
    const line = 'Sec-WebSocket-Key: x\r\n';
    client.write(upgradeRequest('/', { 'Sec-WebSocket-Key': 'y' }).replace('Host', `${line}Host`));
    assert.match((await client.readToEnd()).toString(), /^HTTP\/1\.1 400 Bad Request\r\n/);
  });

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

describe('the options of a route', () => {
  const escaped = (shown) => shown.replace(/[-+.\\[\]()]/g, '\\$&');

  /** Returns the greatest of the sizes that a route with these options accepts. */
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
    const app = App();
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
      const call = () => App().ws('/*', { [option]: value });
      assert.throws(call, { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE', message });
    });
  }

  const NUMBERS = [
    'maxPayloadLength',
    'maxBackpressure',
    'compressionThreshold',
    'idleTimeout',
    'maxLifetime',
    'compression',
  ];
  for (const [shown, value] of [
    ['-1', -1],
    ['-4294967295', -4294967295],
    ['-Infinity', -Infinity],
    ['NaN', NaN],
    ["'1mb'", '1mb'],
    ["''", ''],
    ["'  '", '  '],
    ['null', null],
    ['30n', 30n],
    ['a symbol', Symbol('30')],
    ['an array', []],
    ['an array', [30]],
    ['an object', {}],
    ['an object', { valueOf: () => NaN }],
    ['a function', () => 30],
  ]) {
    it(`none can be ${shown}: the error names it, and the option`, ours, () => {
      for (const option of NUMBERS) {
        const call = () => App().ws('/*', { [option]: value });
        const message = new RegExp(`^${option} must be .*, and is ${escaped(shown)}\\.$`, 's');
        assert.throws(call, { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE', message });
      }
    });
  }

  for (const [option, values] of [
    ['idleTimeout', [Infinity, 2 ** 31, 2 ** 32, 2 ** 32 + 8, 1e300]],
    ['maxLifetime', [Infinity, 2 ** 31, 2 ** 32, 2 ** 32 + 10, 1e300]],
    [
      'compression',
      [3, 8, 144, 147, 249, 255, 2 << 8, 8 << 8, 16 << 8, 4096 + 1, 9999, 2 ** 32, 2 ** 32 + 1, Infinity],
    ],
  ]) {
    for (const value of values) {
      it(`${option} cannot be ${value}`, ours, () => {
        const call = () => App().ws('/*', { [option]: value });
        const message = new RegExp(`^${option} must be .*, and is ${escaped(String(value))}\\.$`);
        assert.throws(call, { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE', message });
      });
    }
  }

  it('compression can be any constant, and any compressor with any decompressor', () => {
    const named = (name) => Object.keys(uWS).filter((key) => name.test(key));
    for (const compressor of [...named(/_COMPRESSOR/), 'DISABLED']) {
      for (const decompressor of [...named(/_DECOMPRESSOR/), 'DISABLED']) {
        App().ws('/*', { compression: uWS[compressor] | uWS[decompressor] });
      }
    }
  });

  it('a number may be an object, whose valueOf is called once', async (t) => {
    let calls = 0;
    const maxPayloadLength = { valueOf: () => 10 + calls++ };
    assert.equal(await greatest(t, { maxPayloadLength }, [10, 11]), 10);
    assert.throws(
      () =>
        App().ws('/*', {
          maxLifetime: {
            valueOf() {
              throw new Error('of the test');
            },
          },
        }),
      { message: 'of the test' },
    );
  });

  for (const value of [Infinity, 2 ** 32, 2 ** 40, 100 * 2 ** 30, Number.MAX_VALUE, 1e300, '1e30', 2 ** 32 + 5]) {
    it(`maxPayloadLength ${value} is no limit that a test could reach`, ours, async (t) => {
      assert.equal(await greatest(t, { maxPayloadLength: value }, [16 * KIBIBYTE + 1]), 16 * KIBIBYTE + 1);
    });

    it(`maxBackpressure ${value} drops nothing`, ours, async (t) => {
      const statuses = [];
      const { client } = await connectLogged(t, {
        maxBackpressure: value,
        message: (ws) => {
          // More than any socket takes at once, and twice the default maxBackpressure.
          for (let i = 0; i < 4; i += 1) statuses.push(ws.send(Buffer.alloc(16 * MEBIBYTE), true));
        },
      });
      client.pause();
      client.write(frames.text('go'));
      await until(() => statuses.length === 4, 'sending');
      assert.deepEqual(statuses, [0, 0, 0, 0]);
    });

    it(`compressionThreshold ${value} compresses nothing`, ours, async (t) => {
      const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
      const { client } = await connectLogged(
        t,
        {
          compression: uWS.SHARED_COMPRESSOR,
          compressionThreshold: value,
          open: (ws) => ws.send('y'.repeat(1000), false, true),
        },
        { headers },
      );
      assert.match(client.head, /permessage-deflate/);
      assert.equal(await client.readText(), 'y'.repeat(1000));
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

after(noConnectionLeft);
