'use strict';

// What docs/OPERATIONS.md states, as far as it can be checked without other programs; __test__/operations has the rest.

const assert = require('node:assert/strict');
const { execFile, execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { before, describe, it } = require('node:test');
const { promisify } = require('node:util');
const { root, ours } = require('./support/uws.js');

const DOCS = path.join(root, 'docs');
const text = fs.readFileSync(path.join(DOCS, 'OPERATIONS.md'), 'utf8');
const types = fs.readFileSync(path.join(root, 'index.d.ts'), 'utf8');

/** Returns why a program cannot be run, or false. */
const reasonToSkip = (program, option) =>
  ours.skip || (spawnSync(program, [option]).error ? `there is no ${program}` : false);

/** Returns all matches of a pattern's first group in the document. */
const all = (pattern) => Array.from(text.matchAll(pattern), ([, group]) => group);

/** Returns the default that index.d.ts declares for an option, in the interface of that name. */
function defaultOf(interfaceName, option) {
  const declaration = types.slice(types.indexOf(`export interface ${interfaceName}`));
  const before = declaration.slice(0, declaration.search(new RegExp(`^  ${option}\\?:`, 'm')));
  return Number(
    before
      .match(/(?:@default|The default is) ([\d,]+)/g)
      .at(-1)
      .match(/[\d,]+/)[0]
      .replaceAll(',', ''),
  );
}

describe('docs/OPERATIONS.md', ours, () => {
  let snippet;
  before(async () => {
    ({ snippet } = await import('./operations/snippets.mjs'));
  });

  it('links to what exists', () => {
    for (const target of all(/\]\(([^)]+)\)/g)) {
      if (target.startsWith('https:')) continue;
      const [file, anchor] = target.split('#');
      const linked = path.join(DOCS, file || 'OPERATIONS.md');
      assert.ok(fs.existsSync(linked), target);
      if (anchor === undefined || !linked.endsWith('.md')) continue;
      const headings = fs.readFileSync(linked, 'utf8').match(/^#+ .*$/gm);
      const anchors = headings.map((heading) => anchorOf(heading));
      assert.ok(anchors.includes(anchor), `${target} is one of ${anchors}`);
    }
  });

  it('has no configuration that is not tested', () => {
    const untested = all(/^```(?:nginx|haproxy|ini|dockerfile)\n([^\n]*)/gm).length - all(/^<!-- (tested): /gm).length;
    assert.equal(untested, 0);
  });

  it('has timeouts of proxies that fit those of the server', () => {
    const webSockets = defaultOf('WebSocketBehavior', 'idleTimeout');
    const http = defaultOf('AppOptions', 'idleTimeout');
    assert.deepEqual([webSockets, http], [120, 10]);
    const longer = all(/^ +(?:proxy_read_timeout|proxy_send_timeout|proxy_timeout|timeout tunnel) (\d+)s/gm);
    assert.equal(longer.length, 4);
    for (const seconds of longer) assert.ok(Number(seconds) > webSockets);
    for (const seconds of all(/^ +keepalive_timeout (\d+)s/gm)) assert.ok(Number(seconds) < http);
  });

  it('gives the shutdown the time that it needs', () => {
    const timeout = defaultOf('ShutdownOptions', 'timeout') / 1000;
    assert.equal(timeout, 10);
    for (const seconds of all(/(?:TimeoutStopSec=|stop -t |GracePeriodSeconds: |grace_period: )(\d+)/g)) {
      assert.ok(Number(seconds) > timeout);
    }
  });

  it('has settings of the kernel that there are, and that are enough', () => {
    for (const [name, connections] of [
      ['sysctl for 100,000', 100_000],
      ['sysctl for 1,000,000', 1_000_000],
    ]) {
      const settings = Object.fromEntries(
        Array.from(snippet(name).matchAll(/^([\w.]+) = (.*)$/gm), ([, key, value]) => [
          key,
          value.split(' ').map(Number),
        ]),
      );
      for (const [key, values] of Object.entries(settings)) {
        const file = `/proc/sys/${key.replaceAll('.', '/')}`;
        const present = fs.readFileSync(file, 'utf8').trim().split(/\s+/);
        assert.equal(values.length, present.length, key);
      }
      const pages = settings['net.ipv4.tcp_mem'];
      assert.deepEqual(
        pages,
        [...pages].sort((a, b) => a - b),
      );
      assert.ok((pages[2] * 4096) / connections >= 16 * 1024, 'buffers for each connection');
      assert.ok((settings['fs.nr_open']?.[0] ?? 1_048_576) > connections * 1.04);
    }
  });

  it('has the figures of the measurements', () => {
    const numberIn = (source, pattern) => Number(pattern.exec(source)[1].replaceAll(',', ''));
    const source = (...names) => fs.readFileSync(path.join(root, ...names), 'utf8');
    const limit = numberIn(source('__test__', 'soak', 'idle-memory.js'), /^const MAX_BYTES = (\d+);$/m);
    assert.equal(numberIn(text, /^\| an idle WebSocket in the process \| (\d+) at most/m), limit);
    const benchmarks = source('docs', 'BENCHMARKS.md');
    for (const [stated, measured] of [
      [/^\| the same with TLS \| ([\d,]+) \|/m, /^\| TLS: Memory of an idle WebSocket \| ([\d,]+) B/m],
      [/connecting with TLS takes about (\d+) µs/, /^\| TLS: Connect, upgrade, close; 100 at a time \| (\d+) µs/m],
    ]) {
      const [ours, theirs] = [numberIn(text, stated), numberIn(benchmarks, measured)];
      // Measuring again moves it a little.
      assert.ok(Math.abs(ours / theirs - 1) < 0.2, `${ours} is stated, ${theirs} was measured`);
    }
  });

  it('names the libraries that the addon needs', { skip: reasonToSkip('readelf', '--version') }, () => {
    const addon = fs.readdirSync(path.join(root, 'dist')).find((file) => file.endsWith('.node'));
    const readelf = (option) => execFileSync('readelf', [option, path.join(root, 'dist', addon)], { encoding: 'utf8' });
    const needed = Array.from(readelf('-d').matchAll(/NEEDED.*\[(.*)\]/g), ([, name]) => name);
    assert.deepEqual(needed.sort(), ['ld-linux-x86-64.so.2', 'libc.so.6', 'libgcc_s.so.1']);
    const [stated] = all(/glibc 2\.(\d+) or newer/g);
    const minors = Array.from(readelf('-V').matchAll(/GLIBC_2\.(\d+)/g), ([, minor]) => Number(minor));
    assert.ok(Math.max(...minors) <= Number(stated), `glibc 2.${Math.max(...minors)}`);
  });
});

/** Returns the anchor that GitHub gives a heading. */
function anchorOf(heading) {
  const title = heading.replace(/^#+ /, '').toLowerCase();
  return title.replace(/[^\w\- ]/g, '').replaceAll(' ', '-');
}

describe('the unit of systemd', () => {
  let unit;
  before(async () => {
    const { snippet } = await import('./operations/snippets.mjs');
    unit = snippet('app@.service');
  });

  it('is valid', { skip: reasonToSkip('systemd-analyze', '--version') }, (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'milliways-unit-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'app@.service');
    fs.writeFileSync(file, unit.replace('/usr/bin/node', process.execPath));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  });

  const tools = reasonToSkip('systemd-analyze', '--version') || reasonToSkip('strace', '--version');
  it('allows all system calls that a server makes', { skip: tools }, async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'milliways-unit-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const trace = path.join(folder, 'trace');
    const program = path.join(__dirname, 'operations', 'busy.js');
    await promisify(execFile)('strace', ['-f', '-qq', '-o', trace, process.execPath, program], { timeout: 60_000 });
    const [, sets] = /^SystemCallFilter=(.*)$/m.exec(unit);
    const allowed = new Set(sets.split(' ').flatMap((set) => [...systemCallsOf(set)]));
    const made = new Set(Array.from(fs.readFileSync(trace, 'utf8').matchAll(/^\d+ +(\w+)\(/gm), ([, name]) => name));
    assert.ok(made.has('accept4') && made.has('epoll_wait'), 'the trace is of a server');
    assert.deepEqual(
      [...made].filter((name) => !allowed.has(name)),
      [],
    );
  });
});

/** Returns the system calls of a set of systemd, including those of the sets in it. */
function systemCallsOf(set) {
  const output = execFileSync('systemd-analyze', ['syscall-filter', set], { encoding: 'utf8' });
  const lines = output
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
  const names = lines.filter((line) => line !== '' && !line.startsWith('#'));
  return new Set(names.flatMap((name) => (name.startsWith('@') ? [...systemCallsOf(name)] : [name])));
}
