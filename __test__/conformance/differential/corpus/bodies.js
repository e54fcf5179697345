'use strict';

// Message bodies, and what delimits them.

const { add, latin1, request } = require('./builders.js');

function contentLengths() {
  // prettier-ignore
  const values = [
    '0', '1', '4', '5', '00', '04', '004', '+4', '-4', '-0', '0x4', '4x', 'x', '', ' ', '4 ', ' 4', '\t4', '4\t',
    '  4  ', '4 4', '4,4', '4, 4', '4,', ',4', '4, 5', '4;', '4.0', '4e0', '1e1', '0004', '4\0', '\x004', '4\x01',
    '4\xb2', '\xb24', '４', '0b1', '0o4', '4_0', '"4"', '(4)', 'four', 'NaN', 'Infinity', 'null', '999999999',
    '4294967295', '4294967296', '4294967300', '9007199254740993', '999999999999999999', '9223372036854775807',
    '9223372036854775808', '18446744073709551615', '18446744073709551616', '18446744073709551620',
    '184467440737095516160', '9'.repeat(30), '0'.repeat(18) + '4', '0'.repeat(19) + '4', '0'.repeat(20) + '4',
    '0'.repeat(50) + '4', '4\r\n 4', '4\n', '4\r', '4\r\nContent-Length: 4', '4\r\nContent-Length: 5',
    '5\r\nContent-Length: 4', '4\r\ncontent-length: 4', '0\r\nContent-Length: 4', '4\r\nContent-Length: 0',
    '4\r\nContent-Length:', '\r\nContent-Length: 4', '4\r\nX: y\r\nContent-Length: 4',
  ];
  for (const value of values.map(latin1)) {
    for (const [method, target] of [
      ['POST', '/echo'],
      ['POST', '/early'],
      ['POST', '/nowhere'],
      ['GET', '/echo'],
      ['HEAD', '/echo'],
    ]) {
      const detail = `'${value}' for ${method} ${target}`;
      add('content lengths', detail, request({ method, target, headers: [`Content-Length: ${value}`], body: 'body' }));
    }
  }
  // prettier-ignore
  for (const name of [
    'content-length', 'CONTENT-LENGTH', 'Content-Length ', ' Content-Length', 'Content_Length', 'Content-Lengt',
    'Content-Lengthx', 'Content-Length\t', 'Content-Length\0', 'Content Length', 'X-Content-Length',
    '\x0bContent-Length', 'Content-Length\x0b',
  ]) {
    add('content lengths', `named '${name}'`, request({ method: 'POST', headers: [`${name}: 4`], body: 'body' }));
    add(
      'content lengths',
      `named '${name}', first`,
      request({ method: 'POST', host: `${name}: 4`, headers: ['Host: h'], body: 'body' }),
    );
  }
  add('content lengths', 'none', request({ method: 'POST' }));
  add('content lengths', 'the body short', request({ method: 'POST', headers: ['Content-Length: 5'], body: 'body' }));
  add('content lengths', 'the body long', request({ method: 'POST', headers: ['Content-Length: 3'], body: 'body' }));
  for (const length of [7, 8, 9, 100]) {
    const body = { headers: [`Content-Length: ${length}`], body: 'b'.repeat(length) };
    add('content lengths', `collecting ${length}`, request({ method: 'POST', target: '/collect', ...body }));
  }
}

function transferEncodings() {
  // prettier-ignore
  const values = [
    'chunked', 'Chunked', 'CHUNKED', 'chunKed', ' chunked ', '\tchunked', 'chunked\t', 'chunked,', ',chunked',
    ', chunked', 'chunked;', 'chunked;q=1', 'chunked x', 'xchunked', 'chunkedx', 'chunke', '"chunked"', "'chunked'",
    'gzip', 'gzip, chunked', 'gzip,chunked', 'chunked, gzip', 'chunked, chunked', 'identity', 'identity, chunked',
    'chunked, identity', 'deflate', 'compress', 'x', '', 'chunked\0', '\0chunked', 'chunked\x0b', '\x0bchunked',
    '\x0cchunked', 'chunked\x01', 'chu\x00nked', 'chunked\xa0', 'chunked\r\n ', '\r\n chunked', 'chunked\n',
    '\nchunked', 'chunked\r', 'gzip\r\nTransfer-Encoding: chunked', 'chunked\r\nTransfer-Encoding: gzip',
    'chunked\r\nTransfer-Encoding: chunked', 'chunked\r\ntransfer-encoding: identity',
    '\r\nTransfer-Encoding: chunked', 'identity\r\nTransfer-Encoding: chunked', 'chunked\r\nTransfer-Encoding:',
    'chunked\r\nX: y\r\nTransfer-Encoding: chunked',
  ];
  const body = '4\r\nbody\r\n0\r\n\r\n';
  // prettier-ignore
  const names = [
    'transfer-encoding', 'TRANSFER-ENCODING', 'Transfer-Encoding ', ' Transfer-Encoding', 'Transfer_Encoding', 'TE',
    'Transfer Encoding', 'Transfer-Encoding\t', 'Transfer-Encoding\0', 'Transfer-Encodin', 'X-Transfer-Encoding',
    '\x0bTransfer-Encoding',
  ];
  for (const value of values) {
    for (const [method, target] of [
      ['POST', '/echo'],
      ['POST', '/early'],
      ['GET', '/echo'],
      ['HEAD', '/nowhere'],
    ]) {
      const detail = `'${value}' for ${method} ${target}`;
      add('transfer encodings', detail, request({ method, target, headers: [`Transfer-Encoding: ${value}`], body }));
    }
    for (const length of ['0', String(body.length), '4', 'x', '']) {
      const both = [`Content-Length: ${length}`, `Transfer-Encoding: ${value}`];
      if (length === '0' || value.length < 8) {
        add(
          'transfer encodings',
          `'${value}' after Content-Length '${length}'`,
          request({ method: 'POST', headers: both, body }),
        );
        const reversed = both.reverse();
        add(
          'transfer encodings',
          `'${value}' before Content-Length '${length}'`,
          request({ method: 'POST', headers: reversed, body }),
        );
      }
    }
  }
  for (const name of names) {
    add('transfer encodings', `named '${name}'`, request({ method: 'POST', headers: [`${name}: chunked`], body }));
    const both = [`${name}: chunked`, `Content-Length: ${body.length}`];
    add(
      'transfer encodings',
      `named '${name}' with a Content-Length`,
      request({ method: 'POST', headers: both, body }),
    );
  }
  for (const headers of [['Transfer-Encoding: chunked'], ['Transfer-Encoding: chunked', 'Connection: close']]) {
    add(
      'transfer encodings',
      `HTTP/1.0 with ${headers.length}`,
      request({ method: 'POST', version: 'HTTP/1.0', headers, body }),
    );
  }
}

function chunks() {
  const last = '0\r\n\r\n';
  const bodies = {
    'one chunk': `4\r\nbody\r\n${last}`,
    'two chunks': `4\r\nbody\r\n5\r\nagain\r\n${last}`,
    'no chunk': last,
    'chunks of one byte': `${'1\r\nx\r\n'.repeat(20)}${last}`,
    'hex in lower case': `a\r\n0123456789\r\n${last}`,
    'hex in upper case': `A\r\n0123456789\r\n${last}`,
    'hex in both cases': `aA\r\n${'x'.repeat(170)}\r\n${last}`,
    'a leading zero': `04\r\nbody\r\n${last}`,
    'many leading zeros': `${'0'.repeat(15)}4\r\nbody\r\n${last}`,
    'very many leading zeros': `${'0'.repeat(100)}4\r\nbody\r\n${last}`,
    'a last chunk of many zeros': '4\r\nbody\r\n0000\r\n\r\n',
    'a last chunk of very many zeros': `4\r\nbody\r\n${'0'.repeat(100)}\r\n\r\n`,
    'a prefix 0x': `0x4\r\nbody\r\n${last}`,
    'a plus': `+4\r\nbody\r\n${last}`,
    'a minus': `-4\r\nbody\r\n${last}`,
    'a minus zero': '4\r\nbody\r\n-0\r\n\r\n',
    'no size': `\r\nbody\r\n${last}`,
    'no hex': `g\r\nbody\r\n${last}`,
    'no hex after hex': `4g\r\nbody\r\n${last}`,
    'hex after a space': ` 4\r\nbody\r\n${last}`,
    'hex after a tab': `\t4\r\nbody\r\n${last}`,
    'a space after hex': `4 \r\nbody\r\n${last}`,
    'a tab after hex': `4\t\r\nbody\r\n${last}`,
    'a space within hex': `0 4\r\nbody\r\n${last}`,
    'a dot': `4.0\r\nbody\r\n${last}`,
    'a comma': `4,4\r\nbody\r\n${last}`,
    'an underscore': `0_4\r\nbody\r\n${last}`,
    'a NUL before the size': `\x004\r\nbody\r\n${last}`,
    'a NUL after the size': `4\0\r\nbody\r\n${last}`,
    'a Latin-1 digit': `\xb2\r\nbody\r\n${last}`,
    'an h after the size': `4h\r\nbody\r\n${last}`,
    'an extension': `4;a=b\r\nbody\r\n${last}`,
    'an extension without a value': `4;a\r\nbody\r\n${last}`,
    'an empty extension': `4;\r\nbody\r\n${last}`,
    'two extensions': `4;a=b;c=d\r\nbody\r\n${last}`,
    'an extension after a space': `4 ;a=b\r\nbody\r\n${last}`,
    'an extension with spaces': `4 ; a = b\r\nbody\r\n${last}`,
    'a quoted extension': `4;a="b c"\r\nbody\r\n${last}`,
    'a quoted extension with a semicolon': `4;a="b;c"\r\nbody\r\n${last}`,
    'a quoted extension with an escape': `4;a="b\\"c"\r\nbody\r\n${last}`,
    'a quoted CRLF in an extension': `4;a="\r\n"\r\nbody\r\n${last}`,
    'an unfinished quote in an extension': `4;a="b\r\nbody\r\n${last}`,
    'an extension with an LF': `4;a\nb\r\nbody\r\n${last}`,
    'an extension with a CR': `4;a\rb\r\nbody\r\n${last}`,
    'an extension with a NUL': `4;a\0b\r\nbody\r\n${last}`,
    'an extension with a control byte': `4;a\x01b\r\nbody\r\n${last}`,
    'an extension with Latin-1': `4;a=\xe9\r\nbody\r\n${last}`,
    'a long extension': `4;${'a'.repeat(1000)}\r\nbody\r\n${last}`,
    'a very long extension': `4;${'a'.repeat(20_000)}\r\nbody\r\n${last}`,
    'an extension on the last chunk': '4\r\nbody\r\n0;a=b\r\n\r\n',
    'LF after the size': `4\nbody\r\n${last}`,
    'CR after the size': `4\rbody\r\n${last}`,
    'CR CR LF after the size': `4\r\r\nbody\r\n${last}`,
    'LF CR after the size': `4\n\rbody\r\n${last}`,
    'CR and another byte after the size': `4\rXbody\r\n${last}`,
    'LF after the data': `4\r\nbody\n${last}`,
    'CR after the data': `4\r\nbody\r${last}`,
    'nothing after the data': `4\r\nbody${last}`,
    'two bytes that are no CRLF after the data': `4\r\nbodyXY${last}`,
    'LF CR after the data': `4\r\nbody\n\r${last}`,
    'CR X after the data': `4\r\nbody\rX${last}`,
    'X LF after the data': `4\r\nbodyX\n${last}`,
    'a CRLF too many after the data': `4\r\nbody\r\n\r\n${last}`,
    'a space before the next size': `4\r\nbody\r\n ${last}`,
    'LF line ends throughout': '4\nbody\n0\n\n',
    'LF after the last size': '4\r\nbody\r\n0\n\r\n',
    'LF at the very end': '4\r\nbody\r\n0\r\n\n',
    'CR at the very end': '4\r\nbody\r\n0\r\n\r',
    'CR X at the very end': '4\r\nbody\r\n0\r\n\rX',
    'no CRLF at the very end': '4\r\nbody\r\n0\r\n',
    'no CRLF but bytes at the very end': '4\r\nbody\r\n0\r\nXY',
    'no last chunk': '4\r\nbody\r\n',
    'no CRLF after the last size': '4\r\nbody\r\n0',
    'the data short': `5\r\nbody\r\n${last}`,
    'the data long': `3\r\nbody\r\n${last}`,
    'a trailer': '4\r\nbody\r\n0\r\nX: y\r\n\r\n',
    'two trailers': '4\r\nbody\r\n0\r\nX: y\r\nZ: w\r\n\r\n',
    'a trailer without a value': '4\r\nbody\r\n0\r\nX:\r\n\r\n',
    'a trailer without a colon': '4\r\nbody\r\n0\r\nX\r\n\r\n',
    'a trailer without a name': '4\r\nbody\r\n0\r\n: y\r\n\r\n',
    'a trailer with a space before its colon': '4\r\nbody\r\n0\r\nX : y\r\n\r\n',
    'a folded trailer': '4\r\nbody\r\n0\r\nX: y\r\n z\r\n\r\n',
    'a trailer that starts with a space': '4\r\nbody\r\n0\r\n X: y\r\n\r\n',
    'a trailer with a NUL': '4\r\nbody\r\n0\r\nX: \0\r\n\r\n',
    'a trailer with LF': '4\r\nbody\r\n0\r\nX: y\n\r\n',
    'a trailer with CR': '4\r\nbody\r\n0\r\nX: y\r\r\n\r\n',
    'a trailer that names a length': '4\r\nbody\r\n0\r\nContent-Length: 4\r\n\r\n',
    'a trailer that names an encoding': '4\r\nbody\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n',
    'a trailer that names a host': '4\r\nbody\r\n0\r\nHost: other\r\n\r\n',
    'a long trailer': `4\r\nbody\r\n0\r\nX: ${'y'.repeat(1000)}\r\n\r\n`,
    'a very long trailer': `4\r\nbody\r\n0\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`,
    'many trailers': `4\r\nbody\r\n0\r\n${'X: y\r\n'.repeat(150)}\r\n`,
    'an unfinished trailer': '4\r\nbody\r\n0\r\nX: y',
    'a trailer and no end': '4\r\nbody\r\n0\r\nX: y\r\n',
    'nothing at all': '',
    'a CRLF first': `\r\n4\r\nbody\r\n${last}`,
    'a chunk after the last': `4\r\nbody\r\n${last}4\r\nmore\r\n${last}`,
    'a size and nothing else': '4\r\n',
    'half a size': '4',
    'data with CRLF in it': `6\r\na\r\n0\r\n\r\n${last}`,
    'data with NUL in it': `3\r\n\0\0\0\r\n${last}`,
    'data of every byte': `100\r\n${Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join('')}\r\n${last}`,
  };
  // prettier-ignore
  for (const size of [
    'ff', 'fff', 'ffff', 'fffff', 'ffffff', 'fffffff', 'ffffffff', '7fffffff', '80000000', '100000000', '100000004',
    'fffffffff', 'ffffffffff', '7ffffffffffffff', '7fffffffffffffff', '8000000000000000', 'fffffffffffffff',
    '1000000000000000', '0ffffffffffffffff', 'ffffffffffffffff', '10000000000000000', '10000000000000004',
    'f0000000000000004', '3ffffffffffffff', '400000000000000', 'f'.repeat(40), '100000000000000',
    '0fffffffffffffff', '10000000', '20000000', '40000000', 'fffffffe', 'fffffffffffffffe', 'fffffffffffffffd',
  ]) {
    bodies[`a size of ${size}`] = `${size}\r\nbody\r\n${last}`;
  }
  for (const [detail, body] of Object.entries(bodies)) {
    const headers = ['Transfer-Encoding: chunked'];
    add('chunks', detail, request({ method: 'POST', headers, body }));
    add('chunks', `${detail}, that nobody reads`, request({ method: 'POST', target: '/early', headers, body }));
    add('chunks', `${detail}, for nobody`, request({ method: 'POST', target: '/nowhere', headers, body }));
  }
  for (const target of ['/collect', '/v2', '/upload', '/early-close']) {
    for (const detail of ['one chunk', 'two chunks', 'no chunk', 'no hex', 'a trailer', 'no last chunk']) {
      const chunked = { method: 'POST', headers: ['Transfer-Encoding: chunked'], body: bodies[detail] };
      add('chunks', `${detail}, for ${target}`, request({ target, ...chunked }));
    }
  }
}

module.exports = [contentLengths, transferEncodings, chunks];
