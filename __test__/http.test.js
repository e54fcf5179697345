'use strict';

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const {
  request,
  fetch,
  exchange,
  BAD_REQUEST,
  HEADERS_TOO_LARGE,
  VERSION_NOT_SUPPORTED,
  OK,
  closing,
} = require('./support/http.js');
const { serve } = require('./support/server.js');
const { oursOverTLS } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { noConnectionLeft, turn } = require('./support/wait.js');

const MEBIBYTE = 1 << 20;

describe('requests on one connection', () => {
  const targets = Array.from({ length: 100 }, (_, i) => `/${i}`);

  it('sent at once are answered in order', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res, req) => res.end(req.getUrl())));
    const client = await RawSocket.connect(port);
    client.write(targets.map((target) => request(target)).join(''));
    for (const target of targets) assert.equal((await client.readResponse()).body, target);
    client.destroy();
  });

  it('wait their turn while one of them is pending', ours, async (t) => {
    const log = new EventLog();
    const { port } = serve(t, (app) =>
      app
        .get('/slow/*', async (res, req) => {
          const url = req.getUrl();
          let aborted = false;
          res.onAborted(() => {
            aborted = true;
          });
          log.add('start', url);
          await turn();
          assert.equal(aborted, false);
          log.add('end', url);
          res.cork(() => res.end(url));
        })
        .get('/*', (res, req) => {
          log.add('fast', req.getUrl());
          res.end(req.getUrl());
        }),
    );
    const client = await RawSocket.connect(port);
    const order = ['/slow/1', '/2', '/slow/3', '/slow/4', '/5'];
    client.write(
      order
        .slice(0, 4)
        .map((target) => request(target))
        .join(''),
    );
    await log.next('start');
    client.write(request(order[4]));
    for (const target of order) assert.equal((await client.readResponse()).body, target);
    assert.deepEqual(
      log.all.map((event) => event.join(' ')),
      [
        'start /slow/1',
        'end /slow/1',
        'fast /2',
        'start /slow/3',
        'end /slow/3',
        'start /slow/4',
        'end /slow/4',
        'fast /5',
      ],
    );
    client.destroy();
  });

  it('after one that said Connection: close are not answered', ours, async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
    assert.equal(await exchange(port, request('/', { headers: ['Connection: close'] }) + request('/')), closing(OK));
  });
});

describe('a request body', () => {
  const CONTENT_LENGTH = request('/', { method: 'POST', headers: ['Content-Length: 11'], body: 'hello\r\n\r\nGE' });
  const CHUNKED = request('/', {
    method: 'POST',
    headers: ['Transfer-Encoding: chunked'],
    body: '5\r\nhello\r\nA\r\n\r\n\r\nGET / \r\n0\r\n\r\n',
  });
  const EXTENDED = request('/', {
    method: 'POST',
    headers: ['Transfer-Encoding: Chunked'],
    body: '5;name=value\r\nhello\r\n00a ; b="c"\r\n\r\n\r\nGET / \r\n0;x\r\nTrailer: a\r\nOther:\r\n\r\n',
  });

  function serveEcho(t) {
    return serve(t, (app) => app.post('/*', (res) => res.end('posted')).get('/*', (res, req) => res.end(req.getUrl())));
  }

  for (const [name, bytes, options] of [
    ['Content-Length', CONTENT_LENGTH, {}],
    ['chunked', CHUNKED, {}],
    ['chunked, with extensions and trailers', EXTENDED, ours],
  ]) {
    it(`(${name}) is skipped, at every split`, options, async (t) => {
      const { port } = serveEcho(t);
      const client = await RawSocket.connect(port);
      const all = bytes + request('/next');
      for (let split = 1; split < all.length; split += 1) {
        await client.writeAndTurn(all.slice(0, split));
        client.write(all.slice(split));
        assert.equal((await client.readResponse()).body, 'posted', `split at ${split}`);
        assert.equal((await client.readResponse()).body, '/next', `split at ${split}`);
      }
      client.destroy();
    });

    it(`(${name}) is skipped, byte by byte`, options, async (t) => {
      const { port } = serveEcho(t);
      const client = await RawSocket.connect(port);
      for (const byte of bytes + request('/next')) await client.writeAndTurn(byte);
      assert.equal((await client.readResponse()).body, 'posted');
      assert.equal((await client.readResponse()).body, '/next');
      client.destroy();
    });
  }

  it('of a GET is skipped, too', async (t) => {
    const { port } = serveEcho(t);
    const client = await RawSocket.connect(port);
    client.write(request('/1', { headers: ['Content-Length: 5'], body: 'GET /' }) + request('/2'));
    assert.equal((await client.readResponse()).body, '/1');
    assert.equal((await client.readResponse()).body, '/2');
    client.destroy();
  });

  // Over TLS, uWebSockets.js closes the connection when data arrives this fast.
  it('of several MiB is skipped', oursOverTLS, async (t) => {
    const { port } = serveEcho(t);
    const client = await RawSocket.connect(port);
    const chunk = `${(64 * 1024).toString(16)}\r\n${'x'.repeat(64 * 1024)}\r\n`;
    client.write(request('/', { method: 'POST', headers: [`Content-Length: ${4 * MEBIBYTE}`] }));
    client.write(Buffer.alloc(4 * MEBIBYTE, 'x'));
    client.write(request('/', { method: 'POST', headers: ['Transfer-Encoding: chunked'] }));
    client.write(`${chunk.repeat(64)}0\r\n\r\n`);
    client.write(request('/next'));
    for (const body of ['posted', 'posted', '/next']) assert.equal((await client.readResponse()).body, body);
    client.destroy();
  });

  it('that is announced is asked for', async (t) => {
    const { port } = serveEcho(t);
    const client = await RawSocket.connect(port);
    client.write(request('/', { method: 'POST', headers: ['Expect: 100-continue', 'Content-Length: 5'] }));
    assert.equal(await client.readHead(), 'HTTP/1.1 100 Continue\r\n\r\n');
    client.write('hello');
    assert.equal((await client.readResponse()).body, 'posted');
    client.write(request('/next'));
    assert.equal((await client.readResponse()).body, '/next');
    client.destroy();
  });
});

describe('a malformed request', () => {
  const post = (headers, body = '') => request('/', { method: 'POST', headers, body });
  const chunked = (body) => post(['Transfer-Encoding: chunked'], body);
  const header = (line) => request('/', { headers: [line] });

  /** The server rejects all of these. uWebSockets.js handles those of the second list differently. */
  const BAD_REQUESTS = {
    'no Host': 'GET / HTTP/1.1\r\n\r\n',
    'two Hosts': 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    'a header without a colon': header('name'),
    'a space before the colon': header('name : value'),
    'a bad character in a name': header('na(me: value'),
    'a folded header': header('name: value\r\n more'),
    'a bare LF after a header': 'GET / HTTP/1.1\r\nHost: a\nname: value\r\n\r\n',
    'a NUL in a value': header('name: val\0ue'),
    'a control character in a value': header('name: val\x01ue'),
    'a Content-Length with a sign': post(['Content-Length: +5'], 'hello'),
    'a negative Content-Length': post(['Content-Length: -5'], 'hello'),
    'a Content-Length in hexadecimal': post(['Content-Length: 0x5'], 'hello'),
    'a list as Content-Length': post(['Content-Length: 5, 5'], 'hello'),
    'a Content-Length beyond 64 bits': post(['Content-Length: 99999999999999999999'], 'hello'),
    'Content-Length and Transfer-Encoding': post(['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    'Transfer-Encoding and Content-Length': post(['Transfer-Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'),
  };
  const BAD_REQUESTS_OF_OURS = {
    'an empty Host': 'GET / HTTP/1.1\r\nHost: \r\n\r\n',
    'an empty name': header(': value'),
    'two Content-Lengths': post(['Content-Length: 5', 'Content-Length: 5'], 'hello'),
    'two different Content-Lengths': post(['Content-Length: 5', 'Content-Length: 6'], 'hello'),
    'an empty Content-Length': post(['Content-Length: '], 'hello'),
    'a Transfer-Encoding other than chunked': post(['Transfer-Encoding: gzip'], '0\r\n\r\n'),
    'a list as Transfer-Encoding': post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
    'a bare CR in a value': header('name: val\rue'),
  };
  const TOO_LARGE = {
    'a header of 5000 bytes': header(`name: ${'x'.repeat(5000)}`),
    'headers of 5000 bytes': request('/', { headers: Array(50).fill(`name: ${'x'.repeat(94)}`) }),
    'headers of 5000 bytes without an end': `GET / HTTP/1.1\r\nname: ${'x'.repeat(5000)}`,
    'a header of 100 KB': header(`name: ${'x'.repeat(100_000)}`),
    'a URL of 5000 bytes': request(`/${'x'.repeat(5000)}`),
    '110 headers': request('/', { headers: Array(110).fill('a: b') }),
  };
  const BAD_VERSIONS = {
    'HTTP/0.9': 'GET / HTTP/0.9\r\nHost: a\r\n\r\n',
    'HTTP/2.0': 'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  };
  /** None of these is a valid request line; uWebSockets.js reports an unsupported version. */
  const BAD_REQUEST_LINES = {
    'no target': 'GET HTTP/1.1\r\nHost: a\r\n\r\n',
    'two spaces': 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
    'a space in the target': 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n',
    'a NUL in the target': 'GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n',
    'a bare LF after the request line': 'GET / HTTP/1.1\nHost: a\r\n\r\n',
    'HTTP/0.9 without a version': 'GET /\r\nHost: a\r\n\r\n',
    'a version without a minor one': 'GET / HTTP/2\r\nHost: a\r\n\r\n',
    'a version of two digits': 'GET / HTTP/1.10\r\nHost: a\r\n\r\n',
    'another protocol': 'GET / RTSP/1.0\r\nHost: a\r\n\r\n',
    'a space behind the version': 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n',
    'a target without a slash': 'GET a HTTP/1.1\r\nHost: a\r\n\r\n',
    'an asterisk as the target of a GET': 'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
    'an authority as the target': 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
    'an absolute URI of another scheme': 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    'an absolute URI without a host': 'GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n',
    'an absolute URI with userinfo': 'GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    'the hello of TLS': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc\r\n\r\n',
  };

  function cases(list, expected, options = {}) {
    for (const [name, bytes] of Object.entries(list)) {
      it(`${name} gives ${expected.slice(9, expected.indexOf('\r'))}`, options, async (t) => {
        const { port } = serve(t, (app) => app.any('/*', (res) => res.end('handled')));
        assert.equal(await exchange(port, bytes), expected);
        await noConnectionLeft();
      });
    }
  }
  cases(BAD_REQUESTS, BAD_REQUEST);
  cases(BAD_REQUESTS_OF_OURS, BAD_REQUEST, ours);
  cases(TOO_LARGE, HEADERS_TOO_LARGE);
  cases(BAD_VERSIONS, VERSION_NOT_SUPPORTED);
  cases(BAD_REQUEST_LINES, BAD_REQUEST, ours);

  it('is refused as soon as its head is complete, byte by byte', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('handled')));
    for (const [bytes, expected] of [
      [BAD_REQUESTS['a folded header'], BAD_REQUEST],
      [BAD_REQUESTS['Content-Length and Transfer-Encoding'], BAD_REQUEST],
      [BAD_VERSIONS['HTTP/2.0'], VERSION_NOT_SUPPORTED],
    ]) {
      const client = await RawSocket.connect(port);
      for (const byte of bytes) {
        if (client.ended) break;
        await client.writeAndTurn(byte);
      }
      assert.equal((await client.readToEnd()).toString('latin1'), expected);
      client.destroy();
    }
  });

  it('after a good one leaves that one its answer', ours, async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res) => res.end('ok')));
    assert.equal(await exchange(port, request('/') + BAD_REQUESTS['no Host']), OK + BAD_REQUEST);
  });

  for (const [name, bytes, options] of [
    ['a size that is no number', chunked('zz\r\n\r\n'), {}],
    ['a size beyond 64 bits', chunked('fffffffffffffffff\r\n\r\n'), {}],
    ['an empty size', chunked('\r\nhello\r\n0\r\n\r\n'), ours],
    ['more bytes than its size says', chunked('5\r\nhelloXX0\r\n\r\n'), ours],
    ['a bare LF after its size', chunked('5\nhello\r\n0\r\n\r\n'), ours],
    ['an empty extension', chunked('5;\r\nhello\r\n0\r\n\r\n'), ours],
    ['an extension without a name', chunked('5;;a\r\nhello\r\n0\r\n\r\n'), ours],
    ['an extension without its value', chunked('5;a=\r\nhello\r\n0\r\n\r\n'), ours],
    ['an extension whose name is no token', chunked('5;b/ad\r\nhello\r\n0\r\n\r\n'), ours],
    ['an extension with an open quote', chunked('5;a="open\r\nhello\r\n0\r\n\r\n'), ours],
    ['an extension on the last of them that is none', chunked('5\r\nhello\r\n0;\r\n\r\n'), ours],
    ['a trailer without a colon', chunked('5\r\nhello\r\n0\r\nname\r\n\r\n'), ours],
    ['a trailer with a space before the colon', chunked('5\r\nhello\r\n0\r\nname : value\r\n\r\n'), ours],
    ['a trailer without a name', chunked('5\r\nhello\r\n0\r\n: value\r\n\r\n'), ours],
  ]) {
    it(`with a chunk of ${name} ends the connection`, options, async (t) => {
      const { port } = serve(t, (app) => app.post('/*', (res) => res.end('ok')).get('/*', (res) => res.end('next')));
      const received = await exchange(port, bytes + request('/'));
      assert.ok(!received.includes('next'), 'what follows is no request');
    });
  }

  it('of 4000 bytes and 90 headers is none', async (t) => {
    const { port } = serve(t, (app) => app.any('/*', (res, req) => res.end(req.getHeader('name'))));
    const headers = [`name: ${'x'.repeat(3400)}`, ...Array(88).fill('a: b')];
    const bytes = request('/', { headers });
    assert.ok(bytes.length > 3900 && bytes.length < 4096, `${bytes.length}`);
    assert.equal((await fetch(port, '/', { headers })).body.length, 3400);
  });
});

after(noConnectionLeft);
