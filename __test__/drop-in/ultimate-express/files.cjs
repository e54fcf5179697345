'use strict';

// Files to serve. Their modification times are fixed, so that their entity tags are always the same.

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, 'public');
const MODIFIED = new Date('2024-02-03T04:05:06Z');

/** Returns bytes in which no two stretches are alike. */
function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index + 4 <= length; index += 4) bytes.writeUInt32LE(Math.imul(index, 2654435761) >>> 0, index);
  return bytes;
}

const FILES = {
  'index.html': '<p>home</p>\n',
  'hello.txt': 'hello, world\n',
  'grüße.txt': 'Grüße\n',
  'empty.txt': '',
  'page.html': '<p>page</p>\n',
  '.secret': 'hidden\n',
  'docs/index.html': '<p>docs</p>\n',
  'docs/deep/data.json': '{"deep":true}\n',
  // Below and above the size from which files are streamed.
  'middle.bin': pattern(300_000),
  'big.bin': pattern(12_000_000),
};

for (const [name, content] of Object.entries(FILES)) {
  const file = path.join(ROOT, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  fs.utimesSync(file, MODIFIED, MODIFIED);
}
fs.writeFileSync(path.join(__dirname, 'outside.txt'), 'not for everybody\n');

module.exports = { ROOT, pattern };
