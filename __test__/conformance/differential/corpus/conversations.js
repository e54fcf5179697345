'use strict';

// Pipelined requests, upgrades, and every kind of response.

const { SAMPLE_KEY } = require('../../../support/RawSocket.js');
const { frame, text, ping, close, OPCODE } = require('../../../support/frames.js');
const { add, latin1, request, upgrade } = require('./builders.js');

function pipelines() {
  const post = (target, body) => request({ method: 'POST', target, headers: [`Content-Length: ${body.length}`], body });
  const chunked = (target, body) =>
    request({
      method: 'POST',
      target,
      headers: ['Transfer-Encoding: chunked'],
      body: `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    });
  const good = {
    'a get': request({ target: '/hello' }),
    'a head': request({ method: 'HEAD', target: '/hello' }),
    'an unknown target': request({ target: '/nowhere' }),
    'an upload': post('/upload', 'body'),
    'a chunked upload': chunked('/upload', 'body'),
    'an upload that nobody reads': post('/early', 'body'),
    'a chunked upload that nobody reads': chunked('/early', 'body'),
    'an upload for nobody': post('/nowhere', 'body'),
    'a write': request({ target: '/write' }),
    'no content': request({ target: '/no-content' }),
    'a microtask': request({ target: '/microtask' }),
    'a close': request({ target: '/hello', headers: ['Connection: close'] }),
    'an end that closes': request({ target: '/end-close' }),
    'a bad request': request({ host: null }),
    'another version': request({ version: 'HTTP/1.0' }),
    'an upgrade': upgrade({ target: '/ws' }),
    'a refused upgrade': upgrade({ target: '/ws-refuse' }),
    'an expectation': request({
      method: 'POST',
      target: '/upload',
      headers: ['Expect: 100-continue', 'Content-Length: 2'],
      body: 'ok',
    }),
    garbage: '\0\x01\x02',
    'an unfinished head': 'GET /hello HTTP/1.1\r\nHost: h\r\n',
  };
  for (const [first, a] of Object.entries(good)) {
    for (const [second, b] of Object.entries(good)) add('pipelines', `${first}, ${second}`, a + b);
    add('pipelines', `${first}, a CRLF, a get`, `${a}\r\n${good['a get']}`);
    add('pipelines', `${first}, five times`, a.repeat(5));
  }
  add('pipelines', 'a hundred', good['a get'].repeat(100));
  add('pipelines', 'a hundred uploads', good['an upload'].repeat(100));
  add('pipelines', 'every good kind', Object.values(good).slice(0, 10).join(''));
}

function upgrades() {
  const BYE = close(1000, 'bye').toString('latin1');
  const variants = { plain: {} };
  const vary = (field, values) => {
    for (const value of values) variants[`${field} ${value === null ? 'missing' : `'${value}'`}`] = { [field]: value };
  };
  // prettier-ignore
  vary('upgrade', [
    null, '', 'WebSocket', 'WEBSOCKET', 'websocket, h2c', 'h2c, websocket', 'h2c', 'websocke', 'websockets',
    ' websocket ', 'websocket/13', 'x websocket', 'websocket\r\nUpgrade: h2c', 'h2c\r\nUpgrade: websocket',
    '"websocket"', 'web socket',
  ]);
  vary('connection', [
    null,
    '',
    'upgrade',
    'UPGRADE',
    'keep-alive, Upgrade',
    'keep-alive',
    'close',
    'close, Upgrade',
    'Upgrade, close',
  ]);
  // prettier-ignore
  vary('key', [
    null, '', 'x', 'x'.repeat(16), 'x'.repeat(22), 'x'.repeat(23), 'x'.repeat(24), 'x'.repeat(25), 'x'.repeat(48),
    '='.repeat(24), ` ${SAMPLE_KEY} `, `${SAMPLE_KEY}\r\nSec-WebSocket-Key: ${SAMPLE_KEY}`,
    `${SAMPLE_KEY}\r\nSec-WebSocket-Key: x`, `x\r\nSec-WebSocket-Key: ${SAMPLE_KEY}`, '\xe9'.repeat(24),
    '\xe9'.repeat(12), `${'a'.repeat(22)}\t=`, 'a b c d e f g h i j k l =', SAMPLE_KEY.toLowerCase(),
    'dGhlIHNhbXBsZSBub25jZ===', '!'.repeat(24), `${SAMPLE_KEY.slice(0, 23)}\0`,
  ]);
  // prettier-ignore
  vary('webSocketVersion', [
    null, '', '13', '12', '8', '0', '14', '130', '1', '013', '13, 8', '8, 13', '+13', '13.0', ' 13 ', 'x', '-1',
    '255', '256', '13\r\nSec-WebSocket-Version: 8', '8\r\nSec-WebSocket-Version: 13',
    '13\r\nSec-WebSocket-Version: 13', latin1('１３'),
  ]);
  // prettier-ignore
  vary('protocol', [
    '', 'chat', 'chat, superchat', 'chat,superchat', ' chat , superchat', ',chat', ', chat', ',', 'a b', 'chat;q=1',
    '"chat"', '\xe9', 'chat\t,x', 'chat\r\nSec-WebSocket-Protocol: other', '\r\nSec-WebSocket-Protocol: other',
    'p'.repeat(300), 'chat,', ' ,', 'a,,b', 'CHAT',
  ]);
  const DEFLATE = 'permessage-deflate';
  // prettier-ignore
  vary('extensions', [
    '', DEFLATE, `${DEFLATE}; client_max_window_bits`, `${DEFLATE}; server_max_window_bits=10`,
    `${DEFLATE};client_max_window_bits=8`, `${DEFLATE}; server_no_context_takeover`,
    `${DEFLATE}; client_no_context_takeover`, 'x', `x, ${DEFLATE}`, `${DEFLATE}, x`, 'permessage-bzip2',
    `${DEFLATE}; server_max_window_bits=16`, `${DEFLATE}; server_max_window_bits=7`, `${DEFLATE}; unknown`,
    `${DEFLATE}; unknown=1`, ';', ',', `${DEFLATE}; server_max_window_bits`,
    `${DEFLATE}; client_max_window_bits=15; server_max_window_bits=15`, 'PERMESSAGE-DEFLATE',
    `${DEFLATE}; server_no_context_takeover; client_no_context_takeover; client_max_window_bits`,
    'x-webkit-deflate-frame', DEFLATE.slice(1), `${DEFLATE}\r\nSec-WebSocket-Extensions: x`,
    `${DEFLATE}; client_max_window_bits="10"`, `${DEFLATE}; server_max_window_bits=09`,
    `${DEFLATE}; client_max_window_bits; client_max_window_bits`,
    `${DEFLATE}, ${DEFLATE}; server_max_window_bits=9`, `${DEFLATE};;`,
  ]);
  vary('method', ['POST', 'HEAD', 'get', 'PUT', 'OPTIONS', 'CONNECT', 'FOO', 'Get']);
  vary('version', ['HTTP/1.0', 'HTTP/2.0', 'HTTP/1.2', 'http/1.1']);
  vary('target', [
    '/hello',
    '/nowhere',
    '/ws/',
    '/ws?',
    '/ws?a=b',
    '/WS',
    '/',
    '/ws%20',
    '//ws',
    'http://h/ws',
    '/upload',
  ]);
  variants['a Content-Length of 0'] = { more: ['Content-Length: 0'] };
  variants['a body'] = { more: ['Content-Length: 4'], body: 'body' };
  variants['a chunked body'] = { more: ['Transfer-Encoding: chunked'], body: '4\r\nbody\r\n0\r\n\r\n' };
  variants['an expectation'] = { more: ['Expect: 100-continue'] };
  variants['a fold'] = { more: ['X: a\r\n b'] };
  variants['an Origin'] = { more: ['Origin: http://elsewhere'] };
  variants['HTTP2-Settings'] = { more: ['HTTP2-Settings: AAMAAABkAAQAAP__'] };

  for (const [detail, parts] of Object.entries(variants)) {
    const targets = parts.target === undefined ? ['/ws', '/ws-plain', '/ws-deflate'] : [parts.target];
    for (const target of targets) add('upgrades', `${detail} for ${target}`, upgrade({ target, ...parts }));
    if (parts.target === undefined && targets.length > 1) {
      const body = (parts.body ?? '') + text('hi').toString('latin1') + BYE;
      add('upgrades', `${detail}, a message and a close`, upgrade({ ...parts, body }));
    }
  }
  for (const target of ['/ws', '/ws-header', '/ws-refuse', '/ws-plain', '/ws-deflate']) {
    add('upgrades', `a close for ${target}`, upgrade({ target, body: BYE }));
    const several = [text('one'), ping('two'), frame(OPCODE.BINARY, 'three'), close(1000)];
    add(
      'upgrades',
      `several frames for ${target}`,
      upgrade({ target, body: Buffer.concat(several).toString('latin1') }),
    );
    add('upgrades', `no frame for ${target}`, upgrade({ target }));
  }
}

function answers() {
  // prettier-ignore
  const targets = [
    '/hello', '/write', '/write-only', '/status', '/no-content', '/no-content-body', '/not-modified',
    '/not-modified-body', '/reset-content', '/without-body', '/without-body-length', '/without-body-close',
    '/end-nothing', '/end-empty', '/end-close', '/end-bytes', '/end-unicode', '/write-close', '/try-end',
    '/own-length', '/own-date', '/close', '/microtask', '/early', '/only', '/early-close', '/nowhere', '/only-post',
    '/echo',
  ];
  for (const target of targets) {
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT', 'DELETE', 'CONNECT', 'FOO']) {
      add('answers', `${method} ${target}`, request({ method, target }));
      if (method === 'GET' || method === 'HEAD') {
        add('answers', `${method} ${target}, close`, request({ method, target, headers: ['Connection: close'] }));
        add('answers', `${method} ${target}, twice`, request({ method, target }).repeat(2));
      }
      if (method === 'POST' || method === 'PUT') {
        const body = { headers: ['Content-Length: 4'], body: 'body' };
        add('answers', `${method} ${target} with a body`, request({ method, target, ...body }));
      }
    }
  }
}

module.exports = [pipelines, upgrades, answers];
