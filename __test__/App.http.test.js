'use strict';

// An app's HTTP features besides routes: options, filters, Unix sockets, declared responses and domains.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { request, fetch, exchange, BAD_REQUEST, HEADERS_TOO_LARGE, OK, closing } = require('./support/http.js');
const { Script } = require('./support/Script.js');
const { App, serve } = require('./support/server.js');
const { clear, overTLS } = require('./support/tls.js');
const { uWS, ours } = require('./support/uws.js');
const { until } = require('./support/wait.js');

const text = (data) => Buffer.from(data).toString('latin1');

describe('AppOptions', ours, () => {
  it('maxHeaderSize: bytes of a head', async (t) => {
    const { port } = serve(t, (app) => app.get('/*', (res) => res.end('ok')), { maxHeaderSize: 10_000 });
    const frame = request('/', { headers: ['X: '] }).length;
    const filled = (length) => request('/', { headers: [`X: ${'y'.repeat(length - frame)}`] });
    const client = await RawSocket.connect(port);
    client.write(filled(10_000));
    assert.equal((await client.readResponse()).body, 'ok');
    client.destroy();
    assert.equal(await exchange(port, filled(10_001)), HEADERS_TOO_LARGE);
  });

  it('UWS_HTTP_MAX_HEADERS_SIZE counts where there is no option', async () => {
    const main = async ({ App, uWS, RawSocket: Client, report }) => {
      for (const options of [undefined, { maxHeaderSize: 4096 }]) {
        const app = App(options).get('/*', (res) => res.end('ok'));
        const port = await new Promise((resolve) => {
          app.listen('127.0.0.1', 0, (token) => resolve(uWS.us_socket_local_port(token)));
        });
        const client = await Client.connect(port);
        client.write(`GET / HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(5000)}\r\n\r\n`);
        report((await client.readHead()).split('\r\n')[0]);
        client.destroy();
        app.close();
      }
    };
    const { reports } = await Script.run(main, { env: { UWS_HTTP_MAX_HEADERS_SIZE: '10000' } });
    assert.deepEqual(reports, [['HTTP/1.1 200 OK'], ['HTTP/1.1 431 Request Header Fields Too Large']]);
  });

  it('idleTimeout: seconds until a connection that says nothing is closed', async (t) => {
    const { port } = serve(t, (app) => app.get('/*', (res) => res.end('ok')), { idleTimeout: 1 });
    const began = process.hrtime.bigint();
    const client = await RawSocket.connect(port);
    assert.equal((await client.readToEnd()).length, 0);
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    assert.ok(seconds >= 1, `after ${seconds} s`);
  });

  it('refuse what is no size or time', () => {
    for (const name of ['maxHeaderSize', 'maxBodySize', 'idleTimeout']) {
      for (const [value, shown] of [
        [-1, '-1'],
        [0.5, '0.5'],
        [NaN, 'NaN'],
        [Infinity, 'Infinity'],
        [2 ** 53, '9007199254740992'],
        [1e300, '1e+300'],
        ['x', "'x'"],
        ['', "''"],
        ['100', "'100'"],
        [false, 'false'],
        [5n, '5n'],
        [Symbol('5'), 'a symbol'],
        [[], 'an array'],
        [{}, 'an object'],
        [{ valueOf: () => 5 }, 'an object'],
        [() => 5, 'a function'],
      ]) {
        assert.throws(
          () => App({ [name]: value }),
          (error) => {
            assert.deepEqual([error.name, error.code], ['RangeError', 'ERR_MILLIWAYS_OUT_OF_RANGE']);
            assert.ok(error.message.startsWith(`${name} must be a whole number `), error.message);
            assert.ok(error.message.endsWith(`, and is ${shown}.`), error.message);
            return true;
          },
        );
      }
      App({ [name]: undefined });
      App({ [name]: null });
      App({ [name]: 100 });
    }
    for (const idleTimeout of [961, 2 ** 32, 2 ** 32 + 8]) {
      assert.throws(() => App({ idleTimeout }), {
        name: 'RangeError',
        code: 'ERR_MILLIWAYS_OUT_OF_RANGE',
        message: `idleTimeout must be a whole number of seconds from 0 to 960, and is ${idleTimeout}.`,
      });
    }
    App({ idleTimeout: 0 });
  });

  it('proxyProtocol: who is at the other end of a proxy', clear('a proxy says so before the handshake'), async (t) => {
    const v2 = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000201c63364071f9001bb', 'hex');
    const handler = (res) => {
      const [bytes, address] = [res.getProxiedRemoteAddress(), res.getProxiedRemoteAddressAsText()];
      res.end([Buffer.from(bytes).toString('hex'), text(address), res.getProxiedRemotePort()].join(' '));
    };
    const line = (text) => Buffer.from(`PROXY ${text}\r\n`);
    const cases = [
      [v2, 'c0000201 192.0.2.1 8080'],
      [line('TCP4 192.0.2.1 198.51.100.7 8080 443'), 'c0000201 192.0.2.1 8080'],
      [
        line('TCP6 2001:db8::1 ::1 8080 443'),
        `20010db8${'0'.repeat(23)}1 2001:0db8:0000:0000:0000:0000:0000:0001 8080`,
      ],
      [line('UNKNOWN'), '  0'],
      [Buffer.alloc(0), '  0'],
    ];
    const { port } = serve(t, (app) => app.get('/*', handler), { proxyProtocol: true });
    for (const [header, expected] of cases) {
      const bytes = Buffer.concat([header, Buffer.from(request('/'))]);
      for (let split = 0; split < bytes.length; split += 1) {
        const client = await RawSocket.connect(port);
        if (split > 0) await client.writeAndTurn(bytes.subarray(0, split));
        client.write(bytes.subarray(split));
        assert.equal((await client.readResponse()).body, expected);
        // The header applies to all requests of the connection.
        client.write(request('/'));
        assert.equal((await client.readResponse()).body, expected);
        client.destroy();
      }
    }
  });

  it('proxyProtocol: a header that is malformed, or not to be there, is a bad request', async (t) => {
    const good = 'PROXY TCP4 192.0.2.1 198.51.100.7 8080 443\r\n';
    for (const [proxyProtocol, header] of [
      [true, good.replace('8080', '08080')],
      [true, good.replace('192.0.2.1', '::1')],
      [true, `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`],
      [true, 'PROXY / HTTP/1.1\r\n'],
      [true, good + good],
      [false, good],
      [false, '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\x1f\x90\x01\xbb'],
    ]) {
      const { port } = serve(t, (app) => app.any('/*', (res) => res.end('served')), { proxyProtocol });
      const client = await RawSocket.connect(port);
      client.write(header + request('/'));
      assert.equal((await client.readToEnd()).toString(), BAD_REQUEST, JSON.stringify(header));
      client.destroy();
    }
  });
});

describe('a pattern', () => {
  it('may be a wildcard alone', ours, async (t) => {
    const { port } = serve(t, (app) => app.get('*', (res, req) => res.end(req.getUrl())));
    for (const target of ['/', '/a/b']) assert.equal((await fetch(port, target)).body.toString(), target);
  });
});

describe('filter', () => {
  it('is told of connections that come and go, whatever becomes of them', ours, async (t) => {
    const log = new EventLog();
    const { port } = serve(t, (app) => {
      const count = (res, number) => {
        log.add(String(number), text(res.getRemoteAddressAsText()));
      };
      const filtered = app.filter(count);
      assert.equal(filtered, app);
      app.get('/*', (res) => res.end('ok')).ws('/*', {});
    });
    const http = await RawSocket.connect(port);
    assert.deepEqual(await log.next('1'), ['127.0.0.1']);
    http.destroy();
    assert.deepEqual(await log.next('-1'), ['']);
    const websocket = await RawSocket.upgrade(port, '/');
    await log.next('1');
    websocket.destroy();
    await log.next('-1');
    assert.equal(log.all.length, 4);
  });

  it('can turn clients away, and several are asked', ours, async (t) => {
    // A filter may close the connection before the handshake is complete.
    const duringHandshake = (error) => {
      if (!overTLS) throw error;
    };
    const seen = [];
    const { port } = serve(t, (app) => {
      // eslint-disable-next-line array-callback-return -- this filter is not the method of an array
      app.filter((res, count) => {
        seen.push(`first ${count}`);
        if (count > 0 && seen.length === 1) res.close();
      });
      app.filter((res, count) => seen.push(`second ${count}`));
      app.get('/*', (res) => res.end('ok'));
    });
    const turnedAway = await RawSocket.connect(port).catch(duringHandshake);
    assert.equal((await turnedAway?.readToEnd())?.length ?? 0, 0);
    turnedAway?.destroy();
    await until(() => seen.length === 4);
    assert.deepEqual(seen.splice(0), ['first 1', 'second 1', 'first -1', 'second -1']);
    seen.push('not the first any more');
    const client = await RawSocket.connect(port);
    client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    assert.equal((await client.readResponse()).status, 200);
    client.destroy();
  });

  it('must be a function', () => {
    assert.throws(() => App().filter(5), /Passed callback is not a valid function/);
  });
});

describe('listen_unix', () => {
  it('serves at a path, in place of what was there, for this user alone', async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'milliways-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'socket');
    for (let i = 0; i < 2; i += 1) {
      const app = App().get('/*', (res) => res.end(`ok${text(res.getRemoteAddressAsText())}`));
      let token;
      assert.equal(
        app.listen_unix((given) => (token = given), file),
        app,
      );
      assert.ok(token);
      assert.equal(fs.statSync(file).mode & 0o777, 0o700);
      const client = await RawSocket.connect(undefined, { path: file, host: undefined });
      client.write(request('/'));
      assert.equal((await client.readResponse()).body, 'ok');
      client.destroy();
      if (i === 1) app.close();
      else t.after(() => app.close());
    }
  });

  it('gives false where nothing can listen', () => {
    let given;
    App().listen_unix((token) => (given = token), '/no/such/folder/socket');
    assert.equal(given, false);
  });

  it('tells why it failed', ours, (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'milliways-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'file');
    fs.writeFileSync(file, '');
    for (const [where, code] of [
      ['/no/such/folder/socket', 'ENOENT'],
      [file, 'EADDRINUSE'],
      [path.join(folder, 'x'.repeat(200)), 'ENAMETOOLONG'],
      [path.join(folder, 'before\0behind'), 'EINVAL'],
      ['\0abstract', 'EINVAL'],
    ]) {
      let given;
      App().listen_unix((...parameters) => (given = parameters), where);
      const [token, error] = given;
      assert.equal(token, false);
      const { syscall, address, port, message } = error;
      assert.deepEqual(
        { code: error.code, syscall, address, port },
        { code, syscall: 'listen', address: where, port: -1 },
      );
      assert.ok(message.startsWith(`listen ${code}: `) && message.endsWith(where), message);
    }
    assert.deepEqual(fs.readdirSync(folder), ['file'], 'nothing is left behind');
  });
});

describe('a declarative response', () => {
  const serveDeclared = (t, declared) => serve(t, (app) => assert.equal(app.any('/:id', declared), app));

  it('answers without JavaScript', ours, async (t) => {
    const { port } = serveDeclared(t, new uWS.DeclarativeResponse().end('ok'));
    assert.equal(await exchange(port, request('/x', { headers: ['Connection: close'] })), closing(OK));
  });

  it('has a status, headers, and what it quotes of the request', ours, async (t) => {
    const declared = new uWS.DeclarativeResponse()
      .writeStatus('201 Made')
      .writeHeader('a', 'b')
      .write('<')
      .writeQueryValue('q')
      .writeHeaderValue('x-y')
      .writeParameterValue('id')
      .writeQueryValue('missing')
      .writeBody()
      .end('>');
    const { port } = serveDeclared(t, declared);
    const received = await exchange(port, request('/5?q=v%20w', { headers: ['X-Y: yy', 'Connection: close'] }));
    const head = 'HTTP/1.1 201 Made\r\na: b\r\nDate: -\r\nuWebSockets: 20\r\nTransfer-Encoding: chunked\r\n\r\n';
    assert.equal(received, `${closing(head)}1\r\n<\r\n3\r\nv w\r\n2\r\nyy\r\n1\r\n5\r\n1\r\n>\r\n0\r\n\r\n`);
  });

  it('is made of the bytes that uWebSockets.js makes of it', ours, () => {
    const declared = new uWS.DeclarativeResponse().writeHeader('a', 'bc').write('é').writeBody().end('x');
    assert.ok(declared instanceof ArrayBuffer);
    assert.equal(Buffer.from(declared).toString('hex'), '01016102626305' + '0200c3a9' + '02' + '00010078');
  });

  it('has limits on what it holds', ours, () => {
    const response = new uWS.DeclarativeResponse();
    const tooLong = (limit) => ({ name: 'RangeError', message: `Data length exceeds ${limit}` });
    assert.throws(() => response.writeHeader('a', 'b'.repeat(256)), tooLong(255));
    assert.throws(() => response.write('b'.repeat(65_536)), tooLong(65535));
    assert.throws(() => response.end('b'.repeat(65_536)), tooLong(65535));
    response.writeStatus('b'.repeat(255)).end('b'.repeat(65_535));
  });

  it('that is none is refused', ours, (t) => {
    const app = App();
    t.after(() => app.close());
    for (const bytes of [[], [0], [0, 1, 0], [9], [1, 1, 65]]) {
      const declared = new Uint8Array(bytes).buffer;
      assert.throws(() => app.get('/x', declared), { code: 'ERR_MILLIWAYS_INVALID_DECLARATION' });
    }
  });

  it('with a status that no response can have is refused', ours, (t) => {
    const app = App();
    t.after(() => app.close());
    for (const status of ['', 'OK', '1000 x', '100 Continue', '101 Switching Protocols']) {
      const declared = new uWS.DeclarativeResponse().writeStatus(status).end('x');
      assert.throws(() => app.get('/x', declared), { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE' }, status);
    }
  });

  it('with a header that no response can have is refused', ours, (t) => {
    const app = App();
    t.after(() => app.close());
    const declared = () => new uWS.DeclarativeResponse();
    for (const [declaration, code] of [
      [declared().writeStatus('200 OK\r\nX: y'), 'ERR_MILLIWAYS_INVALID_HEADER'],
      [declared().writeHeader('a', 'b\r\nc: d'), 'ERR_MILLIWAYS_INVALID_HEADER'],
      [declared().writeHeader('a b', 'c'), 'ERR_MILLIWAYS_INVALID_HEADER'],
      [declared().writeHeader('Content-Length', 'one'), 'ERR_MILLIWAYS_INVALID_HEADER'],
      [declared().writeHeader('Transfer-Encoding', 'gzip'), 'ERR_MILLIWAYS_INVALID_HEADER'],
      [declared().write('x').writeHeader('a', 'b'), 'ERR_MILLIWAYS_RESPONSE_ORDER'],
    ]) {
      assert.throws(() => app.get('/x', declaration.end('x')), { name: 'Error', code });
    }
  });

  it('says once how its body is framed, how the connection goes on, and when it was made', ours, async (t) => {
    const declared = new uWS.DeclarativeResponse()
      .writeStatus('200')
      .writeHeader('content-length', '2')
      .writeHeader('CONNECTION', 'close')
      .writeHeader('date', 'today')
      .end('ok');
    const { port } = serveDeclared(t, declared);
    const lines = ['HTTP/1.1 200 OK', 'date: today', 'Connection: close', 'uWebSockets: 20', 'Content-Length: 2'];
    assert.equal(await exchange(port, request('/5')), `${lines.join('\r\n')}\r\n\r\nok`);
  });

  it('whose body is not as long as it says leaves the request unanswered', ours, async () => {
    const { code, reports } = await Script.run(async ({ App, uWS, RawSocket: Client, report }) => {
      process.on('uncaughtException', (error) => report('uncaught', error.code));
      const app = App().get('/*', new uWS.DeclarativeResponse().writeHeader('Content-Length', '2').end('x'));
      app.listen('127.0.0.1', 0, async (token) => {
        const client = await Client.connect(uWS.us_socket_local_port(token));
        client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
        report((await client.readToEnd()).toString().split('\r\n')[0]);
        app.close();
      });
    });
    const expected = [['uncaught', 'ERR_MILLIWAYS_NO_RESPONSE'], ['HTTP/1.1 500 Internal Server Error']];
    assert.deepEqual({ code, reports }, { code: 0, reports: expected });
  });
});

describe('server names of an app without TLS', () => {
  it('are accepted, and their routes are those of all', { ...ours, ...clear('about the lack of it') }, async (t) => {
    const warned = new Promise((resolve) => process.once('warning', resolve));
    const { port } = serve(t, (app) => {
      assert.equal(app.addServerName('a.example', {}), app);
      assert.equal(
        app.missingServerName(() => {}),
        app,
      );
      app.domain('a.example').get('/*', (res) => res.end('ok'));
      assert.equal(app.removeServerName('a.example'), app);
    });
    assert.equal((await fetch(port, '/')).body, 'ok');
    assert.equal((await warned).code, 'WARN_MILLIWAYS_DOMAIN');
  });
});
