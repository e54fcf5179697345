'use strict';

// maxLifetime is in minutes, so testing it takes at least one.
//
//     node __test__/soak/lifetime.js

const assert = require('node:assert/strict');
const { RawSocket } = require('../support/RawSocket.js');
const frames = require('../support/frames.js');
const { uWS } = require('../support/uws.js');
const { EventLog } = require('../support/EventLog.js');

/** In milliseconds: the minute, the delay that a timeout may have, and some reserve. */
const PATIENCE = 90_000;

async function main() {
  const log = new EventLog();
  const app = uWS.App().ws('/*', log.behavior({ maxLifetime: 1, idleTimeout: 0 }));
  let port;
  app.listen('127.0.0.1', 0, (token) => {
    port = uWS.us_socket_local_port(token);
  });
  const start = performance.now();
  const client = await RawSocket.upgrade(port, '/', { deadline: PATIENCE });
  // Activity does not extend the lifetime.
  const timer = setInterval(() => client.write(frames.text('x')), 1000);
  const closed = await log.next('close', PATIENCE);
  clearInterval(timer);
  const seconds = (performance.now() - start) / 1000;
  assert.deepEqual(closed, [1000, 'please reconnect']);
  assert.deepEqual(await client.readClose(), { code: 1000, reason: 'please reconnect' });
  assert.ok(seconds > 55 && seconds < 75, `closed after ${seconds} s`);
  client.destroy();
  app.close();
  console.log(`A WebSocket with a lifetime of a minute was closed after ${seconds.toFixed(1)} s.`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
