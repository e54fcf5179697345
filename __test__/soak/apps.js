'use strict';

// Apps that are made and closed, and server names that are added and removed, leave no memory behind.
//
//     node __test__/soak/apps.js            2,000 apps in the clear, as many by TLS, and 10,000 names
//     node __test__/soak/apps.js --full     ten times that, against the same bound
//
// It prints what it saw and ends with code 1 when that was too much.

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
/** So many are there between two collections of garbage. */
const AT_ONCE = 50;
/** Bytes that anonymous memory may grow by, however many rounds there are: 4 KB of each app would be 16 MB in one. */
const MAX_GROWTH = 4 << 20;

const options = files(ordinaryCertificate());

/** Routes whose handlers know their app. */
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
