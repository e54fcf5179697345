'use strict';

// Header fields: their syntax, number and size, and what they mean for the connection.

const { add, addWithAndWithoutBody, request, upgrade } = require('./builders.js');

function headers() {
  const lines = {
    'a plain header': 'X: y',
    'no space': 'X:y',
    'many spaces': 'X:     y     ',
    tabs: 'X:\t\ty\t\t',
    'spaces and tabs': 'X: \t y \t ',
    'no value': 'X:',
    'a value of a space': 'X: ',
    'a value of a tab': 'X:\t',
    'spaces within': 'X: a  b\tc',
    'an empty name': ': y',
    'an empty name without a space': ':y',
    'a colon only': ':',
    'two colons': '::',
    'no colon': 'X',
    'no colon but spaces': 'X y z',
    'a space before the colon': 'X : y',
    'a tab before the colon': 'X\t: y',
    'a space within the name': 'X Y: z',
    'a space before the name': ' X: y',
    'a tab before the name': '\tX: y',
    'a folded line': 'X: a\r\n b',
    'a line folded with a tab': 'X: a\r\n\tb',
    'a folded empty line': 'X: a\r\n ',
    'a bare LF': 'X: a\nY: b',
    'a bare CR': 'X: a\rY: b',
    'a bare CR at the end': 'X: a\r',
    'a bare LF at the end': 'X: a\n',
    'a bare LF at the start': '\nX: a',
    'a bare CR at the start': '\rX: a',
    'a bare LF within the name': 'X\nY: a',
    'a bare CR within the name': 'X\rY: a',
    'a CR before a CRLF': 'X: a\r\r\nY: b',
    'a NUL in the value': 'X: a\0b',
    'a NUL in the name': 'X\0Y: a',
    'a NUL at the start of the value': 'X: \0',
    'a DEL in the value': 'X: a\x7fb',
    'a DEL in the name': 'X\x7f: a',
    'Latin-1 in the value': 'X: \xe9',
    'Latin-1 in the name': 'X\xe9: a',
    'UTF-8 in the value': 'X: \xc3\xa9\xe2\x82\xac',
    'UTF-8 in the name': 'X\xc3\xa9: a',
    '0xff in the value': 'X: \xff',
    'Latin-1 inside the value': 'X: a\xe9b',
    'UTF-8 inside the value': 'X: a\xc3\xa9b',
    'a no-break space as the value': 'X: \xa0',
    'a vertical tab before the value': 'X:\x0by',
    'a form feed before the value': 'X:\x0cy',
    'an escape in the value': 'X: \x1b[31m',
    'quotes in the value': 'X: "a: b"',
    'a comment in the value': 'X: (a; b)',
    'a colon in the value': 'X: a:b:c',
    'a colon before the value': 'X:: a',
    'upper case': 'X-UPPER: A',
    'mixed case': 'x-MiXeD: aB',
    'digits as the name': '123: y',
    'every sign of a token': "!#$%&'*+-.^_`|~: y",
    'the same twice': 'X: 1\r\nX: 2',
    'the same twice in other cases': 'X: 1\r\nx: 2',
    'the same twice, first empty': 'X:\r\nX: 2',
    'the same twice, second empty': 'X: 1\r\nX:',
    'a long name': `${'N'.repeat(1000)}: y`,
    'a long value': `X: ${'v'.repeat(1000)}`,
    'a name of one letter and the same in lower case': 'A: 1\r\na: 2',
    'an expectation': 'Expect: 100-continue',
    'an unknown expectation': 'Expect: 200-ok',
    'an expectation in upper case': 'EXPECT: 100-CONTINUE',
    'an empty expectation': 'Expect:',
    'a request line': 'GET / HTTP/1.1',
    'a status line': 'HTTP/1.1 200 OK',
    'a CRLF too many': '\r\n',
  };
  for (const sign of '"(),/;<=>?@[\\]{}') lines[`'${sign}' in the name`] = `X${sign}Y: z`;
  for (const code of [1, 8, 11, 12, 14, 27, 31]) {
    const hex = code.toString(16).padStart(2, '0');
    lines[`0x${hex} in the value`] = `X: a${String.fromCharCode(code)}b`;
    lines[`0x${hex} in the name`] = `X${String.fromCharCode(code)}Y: b`;
    lines[`0x${hex} at the end of the value`] = `X: a${String.fromCharCode(code)}`;
  }
  for (const [detail, line] of Object.entries(lines)) {
    const make = (host, headers) => request({ target: '/headers', host, headers });
    add('headers', `${detail}, first`, make(line, ['Host: h']));
    add('headers', `${detail}, last`, make('Host: h', [line]));
    add('headers', `${detail}, between`, make('Host: h', [line, 'A: b']));
    const body = { method: 'POST', headers: [line, 'Content-Length: 2'], body: 'ok' };
    add('headers', `${detail}, before a body`, request(body));
  }
}

function hosts() {
  // prettier-ignore
  const lines = [
    'Host: h', 'Host:h', 'host: h', 'HOST: h', 'hOsT: h', 'Host: h:80', 'Host: [::1]', 'Host: [::1]:80',
    'Host: 127.0.0.1', 'Host:', 'Host: ', 'Host:\t', 'Host:  \t ', 'Host : h', 'Host\t: h', ' Host: h', 'Host',
    'Host h', 'Hos: h', 'Hostt: h', 'Host: a, b', 'Host: a b', 'Host: a/b', 'Host: http://h', 'Host: u@h',
    'Host: *', 'Host: "', 'Host: h:', 'Host: :80', 'Host: .', 'Host: h:port', 'Host: \xe9', 'Host: h\0',
    'Host: \x01', 'Host: h\r\nHost: h', 'Host: h\r\nHost: other', 'Host: h\r\nhost: h', 'Host:\r\nHost: h',
    'Host: h\r\nHost:', 'X: y\r\nHost: h', 'Host: h\n', 'Host: h\r\n folded', 'X-Host: h', 'Host-X: h', 'X: host',
    `Host: ${'h'.repeat(255)}`, `Host: ${'h'.repeat(3000)}`, 'Host: h\r\nHost: h\r\nHost: h',
  ];
  for (const host of lines) {
    addWithAndWithoutBody('hosts', host, { host });
    add('hosts', `${host} (unknown target)`, request({ target: '/nowhere', host }));
  }
  add('hosts', 'none', request({ host: null }));
  add('hosts', 'none but another header', request({ host: null, headers: ['X: y'] }));
  add('hosts', 'none with an absolute target', request({ host: null, target: 'http://h/echo' }));
  add('hosts', 'another than that of the target', request({ host: 'Host: other', target: 'http://h/echo' }));
}

function sizes() {
  const fill = (count) => Array.from({ length: count }, (_, i) => `X${i}: ${i}`);
  for (const count of [1, 2, 10, 48, 49, 50, 51, 62, 63, 64, 65, 97, 98, 99, 100, 101, 102, 127, 128, 150, 200, 300]) {
    add('sizes', `${count} headers`, request({ target: '/hello', headers: fill(count - 1) }));
    const body = { method: 'POST', headers: [...fill(count - 2), 'Content-Length: 4'].slice(0, count), body: 'body' };
    add('sizes', `${count} headers before a body`, request({ target: '/upload', ...body }));
    add('sizes', `${count} short headers`, request({ target: '/hello', headers: Array(count - 1).fill('a:b') }));
  }
  const lengths = [
    1000,
    2000,
    3000,
    4000,
    4050,
    ...Array.from({ length: 20 }, (_, i) => 4086 + i),
    4200,
    5000,
    8192,
    10_000,
  ];
  for (const length of [...lengths, 16_384, 70_000]) {
    const pad = (make) => make('').length;
    const filled = (make) => make('x'.repeat(Math.max(0, length - pad(make))));
    const kinds = {
      value: (filler) => request({ target: '/hello', headers: [`X: ${filler}`] }),
      name: (filler) => request({ target: '/hello', headers: [`X${filler}: y`] }),
      query: (filler) => request({ target: `/hello?${filler}` }),
      'white space': (filler) => request({ target: '/hello', headers: [`X: ${filler.replaceAll('x', ' ')}y`] }),
      upgrade: (filler) => upgrade({ target: '/ws', more: [`X: ${filler}`] }),
    };
    for (const [kind, make] of Object.entries(kinds)) {
      add('sizes', `a head of ${length} for its ${kind}`, filled(make));
    }
  }
  for (const length of [4000, 4090, 4095, 4096, 4097, 4098, 4100, 5000, 20_000]) {
    add('sizes', `an unfinished head of ${length}`, 'GET /hello HTTP/1.1\r\nHost: h\r\nX: '.padEnd(length, 'x'));
    add('sizes', `an unfinished request line of ${length}`, 'GET /'.padEnd(length, 'x'));
    add(
      'sizes',
      `a second head of ${length}`,
      request({}) + request({ target: '/hello', headers: [`X: ${'x'.repeat(length)}`] }),
    );
  }
  for (const length of [100, 4096, 5000, 16_384, 65_536, 100_000]) {
    const body = 'b'.repeat(length);
    for (const target of ['/upload', '/early', '/collect', '/v2', '/nowhere']) {
      const counted = { method: 'POST', target, headers: [`Content-Length: ${length}`], body };
      add('sizes', `a body of ${length} for ${target}`, request(counted));
    }
    const chunk = `${length.toString(16)}\r\n${body}\r\n`;
    const chunked = { method: 'POST', target: '/upload', headers: ['Transfer-Encoding: chunked'] };
    add('sizes', `a chunk of ${length}`, request({ ...chunked, body: `${chunk}0\r\n\r\n` }));
    add('sizes', `two chunks of ${length}`, request({ ...chunked, body: `${chunk}${chunk}0\r\n\r\n` }));
  }
}

function connections() {
  // prettier-ignore
  const values = [
    'close', 'Close', 'CLOSE', 'keep-alive', 'Keep-Alive', 'Upgrade', 'upgrade', 'close, keep-alive',
    'keep-alive, close', 'close,', ',close', ' close ', 'clos', 'closed', 'close x', 'x, close', '', 'TE',
    'TE, close', 'close\tx', '"close"', 'c', 'xclose', 'Upgrade, HTTP2-Settings', 'keep-alive, Upgrade',
    'close;q=1', 'close\r\nConnection: close', 'keep-alive\r\nConnection: close', 'close\r\nConnection: keep-alive',
    'host', 'content-length',
  ];
  for (const value of values) {
    for (const target of ['/hello', '/nowhere', '/write', '/early-close', '/without-body']) {
      add('connections', `${value} for ${target}`, request({ target, headers: [`Connection: ${value}`] }));
    }
    const body = {
      method: 'POST',
      target: '/upload',
      headers: [`Connection: ${value}`, 'Content-Length: 4'],
      body: 'body',
    };
    add('connections', `${value} with a body`, request(body));
    add('connections', `${value} with a body that nobody reads`, request({ ...body, target: '/early' }));
    add('connections', `${value} of HTTP/1.0`, request({ version: 'HTTP/1.0', headers: [`Connection: ${value}`] }));
  }
  for (const name of ['connection', 'CONNECTION', 'Proxy-Connection', 'Keep-Alive', 'Connection ', 'X-Connection']) {
    add('connections', `named '${name}'`, request({ target: '/hello', headers: [`${name}: close`] }));
  }
  const expectations = [
    '100-continue',
    '100-Continue',
    '100-CONTINUE',
    '100-continue, x',
    'x',
    '',
    '100',
    ' 100-continue ',
  ];
  for (const value of expectations) {
    for (const [kind, more] of [
      ['Content-Length', { headers: ['Content-Length: 4'], body: 'body' }],
      ['Content-Length 0', { headers: ['Content-Length: 0'] }],
      ['Transfer-Encoding', { headers: ['Transfer-Encoding: chunked'], body: '4\r\nbody\r\n0\r\n\r\n' }],
      ['nothing', {}],
    ]) {
      for (const target of ['/upload', '/early', '/nowhere']) {
        const headers = [`Expect: ${value}`, ...(more.headers ?? [])];
        const detail = `expect '${value}' with ${kind} for ${target}`;
        add('expectations', detail, request({ method: 'POST', target, ...more, headers }));
      }
    }
  }
}

module.exports = [headers, hosts, sizes, connections];
