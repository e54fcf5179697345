// The configurations in docs/OPERATIONS.md, which the tests run as they stand there, except for paths, ports and, where
// a test says so, times.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../../scripts/build.mjs';

/** A comment that names the code block below it. */
const BLOCK = /^<!-- tested: (.+) -->\n+```(\w+)\n([^]*?)^```$/gm;

const text = readFileSync(path.join(root, 'docs', 'OPERATIONS.md'), 'utf8');
const blocks = new Map(Array.from(text.matchAll(BLOCK), ([, name, language, code]) => [name, { language, code }]));

/** Returns the text of a configuration. */
export function snippet(name) {
  const block = blocks.get(name);
  if (block === undefined) throw new Error(`docs/OPERATIONS.md has no block that is named '${name}'`);
  return block.code;
}

/** Replaces each of the keys, which has to occur, with its value. */
export function adapt(code, replacements) {
  for (const [from, to] of Object.entries(replacements)) {
    if (!code.includes(from)) throw new Error(`'${from}' is not in the configuration`);
    code = code.replaceAll(from, to);
  }
  return code;
}
