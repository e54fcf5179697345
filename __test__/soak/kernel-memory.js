'use strict';

// Measures what an idle connection takes of the kernel's memory, beside that of the process: how much its caches of
// objects grow from 2,000 to 12,000 WebSockets, each of which has echoed a message. docs/OPERATIONS.md has the result.
//
//     node __test__/soak/kernel-memory.js
//
// Both ends of each connection are on this machine, so half of the growth is the server's. It prints the bytes of each
// cache and in all, for one end, and exits with code 1 if they exceed MAX_BYTES. Reading /proc/slabinfo takes root.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { startServer, startClient, main } = require('./parts/processes.js');

const FEW = 2_000;
const MANY = 12_000;
/** Keeps each client process, and the server, below a limit of 20,000 descriptors. */
const CLIENTS = 2;
const PAGE = 4096;
/** What docs/OPERATIONS.md calculates with. */
const MAX_BYTES = 5_000;
/** What a connection needs. Other caches grow by what else happens on the machine. */
const CACHES = /^(TCP|TCPv6|sock_inode_cache|filp|dentry|eventpoll_epi|eventpoll_pwq|ep_head|inet_\w+|tcp_bind\w*)$/;

main(async () => {
  try {
    fs.accessSync('/proc/slabinfo', fs.constants.R_OK);
  } catch (error) {
    console.log(`Skipped: ${error.message}`);
    if (process.env.CI === 'true') process.exitCode = 1;
    return;
  }
  const server = await startServer();
  const clients = Array.from({ length: CLIENTS }, () => startClient(server.port));
  const open = (total) => Promise.all(clients.map((client) => client.ask({ command: 'open', count: total / CLIENTS })));

  await open(FEW);
  const [cachesBefore, buffersBefore] = [readCaches(), readBuffers()];
  await open(MANY - FEW);
  const [caches, buffers] = [readCaches(), readBuffers()];
  for (const one of [...clients, server]) await one.kill();

  const ends = 2 * (MANY - FEW);
  let sum = 0;
  for (const [name, bytes] of caches) {
    const growth = (bytes - (cachesBefore.get(name) ?? 0)) / ends;
    if (Math.round(growth) === 0) continue;
    sum += growth;
    console.log(`${name}: ${growth.toFixed(0)}`);
  }
  console.log(`buffers: ${((buffers - buffersBefore) / ends).toFixed(0)}`);
  console.log(`one end of an idle connection: ${sum.toFixed(0)} bytes of kernel memory, of at most ${MAX_BYTES}`);
  assert.ok(sum > 1000 && sum <= MAX_BYTES, `an idle connection takes ${sum} bytes of the kernel's memory`);
});

/** Returns the bytes in use by the objects of each cache (slabinfo(5): name, active_objs, num_objs, objsize). */
function readCaches() {
  const caches = new Map();
  for (const line of fs.readFileSync('/proc/slabinfo', 'utf8').split('\n').slice(2, -1)) {
    const [name, active, , size] = line.split(/\s+/);
    if (CACHES.test(name)) caches.set(name, Number(active) * Number(size));
  }
  return caches;
}

/** Returns the bytes of the buffers of all TCP sockets. */
function readBuffers() {
  return Number(/^TCP:.* mem (\d+)$/m.exec(fs.readFileSync('/proc/net/sockstat', 'utf8'))[1]) * PAGE;
}
