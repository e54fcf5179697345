'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs/promises');
const path = require('node:path');
const { test } = require('node:test');
const { root, ours } = require('./support/uws.js');

const CODE = /ERR_MILLIWAYS_[A-Z_]*[A-Z]/g;

/** Returns every error code in the files with these extensions, at any depth in a folder. */
async function codesUnder(folder, extensions) {
  const codes = new Set();
  for (const entry of await fs.readdir(path.join(root, folder), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !extensions.includes(path.extname(entry.name))) continue;
    const text = await fs.readFile(path.join(entry.parentPath ?? entry.path, entry.name), 'utf8');
    for (const [code] of text.matchAll(CODE)) codes.add(code);
  }
  return codes;
}

test('docs/ERRORS.md lists exactly the error codes that the sources have', ours, async () => {
  const documented = new Set((await fs.readFile(path.join(root, 'docs', 'ERRORS.md'), 'utf8')).match(CODE));
  const used = new Set([...(await codesUnder('src', ['.rs'])), ...(await codesUnder('js', ['.js', '.mjs']))]);
  assert.deepEqual([...documented].sort(), [...used].sort());
});

test('index.d.ts declares exactly the error codes of docs/ERRORS.md', ours, async () => {
  const documented = new Set((await fs.readFile(path.join(root, 'docs', 'ERRORS.md'), 'utf8')).match(CODE));
  const [, declared] = /export type MilliwaysErrorCode =([^;]+);/.exec(
    await fs.readFile(path.join(root, 'index.d.ts'), 'utf8'),
  );
  assert.deepEqual(declared.match(CODE), [...documented].sort());
});

test('each error code of docs/ERRORS.md has a section of its own', ours, async () => {
  const text = await fs.readFile(path.join(root, 'docs', 'ERRORS.md'), 'utf8');
  const sections = [...text.matchAll(/^## (ERR_MILLIWAYS_[A-Z_]+)$/gm)].map(([, code]) => code);
  assert.deepEqual([...new Set(sections)].sort(), [...new Set(text.match(CODE))].sort());
});
