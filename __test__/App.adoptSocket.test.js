'use strict';

// Connections that something else has accepted.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const { describe, it } = require('node:test');
const frames = require('./support/frames.js');
const { RawSocket } = require('./support/RawSocket.js');
const { App, serve } = require('./support/server.js');
const { clear } = require('./support/tls.js');
const { ours, root } = require('./support/uws.js');
const { noConnectionLeft, deadline } = require('./support/wait.js');

const plain = { ...ours, ...clear('the programs have no certificate') };

/** A program that serves the connection that its parent has passed as descriptor 3. */
const CHILD = `
  const app = require(${JSON.stringify(`${root}/dist/uws.js`)}).App().ws('/*', {
    open: (ws) => ws.send(Buffer.from(ws.getRemoteAddressAsText()) + ' ' + process.argv[1]),
    message: (ws, message) => ws.send(message),
  });
  app.adoptSocket(3, ...process.argv.slice(1));
`;

/** Accepts connections with node:net, and starts a program for each; returns the port. */
async function serveByPrograms(t, ...args) {
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    const program = spawn(process.execPath, ['-e', CHILD, ...args], { stdio: ['ignore', 'ignore', 'inherit', socket] });
    program.once('spawn', () => socket.destroy());
    server.emit('program', program);
  });
  t.after(() => server.close());
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const exit = new Promise((resolve) => server.once('program', (program) => program.once('exit', resolve)));
  return { port: server.address().port, exit };
}

describe('adoptSocket', plain, () => {
  it('serves a connection that a parent process has accepted, and the process ends with it', async (t) => {
    const { port, exit } = await serveByPrograms(t);
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(await client.readText(), '127.0.0.1 undefined');
    client.write(frames.text('echo'));
    assert.equal(await client.readText(), 'echo');
    client.write(frames.close(1000));
    await client.readToEnd();
    client.destroy();
    assert.equal(await deadline(exit, 'end of the program'), 0);
  });

  it('shows the address that it is called with', async (t) => {
    const { port } = await serveByPrograms(t, '203.0.113.7');
    const client = await RawSocket.upgrade(port, '/');
    assert.equal(await client.readText(), '203.0.113.7 203.0.113.7');
    client.destroy();
  });

  it('refuses what is not a connection, and leaves it as it is', async (t) => {
    const app = App();
    t.after(() => app.close());
    const file = fs.openSync(__filename);
    const server = net.createServer().listen(0);
    await new Promise((resolve) => server.once('listening', resolve));
    const invalid = [
      file,
      server._handle.fd,
      0,
      1,
      2,
      1_000_000,
      -1,
      0.5,
      NaN,
      2 ** 31,
      '3',
      null,
      undefined,
      {},
      1n,
      Symbol('x'),
    ];
    for (const value of invalid) {
      assert.throws(() => app.adoptSocket(value), { code: 'ERR_MILLIWAYS_INVALID_SOCKET' }, String(value));
    }
    assert.throws(() => app.adoptSocket(), { code: 'ERR_MILLIWAYS_MISSING_ARGUMENT' });
    assert.throws(() => app.adoptSocket(0, '::1', 1), { code: 'ERR_MILLIWAYS_NOT_SUPPORTED' });
    for (const ip of ['localhost', '', '1.2.3', '::1%lo', '1.2.3.4:80', new Uint8Array(5)]) {
      assert.throws(() => app.adoptSocket(file, ip), { code: 'ERR_MILLIWAYS_INVALID_ADDRESS' }, String(ip));
    }
    for (const ip of [7, null, {}, Symbol('x')]) {
      assert.throws(() => app.adoptSocket(file, ip), { code: 'ERR_MILLIWAYS_INVALID_DATA' }, String(ip));
    }
    // The file can be read, and the server accepts.
    assert.equal(fs.readSync(file, Buffer.alloc(10)), 10);
    fs.closeSync(file);
    const accepted = new Promise((resolve) => server.once('connection', resolve));
    const client = net.connect(server.address().port);
    (await accepted).destroy();
    client.destroy();
    server.close();
  });

  it('refuses every connection that an app has already, whichever number a program tries', async (t) => {
    const { app, port } = serve(t, (it) => it.ws('/*', { message: (ws, message) => ws.send(message) }));
    const clients = [];
    for (let i = 0; i < 10; i += 1) clients.push(await RawSocket.upgrade(port, '/'));
    // The descriptors of the server's ends, as the kernel shows them.
    const sockets = fs
      .readdirSync('/proc/self/fd')
      .map(Number)
      .filter((fd) => isSocketOf(fd, port));
    assert.equal(sockets.length, 10);
    for (const fd of sockets) {
      assert.throws(() => app.adoptSocket(fd), { code: 'ERR_MILLIWAYS_INVALID_SOCKET', message: /already/ });
    }
    for (const [i, client] of clients.entries()) {
      client.write(frames.text(`still ${i}`));
      assert.equal(await client.readText(), `still ${i}`);
      client.destroy();
    }
    await noConnectionLeft();
  });
});

/** Whether a descriptor of this process is the server's end of a connection of a port. */
function isSocketOf(fd, port) {
  const link = readLink(fd);
  const inode = /^socket:\[(\d+)\]$/.exec(link ?? '')?.[1];
  if (inode === undefined) return false;
  const local = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = ['tcp', 'tcp6'].flatMap((table) => fs.readFileSync(`/proc/self/net/${table}`, 'utf8').split('\n'));
  const ESTABLISHED = '01';
  return lines
    .map((line) => line.trim().split(/\s+/))
    .some((fields) => fields[9] === inode && fields[1].endsWith(`:${local}`) && fields[3] === ESTABLISHED);
}

function readLink(fd) {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}
