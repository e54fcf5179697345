'use strict';

// Responses written in parts.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { EventLog } = require('./support/EventLog.js');
const { RawSocket } = require('./support/RawSocket.js');
const { request, withoutDate } = require('./support/http.js');
const { sent } = require('./support/response.js');
const { serve } = require('./support/server.js');
const { ours } = require('./support/uws.js');
const { turn } = require('./support/wait.js');

const MEBIBYTE = 1 << 20;
const HEAD = 'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\n';
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;

async function connect(t, handler) {
  const { port } = serve(t, (app) => app.any('/*', handler));
  const client = await RawSocket.connect(port);
  t.after(() => client.destroy());
  return client;
}

describe('write', () => {
  it('sends chunks, and end their end', async (t) => {
    const handler = (res) => {
      assert.equal(res.write('abc'), true);
      assert.equal(res.write(''), true);
      assert.equal(res.write(new Uint8Array(16)), true);
      assert.equal(res.getWriteOffset(), 0);
      res.end('last');
    };
    assert.equal(await sent(t, handler), `${CHUNKED}3\r\nabc\r\n10\r\n${'\0'.repeat(16)}\r\n4\r\nlast\r\n0\r\n\r\n`);
  });

  it('comes after status and headers, which can follow it no more', ours, async (t) => {
    const handler = (res) => {
      res.writeStatus('201 Created').writeHeader('a', 'b').write('x');
      const order = { code: 'ERR_MILLIWAYS_RESPONSE_ORDER', message: 'Headers must be written before the body.' };
      assert.throws(() => res.writeHeader('c', 'd'), order);
      assert.throws(() => res.tryEnd('y', 1), { code: 'ERR_MILLIWAYS_RESPONSE_ORDER' });
      for (const status of ['OK', '1000', '100 Continue']) {
        assert.throws(() => res.writeStatus(status), { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE' });
      }
      res.writeStatus('500').end();
    };
    assert.equal(
      await sent(t, handler),
      'HTTP/1.1 201 Created\r\na: b\r\nDate: -\r\nuWebSockets: 20\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
    );
  });

  it('sends the head at once with beginWrite', ours, async (t) => {
    let response;
    const client = await connect(t, (res) => {
      response = res;
      res.onAborted(() => {});
      assert.equal(res.beginWrite(), res);
    });
    client.write(request('/'));
    assert.equal(withoutDate(await client.readHead()), CHUNKED);
    response.cork(() => response.end('x'));
    assert.equal((await client.read(11)).toString(), '1\r\nx\r\n0\r\n\r\n');
  });

  it('is false while the client does not keep up, and onWritable is called when it does', async (t) => {
    const log = new EventLog();
    let chunks = 0;
    const client = await connect(t, (res) => {
      res.onAborted(() => {});
      res.onWritable((offset) => {
        log.add('writable', offset);
        res.end();
        return true;
      });
      const chunk = Buffer.alloc(MEBIBYTE, 'x');
      do chunks += 1;
      while (res.write(chunk));
    });
    client.pause();
    client.write(request('/'));
    for (let i = 0; i < 20; i += 1) await turn();
    assert.equal(log.count('writable'), 0);
    client.resume();
    assert.deepEqual(await log.next('writable'), [0]);
    await client.readHead();
    for (let i = 0; i < chunks; i += 1) {
      assert.equal((await client.read(8)).toString(), '100000\r\n');
      await client.read(MEBIBYTE + 2);
    }
    assert.equal((await client.read(5)).toString(), '0\r\n\r\n');
  });
});

describe('a client that has gone without a word', () => {
  const writes = {
    write: (res) => res.write(Buffer.alloc(MEBIBYTE)),
    tryEnd: (res) => res.tryEnd(Buffer.alloc(MEBIBYTE), 2 * MEBIBYTE),
  };
  for (const [name, write] of Object.entries(writes)) {
    it(`takes nothing of ${name}, which says so, and the abort handler is called`, async (t) => {
      const log = new EventLog();
      const client = await connect(t, (res) => {
        res.onAborted(() => log.add('aborted'));
        client.reset();
        // The first write discovers that the client has gone.
        write(res);
        log.add('written', write(res));
      });
      client.write(request('/'));
      await log.next('aborted');
      assert.deepEqual(log.all, [['written', name === 'write' ? false : [false, false]], ['aborted']]);
    });
  }
});

describe('endWithoutBody', () => {
  for (const [args, expected] of [
    [[], HEAD],
    [[0], `${HEAD}Content-Length: 0\r\n`],
    [[12345], `${HEAD}Content-Length: 12345\r\n`],
  ]) {
    it(`announces ${args.length === 0 ? 'no length' : args[0]}`, async (t) => {
      assert.equal(await sent(t, (res) => res.endWithoutBody(...args)), `${expected}\r\n`);
    });
  }

  it('closes the connection if told to', async (t) => {
    const client = await connect(t, (res) => res.endWithoutBody(0, true));
    client.write(request('/'));
    assert.match((await client.readToEnd()).toString(), /^HTTP\/1\.1 200 OK\r\nConnection: close\r\n/);
  });

  it('refuses a length that is none', ours, async (t) => {
    const handler = (res) => {
      for (const length of [-1, 0.5, NaN, 2 ** 53, 'x']) {
        assert.throws(() => res.endWithoutBody(length), { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE' });
      }
      res.endWithoutBody('7');
    };
    assert.equal(await sent(t, handler), `${HEAD}Content-Length: 7\r\n\r\n`);
  });
});

describe('tryEnd', () => {
  it('sends a body at once where the socket takes it', async (t) => {
    const handler = (res) => assert.deepEqual(res.tryEnd('abc', 3), [true, true]);
    assert.equal(await sent(t, handler), `${HEAD}Content-Length: 3\r\n\r\nabc`);
  });

  it('sends a body in pieces, and knows how much it has sent', async (t) => {
    const handler = (res) => {
      assert.equal(res.getWriteOffset(), 0);
      assert.deepEqual(res.tryEnd('abc', 6), [true, false]);
      assert.equal(res.getWriteOffset(), 3);
      assert.deepEqual(res.tryEnd('def', 6), [true, true]);
      assert.throws(() => res.getWriteOffset(), /must not be accessed/);
    };
    assert.equal(await sent(t, handler), `${HEAD}Content-Length: 6\r\n\r\nabcdef`);
  });

  it('takes the piece for all without a size', async (t) => {
    assert.equal(await sent(t, (res) => res.tryEnd('abc')), `${HEAD}Content-Length: 3\r\n\r\nabc`);
    assert.equal(await sent(t, (res) => res.tryEnd('', 0)), `${HEAD}Content-Length: 0\r\n\r\n`);
  });

  it('sends no more than was announced, and closes what ends short of it', ours, async (t) => {
    assert.equal(await sent(t, (res) => res.tryEnd('abcdef', 3)), `${HEAD}Content-Length: 3\r\n\r\nabc`);
    const client = await connect(t, (res) => {
      res.tryEnd('abc', 6);
      res.end('de');
    });
    client.write(request('/'));
    assert.equal(withoutDate((await client.readToEnd()).toString()), `${HEAD}Content-Length: 6\r\n\r\nabcde`);
  });

  it('refuses a size that is none', ours, async (t) => {
    const handler = (res) => {
      for (const size of [-1, 0.5, NaN, Infinity]) {
        assert.throws(() => res.tryEnd('abc', size), { name: 'RangeError', code: 'ERR_MILLIWAYS_OUT_OF_RANGE' });
      }
      res.end();
    };
    assert.equal(await sent(t, handler), `${HEAD}Content-Length: 0\r\n\r\n`);
  });

  it('streams a body of any length as fast as it is read, from where it stopped', ours, async (t) => {
    const body = Buffer.alloc(48 * MEBIBYTE);
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE(i, i);
    let stops = 0;
    const client = await connect(t, (res) => {
      const goOn = () => {
        const [ok, done] = res.tryEnd(body.subarray(res.getWriteOffset()), body.length);
        if (!done) stops += 1;
        return ok;
      };
      res.onAborted(() => {});
      res.onWritable((offset) => {
        assert.equal(offset, res.getWriteOffset());
        return goOn();
      });
      goOn();
    });
    client.write(request('/') + request('/'));
    for (let i = 0; i < 2; i += 1) {
      assert.match(await client.readHead(), new RegExp(`Content-Length: ${body.length}\r\n`));
      assert.ok((await client.read(body.length)).equals(body));
    }
    assert.ok(stops > 0, 'the socket takes less than all');
  });

  it('tells when a handler of onWritable does not say whether it has written', ours, async (t) => {
    const warning = new Promise((resolve) => process.once('warning', resolve));
    const client = await connect(t, (res) => {
      res.onAborted(() => {});
      res.onWritable(() => {
        res.end();
      });
      while (res.write(Buffer.alloc(MEBIBYTE)));
    });
    client.write(request('/'));
    assert.equal((await warning).code, 'WARN_MILLIWAYS_WRITABLE');
  });
});

describe('a response to HEAD, and one of 204 or 304,', ours, () => {
  const ways = {
    end: (res) => res.end('body'),
    write: (res) => {
      assert.equal(res.write('body'), true);
      res.end('more');
    },
    tryEnd: (res) => assert.deepEqual(res.tryEnd('body', 10), [true, true]),
  };
  for (const [name, way] of Object.entries(ways)) {
    it(`has no body with ${name}`, async (t) => {
      const headers = {
        end: 'Content-Length: 4\r\n',
        write: 'Transfer-Encoding: chunked\r\n',
        tryEnd: 'Content-Length: 10\r\n',
      };
      assert.equal(await sent(t, way, { method: 'HEAD' }), `${HEAD}${headers[name]}\r\n`);
      for (const status of ['204 No Content', '304 Not Modified']) {
        const expected = HEAD.replace('200 OK', status);
        const handler = (res) => way(res.writeStatus(status));
        assert.equal(await sent(t, handler), `${expected}\r\n`);
      }
    });
  }
});

describe('addresses', () => {
  it('of a client on IPv4 and IPv6, as bytes and as text, and none of a proxy', async (t) => {
    const seen = [];
    const { app } = serve(t, (app) =>
      app.get('/*', (res) => {
        const proxied = [res.getProxiedRemoteAddress(), res.getProxiedRemoteAddressAsText()];
        seen.push([
          Buffer.from(res.getRemoteAddress()).toString('hex'),
          Buffer.from(res.getRemoteAddressAsText()).toString(),
          ...proxied.map(({ byteLength }) => byteLength),
          res.getRemotePort() > 0,
          res.getProxiedRemotePort(),
        ]);
        res.end();
      }),
    );
    const { uWS } = require('./support/uws.js');
    for (const host of ['127.0.0.1', '::1', '::']) {
      let port;
      app.listen(host, 0, (token) => (port = token && uWS.us_socket_local_port(token)));
      if (!port) continue;
      const client = await RawSocket.connect(port, { host: host === '::' ? '127.0.0.1' : host });
      client.write(request('/'));
      await client.readResponse();
      client.destroy();
    }
    assert.deepEqual(seen.slice(0, 1), [['7f000001', '127.0.0.1', 0, 0, true, 0]]);
    const v6 = ['00000000000000000000000000000001', '0000:0000:0000:0000:0000:0000:0000:0001', 0, 0, true, 0];
    const mapped = ['00000000000000000000ffff7f000001', '0000:0000:0000:0000:0000:ffff:7f00:0001', 0, 0, true, 0];
    // Without IPv6, only the first address can be tested.
    if (seen.length === 3) assert.deepEqual(seen.slice(1), [v6, mapped]);
  });
});
