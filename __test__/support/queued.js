'use strict';

// Kills one of two processes on a port while connections wait to be accepted by it, and prints what became of them as
// JSON. It runs in a network namespace of its own, whose settings it changes.
//
//     unshare --map-root-user --net node queued.js PROGRAM 0|1      the value of net.ipv4.tcp_migrate_req

const { execFileSync, fork } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const { listeningSockets } = require('./listening.js');
const { until } = require('./wait.js');

const CONNECTIONS = 40;
const REQUEST = 'GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';

async function main(program, migrates) {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  fs.writeFileSync('/proc/sys/net/ipv4/tcp_migrate_req', migrates);
  const [victim, port] = await start(program, 0);
  const [other] = await start(program, port);
  // It no longer accepts, but the kernel still completes handshakes for it.
  victim.kill('SIGSTOP');

  const answers = [];
  const codes = [];
  for (let i = 0; i < CONNECTIONS; i += 1) {
    const socket = net.connect(port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (data) => (text += data));
    socket.on('error', ({ code }) => codes.push(code));
    socket.on('end', () => answers.push(text.endsWith(`\r\n\r\n${other.pid}`)));
    await once(socket, 'connect');
    socket.write(REQUEST);
  }
  await until(
    () => answers.length + listeningSockets(victim.pid)[0].queued === CONNECTIONS,
    'answer of the other process',
  );
  const before = answers.length;
  const queued = CONNECTIONS - before;
  victim.kill('SIGKILL');
  await until(() => answers.length + codes.length === CONNECTIONS, 'end of all connections');
  const answered = answers.slice(before).filter(Boolean).length;
  console.log(JSON.stringify({ queued, codes, answered }));
  other.kill('SIGKILL');
}

async function start(program, port) {
  const child = fork(program, [String(port)]);
  const [message] = await once(child, 'message');
  return [child, message.port];
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
