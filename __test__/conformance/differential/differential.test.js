'use strict';

// Sends the same bytes to milliways that were sent to uWebSockets.js when expected.json was recorded. The responses
// must be identical however the bytes are split, except where differences.js gives a reason.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');
const { isReference, root, uWS } = require('../../support/uws.js');
const { noConnectionLeft } = require('../../support/wait.js');
const { corpus, digest } = require('./corpus/index.js');
const { DIFFERENCES, differenceFor } = require('./differences.js');
const { exchange } = require('./exchange.js');
const { answers, corpus: recordedDigest, entries: recorded } = require('./expected.json');
const { service } = require('./service.js');

/** The number of concurrent exchanges. */
const CONCURRENCY = 16;
/** The number of mismatches that a failure shows; the others are only counted. */
const MISMATCHES_SHOWN = 10;

const groups = new Map();
for (const entry of corpus) {
  if (!groups.has(entry.group)) groups.set(entry.group, []);
  groups.get(entry.group).push(entry);
}

describe('what was recorded', () => {
  it('is for this corpus', () => {
    assert.equal(recordedDigest, digest(), 'run record.js');
    assert.deepEqual(
      Object.keys(recorded),
      corpus.map(({ name }) => name),
    );
  });

  it('differs for reasons only, all of which are met and documented', () => {
    const met = new Set();
    for (const entry of corpus) {
      const { theirs, ours } = recorded[entry.name];
      if (theirs === undefined || ours === undefined) continue;
      const difference = differenceFor(entry, answers[theirs], answers[ours]);
      assert.ok(difference, `${entry.name}: differs for no reason`);
      met.add(difference);
    }
    const documented = fs.readFileSync(path.join(root, 'docs/COMPATIBILITY.md'), 'utf8').replace(/\s+/g, ' ');
    for (const difference of DIFFERENCES) {
      assert.ok(met.has(difference), `never met: ${difference.reason}`);
      assert.ok(documented.includes(difference.reason), `not in docs/COMPATIBILITY.md: ${difference.reason}`);
    }
  });
});

describe('milliways answers as uWebSockets.js does', () => {
  let app;
  let port;

  before(() => {
    app = service(uWS);
    app.listen('127.0.0.1', 0, (token) => {
      port = uWS.us_socket_local_port(token);
    });
  });
  after(() => app.close());
  after(noConnectionLeft);

  for (const [group, entries] of groups) {
    it(`to ${entries.length} of the kind '${group}', whole and in two parts`, async () => {
      const mismatches = [];
      const waiting = [...entries];
      const work = async () => {
        for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) {
          const mismatch = await compare(port, entry);
          if (mismatch) mismatches.push({ ...entry, ...mismatch });
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, work));
      if (mismatches.length > 0) assert.fail(describeMismatches(mismatches));
    });
  }
});

/** Returns the first mismatch between the expected and the actual responses to an entry, if any. */
async function compare(port, { name, bytes }) {
  const { theirs, ours, crashed } = recorded[name];
  if (isReference && crashed) return undefined;
  const expected = answers[isReference ? theirs : (ours ?? theirs)];
  // uWebSockets.js itself responds differently to some entries that arrive in two parts.
  const splits = isReference ? [0] : new Set([0, 1, bytes.length >> 1, bytes.length - 1]);
  for (const splitAt of splits) {
    const actual = await exchange(port, bytes, Math.max(splitAt, 0));
    if (actual !== expected) return { splitAt, expected, actual };
  }
  return undefined;
}

function describeMismatches(mismatches) {
  const shown = mismatches
    .slice(0, MISMATCHES_SHOWN)
    .map(
      ({ name, bytes, splitAt, expected, actual }) =>
        `${name}, split at ${splitAt}\n` +
        `  bytes    ${abridged(bytes)}\n  expected ${abridged(expected)}\n  actual   ${abridged(actual)}`,
    );
  return `${mismatches.length} differ\n${shown.join('\n')}`;
}

/** Keeps the beginning and the end, which tell most. */
function abridged(text) {
  const whole = JSON.stringify(text);
  return whole.length < 700 ? whole : `${whole.slice(0, 400)} ... ${whole.slice(-250)}`;
}
