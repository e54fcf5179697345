'use strict';

// docs/RELIABILITY.md names the command that shows each promise. What the commands name has to exist, so that none of
// them succeeds because it runs nothing.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const { ours, root } = require('./support/uws.js');

const FILE = 'docs/RELIABILITY.md';
const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const exists = (file) => fs.existsSync(path.join(root, file));
const text = read(FILE);
const { scripts } = JSON.parse(read('package.json'));

/** The rows of all tables: the cells of each. */
const rows = Array.from(text.matchAll(/^\| (?!promise|-)(.*) \|$/gm), ([, row]) => row.split(' | '));

/** What begins a command, and what says that the rest of it can be run. */
const COMMANDS = {
  'npm install': (words) => assert.deepEqual(words, []),
  'npm run': ([script, ...options]) => {
    assert.ok(script in scripts, `the script ${script}`);
    assertOptions(options, () => sourceOf(scripts[script]));
  },
  'node --test': (files) => {
    assert.ok(files.length > 0, 'a file');
    for (const file of files) assert.ok(/\.test\.m?js$/.test(file) && exists(file), file);
  },
  node: ([file, ...options]) => {
    assert.ok(exists(file), file);
    assertOptions(options, () => read(file));
  },
  'cargo test': ([flag, crate, ...rest]) => {
    assert.equal(flag, '-p');
    const folder = folderOf(crate);
    assert.match(read(`${folder}/Cargo.toml`), new RegExp(`^name = "${crate}"$`, 'm'));
    const target = rest[0] === '--test' ? `tests/${rest[1]}` : '';
    const [filter, ...more] = target ? rest.slice(2) : rest;
    assert.deepEqual(more, []);
    const names = testsIn(path.join(folder, target));
    assert.ok(filter === undefined || names.some((name) => name.includes(filter)), `a test with ${filter} in its name`);
  },
  'fuzz/run.sh': ([seconds, ...targets]) => {
    assert.match(seconds, /^\d+$/);
    for (const target of targets) assert.ok(exists(`fuzz/fuzz_targets/${target}.rs`), target);
  },
  bash: ([file]) => assert.ok(exists(file), file),
};

const folderOf = (crate) => `crates/${crate.replace(/^milliways-/, '')}`;

/** Returns the source of what a script of package.json runs. */
function sourceOf(script) {
  const [, crate, target] = /^cargo test .*--package (\S+).*--test (\S+)/.exec(script) ?? [];
  const files = crate ? [`${folderOf(crate)}/tests/${target}/main.rs`] : script.match(/[\w./-]+\.m?js/g);
  return files.map(read).join('\n');
}

/** Asserts that a program knows its options. */
function assertOptions(options, source) {
  for (const option of options.filter((word) => !/^(--|\d+)$/.test(word))) {
    assert.ok(source().includes(option.replace(/=.*/, '')), `the option ${option}`);
  }
}

/** Returns the names of the Rust tests in a folder, with the names of their files in place of the modules. */
function testsIn(folder) {
  const files = fs.readdirSync(path.join(root, folder), { recursive: true }).filter((file) => file.endsWith('.rs'));
  return files.flatMap((file) =>
    Array.from(
      read(path.join(folder, file)).matchAll(/#\[test\](?:\s*#\[[^\]]*\])*\s*fn (\w+)/g),
      ([, name]) => `${file.replace(/\.rs$/, '').replaceAll('/', '::')}::${name}`,
    ),
  );
}

/** Checks a command; throws if it names something that does not exist. */
function check(command) {
  const words = command.split(' ').filter((word) => !/^[A-Z_]+=/.test(word));
  const start = [2, 1].map((count) => words.slice(0, count).join(' ')).find((name) => name in COMMANDS);
  assert.ok(start, `a known kind of command: ${command}`);
  COMMANDS[start](words.slice(start.split(' ').length));
}

describe(FILE, ours, () => {
  it('says for each promise how it is tested, with a command', () => {
    assert.ok(rows.length > 40);
    for (const cells of rows) {
      assert.equal(cells.length, 3, cells[0]);
      const commands = cells[2].split(', ');
      for (const command of commands) {
        assert.match(command, /^`[^`]+`$/, cells[0]);
        check(command.slice(1, -1));
      }
    }
  });

  it('has no other command that does not exist', () => {
    for (const [, command] of text.matchAll(/`((?:npm|node|cargo|bash|fuzz\/)[^`]+)`/g)) check(command);
  });

  it('names no file that does not exist', () => {
    for (const [, target] of text.matchAll(/\]\(([^)#]+)[^)]*\)/g))
      assert.ok(exists(path.join('docs', target)), target);
  });

  it('is refused if a command names what does not exist', () => {
    for (const command of [
      'npm run nothing',
      'npm run memory -- --nothing',
      'node --test __test__/nothing.test.js',
      'node __test__/soak/resets.js --nothing',
      'cargo test -p milliways-net --test reactor nothing_that_a_test_is_called',
      'cargo test -p milliways-nothing',
      'fuzz/run.sh 600 nothing',
      'make',
    ]) {
      assert.throws(() => check(command), undefined, command);
    }
  });
});
