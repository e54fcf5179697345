'use strict';

// Memory that passes between JavaScript and the addon: the buffers that handlers receive, and the arguments of calls.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const frames = require('./support/frames.js');
const { serve } = require('./support/server.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');
const { MEBIBYTE, connectLogged } = require('./support/websocket.js');

const PATIENCE = 60_000;

/** Node's thread pool may still read a buffer long after the handler has returned, and after a garbage collection. */
describe('what a handler is handed', ours, () => {
  const asynchronousReaders = async (
    { App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, frames: wire, report },
    kind,
  ) => {
    const [zlib, crypto, fs, path, os] = ['zlib', 'crypto', 'fs', 'path', 'os'].map((name) => require(name));
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'milliways-buffers-'));
    const [COUNT, SIZE] = [40, 64 * 1024];
    let pending = 0;
    let wrong = 0;
    const finish = (isRight) => {
      pending -= 1;
      if (!isRight) wrong += 1;
    };
    const read = (connection, message) => {
      const bytes = Buffer.from(message);
      const isRight = (result) => result.equals(Buffer.alloc(bytes.length, connection));
      pending += 4;
      const file = path.join(folder, `${connection}-${Math.random()}`);
      fs.open(file, 'w', (_, fd) =>
        fs.write(fd, bytes, () => {
          finish(isRight(fs.readFileSync(file)));
          fs.closeSync(fd);
        }),
      );
      zlib.deflate(bytes, { level: 1 }, (_, deflated) => finish(isRight(zlib.inflateSync(deflated))));
      const cipher = zlib.createGzip({ level: 0 });
      const pieces = [];
      cipher.on('data', (piece) => pieces.push(piece));
      cipher.on('end', () => finish(isRight(zlib.gunzipSync(Buffer.concat(pieces)))));
      cipher.end(bytes);
      const expected = crypto.scryptSync(Buffer.alloc(bytes.length, connection), 'salt', 16, { N: 2 });
      crypto.scrypt(bytes, 'salt', 16, { N: 2 }, (_, key) => finish(key.equals(expected)));
    };
    const app = App()
      .ws('/*', {
        maxPayloadLength: SIZE,
        message: (ws, message) => {
          const [connection] = new Uint8Array(message);
          read(connection, message);
          globalThis.gc();
        },
      })
      .post('/data/:id', (res, req) => {
        const connection = Number(req.getParameter(0));
        res.onAborted(() => {});
        res.onData((chunk, isLast) => {
          read(connection, chunk);
          globalThis.gc();
          if (isLast) res.end('ok');
        });
      })
      .post('/collect/:id', (res, req) => {
        const connection = Number(req.getParameter(0));
        res.onAborted(() => {});
        res.collectBody(1 << 30, (body) => {
          read(connection, body);
          globalThis.gc();
          res.end('ok');
        });
      });
    app.listen('127.0.0.1', 0, async (token) => {
      const port = localPort(token);
      const clients = await Promise.all(
        [1, 2, 3].map(async (id) => {
          const body = Buffer.alloc(SIZE, id);
          const client = kind === 'message' ? await Client.upgrade(port, '/') : await Client.connect(port);
          for (let i = 0; i < COUNT / 3; i += 1) {
            if (kind === 'message') {
              client.write(wire.binary(body));
              client.write(wire.binary(body.subarray(0, 20)));
            } else {
              client.write(`POST /${kind}/${id} HTTP/1.1\r\nHost: x\r\nContent-Length: ${SIZE}\r\n\r\n`).write(body);
              await client.readResponse();
            }
          }
          return client;
        }),
      );
      do await new Promise(setImmediate);
      while (pending > 0);
      report('wrong', wrong);
      for (const client of clients) client.destroy();
      app.close();
      fs.rmSync(folder, { recursive: true });
    });
  };

  for (const kind of ['message', 'data', 'collect']) {
    it(`is there for whoever reads it later: ${kind}`, async () => {
      const options = { args: [kind], execArgv: ['--expose-gc'], timeout: PATIENCE };
      const { code, signal, stderr, reports } = await Script.run(asynchronousReaders, options);
      assert.deepEqual(
        { code, signal, stderr, reports },
        { code: 0, signal: null, stderr: '', reports: [['wrong', 0]] },
      );
    });
  }

  it('may be transferred, however large it is and in however many reads it came', async (t) => {
    const SIZES = [1, 5000, 30_000, 300_000];
    const left = [];
    const transfer = (buffer) => {
      const size = buffer.byteLength;
      const copy = structuredClone(buffer, { transfer: [buffer] });
      left.push([size, copy.byteLength, buffer.byteLength]);
    };
    const { port } = serve(t, (app) =>
      app
        .ws('/*', {
          maxPayloadLength: MEBIBYTE,
          message: (ws, message) => {
            transfer(message);
            ws.send('next');
          },
        })
        .post('/*', (res) => {
          res.onAborted(() => {});
          res.collectBody(MEBIBYTE, (body) => {
            transfer(body);
            res.end();
          });
        }),
    );
    const client = await RawSocket.upgrade(port, '/');
    const other = await RawSocket.connect(port);
    for (const size of SIZES) {
      const frame = frames.binary(Buffer.alloc(size));
      await client.writeAndTurn(frame.subarray(0, frame.length >> 1));
      client.write(frame.subarray(frame.length >> 1));
      assert.equal(await client.readText(), 'next');
      await other.writeAndTurn(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
      other.write(Buffer.alloc(size));
      await other.readResponse();
      const part = `--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n${'x'.repeat(size)}\r\n--b--\r\n`;
      transfer(uWS.getParts(part, 'multipart/form-data; boundary=b')[0].data);
    }
    assert.deepEqual(
      left,
      SIZES.flatMap((size) => Array.from({ length: 3 }, () => [size, size, 0])),
    );
    client.destroy();
    other.destroy();
  });

  it('outlives the thread that it came to', async () => {
    const main = async ({ RawSocket: Client, frames: wire, startWorker, report }) => {
      const [COUNT, SIZE] = [10, 300_000];
      const worker = startWorker(({ App, uWS: { us_socket_local_port: localPort } }, parentPort) => {
        const app = App().ws('/*', {
          maxPayloadLength: 1 << 20,
          message: (ws, message) => {
            // From Node 22 on, transfer() is a second way to detach a buffer, of which the addon is not notified.
            const moved = message.transfer?.() ?? message;
            parentPort.postMessage(moved, [moved]);
          },
        });
        app.listen('127.0.0.1', 0, (token) => parentPort.postMessage(localPort(token)));
      });
      const port = await new Promise((resolve) => worker.once('message', resolve));
      const received = [];
      const all = new Promise((resolve) => {
        worker.on('message', (message) => received.push(message) === COUNT && resolve());
      });
      const client = await Client.upgrade(port, '/');
      for (let i = 0; i < COUNT; i += 1) client.write(wire.binary(Buffer.alloc(SIZE, i)));
      await all;
      await worker.terminate();
      const others = received.map(() => Buffer.alloc(SIZE, 255));
      report('right', ...received.map((message, i) => Buffer.from(message).equals(Buffer.alloc(SIZE, i))));
      client.destroy();
      return others;
    };
    const { code, signal, reports } = await Script.run(main);
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    assert.deepEqual(reports, [['right', ...Array.from({ length: 10 }, () => true)]]);
  });

  it('does not stay in memory when nobody keeps it', async () => {
    const main = async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, frames: wire, report }) => {
      const app = App().ws('/*', {
        maxPayloadLength: 1 << 20,
        message: (ws) => ws.send('ok'),
      });
      let port;
      app.listen('127.0.0.1', 0, (token) => {
        port = localPort(token);
      });
      const client = await Client.upgrade(port, '/');
      let peak = 0;
      for (const size of [20, 1000, 100_000, 1 << 20]) {
        const frame = wire.binary(Buffer.alloc(size));
        const count = Math.min(3000, Math.ceil((1 << 28) / size));
        for (let i = 0; i < count; i += 1) {
          client.write(frame);
          await client.readText();
          peak = Math.max(peak, process.memoryUsage().arrayBuffers);
        }
      }
      report('peak', peak);
      client.destroy();
      app.close();
    };
    const { code, reports } = await Script.run(main, { timeout: PATIENCE });
    assert.equal(code, 0);
    const [[, peak]] = reports;
    assert.ok(peak < 160 * MEBIBYTE, `${peak / MEBIBYTE} MiB of 1 GiB that came`);
  });
});

describe('shared memory', ours, () => {
  /** Passes data to each method that takes some, so that the response shows the result. */
  const CALLS = {
    'res.end': (res, data) => res.end(data),
    'res.tryEnd': (res, data) => res.tryEnd(data, data.byteLength),
    'res.writeHeader': (res, data) => res.writeHeader('x', data).end(),
    'res.writeStatus': (res, data) => res.writeStatus(data).end(),
  };
  const FORMS = {
    SharedArrayBuffer: (shared) => shared,
    Uint8Array: (shared) => new Uint8Array(shared),
    Uint16Array: (shared) => new Uint16Array(shared),
    BigInt64Array: (shared) => new BigInt64Array(shared),
    Buffer: (shared) => Buffer.from(shared),
    'growable SharedArrayBuffer': (shared) => copyTo(new SharedArrayBuffer(8, { maxByteLength: 100 }), shared),
    'view of a growable one': (shared) =>
      new Uint8Array(copyTo(new SharedArrayBuffer(8, { maxByteLength: 100 }), shared)),
    'resizable ArrayBuffer': (shared) => copyTo(new ArrayBuffer(8, { maxByteLength: 100 }), shared),
    'view of a resizable one': (shared) => new Uint8Array(copyTo(new ArrayBuffer(8, { maxByteLength: 100 }), shared)),
  };

  function copyTo(to, from) {
    new Uint8Array(to).set(new Uint8Array(from));
    return to;
  }

  function shared(text) {
    const buffer = new SharedArrayBuffer(text.length);
    Buffer.from(buffer).write(text);
    return buffer;
  }

  for (const [form, make] of Object.entries(FORMS)) {
    it(`is taken as it is: ${form}`, async (t) => {
      const status = '200 abcd';
      const { port } = serve(t, (app) =>
        app.get('/:call', (res, req) => CALLS[req.getParameter(0)](res, make(shared(status)))),
      );
      const client = await RawSocket.connect(port);
      for (const call of Object.keys(CALLS)) {
        client.write(`GET /${call} HTTP/1.1\r\nHost: x\r\n\r\n`);
        const response = await client.readResponse();
        const text = `${response.head} ${response.body}`;
        assert.ok(text.includes(status), `${call}: ${text}`);
      }
      client.destroy();
      const { client: peer, ws } = await connectLogged(t);
      ws.send(make(shared('message.')));
      assert.equal(await peer.readText(), 'message.');
      ws.subscribe(make(shared('subject.')));
      assert.ok(ws.isSubscribed('subject.'));
      assert.deepEqual(
        uWS.getParts(make(shared('--a--\r\n ')), 'multipart/form-data; boundary=a'),
        uWS.getParts('--a--\r\n ', 'multipart/form-data; boundary=a'),
      );
      peer.destroy();
    });
  }

  it('that another thread writes to meanwhile never breaks a head', async () => {
    const main = async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, startWorker, report }) => {
      const memory = new SharedArrayBuffer(2000);
      const bytes = new Uint8Array(memory).fill(97);
      const worker = startWorker(
        (_, parentPort, { memory: theirs }) => {
          const mine = new Uint8Array(theirs);
          parentPort.postMessage('there');
          for (;;) {
            mine[1900] = 10;
            mine[1900] = 97;
          }
        },
        { memory },
      );
      await new Promise((resolve) => worker.once('message', resolve));
      let refused = 0;
      const app = App().get('/*', (res) => {
        try {
          res.writeHeader('x-shared', bytes);
        } catch (error) {
          if (error.code !== 'ERR_MILLIWAYS_INVALID_HEADER') report('error', error.message);
          refused += 1;
        }
        res.end('ok');
      });
      app.listen('127.0.0.1', 0, async (token) => {
        const client = await Client.connect(localPort(token));
        let broken = 0;
        for (let i = 0; i < 3000; i += 1) {
          client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
          const { head } = await client.readResponse();
          if (/[^\r]\n/.test(head)) broken += 1;
        }
        report('done', broken, refused > 0 && refused < 3000);
        client.destroy();
        app.close();
        await worker.terminate();
      });
    };
    const { code, stderr, reports } = await Script.run(main, { timeout: PATIENCE });
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [['done', 0, true]] });
  });
});

describe('setters and getters that run in the middle of a call', ours, () => {
  it('find neither the memory of getParts nor its objects', async () => {
    const main = ({ uWS: { getParts }, report }) => {
      const part = (name) =>
        `--b\r\nContent-Disposition: form-data; name="${name}"; filename="f"\r\nContent-Type: t/t\r\n\r\n${name.repeat(50_000)}\r\n`;
      const source = Buffer.from(`${part('a')}${part('b')}${part('c')}--b--\r\n`);
      const body = source.buffer.slice(source.byteOffset, source.byteOffset + source.length);
      let calls = 0;
      const set = () => {
        calls += 1;
        if (body.byteLength > 0) structuredClone(body, { transfer: [body] });
        globalThis.gc();
      };
      for (const key of ['0', '1', '2']) Object.defineProperty(Array.prototype, key, { set, configurable: true });
      for (const key of ['data', 'name', 'type', 'filename']) {
        Object.defineProperty(Object.prototype, key, { set, get: () => 'inherited', configurable: true });
      }
      const parts = getParts(body, 'multipart/form-data; boundary=b');
      for (const key of ['0', '1', '2']) delete Array.prototype[key];
      for (const key of ['data', 'name', 'type', 'filename']) delete Object.prototype[key];
      report('calls', calls);
      const seen = parts.map(({ name, type, filename, data }) => [name, type, filename, Buffer.from(data).toString()]);
      report(
        'right',
        ...['a', 'b', 'c'].map(
          (name, i) => JSON.stringify(seen[i]) === JSON.stringify([name, 't/t', 'f', name.repeat(50_000)]),
        ),
      );
    };
    const { code, signal, stderr, reports } = await Script.run(main, { execArgv: ['--expose-gc'] });
    assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
    assert.deepEqual(reports, [
      ['calls', 0],
      ['right', true, true, true],
    ]);
  });

  it('see no code of an error, and make nothing of what an upgrade and its WebSocket need', async () => {
    const main = async ({ App, uWS, RawSocket: Client, frames: wire, report }) => {
      let calls = 0;
      const poisoned = (object, key, descriptor, run) => {
        Object.defineProperty(object, key, { configurable: true, ...descriptor });
        try {
          return run();
        } catch (thrown) {
          return thrown;
        } finally {
          delete object[key];
        }
      };
      const accessors = { set: () => void (calls += 1), get: () => 'inherited' };
      const own = (error) => Object.getOwnPropertyDescriptor(error, 'code')?.value;
      const app = App();
      const listen = (...parameters) => {
        let failure;
        app.listen(...parameters, (token, error) => {
          failure = error;
        });
        return failure;
      };
      const FAILURES = [
        () => app.get('/x'),
        () => app.get('/x', 5),
        () => app.get.call({}),
        () => uWS.H3App(),
        () => uWS.us_listen_socket_close(1),
        () => listen('127.0.0.1', -1),
        () => listen('192.0.2.1', 1),
      ];
      for (const descriptor of [accessors, { value: 'inherited' }]) {
        report('codes', ...FAILURES.map((fail) => own(poisoned(Object.prototype, 'code', descriptor, fail))));
      }
      for (const [i, [object, key, descriptor]] of [
        [Array.prototype, '0', accessors],
        [Object.prototype, 'get', { value: 'inherited' }],
        [Object.prototype, 'set', { value: () => {} }],
      ].entries()) {
        app.ws(`/${i}`, {
          upgrade: (res, req, context) => {
            const [headerKey, data] = [req.getHeader('sec-websocket-key'), { toString: 'mine' }];
            poisoned(object, key, descriptor, () => res.upgrade(data, headerKey, '', '', context));
          },
          open: (ws) => {
            ws.isOpen = true;
          },
          message: (ws, message) => {
            ws.send(`${Buffer.from(message)} ${ws.toString} ${ws.isOpen}`);
          },
        });
      }
      let port;
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      for (let i = 0; i < 3; i += 1) {
        const client = await Client.upgrade(port, `/${i}`);
        client.write(wire.text('hello'));
        report('answer', await client.readText());
        client.destroy();
      }
      report('calls', calls);
      app.close();
    };
    const { code, stderr, reports } = await Script.run(main);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    const codes = [
      'MISSING_ARGUMENT',
      'INVALID_HANDLER',
      'INVALID_THIS',
      'NOT_SUPPORTED',
      'INVALID_TOKEN',
      'OUT_OF_RANGE',
    ];
    const expected = ['codes', ...codes.map((name) => `ERR_MILLIWAYS_${name}`), 'EADDRNOTAVAIL'];
    const answers = Array.from({ length: 3 }, () => ['answer', 'hello mine true']);
    assert.deepEqual(reports, [expected, expected, ...answers, ['calls', 0]]);
  });

  it('have no part in what becomes of a response, or in what the module keeps', async () => {
    const main = async ({ uWS, modulePath, RawSocket: Client, frames: wire, report, overTLS, serverOptions }) => {
      let calls = 0;
      const note = () => void (calls += 1);
      for (const [name, value] of Object.entries({ connections: 'none', firstStores: 'none', aborted: note })) {
        Object.defineProperty(Object.prototype, name, { set: note, get: () => value });
      }
      // Loads a second copy of the addon, as another environment would.
      const { mkdtempSync, cpSync, rmSync } = require('node:fs');
      const path = require('node:path');
      const folder = mkdtempSync(path.join(require('node:os').tmpdir(), 'milliways-'));
      cpSync(path.dirname(modulePath), folder, { recursive: true });
      const other = require(path.join(folder, path.basename(modulePath)));
      rmSync(folder, { recursive: true });
      let closed;
      const app = (overTLS ? other.SSLApp(serverOptions) : other.App())
        .post('/', (res) => {
          res.collectBody(10, () => {}).close();
        })
        .ws('/*', { message: (ws, message) => ws.send(message), close: () => closed() });
      let port;
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const client = await Client.connect(port);
      client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n');
      await client.readToEnd();
      client.destroy();
      const websocket = await Client.upgrade(port, '/');
      websocket.write(wire.text('echo'));
      report('answer', await websocket.readText());
      const end = new Promise((resolve) => {
        closed = resolve;
      });
      websocket.destroy();
      await end;
      app.close();
      report('calls', calls);
    };
    const { code, stderr, reports } = await Script.run(main);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(reports, [
      ['answer', 'echo'],
      ['calls', 0],
    ]);
  });

  it('see nothing of other lists, errors and counts', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      let calls = 0;
      const property = { set: () => void (calls += 1), get: () => 'inherited', configurable: true };
      const names = [
        [Array.prototype, ['0', '1', '2', '3']],
        [Object.prototype, ['code', 'connections', 'websockets', 'listeners']],
      ];
      const each = (visit) => names.forEach(([object, keys]) => keys.forEach((key) => visit(object, key)));
      const poisoned = (run) => {
        each((object, key) => Object.defineProperty(object, key, property));
        try {
          return run();
        } finally {
          each((object, key) => delete object[key]);
        }
      };
      uWS.setString('k', 'v', 'c');
      uWS.setInteger('i', 1, 'c');
      const keys = [poisoned(() => uWS.getStringKeys('c')), poisoned(() => uWS.getIntegerKeys('c'))];
      const stats = poisoned(() => uWS._stats());
      const declared = poisoned(() => new uWS.DeclarativeResponse().write('x').end('y'));
      let error, headers, topics;
      const app = poisoned(() => App().filter(Boolean)).ws('/*', {
        upgrade: (res, req, context) => {
          headers = {};
          poisoned(() => req.forEach((key, value) => Object.defineProperty(headers, key, { value })));
          res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context);
        },
        open: (ws) => {
          ws.subscribe('topic');
          topics = poisoned(() => ws.getTopics());
          error = poisoned(() => {
            try {
              return ws.send({});
            } catch (thrown) {
              return thrown;
            }
          });
        },
      });
      let port;
      app.listen('127.0.0.1', 0, (token) => {
        port = uWS.us_socket_local_port(token);
      });
      const client = await Client.upgrade(port, '/');
      report('keys', ...keys.flat());
      report('declared', Buffer.from(declared).toString('hex'));
      report('stats', Object.keys(stats).join());
      report('headers', headers.host, headers.upgrade);
      report('topics', ...topics);
      report('error', error.code, Object.keys(error).join());
      report('calls', calls);
      client.destroy();
      app.close();
    };
    const { code, stderr, reports } = await Script.run(main);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.deepEqual(reports, [
      ['keys', 'k', 'i'],
      ['declared', '0501007800010079'],
      ['stats', 'connections,websockets,listeners,apps,domains,behaviors,routes'],
      ['headers', 'localhost', 'websocket'],
      ['topics', 'topic'],
      ['error', 'ERR_MILLIWAYS_INVALID_DATA', 'code'],
      ['calls', 0],
    ]);
  });
});

after(noConnectionLeft);
