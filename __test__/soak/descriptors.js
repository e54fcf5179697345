'use strict';

// Many more clients come than the server has file descriptors for. It must serve those that it has, accept others as
// soon as some have left, and not use the processor while nobody leaves. In the end it must have served all, and must
// still accept on each of its sockets.
//
//     node __test__/soak/descriptors.js
//
// It prints what it has seen, and exits with code 1 if any of that is not so.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');
const { ordinaryCertificate } = require('../support/certificates.js');
const { until } = require('../support/wait.js');
const { main, startLimited, startProgram } = require('./parts/processes.js');

/** The limit of the server, which needs some 25 for itself. */
const DESCRIPTORS = 256;
const CROWD = 600;
/** How many leave at a time. */
const LEAVING = 50;
const LISTENERS = 2;
/** For how many seconds nobody leaves. */
const STANDSTILL = 3;
/** The limit of what the server uses of a processor meanwhile, in seconds. A loop that spins would use all of it. */
const MAX_PROCESSOR = 0.5;
/** The limit of its attempts to accept meanwhile: one a second for each socket, with ample reserve. */
const MAX_ATTEMPTS = 3 * LISTENERS * (STANDSTILL + 1);

main(async () => {
  const { cert, key } = ordinaryCertificate();
  const server = startLimited(DESCRIPTORS, 'enduring.js', [cert, key]);
  const { port, securePort } = await server.answer();
  const ask = async () => (await server.ask({ ask: 'stats' })).stats;
  const own = descriptorsOf(server);

  const crowd = startProgram('crowd.js', [String(port), String(securePort)]);
  await crowd.ask({ command: 'enter', count: CROWD });
  const isFull = async () => descriptorsOf(server) === DESCRIPTORS && (await ask()).limits.descriptors > 0;
  await until(isFull, 'want of descriptors');
  const room = DESCRIPTORS - own;
  const { present } = await crowd.ask({ command: 'served', count: room });
  console.log(`${CROWD} clients came, ${present} were served before the ${DESCRIPTORS} descriptors ran out`);
  assert.equal(present, room, 'clients served at a time');

  await standStill(server, ask, crowd);

  for (let left = 0; left < CROWD; left += LEAVING) {
    await crowd.ask({ command: 'say' });
    await crowd.ask({ command: 'leave', count: LEAVING });
    await crowd.ask({ command: 'served', count: Math.min(CROWD, room + left + LEAVING) });
  }
  await quiet(ask);
  const { connections, limits } = await ask();
  assert.equal(connections.plain.webSocket.total + connections.tls.webSocket.total, CROWD, 'WebSockets');
  assert.equal(connections.plain.http.total + connections.tls.http.total, CROWD, 'connections');
  console.log(`all were served; ${limits.descriptors} attempts to accept have failed`);

  // The listening sockets are still there, and none of the descriptors is lost.
  assert.equal(descriptorsOf(server), own, 'descriptors of the server');
  await crowd.ask({ command: 'enter', count: LEAVING });
  await crowd.ask({ command: 'served', count: CROWD + LEAVING });
  console.log('Others are accepted as before.');
});

/** Checks that the server serves those that it has while nobody leaves, and does not use the processor in vain. */
async function standStill(server, ask, crowd) {
  await crowd.ask({ command: 'say' });
  const before = [(await ask()).limits.descriptors, await processorTime(server)];
  await delay(STANDSTILL * 1000);
  const attempts = (await ask()).limits.descriptors - before[0];
  const seconds = (await processorTime(server)) - before[1];
  await crowd.ask({ command: 'say' });
  console.log(
    `in ${STANDSTILL} s in which nobody left, it tried to accept ${attempts} times, of at most ${MAX_ATTEMPTS}, and ` +
      `used ${seconds.toFixed(3)} s of a processor, of at most ${MAX_PROCESSOR}`,
  );
  assert.ok(attempts <= MAX_ATTEMPTS, `${attempts} attempts to accept`);
  assert.ok(seconds <= MAX_PROCESSOR, `${seconds} seconds of a processor`);
}

async function quiet(ask) {
  const isQuiet = async () => {
    const { connections } = await ask();
    const of = ({ http, webSocket, closing }) => http.open + webSocket.open + closing;
    return of(connections.plain) + of(connections.tls) === 0;
  };
  await until(isQuiet, 'end of all connections');
}

async function processorTime(server) {
  const { cpu } = await server.ask({ ask: 'cpu' });
  return (cpu.user + cpu.system) / 1e6;
}

function descriptorsOf(server) {
  return fs.readdirSync(`/proc/${server.pid}/fd`).length;
}
