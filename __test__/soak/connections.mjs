// Many connections at once, under the settings of the kernel in docs/OPERATIONS.md, in a network namespace that has
// them: all are served, none finds a full queue, and idle ones take no more of the kernel's memory than the document
// calculates with.
//
//     node __test__/soak/connections.mjs           12,000 WebSockets
//     node __test__/soak/connections.mjs --full    100,000
//
// A process has as many as a limit of 20,000 descriptors allows. Both ends of each connection are on this machine, so
// half of the kernel's memory is the server's. It prints its measurements, and exits with code 1 if they exceed the
// limits. Reading /proc/slabinfo takes root; where that or namespaces are missing, it says so and tests nothing.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { buildLoadgen } from '../../bench/loadgen.mjs';
import { snippet } from '../operations/snippets.mjs';
import { main, startServer } from './parts/processes.js';

const PER_PROCESS = 18_000;
/** Those of each server that are not measured: they fill what the kernel has once. */
const FEW_PER_SERVER = 2_000;
const PAGE = 4096;
/** The kernel's bytes for one end of a connection: docs/OPERATIONS.md calculates with 4,000, and kernels differ. */
const MAX_KERNEL_BYTES = 5_000;
/** What a connection needs. Other caches grow by what else happens on the machine. */
const CACHES = /^(TCP|TCPv6|sock_inode_cache|filp|dentry|eventpoll_epi|eventpoll_pwq|ep_head|inet_\w+|tcp_bind\w*)$/;

const full = process.argv.includes('--full');
const connections = full ? 100_000 : 12_000;

/** Applies the settings that a network namespace has of its own, and prints which those are. */
function applySettings() {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const applied = [];
  for (const [, key, value] of snippet('sysctl for 100,000').matchAll(/^([\w.]+) = (.*)$/gm)) {
    const file = `/proc/sys/${key.replaceAll('.', '/')}`;
    // The others are those of the whole machine.
    if (!key.startsWith('net.') || !fs.existsSync(file)) continue;
    fs.writeFileSync(file, value);
    applied.push(key);
  }
  console.log(`settings: ${applied.join(', ')}`);
}

/** Opens WebSockets that have each echoed a message, and stay; resolves to the process that has them. */
async function hold(loadgen, server, count, sources) {
  const options = { address: `127.0.0.1:${server.port}`, connections: count, sources: 2, 'first-source': sources };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const holder = spawn(loadgen, ['idle', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: holder.stdout });
  const [line] = await Promise.race([once(lines, 'line'), once(lines, 'close').then(() => ['{}'])]);
  assert.deepEqual(JSON.parse(line), { open: count });
  return holder;
}

/** Returns the bytes in use by the objects of each cache (slabinfo(5): name, active_objs, num_objs, objsize). */
function readCaches() {
  const caches = new Map();
  for (const line of fs.readFileSync('/proc/slabinfo', 'utf8').split('\n').slice(2, -1)) {
    const [name, active, , length] = line.split(/\s+/);
    if (CACHES.test(name)) caches.set(name, Number(active) * Number(length));
  }
  return caches;
}

/** Returns the bytes of the buffers of all TCP sockets. */
function readBuffers() {
  return Number(/^TCP:.* mem (\d+)$/m.exec(fs.readFileSync('/proc/net/sockstat', 'utf8'))[1]) * PAGE;
}

/** Returns how many connections have found a full queue (`nstat -az TcpExtListenOverflows TcpExtListenDrops`). */
function readRefused() {
  const [names, values] = fs.readFileSync('/proc/net/netstat', 'utf8').split('\n');
  const of = (name) => Number(values.split(' ')[names.split(' ').indexOf(name)]);
  return of('ListenOverflows') + of('ListenDrops');
}

const readMemory = () => ({ caches: readCaches(), buffers: readBuffers() });

async function test(loadgen) {
  applySettings();
  const servers = [];
  while (servers.length * PER_PROCESS < connections) servers.push(await startServer('--without-close'));
  const [most, first] = [connections / servers.length, FEW_PER_SERVER];
  const holders = [];
  const open = async (count, sources) => {
    const opened = servers.map((server, index) => hold(loadgen, server, count(index), sources + index * 2));
    holders.push(...(await Promise.all(opened)));
  };
  await open(() => first, 2);
  const before = readMemory();
  const start = performance.now();
  await open((index) => Math.floor(most * (index + 1)) - Math.floor(most * index) - first, 102);
  const seconds = (performance.now() - start) / 1000;
  const after = readMemory();
  const counts = await Promise.all(servers.map((server) => server.ask({ ask: 'counts' })));
  for (const holder of holders) holder.kill();
  for (const server of servers) await server.kill();

  const served = counts.reduce((sum, count) => sum + count.connections, 0);
  assert.equal(served, connections);
  const measured = connections - servers.length * first;
  console.log(`${connections} connections to ${servers.length} processes, ${(measured / seconds).toFixed(0)} a second`);
  assert.equal(readRefused(), 0, 'connections that have found a full queue');
  judge(before, after, measured);
}

/** Prints what each connection takes, and compares it with the limits. */
function judge(before, after, count) {
  let kernel = 0;
  for (const [name, bytes] of after.caches) {
    const growth = (bytes - (before.caches.get(name) ?? 0)) / (2 * count);
    if (Math.round(growth) === 0) continue;
    kernel += growth;
    console.log(`${name}: ${growth.toFixed(0)}`);
  }
  console.log(`buffers: ${((after.buffers - before.buffers) / (2 * count)).toFixed(0)}`);
  console.log(`the kernel's memory for one end: ${kernel.toFixed(0)} bytes, of at most ${MAX_KERNEL_BYTES}`);
  assert.ok(kernel > 1000 && kernel <= MAX_KERNEL_BYTES, `${kernel} bytes of the kernel's memory`);
}

/** Returns why this cannot run here, or undefined. */
function reasonToSkip() {
  try {
    fs.accessSync('/proc/slabinfo', fs.constants.R_OK);
  } catch (error) {
    return error.message;
  }
  const { status } = spawnSync('unshare', ['--map-root-user', '--net', 'ip', 'link', 'set', 'lo', 'up']);
  return status === 0 ? undefined : 'network namespaces cannot be made';
}

const file = fileURLToPath(import.meta.url);
const inner = process.argv.indexOf('--inside');
if (inner > 0) {
  await main(() => test(process.argv[inner + 1]));
} else {
  const reason = reasonToSkip();
  if (reason === undefined) {
    const args = ['--map-root-user', '--net', process.execPath, file, ...(full ? ['--full'] : []), '--inside'];
    process.exitCode = spawnSync('unshare', [...args, await buildLoadgen()], { stdio: 'inherit' }).status ?? 1;
  } else {
    console.log(`Skipped: ${reason}`);
    if (process.env.CI === 'true') process.exitCode = 1;
  }
}
