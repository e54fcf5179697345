'use strict';

// In worker processes of node:cluster, this server behaves as Node's own servers do.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs/promises');
const os = require('node:os');
const path = require('node:path');
const { describe, it } = require('node:test');
const { modulePath, ours } = require('./support/uws.js');

/** Runs a program whose worker processes serve, and returns the lines it reports, parsed as JSON. */
async function run(t, primary, serve) {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'milliways-'));
  t.after(() => fs.rm(folder, { recursive: true }));
  const file = path.join(folder, 'program.js');
  const program = `
    const cluster = require('node:cluster');
    const { once } = require('node:events');
    const net = require('node:net');
    const uWS = require(${JSON.stringify(modulePath)});
    const report = (...values) => console.log(JSON.stringify(values));
    const parts = { cluster, folder: ${JSON.stringify(folder)}, net, once, report, uWS };
    (cluster.isPrimary ? ${primary} : ${serve})(parts);`;
  await fs.writeFile(file, program);
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 20_000 });
  child.stdout.setEncoding('utf8');
  let text = '';
  child.stdout.on('data', (data) => (text += data));
  const [code, signal] = await once(child, 'close');
  assert.deepEqual([code, signal], [0, null]);
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('a worker process of node:cluster', ours, () => {
  it('tells its primary that it listens, and ends when it is disconnected', async (t) => {
    const reports = await run(
      t,
      async function primary({ cluster, once, report }) {
        cluster.on('listening', (worker, address) => report('cluster', worker.id, address.port > 0));
        const [first] = [cluster.fork(), cluster.fork()];
        first.once('listening', ({ address, addressType }) => report('worker', address, addressType));
        const ports = [];
        while (ports.length < 2) ports.push((await once(cluster, 'listening'))[1].port);
        for (const port of ports) report('said', await (await fetch(`http://127.0.0.1:${port}/`)).text());
        cluster.on('exit', (worker, code, signal) => report('exit', code, signal, worker.exitedAfterDisconnect));
        cluster.disconnect(() => report('disconnected'));
      },
      function serve({ cluster, uWS }) {
        cluster.worker.once('listening', ({ port }) => process.send(port));
        uWS
          .App()
          .get('/*', (res) => res.end('hello', true))
          .listen('127.0.0.1', 0, (token) => {
            if (!token) throw new Error('not listening');
          });
      },
    );
    assert.deepEqual(reports.map(String).sort(), [
      'cluster,1,true',
      'cluster,2,true',
      'disconnected',
      'exit,0,,true',
      'exit,0,,true',
      'said,hello',
      'said,hello',
      'worker,127.0.0.1,4',
    ]);
  });

  it('may disconnect by itself, and serves those who are there to the end', async (t) => {
    const reports = await run(
      t,
      async function primary({ cluster, net, once, report }) {
        const worker = cluster.fork();
        const [{ port, address, addressType }] = await once(worker, 'listening');
        report('listening', address, addressType);
        const client = net.connect(port, '127.0.0.1');
        client.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
        const [answered, exited] = [once(client, 'data'), once(worker, 'exit')];
        await once(worker, 'disconnect');
        const refused = net.connect(port, '127.0.0.1');
        report((await once(refused, 'error'))[0].code);
        const [head] = await answered;
        report(String(head).split('\r\n')[0]);
        report('exit', ...(await exited));
      },
      function serve({ cluster, uWS }) {
        uWS
          .App()
          .get('/*', (res) => {
            res.onAborted(() => {});
            cluster.worker.disconnect();
            process.once('disconnect', () => setTimeout(() => res.cork(() => res.end('late', true)), 50));
          })
          .listen(0, () => {});
      },
    );
    assert.deepEqual(reports, [['listening', null, 4], ['ECONNREFUSED'], ['HTTP/1.1 200 OK'], ['exit', 0, null]]);
  });

  it('tells the address that the name of a host stands for', async (t) => {
    const reports = await run(
      t,
      async function primary({ cluster, net, once, report }) {
        const worker = cluster.fork();
        const [{ address, addressType }] = await once(worker, 'listening');
        report([4, 6].includes(addressType) && net.isIP(address) === addressType);
        worker.disconnect();
      },
      function serve({ uWS }) {
        uWS.App().listen('localhost', 0, () => {});
      },
    );
    assert.deepEqual(reports, [[true]]);
  });

  it('tells of paths, and nothing of what has failed', async (t) => {
    const reports = await run(
      t,
      async function primary({ cluster, folder, once, report }) {
        const worker = cluster.fork();
        worker.on('listening', ({ port, address, addressType }) =>
          report(port, address === `${folder}/s`, addressType),
        );
        report('exit', ...(await once(worker, 'exit')));
      },
      function serve({ cluster, folder, report, uWS }) {
        const app = uWS.App();
        app.listen('192.0.2.1', 0, (token) => report('token', token));
        app.listen_unix((token) => {
          uWS.us_listen_socket_close(token);
          cluster.worker.disconnect();
        }, `${folder}/s`);
      },
    );
    assert.deepEqual(reports.map(String).sort(), ['-1,true,-1', 'exit,0,', 'token,false']);
  });

  it('has the port to itself with LIBUS_LISTEN_EXCLUSIVE_PORT, and another worker is refused', async (t) => {
    const reports = await run(
      t,
      async function primary({ cluster, once, report }) {
        const first = cluster.fork({ PORT: 0 });
        const [{ port }] = await once(first, 'listening');
        const second = cluster.fork({ PORT: port });
        report('refused', ...(await once(second, 'message'))[0]);
        await once(second, 'exit');
        first.disconnect();
      },
      function serve({ uWS }) {
        uWS.App().listen('127.0.0.1', Number(process.env.PORT), uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (token, error) => {
          if (!token) process.send([error.code], () => process.exit());
        });
      },
    );
    assert.deepEqual(reports, [['refused', 'EADDRINUSE']]);
  });
});
