'use strict';

// Measures the total memory of an idle WebSocket, as the slope of the server's anonymous memory from 2,000 to 16,000
// connections, each of which has echoed a message. The clients run in other processes.
//
//     node __test__/soak/idle-memory.js           seven fresh servers
//     node __test__/soak/idle-memory.js --full    21 of them
//
// It prints the bytes per connection of each server and the median, and exits with code 1 if the median exceeds
// MAX_BYTES.

const assert = require('node:assert/strict');
const { startServer, startClient, anonymousMemory, main } = require('./parts/processes.js');

const FEW = 2_000;
const MANY = 16_000;
/** Keeps each client process, and the server, below a limit of 20,000 descriptors. */
const CLIENTS = 2;
/**
 * Single runs vary by 7 bytes either way: V8's heap grows by pages of 256 KiB, which are 18 bytes per connection here.
 */
const RUNS = 7;
const RUNS_IN_FULL = 21;
/** uWebSockets.js takes 612, measured with this script. */
const MAX_BYTES = 170;

main(async ({ full }) => {
  const results = [];
  for (let run = 1; run <= (full ? RUNS_IN_FULL : RUNS); run += 1) {
    const bytes = await measure();
    console.log(`run ${run}: ${bytes.toFixed(1)} bytes a connection`);
    results.push(bytes);
  }
  results.sort((a, b) => a - b);
  const median = results[(results.length - 1) / 2];
  console.log(`median: ${median.toFixed(1)} bytes a connection, of at most ${MAX_BYTES}`);
  assert.ok(median <= MAX_BYTES, `an idle connection takes ${median} bytes, more than ${MAX_BYTES}`);
});

async function measure() {
  const server = await startServer('--without-close');
  const clients = Array.from({ length: CLIENTS }, () => startClient(server.port));
  const open = (total) => Promise.all(clients.map((client) => client.ask({ command: 'open', count: total / CLIENTS })));

  await open(FEW);
  const few = await anonymousMemory(server);
  await open(MANY - FEW);
  const many = await anonymousMemory(server);
  const { opened, connections } = await server.ask({ ask: 'counts' });
  assert.equal(opened, MANY);
  // uWebSockets.js does not report its number of connections.
  assert.equal(connections ?? MANY, MANY);

  for (const one of [...clients, server]) await one.kill();
  return (many - few) / (MANY - FEW);
}
