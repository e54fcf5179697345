'use strict';

// The lines that MILLIWAYS_DEBUG turns on. Each test runs in a process of its own, whose stderr it reads.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { Script } = require('./support/Script.js');
const { clear, overTLS } = require('./support/tls.js');
const { ours } = require('./support/uws.js');

/** The format that docs/DIAGNOSTICS.md describes. */
const LINE =
  /^milliways\[(?<pid>\d+)\/(?<thread>\d+)\] (?<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?<category>[a-z]+) (?<event>\w+)(?<fields>( \w+=("[^"]*"|[^ "]+))*)$/;

/** Returns the lines of a text, taken apart, with what differs from run to run replaced. */
function parsed(stderr) {
  return stderr
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      assert.match(line, LINE);
      const { category, event, fields } = LINE.exec(line).groups;
      const shown = fields
        .replace(/remote=127\.0\.0\.1:\d+/, 'remote=-')
        .replace(/port=\d+/, 'port=-')
        .replace(/tls=(true|false)/, (_, secure) => {
          assert.equal(secure, String(overTLS));
          return 'tls=-';
        });
      return `${category} ${event}${shown}`;
    });
}

/** A server and a few clients that do right and wrong. */
const scenario = async ({ App, uWS, RawSocket: Client, frames, overTLS: isSecure }) => {
  const secure = isSecure ? 'tls' : 'plain';
  let port;
  const app = App({ maxHeaderSize: 1024 })
    .ws('/*', { maxPayloadLength: 10 })
    .post('/*', (res) => {
      res.onAborted(() => {});
      res.onData((_, isLast) => isLast && res.end('response-secret'));
    });
  app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));

  const http = await Client.connect(port);
  http.write(
    'POST /path-secret?query-secret HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nCookie: header-secret\r\n\r\nbody-secret',
  );
  await http.readResponse();
  http.end();
  await http.readToEnd();
  http.destroy();

  const large = await Client.connect(port);
  large.write(`GET / HTTP/1.1\r\nHost: x\r\nLong: ${'header-secret'.repeat(200)}\r\n\r\n`);
  await large.readToEnd();
  large.destroy();

  const socket = await Client.upgrade(port, '/path-secret');
  socket.write(Buffer.concat([frames.text('secret'), frames.text('message-secret')]));
  await socket.readToEnd();
  socket.destroy();
  while (app.stats().connections[secure].closing > 0) await new Promise(setImmediate);
  await app.shutdown();
};

async function linesOf(categories, main = scenario) {
  const { code, stderr, reports } = await Script.run(main, { env: { MILLIWAYS_DEBUG: categories } });
  assert.deepEqual({ code, reports }, { code: 0, reports: [] });
  assert.doesNotMatch(stderr, /secret/);
  return parsed(stderr);
}

const CONNECTIONS = [
  'connections listen app=0 address=127.0.0.1 port=-',
  'connections connect app=0 connection=1 remote=- tls=-',
  'connections close app=0 connection=1 remote=- tls=- protocol=http reason=fin',
  'connections connect app=0 connection=2 remote=- tls=-',
  'connections error app=0 connection=2 kind=http code=HEAD_TOO_LARGE count=1',
  'connections close app=0 connection=2 remote=- tls=- protocol=http reason=refused',
  'connections connect app=0 connection=3 remote=- tls=-',
  'connections upgrade app=0 connection=3 remote=- tls=- compression=false',
  'connections error app=0 connection=3 kind=webSocket code=MESSAGE_TOO_BIG count=1',
  'connections close app=0 connection=3 remote=- tls=- protocol=webSocket reason=protocolError code=1006',
  'connections shutdown app=0 phase=begin code=1001 timeout=10000',
  'connections shutdown app=0 phase=end closed=0 forced=0',
];
const LIMITS = [
  'limits limit app=0 connection=2 remote=- limit=maxHeaderSize count=1',
  'limits limit app=0 connection=3 remote=- limit=maxPayloadLength count=1',
];
const HTTP = [
  'http request app=0 connection=1 method=POST',
  'http response app=0 connection=1 class=2xx',
  'http response app=0 connection=2 class=4xx',
  'http request app=0 connection=3 method=GET',
];

/** Returns the lines about errors and ends of a protocol, of which each category has its own. */
const only = (category, protocol) =>
  CONNECTIONS.filter((line) => new RegExp(`(kind|protocol)=${protocol}\\b`).test(line)).map((line) =>
    line.replace('connections', category),
  );

describe('MILLIWAYS_DEBUG', ours, () => {
  it('connections: has a line for each connection, from its beginning to its end', async () => {
    assert.deepEqual(await linesOf('connections'), CONNECTIONS);
  });

  it('limits: has a line for each limit that is exceeded', async () => {
    assert.deepEqual(await linesOf('limits'), LIMITS);
  });

  it('http: has a line for each request, response, error and end of HTTP', async () => {
    assert.deepEqual((await linesOf('http')).sort(), [...HTTP, ...only('http', 'http')].sort());
  });

  it('ws: has a line for each upgrade, error and end of a WebSocket', async () => {
    const upgrade = 'ws upgrade app=0 connection=3 remote=- tls=- compression=false';
    assert.deepEqual(await linesOf('ws'), [upgrade, ...only('ws', 'webSocket')]);
  });

  it('tls: has a line for each handshake', async () => {
    const handshake = (id) => `tls handshake app=0 connection=${id} resumed=false`;
    assert.deepEqual(await linesOf('tls'), overTLS ? [1, 2, 3].map(handshake) : []);
  });

  it('several: have one line for an event that belongs to all of them, with the first', async () => {
    const lines = await linesOf(' WS ,limits,, connections,http');
    assert.deepEqual(lines.sort(), [...CONNECTIONS, ...LIMITS, ...HTTP].sort());
  });

  it('is not set: nothing is written', async () => {
    for (const MILLIWAYS_DEBUG of [undefined, '', ' , ']) {
      const { code, stderr } = await Script.run(scenario, { env: { MILLIWAYS_DEBUG } });
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    }
  });

  it('an unknown category is warned of, and the others are on', async () => {
    const main = ({ App }) => {
      const app = App();
      app.listen('127.0.0.1', 0, () => app.close());
    };
    const { code, stderr } = await Script.run(main, { env: { MILLIWAYS_DEBUG: 'connection,connections' } });
    assert.equal(code, 0);
    const text =
      "[WARN_MILLIWAYS_DEBUG] Warning: MILLIWAYS_DEBUG has no category 'connection'. " +
      'Its categories are connections, http, ws, tls, limits, separated by commas.';
    const lines = stderr.split('\n');
    assert.ok(
      lines.some((line) => line.endsWith(text)),
      stderr,
    );
    assert.ok(
      lines.some((line) => LINE.exec(line)?.groups.event === 'listen'),
      stderr,
    );
  });

  it('shows the thread, and every line is whole, whatever other threads write', async () => {
    const main = async ({ startWorker, RawSocket: Client }) => {
      const { once } = require('node:events');
      const workers = Array.from({ length: 3 }, () =>
        startWorker(({ App, uWS }, parentPort) => {
          const app = App().get('/*', (res) => res.end());
          app.listen('127.0.0.1', 0, (token) => parentPort.postMessage(uWS.us_socket_local_port(token)));
          parentPort.once('message', () => app.close());
        }),
      );
      const ports = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
      const ask = async (port) => {
        const client = await Client.connect(port);
        for (let i = 0; i < 100; i += 1) {
          client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
          await client.readResponse();
        }
        client.destroy();
      };
      await Promise.all(ports.map(ask));
      workers.forEach((worker) => worker.postMessage('end'));
    };
    const { code, stderr } = await Script.run(main, { env: { MILLIWAYS_DEBUG: 'http' }, timeout: 60_000 });
    assert.equal(code, 0);
    parsed(stderr);
    const threads = stderr
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.includes(' request '))
      .map((line) => LINE.exec(line).groups.thread);
    const counts = [...new Set(threads)].map((thread) => threads.filter((other) => other === thread).length);
    assert.deepEqual(counts, [100, 100, 100]);
  });

  it(
    'what has happened before the process crashes is written',
    clear('the handshake has no part in this'),
    async () => {
      const main = async ({ App, uWS, RawSocket: Client }) => {
        let port;
        const app = App().get('/*', () => {
          throw new Error('the end');
        });
        app.listen('127.0.0.1', 0, (token) => (port = uWS.us_socket_local_port(token)));
        const client = await Client.connect(port);
        client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      };
      const { code, stderr } = await Script.run(main, { env: { MILLIWAYS_DEBUG: 'http' } });
      assert.notEqual(code, 0);
      const lines = stderr
        .split('\n')
        .filter((line) => LINE.test(line))
        .map((line) => LINE.exec(line).groups.event);
      assert.ok(lines.includes('request'), stderr);
    },
  );

  it('a stderr that nobody reads does not matter', async () => {
    const main = ({ App, report }) => {
      require('node:fs').closeSync(2);
      const app = App();
      app.listen('127.0.0.1', 0, (token) => report('listening', token !== false));
      app.close();
    };
    const { code, reports } = await Script.run(main, { env: { MILLIWAYS_DEBUG: 'connections' } });
    assert.deepEqual({ code, reports }, { code: 0, reports: [['listening', true]] });
  });
});
