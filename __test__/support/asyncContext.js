'use strict';

// Runs programs with an AsyncLocalStorage in both kinds of Node.

const assert = require('node:assert/strict');
const { Script } = require('./Script.js');

/** The two kinds of Node: stores in a frame (the default from 24 on), and stores as properties of resources. */
const KINDS = kinds();

function kinds() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= 24) return { frames: [], resources: ['--no-async-context-frame'] };
  if (major === 22) return { frames: ['--experimental-async-context-frame'], resources: [] };
  return { resources: [] };
}

/** Asserts that a program ends by itself after these reports. */
async function assertReports(kind, main, expected, options = {}) {
  const { code, stderr, reports } = await Script.run(main, { execArgv: KINDS[kind], ...options });
  assert.deepEqual({ code, stderr, reports }, { code: 0, stderr: '', reports: expected });
}

module.exports = { KINDS, assertReports };
