'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs/promises');
const os = require('node:os');
const path = require('node:path');
const { describe, it, test } = require('node:test');
const { pathToFileURL } = require('node:url');
const vm = require('node:vm');
const { EventLog } = require('./support/EventLog.js');
const frames = require('./support/frames.js');
const { RawSocket } = require('./support/RawSocket.js');
const { Script } = require('./support/Script.js');
const { fetch } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { overTLS } = require('./support/tls.js');
const { uWS, modulePath, root, ours } = require('./support/uws.js');

const CONSTANTS = {
  DISABLED: 0,
  SHARED_COMPRESSOR: 1,
  SHARED_DECOMPRESSOR: 256,
  DEDICATED_COMPRESSOR: 248,
  DEDICATED_COMPRESSOR_3KB: 145,
  DEDICATED_COMPRESSOR_4KB: 146,
  DEDICATED_COMPRESSOR_8KB: 163,
  DEDICATED_COMPRESSOR_16KB: 180,
  DEDICATED_COMPRESSOR_32KB: 197,
  DEDICATED_COMPRESSOR_64KB: 214,
  DEDICATED_COMPRESSOR_128KB: 231,
  DEDICATED_COMPRESSOR_256KB: 248,
  DEDICATED_DECOMPRESSOR: 3840,
  DEDICATED_DECOMPRESSOR_32KB: 3840,
  DEDICATED_DECOMPRESSOR_16KB: 3584,
  DEDICATED_DECOMPRESSOR_8KB: 3328,
  DEDICATED_DECOMPRESSOR_4KB: 3072,
  DEDICATED_DECOMPRESSOR_2KB: 2816,
  DEDICATED_DECOMPRESSOR_1KB: 2560,
  DEDICATED_DECOMPRESSOR_512B: 2304,
  LIBUS_LISTEN_EXCLUSIVE_PORT: 1,
};

describe('the constants', () => {
  for (const [name, value] of Object.entries(CONSTANTS)) {
    it(`${name} is ${value}`, () => assert.equal(uWS[name], value));
  }

  it('LIBUS_LISTEN_DEFAULT is 0', ours, () => assert.equal(uWS.LIBUS_LISTEN_DEFAULT, 0));
});

describe('the classes', () => {
  it('App works as a function and as a constructor, with options and without', () => {
    assert.equal(uWS.App().constructor.name, 'uWS.App');
    assert.equal(new uWS.App().constructor.name, 'uWS.App');
    assert.equal(uWS.App({}).constructor.name, 'uWS.App');
    assert.equal(uWS.App(undefined).constructor.name, 'uWS.App');
  });

  it('methods are enumerable, for programs that copy them', async (t) => {
    const keys = {};
    const keysOf = (object) => {
      const found = [];
      for (const key in object) found.push(key);
      return found;
    };
    const { port } = serve(t, (app) => {
      keys.app = keysOf(app);
      app.ws('/*', {
        open: (ws) => {
          ws.mine = true;
          keys.ws = keysOf(ws);
        },
      });
      app.any('/*', (res, req) => {
        Object.assign(keys, { res: keysOf(res), req: keysOf(req) });
        res.end();
      });
    });
    await fetch(port, '/');
    (await RawSocket.upgrade(port, '/')).destroy();
    const expected = {
      app: [
        'get',
        'del',
        'any',
        'ws',
        'listen',
        'listen_unix',
        'publish',
        'numSubscribers',
        'domain',
        'filter',
        'close',
      ],
      ws: ['mine', 'send', 'subscribe', 'publish', 'cork', 'end', 'getUserData', 'getRemoteAddressAsText'],
      res: [
        'end',
        'tryEnd',
        'write',
        'writeHeader',
        'onAborted',
        'onDataV2',
        'collectBody',
        'collect',
        'cork',
        'upgrade',
      ],
      req: ['getHeader', 'getUrl', 'getCaseSensitiveMethod', 'getQuery', 'forEach', 'setYield'],
    };
    for (const [name, wanted] of Object.entries(expected)) {
      assert.deepEqual(
        wanted.filter((key) => !keys[name].includes(key)),
        [],
        name,
      );
      assert.ok(!keys[name].includes('constructor'));
    }
  });

  it('App takes the options of an SSLApp, and unknown ones, and ignores them', () => {
    const options = { key_file_name: 'missing.pem', cert_file_name: 'missing.pem', passphrase: '1234', unknown: {} };
    assert.equal(uWS.App(options).constructor.name, 'uWS.App');
  });

  it('have the names that uWebSockets.js gives them', async (t) => {
    const names = {};
    const { app, port } = serve(t, (routes) =>
      routes
        .ws('/*', {
          open: (ws) => {
            names.ws = ws.constructor.name;
          },
        })
        .any('/*', (res, req) => {
          Object.assign(names, { res: res.constructor.name, req: req.constructor.name });
          res.end();
        }),
    );
    await fetch(port, '/');
    (await RawSocket.upgrade(port, '/')).destroy();
    const ssl = overTLS ? 'SSL' : '';
    assert.deepEqual(
      { app: app.constructor.name, ...names },
      {
        app: `uWS.${ssl}App`,
        res: `uWS.${ssl}HttpResponse`,
        req: 'uWS.HttpRequest',
        ws: `uWS.${ssl}WebSocket`,
      },
    );
  });
});

describe('us_listen_socket_close', () => {
  it('stops listening, and leaves the connections that are there alone', async (t) => {
    const { port, token } = serve(t, (app) => app.ws('/*', { message: (ws, message) => ws.send(message) }));
    const client = await RawSocket.upgrade(port, '/');
    uWS.us_listen_socket_close(token);
    await assert.rejects(RawSocket.connect(port), { code: 'ECONNREFUSED' });
    client.write(Buffer.from('818100000000', 'hex')).write('x');
    assert.equal((await client.readFrame()).payload.toString(), 'x');
    client.destroy();
  });

  it('may be called again on the same token', (t) => {
    const { token } = serve(t, () => {});
    assert.equal(uWS.us_listen_socket_close(token), undefined);
    assert.equal(uWS.us_listen_socket_close(token), undefined);
  });

  it('may be called on a token that app.close() has closed', (t) => {
    const { app, token } = serve(t, () => {});
    app.close();
    assert.equal(uWS.us_listen_socket_close(token), undefined);
  });

  it('may be called in the callback of listen', () => {
    App().listen(0, (token) => uWS.us_listen_socket_close(token));
  });

  it('throws a TypeError on anything that is no token', ours, () => {
    for (const value of [false, true, undefined, null, 0, 1, '', 'token', {}, [], () => {}, Symbol('token'), 1n]) {
      assert.throws(() => uWS.us_listen_socket_close(value), {
        name: 'TypeError',
        code: 'ERR_MILLIWAYS_INVALID_TOKEN',
      });
    }
    assert.throws(() => uWS.us_listen_socket_close(), { name: 'TypeError', code: 'ERR_MILLIWAYS_INVALID_TOKEN' });
  });

  it('throws a TypeError on other objects of the module', ours, async (t) => {
    const { app, port } = serve(t, (routes) =>
      routes.any('/*', (res, req) => {
        for (const value of [res, req, app]) {
          assert.throws(() => uWS.us_listen_socket_close(value), { code: 'ERR_MILLIWAYS_INVALID_TOKEN' });
        }
        res.end('thrown');
      }),
    );
    assert.equal((await fetch(port, '/')).body, 'thrown');
  });
});

describe('another realm', ours, () => {
  const run = (code) => vm.runInNewContext(code);

  it('makes declarative responses, handlers, behaviors and data', async (t) => {
    const bytes = new Uint8Array(new uWS.DeclarativeResponse().end('declared'));
    const { port } = serve(t, (app) =>
      app
        .get('/declared', vm.runInNewContext('Uint8Array.from(bytes).buffer', { bytes: [...bytes] }))
        .get('/function', run("(res) => res.end('function')"))
        .get('/async', run("async (res) => { await 0; res.end('async'); }"))
        .get('/shared', (res) => res.end(run('new SharedArrayBuffer(6)')))
        .get('/view', (res) => res.end(run('new Uint8Array(new SharedArrayBuffer(4)).fill(97)')))
        .get('/buffer', (res) => res.end(run('Uint8Array.of(98, 99).buffer')))
        .ws('/ws', run('({ open(ws) { ws.send(new SharedArrayBuffer(2), true); } })')),
    );
    for (const [target, body] of [
      ['/declared', 'declared'],
      ['/function', 'function'],
      ['/async', 'async'],
      ['/shared', '\0\0\0\0\0\0'],
      ['/view', 'aaaa'],
      ['/buffer', 'bc'],
    ]) {
      assert.equal((await fetch(port, target)).body, body);
    }
    const client = await RawSocket.upgrade(port, '/ws');
    assert.equal((await client.readFrame()).payload.toString('hex'), '0000');
    client.destroy();
  });
});

describe('setTimeout, clearTimeout and arm', () => {
  it('are there', ours, async () => {
    assert.deepEqual(await new Promise((resolve) => uWS.setTimeout((...given) => resolve(given), 1, 'a', 'b')), [
      'a',
      'b',
    ]);
    uWS.clearTimeout(uWS.setTimeout(() => assert.fail('cleared'), 1));
    uWS.clearTimeout(undefined);
    assert.equal(uWS.arm(), undefined);
    await new Promise((resolve) => setTimeout(resolve, 5));
  });
});

describe('us_socket_local_port', () => {
  it('is the port that listen was given, or chose for 0', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('here')));
    assert.ok(port > 0 && port < 65536);
    assert.equal((await fetch(port, '/')).body, 'here');
  });

  it('is -1 for a token that was closed', (t) => {
    const { token } = serve(t, () => {});
    uWS.us_listen_socket_close(token);
    assert.equal(uWS.us_socket_local_port(token), -1);
  });

  it('throws a TypeError on anything that is no token', ours, () => {
    for (const value of [false, undefined, null, 0, 'token', {}]) {
      assert.throws(() => uWS.us_socket_local_port(value), { name: 'TypeError', code: 'ERR_MILLIWAYS_INVALID_TOKEN' });
    }
  });
});

describe('the package', ours, () => {
  const dist = path.dirname(modulePath);

  it('is the same module as dist/uws.js, as dist/index.js and as the main entry', () => {
    assert.equal(require(path.join(dist, 'index.js')), uWS);
    assert.equal(require(root), uWS);
  });

  it('has, imported, the CommonJS module as default and each of its keys as a named export', async () => {
    const imported = await import(pathToFileURL(path.join(dist, 'index.mjs')).href);
    assert.equal(imported.default, uWS);
    const keys = Object.keys(uWS);
    assert.deepEqual(Object.keys(imported).sort(), [...keys, 'default'].sort());
    for (const key of keys) assert.equal(imported[key], uWS[key], key);
  });

  it('is found by name from a program that has it installed', async (t) => {
    const folder = await temporaryFolder(t);
    await fs.mkdir(path.join(folder, 'node_modules'));
    await fs.symlink(root, path.join(folder, 'node_modules', 'milliways'), 'dir');
    await fs.writeFile(
      path.join(folder, 'program.mjs'),
      `import { createRequire } from 'node:module';
       import uWS, { App, SHARED_COMPRESSOR } from 'milliways';
       const require = createRequire(import.meta.url);
       export const same = ['milliways', 'milliways/dist/uws.js', 'milliways/dist/index.js'].every((name) => require(name) === uWS)
         && App === uWS.App && SHARED_COMPRESSOR === 1;`,
    );
    const program = await import(pathToFileURL(path.join(folder, 'program.mjs')).href);
    assert.equal(program.same, true);
  });

  it('may be there twice in one process: neither disturbs the other', async (t) => {
    const folder = await temporaryFolder(t);
    await fs.cp(dist, path.join(folder, 'dist'), { recursive: true });
    const other = require(path.join(folder, 'dist', 'uws.js'));
    assert.notEqual(other, uWS);

    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('first')));
    const app = App({}, other).any('/*', (res) => res.end('second'));
    t.after(() => app.close());
    let token;
    app.listen('127.0.0.1', 0, (listenSocket) => {
      token = listenSocket;
    });
    assert.equal((await fetch(other.us_socket_local_port(token), '/')).body, 'second');
    assert.equal((await fetch(port, '/')).body, 'first');
  });

  it('may be there twice: each knows the tokens of the other', async (t) => {
    const folder = await temporaryFolder(t);
    await fs.cp(dist, path.join(folder, 'dist'), { recursive: true });
    const other = require(path.join(folder, 'dist', 'uws.js'));
    const { port, token } = serve(t, (app) => app.any('/*', (res) => res.end('here')));
    assert.equal(other.us_socket_local_port(token), port);
    for (const value of [{}, Object.create(token), Object.getPrototypeOf(token)]) {
      assert.throws(() => other.us_listen_socket_close(value), { code: 'ERR_MILLIWAYS_INVALID_TOKEN' });
    }
    assert.equal((await fetch(port, '/')).body, 'here');
    other.us_listen_socket_close(token);
    other.us_listen_socket_close(token);
    assert.equal(uWS.us_socket_local_port(token), -1);
    await assert.rejects(RawSocket.connect(port), { code: 'ECONNREFUSED' });
  });

  it('may be evaluated anew over the same addon, as jest does it: neither disturbs the other', async (t) => {
    const files = Object.keys(require.cache).filter((file) => file.startsWith(dist) && !file.endsWith('.node'));
    const kept = files.map((file) => [file, require.cache[file]]);
    for (const file of files) delete require.cache[file];
    const other = require(modulePath);
    for (const [file, module] of kept) require.cache[file] = module;
    assert.notEqual(other.App, uWS.App);

    const large = Buffer.alloc(1 << 20, 'large');
    for (const module of [uWS, other, uWS]) {
      const log = new EventLog();
      const wait = (res) => res.onAborted(() => log.add('aborted'));
      const app = App({}, module)
        .post('/collect', (res) => wait(res).collectBody(1e9, (body) => res.end(body)))
        .post('/data', (res) => {
          let length = 0;
          wait(res).onData((chunk, isLast) => {
            length += chunk.byteLength;
            if (isLast) res.end(String(length));
          });
        })
        .get('/large', (res) => {
          wait(res).onWritable((offset) => res.tryEnd(large.subarray(offset), large.length)[0]);
          res.tryEnd(large, large.length);
        })
        .get('/never', (res) => {
          wait(res);
          log.add('waiting');
        })
        .ws('/*', { message: (ws, message) => ws.send(message), close: (ws, code) => log.add('close', code) });
      t.after(() => app.close());
      let token;
      app.listen('127.0.0.1', 0, (listenSocket) => {
        token = listenSocket;
      });
      const port = uWS.us_socket_local_port(token);
      assert.equal((await fetch(port, '/collect', post('hello'))).body, 'hello');
      assert.equal((await fetch(port, '/data', post('x'.repeat(100_000)))).body, '100000');
      assert.equal((await fetch(port, '/large')).body, String(large));
      const client = await RawSocket.upgrade(port, '/');
      client.write(frames.text('echo'));
      assert.equal(await client.readText(), 'echo');
      client.destroy();
      assert.deepEqual(await log.next('close'), [1006]);
      const waiting = await RawSocket.connect(port);
      waiting.write('GET /never HTTP/1.1\r\nHost: x\r\n\r\n');
      await log.next('waiting');
      app.close();
      assert.deepEqual(await log.next('aborted'), []);
      waiting.destroy();
    }

    function post(body) {
      return { method: 'POST', headers: [`Content-Length: ${body.length}`], body };
    }
  });

  async function temporaryFolder(t) {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'milliways-'));
    t.after(() => fs.rm(folder, { recursive: true, force: true }));
    return folder;
  }
});

test('loading the module alone does not keep a process alive', async () => {
  const { code, reports } = await Script.run(({ uWS: loaded, report }) => report('loaded', typeof loaded.App));
  assert.deepEqual({ code, reports }, { code: 0, reports: [['loaded', 'function']] });
});
