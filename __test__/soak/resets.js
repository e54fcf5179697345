'use strict';

// Clients that vanish. Connections reset in the middle of a frame (linger 0) and client processes killed with SIGKILL
// must leave neither connections nor memory behind.
//
//     node __test__/soak/resets.js            10,000 resets and 100 killed processes
//     node __test__/soak/resets.js --full     ten times as many, with the same limit
//
// It prints its measurements, and exits with code 1 if they exceed the limit.

const assert = require('node:assert/strict');
const { setTimeout: delay } = require('node:timers/promises');
const { startServer, startClient, anonymousMemory, main } = require('./parts/processes.js');

const RESETS = 10_000;
const KILLED_PROCESSES = 100;
const CONNECTIONS_PER_PROCESS = 20;
const PROCESSES_AT_ONCE = 10;
const ROUNDS_IN_FULL = 10;
/** A round before the measurement, in which buffers and V8's heap reach their sizes. */
const WARM_UP = { resets: 4_000, processes: 20 };
/**
 * The limit for the growth of anonymous memory, in bytes, however many rounds there are. V8's heap varies by a MiB or
 * two between collections. Leaking 42 bytes of each connection would take half a MiB in one round, and 5 MiB in ten.
 */
const MAX_GROWTH = 4 << 20;
/** Milliseconds for the server to notice that the last client is gone. */
const PATIENCE = 20_000;

main(async ({ full }) => {
  const server = await startServer();
  await round(server, WARM_UP);
  const before = await anonymousMemory(server);
  for (let i = 1; i <= (full ? ROUNDS_IN_FULL : 1); i += 1) {
    await round(server, { resets: RESETS, processes: KILLED_PROCESSES });
    const growth = (await anonymousMemory(server)) - before;
    console.log(`round ${i}: ${mebibytes(growth)} MiB more than ${mebibytes(before)} MiB after the warm-up`);
  }
  const growth = (await anonymousMemory(server)) - before;
  assert.ok(growth <= MAX_GROWTH, `memory has grown by ${growth} bytes, more than ${MAX_GROWTH}`);
  console.log('No connection and no memory was left behind.');
});

async function round(server, { resets, processes }) {
  const client = startClient(server.port);
  await client.ask({ command: 'reset', count: resets });
  await client.kill();
  const { opened } = await allGone(server);
  console.log(`${resets} connections were reset in the middle of a frame; ${opened} so far, all gone`);

  for (let started = 0; started < processes; started += PROCESSES_AT_ONCE) {
    const group = Array.from({ length: PROCESSES_AT_ONCE }, () => startClient(server.port));
    await Promise.all(group.map((one) => one.ask({ command: 'chatter', count: CONNECTIONS_PER_PROCESS })));
    await Promise.all(group.map((one) => one.kill('SIGKILL')));
  }
  const counts = await allGone(server);
  console.log(`${processes} processes with ${CONNECTIONS_PER_PROCESS} connections each were killed, all gone`);
  assert.equal(counts.opened - opened, processes * CONNECTIONS_PER_PROCESS);
}

/** Waits until the server has no connection left, and has closed every WebSocket that was opened. */
async function allGone(server) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const counts = await server.ask({ ask: 'counts' });
    // uWebSockets.js does not report its number of connections.
    if ((counts.connections ?? 0) === 0 && counts.opened === counts.closed) return counts;
    assert.ok(Date.now() < end, `left behind: ${JSON.stringify(counts)}`);
    await delay(20);
  }
}

function mebibytes(bytes) {
  return (bytes / (1 << 20)).toFixed(2);
}
