'use strict';

// SECURITY.md lists every limit with its number. The numbers are compared with index.d.ts, which declares the defaults,
// and with the constants of the crates.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const { ours, root } = require('./support/uws.js');

const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const text = read('SECURITY.md');
const types = read('index.d.ts');

/** The interfaces of index.d.ts by what SECURITY.md calls their owners. */
const OWNERS = {
  'an app': 'AppOptions',
  'a WebSocket': 'WebSocketBehavior',
  '`shutdown`': 'ShutdownOptions',
};

/** Options whose names or defaults say that they limit what peers can do. */
const LIMITING = /^(max\w+|\w*[tT]imeout|on\w+Limit|closeOn\w+Limit)$/;

/** The constants behind each row of the fixed limits, in the order of the numbers in it. */
const CONSTANTS = {
  'header fields of a request': ['proto/src/http/request.rs MAX_HEADERS'],
  'framing of a chunked body': [
    'proto/src/http/body.rs MAX_CHUNK_OVERHEAD',
    'proto/src/http/body.rs OVERHEAD_PER_CHUNK',
    'proto/src/http/body.rs OVERHEAD_PER_BYTE',
  ],
  'average rate of a body': ['net/src/server/http/body.rs MIN_RATE'],
  'body that no handler has asked for': ['net/src/server/upload.rs KEPT'],
  'header fields of a part of a form': ['proto/src/http/multipart.rs MAX_PART_HEADERS'],
  'boundary of a form': ['proto/src/http/multipart.rs MAX_BOUNDARY'],
  'payload of a control frame': ['proto/src/ws/frame.rs MAX_CONTROL_PAYLOAD'],
  'final blocks within a compressed message': ['proto/src/ws/compression.rs MAX_RESTARTS'],
  'handshake of TLS, time': ['net/src/server/timeouts.rs HANDSHAKE_TIMEOUT'],
  'handshake of TLS, bytes': ['tls/src/session.rs MAX_PARTIAL'],
  'consecutive TLS records without data': ['tls/src/traffic.rs MAX_EMPTY'],
  'header of the PROXY protocol': ['proto/src/proxy.rs MAX_LINE', 'proto/src/proxy.rs MAX_LEN'],
  'closing handshake': ['net/src/server/timeouts.rs CLOSE_TIMEOUT'],
  'a client that has sent its FIN with a request': ['net/src/server/timeouts.rs HALF_CLOSED_TIMEOUT'],
  'silence before the kernel probes the client of a pending request': ['net/src/server/timeouts.rs LOOK_AFTER'],
  'connections that wait to be accepted': ['net/src/listener.rs BACKLOG'],
  'reads of one connection in a turn': [
    'net/src/turn/activity.rs READ_BUDGET',
    'net/src/turn/activity.rs RECEIVE_BUFFER',
  ],
  'accepted connections in a turn': ['net/src/core.rs ACCEPT_BUDGET'],
  'handlers that call each other': ['../src/scopes.rs MAX_CALLS'],
};

/** Returns the rows of the table below a heading, as arrays of cells. */
function tableBelow(heading) {
  const section = text.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`));
  const lines = section.split('\n').filter((line) => line.startsWith('| '));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** Returns the options that an interface of index.d.ts declares, with their defaults in words; '' if there is none. */
function optionsOf(name) {
  const start = types.search(new RegExp(`^export interface ${name}\\b`, 'm'));
  const body = types.slice(start, types.indexOf('\n}', start));
  const options = new Map();
  for (const [, comment, option] of body.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s+(\w+)\?: /g)) {
    const words = comment.replace(/\s*\n\s*\* ?/g, ' ').trim();
    options.set(
      option,
      (/@default (.*?)(?= @|$)/.exec(words) ?? /The default is (.*?)(?:\.| *$)/.exec(words))?.[1] ?? '',
    );
  }
  return options;
}

/** Returns the numbers in a text, whose thousands may be separated by commas. */
const numbersIn = (words) => Array.from(words.matchAll(/\d[\d,]*/g), ([digits]) => Number(digits.replaceAll(',', '')));

/** Returns the value of a constant, which may be a product. */
function valueOf(constant) {
  const [file, name] = constant.split(' ');
  const source = read(path.join('crates', file));
  const [, value] = new RegExp(`const ${name}: \\w+ = ([^;]+);`).exec(source) ?? [];
  assert.ok(value, constant);
  return value.split(/ (?=\*|<<)/).reduce((product, factor) => {
    const number = Number(factor.replace(/^(\*|<<) /, '').replaceAll('_', ''));
    return factor.startsWith('<<') ? product * 2 ** number : product * number;
  }, 1);
}

describe('SECURITY.md', ours, () => {
  const rows = tableBelow('Options').map(([option, value]) => {
    const [, name, owner] = /^`(\w+)` of (.*)$/.exec(option);
    return { name, declaredBy: OWNERS[owner], value };
  });

  it('has the defaults of index.d.ts', () => {
    for (const { name, declaredBy, value } of rows) {
      const declared = optionsOf(declaredBy).get(name);
      assert.notEqual(declared, undefined, `${declaredBy}.${name}`);
      const isUnlimited = /^(No limit|0$|off|Infinity|none)/i.test(declared);
      if (value === 'no limit') assert.ok(isUnlimited, `${name}: ${declared}`);
      else if (numbersIn(value).length > 0) assert.deepEqual(numbersIn(value), numbersIn(declared).slice(-1), name);
      else assert.equal(value.replaceAll('`', '').replaceAll("'", ''), declared.replace(/[`']/g, ''), name);
    }
  });

  it('has every option that is a limit', () => {
    for (const declaredBy of new Set(Object.values(OWNERS))) {
      for (const name of optionsOf(declaredBy).keys()) {
        if (!LIMITING.test(name)) continue;
        const isThere = rows.some((row) => row.name === name && row.declaredBy === declaredBy);
        assert.ok(isThere, `a row for ${declaredBy}.${name}`);
      }
    }
  });

  it('has the numbers of the constants', () => {
    const fixed = tableBelow('Fixed limits');
    assert.deepEqual(
      fixed.map(([what]) => what),
      Object.keys(CONSTANTS),
    );
    for (const [what, limit] of fixed) {
      const numbers = numbersIn(limit.replace(/version \d/g, ''));
      assert.deepEqual(numbers, CONSTANTS[what].map(valueOf), what);
    }
  });

  it('links to what exists', () => {
    for (const [, target] of text.matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      assert.ok(fs.existsSync(path.join(root, target)), target);
    }
  });
});
