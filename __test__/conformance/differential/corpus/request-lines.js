'use strict';

// Methods, targets, queries and versions.

const { add, addWithAndWithoutBody, request } = require('./builders.js');

const KNOWN_METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', 'HEAD'];

function methods() {
  // prettier-ignore
  const strange = [
    'get', 'Get', 'gET', 'post', 'head', 'options', 'FOO', 'PROPFIND', 'M-SEARCH', 'PURGE', 'PRI', 'QUERY', 'LOCK',
    'G', 'GE', 'GETT', 'GET1', '1', '_', '~', '!', "'", '*', 'G*T', 'a|b', '', ' GET', 'GET ', '\tGET', 'GET\t',
    'G@T', 'G(T', 'G:T', 'G/T', 'G[T', 'G"T', 'G,T', 'G\0T', 'G\x7fT', 'G\xe9T', '\xff', '\x01', 'M'.repeat(100),
    'M'.repeat(5000), 'GET / HTTP/1.1 GET', 'G\rT', 'G\nT', 'G\r\nT',
  ];
  for (const method of [...KNOWN_METHODS, ...strange]) {
    for (const target of ['/echo', '/hello', '/only', '/nowhere']) {
      add('methods', `${method} ${target}`, request({ method, target }));
    }
  }
  for (const method of KNOWN_METHODS) {
    const headers = ['Content-Length: 4'];
    for (const target of ['/echo', '/only', '/early', '/nowhere', '/upload']) {
      add('methods with a body', `${method} ${target}`, request({ method, target, headers, body: 'body' }));
      const chunked = { headers: ['Transfer-Encoding: chunked'], body: '4\r\nbody\r\n0\r\n\r\n' };
      add('methods with a body', `${method} ${target}, chunked`, request({ method, target, ...chunked }));
    }
  }
}

function targets() {
  // prettier-ignore
  const list = [
    '/', '//', '///', '/echo', '/echo/', '//echo', '/echo//', '/echo//a', '/echo/.', '/echo/..', '/echo/../echo',
    '/./echo', '/../echo', '/ECHO', '/Echo', '/echo/%2e%2e', '/%65cho', '/echo/%41', '/echo/%', '/echo/%4',
    '/echo/%zz', '/echo/%00', '/echo/%C3%A9', '/echo/+', '/echo/a b', '/echo/a  b', '/echo/\ta', '/echo/a\t',
    '/echo\t', '/echo/a\0b', '/echo/\x01', '/echo/\x1f', '/echo/\x7f', '/echo/\x80', '/echo/\xe9', '/echo/\xff',
    '/echo/\xc3\xa9', '/echo/"', '/echo/<', '/echo/\\', '/echo/^', '/echo/`', '/echo/{', '/echo/|', '/echo/}',
    '\\echo', '/echo\\', '/echo#fragment', '/echo?a#b', '/echo/#', '#', '?', '?a=b', '*', 'echo', 'e', '', 'h:80',
    'h', '127.0.0.1:80', ':80', 'http://h/echo', 'http://h', 'http://h/', 'http://other/echo', 'HTTP://h/echo',
    'https://h/echo', 'ftp://h/echo', 'http:///echo', 'http:/echo', 'http:echo', 'http://', 'http', 'https://h',
    'http://h:80/echo?q', 'http://u@h/echo', 'http://h?q', 'httpx://h/echo', 'ws://h/echo', '://echo',
    '/echo/http://h/', '@', '/echo;a=b', '/echo,', '/echo/:a/*', '/static/', '/static', '/static/a', '/static/a/b',
    '/static//', '/staticx', '/Static/a', '/static/?', '/static?/', '/p/1/2', '/p/1/', '/p//2', '/p//', '/p/1',
    '/p/1/2/', '/p/1/2/3', '/p/%20/%2F', '/p/\xe9/b', '/p/:a/:b', '/p/1/2?a=b', '/p/*/*', '/hello/', '/hello?',
    '/hello?a', '/hello??', '/hell', '/helloo', '/hello;', '/hello%20', '/only-post', '/yield/stays', '/yield/goes',
    '/yield/second', '/yield/any', '/yield/', '/yield', '/yield/a/second', '/yield/stays/any', '/early', '/early/',
    '/*', '/echo/*', '/headers', '/ws', '/ws-plain', '/ws-refuse',
  ];
  for (const target of list) addWithAndWithoutBody('targets', target, { target });
  for (const length of [10, 100, 255, 256, 1000, 2000, 4000, 5000, 20_000]) {
    for (const [kind, start] of [
      ['path', '/static/'],
      ['query', '/static/?'],
      ['unknown', '/unknown'],
    ]) {
      add('targets', `a ${kind} of ${length}`, request({ target: start.padEnd(length, 'x') }));
    }
    add('targets', `a path with ${length} slashes`, request({ target: `/static/${'/'.repeat(length)}` }));
    add('targets', `a path of ${length} parts`, request({ target: `/static${'/x'.repeat(length / 2)}` }));
  }
  for (const depth of [1, 10, 50, 99, 100, 101, 150, 500]) {
    add('targets', `a catch-all of depth ${depth}`, request({ target: `/echo${'/a'.repeat(depth)}` }));
    add('targets', `an unknown target of depth ${depth}`, request({ target: '/a'.repeat(depth) }));
  }
}

function queries() {
  // prettier-ignore
  const list = [
    '', '?', '?a', '?a=', '?a=1', '?=', '?=1', '?&', '?&&', '?a=1&b=2', '?b=2&a=1', '?a=1&a=2', '?a&b', '?a=1&',
    '?&a=1', '?a=1?b=2', '?a=b=c', '?a==', '?key=value', '?KEY=value', '?xkey=1', '?keyx=1', '?key=1&xkey=2',
    '?xkey=2&key=1', '?a=%41', '?a=%e9', '?a=%C3%A9', '?a=%', '?a=%4', '?a=%zz', '?a=%00', '?a=%2', '?a=%25',
    '?a=%2541', '?a=%4g', '?a=%g4', '?a=+', '?a=%20', '?a=1+2', '?a=%2B', '?%61=1', '?%C3%A9=1', '?\xc3\xa9=1',
    '?\xe9=1', '?a=\xe9', '?a=\xff', '?a=;b=1', '?a=1;b=2', '?a=1&amp;b=2', '?a[]=1', '?a/b=1', '?/', '?a=/',
    '?a="', '?a=%26b=2', '?a=1%26', '?a=%3D', '?a#b=1', '?b&a=1', '?b=1&b=2&b=3', '??a=1', '?a=?', '?a&a=1',
    '?a=&a=1', '?ab=1&b=2', '?a=1&&b=2', '?a=1&=&b=2', '?a%=1&b=2', '?a=%%41', '?a=%41%', '?a=%E2%82%AC',
    '?a=%e2%82', '?a=%F0%9F%98%80', '?a=%+1', '?a=%-1', '?a=% 1', '?a=%0x', '?a=\x01', '?a=\x7f',
  ];
  for (const query of list) {
    add('queries', `/query${query}`, request({ target: `/query${query}` }));
    add('queries', `/echo${query}`, request({ target: `/echo${query}` }));
  }
}

function requestLines() {
  // prettier-ignore
  const versions = [
    'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/2', 'HTTP/0.9', 'HTTP/1.2', 'HTTP/1.9', 'HTTP/1.10', 'HTTP/1.11',
    'HTTP/11', 'HTTP/1', 'HTTP/1.', 'HTTP/.1', 'HTTP/', 'HTTP', 'HTTP/01.1', 'HTTP/1.01', 'HTTP/3.0', 'HTTP/9.9',
    'HTTP/0.0', 'HTTP/1.1.1', 'http/1.1', 'Http/1.1', 'HTTP/1,1', 'HTTP 1.1', 'HTTP/ 1.1', 'HTTP/1 .1', 'HTTP/1.1 ',
    'HTTP/1.1  ', 'HTTP/1.1\t', ' HTTP/1.1', '\tHTTP/1.1', 'HTTP/-1.1', 'HTTP/+1.1', 'HTTP/1.x', 'HTTP/x.1',
    'HTTPS/1.1', 'HTP/1.1', 'XHTTP/1.1', 'ICY', 'JUNK', 'x', '', '\0', 'HTTP/1.1\0', 'HTTP/1.1\x01', 'HTTP/1.1x',
    'HTTP/1.\xb1', 'HTTP\\1.1', 'HTTP/1.1 HTTP/1.1', 'HTTP/1.1\r', 'HTTP/1.1,', '1.1', 'RTSP/1.0', 'SIP/2.0',
    'HTTP/1.0 ', 'HTTP/1.1111111111',
  ];
  for (const version of versions) addWithAndWithoutBody('versions', `'${version}'`, { version });
  for (const version of ['HTTP/1.0', 'HTTP/1.1', 'HTTP/2.0', 'HTTP/1.2']) {
    const more = { version, host: null };
    add('versions', `${version} without a Host`, request(more));
    add('versions', `${version} without any header, unknown target`, request({ ...more, target: '/nowhere' }));
    add('versions', `${version}, keep-alive`, request({ version, headers: ['Connection: keep-alive'] }));
    add('versions', `${version}, close`, request({ version, headers: ['Connection: close'] }));
  }

  const rest = 'Host: h\r\n\r\n';
  const lines = {
    'no version': 'GET /echo\r\n',
    'no version and a space': 'GET /echo \r\n',
    'no target': 'GET HTTP/1.1\r\n',
    'no target but two spaces': 'GET  HTTP/1.1\r\n',
    'a method only': 'GET\r\n',
    'a method and a space': 'GET \r\n',
    'an empty line': '\r\n',
    'a space': ' \r\n',
    'two spaces after the method': 'GET  /echo HTTP/1.1\r\n',
    'two spaces after the target': 'GET /echo  HTTP/1.1\r\n',
    'a tab after the method': 'GET\t/echo HTTP/1.1\r\n',
    'a tab after the target': 'GET /echo\tHTTP/1.1\r\n',
    'tabs for spaces': 'GET\t/echo\tHTTP/1.1\r\n',
    'a form feed for a space': 'GET\x0c/echo HTTP/1.1\r\n',
    'a vertical tab for a space': 'GET /echo\x0bHTTP/1.1\r\n',
    'a leading space': ' GET /echo HTTP/1.1\r\n',
    'a leading tab': '\tGET /echo HTTP/1.1\r\n',
    'a leading CRLF': '\r\nGET /echo HTTP/1.1\r\n',
    'two leading CRLF': '\r\n\r\nGET /echo HTTP/1.1\r\n',
    'a leading LF': '\nGET /echo HTTP/1.1\r\n',
    'a leading CR': '\rGET /echo HTTP/1.1\r\n',
    'a leading NUL': '\0GET /echo HTTP/1.1\r\n',
    'a byte order mark': '\xef\xbb\xbfGET /echo HTTP/1.1\r\n',
    'a bare LF': 'GET /echo HTTP/1.1\n',
    'a bare CR': 'GET /echo HTTP/1.1\r',
    'a CR twice': 'GET /echo HTTP/1.1\r\r\n',
    'LF CR': 'GET /echo HTTP/1.1\n\r',
    'an LF within': 'GET /echo\nHTTP/1.1\r\n',
    'a CR within': 'GET /echo\rHTTP/1.1\r\n',
    'a CRLF within': 'GET /echo\r\nHTTP/1.1\r\n',
    'a space before the CRLF': 'GET /echo HTTP/1.1 \r\n',
    'four words': 'GET /echo HTTP/1.1 more\r\n',
    'a status line': 'HTTP/1.1 200 OK\r\n',
    'a header line': 'Host: a\r\n',
    'an empty header line': 'GET /echo HTTP/1.1\r\n\r\n',
    'a lower case line': 'get /echo http/1.1\r\n',
    'a SSH banner': 'SSH-2.0-OpenSSH_9.6\r\n',
    'a proxy header': 'PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET /echo HTTP/1.1\r\n',
    'only its method, and LF': 'GET\n',
    'the letter G for ever': 'G'.repeat(300),
    'spaces for ever': ' '.repeat(300),
    'NUL for ever': '\0'.repeat(300),
    'CRLF for ever': '\r\n'.repeat(300),
    'LF for ever': '\n'.repeat(300),
    '0xff for ever': '\xff'.repeat(300),
  };
  for (const [detail, line] of Object.entries(lines)) add('request lines', detail, line + rest);

  const whole = {
    nothing: '',
    'one CR': '\r',
    'one LF': '\n',
    'one CRLF': '\r\n',
    'two CRLF': '\r\n\r\n',
    'three CRLF': '\r\n\r\n\r\n',
    'one NUL': '\0',
    'a TLS hello': '\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03' + 'r'.repeat(189),
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a request of HTTP/0.9': 'GET /echo\r\n',
    'a request without headers': 'GET /echo HTTP/1.1\r\n\r\n',
    'LF line ends': 'GET /echo HTTP/1.1\nHost: h\n\n',
    'CR line ends': 'GET /echo HTTP/1.1\rHost: h\r\r',
    'LF as the last line end': 'GET /echo HTTP/1.1\r\nHost: h\r\n\n',
    'CR as the last line end': 'GET /echo HTTP/1.1\r\nHost: h\r\n\r',
    'LF LF as the last line ends': 'GET /echo HTTP/1.1\r\nHost: h\n\n',
    'CR and something as the last line end': 'GET /echo HTTP/1.1\r\nHost: h\r\n\rX',
    'CR CR LF as the last line end': 'GET /echo HTTP/1.1\r\nHost: h\r\n\r\r\n',
    'a CRLF after a request': 'GET /echo HTTP/1.1\r\nHost: h\r\n\r\n\r\n',
    'an LF after a request': 'GET /echo HTTP/1.1\r\nHost: h\r\n\r\n\n',
    'a space after a request': 'GET /echo HTTP/1.1\r\nHost: h\r\n\r\n ',
    'a NUL after a request': 'GET /echo HTTP/1.1\r\nHost: h\r\n\r\n\0',
    'a body nobody spoke of': 'POST /echo HTTP/1.1\r\nHost: h\r\n\r\nbody',
    'an unfinished body': 'POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nbody',
    'an unfinished body that nobody reads': 'POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nbody',
    'an unfinished chunked body': 'POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nbody',
  };
  for (const [detail, bytes] of Object.entries(whole)) add('whole messages', detail, bytes);
}

module.exports = [methods, targets, queries, requestLines];
