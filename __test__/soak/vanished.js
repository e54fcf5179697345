'use strict';

// Clients that vanish silently while their requests are pending: a pulled cable, a phone out of reach. The server must
// notice, and must not lose the clients that are still there. Server and clients are in separate network namespaces,
// and the clients' namespace loses its address, so that what is sent to it is dropped. The kernel needs about half a
// minute of real time.
//
//     node __test__/soak/vanished.js
//
// It prints its measurements, and exits with code 1 if a client was not noticed, or was lost. If namespaces cannot be
// created, it says so and tests nothing.

const assert = require('node:assert/strict');
const { execFileSync, spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const { setTimeout: delay } = require('node:timers/promises');

const SERVER = '10.99.0.1';
const CLIENT = '10.99.0.2';
/** Seconds within which the server has to notice all of them. */
const PATIENCE = 60;

const post = (path) => `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(50_000)}`;
/** What each client sends before it vanishes. The server writes to `/written` after that. */
const REQUESTS = {
  '/silent': 'GET /silent HTTP/1.1\r\nHost: h\r\n\r\n',
  '/written': 'GET /written HTTP/1.1\r\nHost: h\r\n\r\n',
  '/paused': post('/paused'),
};

const ip = (...args) => execFileSync('ip', args, { stdio: 'inherit' });

/** Runs in the outer namespace. */
async function serve() {
  const uWS = require('../../dist/uws.js');
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'name', 'server', 'type', 'veth', 'peer', 'name', 'client');
  ip('address', 'add', `${SERVER}/24`, 'dev', 'server');
  ip('link', 'set', 'server', 'up');

  const pending = new Map();
  const gone = new Map();
  const app = uWS.App();
  app.any('/*', (res, req) => {
    const url = req.getUrl();
    pending.set(url, res);
    res.onAborted(() => gone.set(url, Date.now()));
    if (url === '/paused') {
      res.onData(() => {});
      res.pause();
    }
  });
  let port;
  app.listen(0, (token) => {
    port = uWS.us_socket_local_port(token);
  });

  // Two clients on the loopback interface stay, one of which reads what is written to it.
  for (const url of ['/here', '/reader']) net.connect(port).resume().write(`GET ${url} HTTP/1.1\r\nHost: h\r\n\r\n`);

  const clients = spawn('unshare', ['--net', process.execPath, __filename, '--clients', String(port)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(clients, 'message');
  ip('link', 'set', 'client', 'netns', String(clients.pid));
  clients.send('connect');
  await once(clients, 'message');
  while (pending.size < Object.keys(REQUESTS).length + 2) await delay(10);
  clients.send('vanish');
  await once(clients, 'message');
  const start = Date.now();
  pending.get('/written').cork(() => pending.get('/written').write('x'));
  for (const end = start + PATIENCE * 1000; gone.size < Object.keys(REQUESTS).length && Date.now() < end;) {
    await delay(100);
    pending.get('/reader').cork(() => pending.get('/reader').write('x'));
  }
  for (const url of Object.keys(REQUESTS)) {
    assert.ok(gone.has(url), `${url}: was not noticed within ${PATIENCE} s`);
    console.log(`${url}: noticed after ${((gone.get(url) - start) / 1000).toFixed(1)} s`);
  }
  for (const url of ['/here', '/reader']) assert.ok(!gone.has(url), `${url}: was lost`);
  console.log('Whoever was still there was left alone.');
  process.exit();
}

/** Runs in the inner namespace. */
async function connect(port) {
  process.on('disconnect', () => process.exit());
  process.send('ready');
  await once(process, 'message');
  ip('address', 'add', `${CLIENT}/24`, 'dev', 'client');
  ip('link', 'set', 'client', 'up');
  for (const request of Object.values(REQUESTS)) {
    const socket = net.connect(port, SERVER);
    await once(socket, 'connect');
    socket.on('error', () => {}).write(request);
  }
  process.send('connected');
  await once(process, 'message');
  ip('address', 'delete', `${CLIENT}/24`, 'dev', 'client');
  process.send('vanished');
}

if (process.argv[2] === '--server') {
  serve().catch((error) => {
    console.error(error);
    process.exit(1);
  });
} else if (process.argv[2] === '--clients') {
  connect(Number(process.argv[3]));
} else if (
  spawnSync('unshare', ['--map-root-user', '--net', 'ip', 'link', 'add', 'name', 'x', 'type', 'veth']).status !== 0
) {
  console.log('Skipped: network namespaces cannot be made here.');
} else {
  const args = ['--map-root-user', '--net', process.execPath, __filename, '--server'];
  process.exitCode = spawnSync('unshare', args, { stdio: 'inherit' }).status;
}
