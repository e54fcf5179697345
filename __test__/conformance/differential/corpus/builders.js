'use strict';

// Functions that build the corpus.

const { SAMPLE_KEY } = require('../../../support/RawSocket.js');

const entries = [];
const names = new Set();

function add(group, detail, bytes) {
  const name = `${group}: ${printable(detail)}`;
  if (names.has(name)) throw new Error(`two entries are named '${name}'`);
  names.add(name);
  entries.push({ group, name, bytes });
}

/** Escapes control characters and the like, and abbreviates to one line, so that entries remain distinguishable. */
function printable(detail) {
  const shown = detail
    .replace(/(.{1,4}?)\1{15,}/g, (all, part) => `${part}{${all.length / part.length}}`)
    .replace(/[^ -~]/g, (char) => `<${char.charCodeAt(0).toString(16).padStart(2, '0')}>`);
  return shown.length > 150 ? `${shown.slice(0, 100)}... of ${detail.length}` : shown;
}

/** Builds a request from the given parts, valid or not. */
function request({
  method = 'GET',
  target = '/echo',
  version = 'HTTP/1.1',
  host = 'Host: h',
  headers = [],
  body = '',
}) {
  const lines = [`${method} ${target} ${version}`, ...(host === null ? [] : [host]), ...headers];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** Adds a GET request, and a POST request with a body. */
function addWithAndWithoutBody(group, detail, parts) {
  add(group, detail, request(parts));
  const headers = [...(parts.headers ?? []), 'Content-Length: 4'];
  add(group, `${detail} (with a body)`, request({ ...parts, method: 'POST', headers, body: 'body' }));
}

/** Builds the head of an upgrade and what follows it; a field that is null is left out. */
function upgrade({
  method = 'GET',
  target = '/ws',
  version = 'HTTP/1.1',
  upgrade = 'websocket',
  connection = 'Upgrade',
  key = SAMPLE_KEY,
  webSocketVersion = '13',
  protocol = null,
  extensions = null,
  more = [],
  body = '',
} = {}) {
  const fields = {
    Upgrade: upgrade,
    Connection: connection,
    'Sec-WebSocket-Key': key,
    'Sec-WebSocket-Version': webSocketVersion,
    'Sec-WebSocket-Protocol': protocol,
    'Sec-WebSocket-Extensions': extensions,
  };
  const given = Object.entries(fields).filter(([, value]) => value !== null);
  return request({
    method,
    target,
    version,
    headers: [...given.map(([name, value]) => `${name}: ${value}`), ...more],
    body,
  });
}

/** Returns a string of bytes: the value itself if it is Latin-1, otherwise its UTF-8 encoding. */
function latin1(value) {
  return value === null || /^[\0-\xff]*$/.test(value) ? value : Buffer.from(value).toString('latin1');
}

module.exports = { add, addWithAndWithoutBody, entries, latin1, request, upgrade };
