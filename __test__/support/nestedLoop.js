'use strict';

const { execFileSync } = require('node:child_process');
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

/** Compiles the addon nestedLoop.c, and returns its path. The `after` of a suite removes it. */
function buildNestedLoop(owner) {
  const folder = mkdtempSync(path.join(tmpdir(), 'milliways-nested-loop-'));
  owner.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'nestedLoop.node');
  execFileSync('cc', ['-shared', '-fPIC', '-o', file, path.join(__dirname, 'nestedLoop.c')]);
  return file;
}

module.exports = { buildNestedLoop };
