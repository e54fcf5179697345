'use strict';

// Creating and closing apps, and adding and removing server names, must not leak memory.
//
//     node __test__/soak/apps.js            2,000 apps without TLS, as many with it, and 10,000 names
//     node __test__/soak/apps.js --full     ten times as many, with the same limit
//
// It prints its measurements, and exits with code 1 if they exceed the limit.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { setImmediate: turn } = require('node:timers/promises');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const { ordinaryCertificate } = require('../support/certificates.js');
const { files } = require('../support/secure.js');
const { uWS } = require('../support/uws.js');
const { main } = require('./parts/processes.js');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

const APPS = 2_000;
const NAMES = 10_000;
const ROUNDS_IN_FULL = 10;
/** The number between two garbage collections. */
const AT_ONCE = 50;
/**
 * The limit for the growth of anonymous memory, in bytes, however many rounds there are. Leaking 4 KB of each app would
 * take 16 MB in one round.
 */
const MAX_GROWTH = 4 << 20;

const options = files(ordinaryCertificate());

/** Adds routes whose handlers reference their app. */
function addRoutes(app) {
  app
    .get('/*', (res) => res.end(String(app.numSubscribers('topic'))))
    .ws('/*', { upgrade: () => app, open: () => app, message: (ws, message) => app.publish('topic', message) });
}

function makeAndClose(make) {
  const app = make();
  addRoutes(app);
  app
    .filter(() => app)
    .listen('127.0.0.1', 0, (token) => assert.ok(token))
    .close();
}

const named = uWS.SSLApp(options);

function addAndRemove() {
  addRoutes(named.addServerName('named.example', options).domain('named.example'));
  named.removeServerName('named.example').domain('');
}

async function repeat(count, once) {
  for (let i = 0; i < count; i += AT_ONCE) {
    for (let j = 0; j < AT_ONCE; j += 1) once();
    await turn();
    collect();
    await turn();
  }
}

async function round() {
  await repeat(APPS, () => makeAndClose(() => uWS.App()));
  await repeat(APPS, () => makeAndClose(() => uWS.SSLApp(options)));
  await repeat(NAMES, addAndRemove);
}

function anonymousMemory() {
  collect();
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
}

main(async ({ full }) => {
  await round();
  const before = anonymousMemory();
  for (let i = 1; i <= (full ? ROUNDS_IN_FULL : 1); i += 1) {
    await round();
    console.log(`round ${i}: ${anonymousMemory() - before} bytes more than ${before} after the warm-up`);
  }
  const growth = anonymousMemory() - before;
  assert.ok(growth <= MAX_GROWTH, `memory has grown by ${growth} bytes, more than ${MAX_GROWTH}`);
  console.log('No app and no name was left behind.');
});
