'use strict';

// The module's functions that belong to no class: forms, key-value pairs, and what is not supported.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { Script } = require('./support/Script.js');
const { uWS, ours } = require('./support/uws.js');

const text = (data) => Buffer.from(data).toString('latin1');

describe('getParts', () => {
  const body =
    '--X\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n' +
    '--X\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--X--\r\n';
  const read = (...args) => uWS.getParts(...args)?.map(({ data, ...rest }) => ({ data: text(data), ...rest }));

  it('takes a form apart', () => {
    const expected = [
      { data: 'one', name: 'a' },
      { data: 'two', name: 'f', filename: 'x.txt', type: 'text/plain' },
    ];
    const type = 'multipart/form-data; boundary=X';
    assert.deepEqual(read(body, type), expected);
    assert.deepEqual(read(new TextEncoder().encode(body).buffer, type), expected);
    assert.ok(uWS.getParts(body, type)[0].data instanceof ArrayBuffer);
  });

  it('reads what browsers and undici send', ours, async () => {
    const form = new FormData();
    form.append('a', 'é');
    form.append('f', new Blob(['\r\n--x\0']), 'n"m.bin');
    const response = new Response(form);
    const parts = read(await response.clone().arrayBuffer(), response.headers.get('content-type'));
    assert.deepEqual(parts, [
      { data: Buffer.from('é').toString('latin1'), name: 'a' },
      { data: '\r\n--x\0', name: 'f', filename: 'n%22m.bin', type: 'application/octet-stream' },
    ]);
  });

  for (const [parameters, expected] of [
    ["name=f; filename=plain; filename*=UTF-8''%e2%82%ac%20rates.txt", { name: 'f', filename: '€ rates.txt' }],
    ["name=f; filename*=iso-8859-1'de'%DCbung", { name: 'f', filename: 'Übung' }],
    ["name=f; filename=plain; filename*=UTF-8''%ff", { name: 'f', filename: 'plain' }],
    ['name="f"; filename="a\\"', { name: 'f', filename: 'a\\' }],
    ['name="f\\"g"; filename="C:\\a \\"b\\".txt"', { name: 'f"g', filename: 'C:\\a "b".txt' }],
    ['name=f; filename=a b.txt', { name: 'f', filename: 'a b.txt' }],
    ['flag; name="f" word; filename="a"', { name: 'f', filename: 'a' }],
    ['\r\n name="f";\r\n filename="a"', { name: 'f', filename: 'a' }],
  ]) {
    it(`gives all names of: ${JSON.stringify(parameters)}`, ours, () => {
      const form = `--X\r\nContent-Disposition: form-data; ${parameters}\r\n\r\nx\r\n--X--\r\n`;
      assert.deepEqual(read(form, 'multipart/form-data; boundary=X'), [{ data: 'x', ...expected }]);
    });
  }

  it('is undefined for what is no form', () => {
    assert.equal(uWS.getParts(body, 'text/plain'), undefined);
    assert.equal(uWS.getParts(body, 'multipart/form-data'), undefined);
    assert.equal(uWS.getParts(body), undefined);
  });

  it('is empty for a form of another boundary, or of nothing', () => {
    assert.deepEqual(uWS.getParts(body, 'multipart/form-data; boundary=Y'), []);
    assert.deepEqual(uWS.getParts('', 'multipart/form-data; boundary=X'), []);
  });
});

describe('key-value pairs', ours, () => {
  it('are strings and numbers of 32 bits, in collections', () => {
    assert.equal(uWS.getString('k'), '');
    assert.equal(uWS.getInteger('k'), 0);
    assert.equal(uWS.setString('k', 'é'), undefined);
    assert.equal(uWS.setString('k', 'other', 'c'), undefined);
    assert.equal(uWS.setInteger('k', 10.7), undefined);
    assert.deepEqual([uWS.getString('k'), uWS.getString('k', 'c'), uWS.getInteger('k')], ['é', 'other', 10]);
    assert.equal(uWS.incInteger('k', 5), 15);
    assert.equal(uWS.incInteger('new', -2, 'c'), -2);
    assert.equal(uWS.incInteger('k', 2 ** 31 - 1), -(2 ** 31) + 14);
    assert.deepEqual([uWS.getStringKeys(), uWS.getStringKeys('c'), uWS.getIntegerKeys('c')], [['k'], ['k'], ['new']]);
    uWS.deleteString('k');
    uWS.deleteInteger('k');
    uWS.deleteStringCollection('c');
    uWS.deleteIntegerCollection('c');
    assert.deepEqual([uWS.getString('k'), uWS.getInteger('k'), uWS.getString('k', 'c')], ['', 0, '']);
    assert.deepEqual([uWS.getStringKeys(), uWS.getStringKeys('c'), uWS.getIntegerKeys('no')], [[], [], []]);
    assert.throws(() => uWS.setString('k'), { code: 'ERR_MILLIWAYS_MISSING_ARGUMENT' });
    assert.throws(() => uWS.setString({}, 'v'), { code: 'ERR_MILLIWAYS_INVALID_DATA' });
  });

  it('have keys that can be given back, whatever their bytes', ours, () => {
    const binary = Buffer.from('ff00', 'hex');
    for (const key of ['text', binary]) {
      uWS.setString(key, 'value', 'keys');
      uWS.setInteger(key, 1, 'keys');
    }
    for (const keys of [uWS.getStringKeys('keys'), uWS.getIntegerKeys('keys')]) {
      assert.deepEqual([keys[0], Buffer.from(keys[1])], ['text', binary]);
    }
    for (const key of uWS.getStringKeys('keys')) uWS.deleteString(key, 'keys');
    for (const key of uWS.getIntegerKeys('keys')) uWS.deleteInteger(key, 'keys');
    assert.deepEqual([uWS.getStringKeys('keys'), uWS.getIntegerKeys('keys')], [[], []]);
  });

  it('belong to all threads, which add to them without losing any, and can lock the others out', async () => {
    const { code, stderr, reports } = await Script.run(
      async ({ uWS, report, startWorker }) => {
        const worker = ({ uWS }, parentPort) => {
          for (let i = 0; i < 1000; i += 1) uWS.incInteger('sum', 1);
          for (let i = 0; i < 1000; i += 1) {
            uWS.lock();
            uWS.lock();
            uWS.setInteger('locked', uWS.getInteger('locked') + 1);
            uWS.unlock();
            uWS.unlock();
          }
          // An unlock too many does no harm.
          uWS.unlock();
          parentPort.postMessage('done');
        };
        const workers = Array.from({ length: 3 }, () => startWorker(worker));
        await Promise.all(workers.map((one) => new Promise((resolve) => one.once('exit', resolve))));
        report(uWS.getInteger('sum'), uWS.getInteger('locked'));
      },
      { timeout: 60_000 },
    );
    assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: [[3000, 3000]] });
  });

  it('are unlocked when the thread that has locked them ends', async () => {
    const { code, reports } = await Script.run(
      async ({ uWS, report, startWorker }) => {
        const worker = ({ uWS }, parentPort) => {
          uWS.lock();
          parentPort.postMessage('locked');
          for (;;);
        };
        const one = startWorker(worker);
        await new Promise((resolve) => one.once('message', resolve));
        await one.terminate();
        report(uWS.getString('anything'));
      },
      { timeout: 60_000 },
    );
    assert.deepEqual({ code, reports }, { code: 0, reports: [['']] });
  });
});

describe('what the module says of itself', ours, () => {
  it('H3App is refused with a reason', () => {
    assert.throws(() => uWS.H3App(), { code: 'ERR_MILLIWAYS_NOT_SUPPORTED', message: /HTTP\/3 is not supported/ });
  });

  it('_cfg with a certain key keeps responses from naming the interface', async () => {
    const { reports } = await Script.run(async ({ App, uWS, RawSocket: Client, report }) => {
      const app = App().get('/*', (res) => res.end('ok'));
      app.listen('127.0.0.1', 0, async (token) => {
        const client = await Client.connect(uWS.us_socket_local_port(token));
        for (const key of [undefined, 'x', '999999990007']) {
          report(uWS._cfg(key) === undefined);
          client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
          report((await client.readResponse()).head.replace(/Date: .*/, 'Date: -'));
        }
        client.destroy();
        app.close();
      });
    });
    const named = 'HTTP/1.1 200 OK\r\nDate: -\r\nuWebSockets: 20\r\nContent-Length: 2\r\n\r\n';
    const unnamed = named.replace('uWebSockets: 20\r\n', '');
    assert.deepEqual(reports, [[true], [named], [true], [named], [true], [unnamed]]);
  });
});
