'use strict';

// The reasons why milliways deliberately responds differently from uWebSockets.js.
//
// expected.json has the exact responses of milliways to every entry concerned. Each reason has a predicate over the
// entry and both lists of responses, one string per response; `theirs` are those of uWebSockets.js. The first reason
// that holds applies, so narrow ones come first. docs/COMPATIBILITY.md lists every reason.

const { BAD_REQUEST, HEADERS_TOO_LARGE, VERSION_NOT_SUPPORTED } = require('../../support/http.js');
const { ALIVE } = require('./exchange.js');

const UPGRADE_REQUIRED =
  'HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n' +
  '<h1>Upgrade Required</h1><hr><i>uWebSockets/20 Server</i>';
const ERRORS = [BAD_REQUEST, HEADERS_TOO_LARGE, VERSION_NOT_SUPPORTED, UPGRADE_REQUIRED];

/** The negotiated extensions. */
const EXTENSIONS = /Sec-WebSocket-Extensions: [^\r]*\r\n/;

const DIFFERENCES = [
  {
    reason: 'HTTP/1.0 requests are served, without chunked coding in either direction.',
    holds: ({ bytes }, theirs, ours) =>
      bytes.includes(' HTTP/1.0\r\n') && isOfVersion(theirs) && ours.at(-1) !== VERSION_NOT_SUPPORTED,
  },
  {
    reason: 'HTTP/1.2 and later minor versions are treated as HTTP/1.1.',
    holds: ({ bytes }, theirs, ours) =>
      / HTTP\/1\.[2-9]\r\n/.test(bytes) && isOfVersion(theirs) && ours.at(-1) !== VERSION_NOT_SUPPORTED,
  },
  {
    reason: 'A request target may be in absolute form, and its host then replaces the Host header.',
    holds: ({ bytes }, theirs, ours) => /^\S+ https?:\/\//i.test(bytes) && isOfVersion(theirs) && isServed(ours),
  },
  {
    reason: 'A parameter that the route does not have is undefined, not an empty string.',
    holds: ({ bytes }, theirs, ours) => bytes.startsWith('GET /p/') && isServed(theirs) && isServed(ours),
  },
  {
    reason: 'The first offer of permessage-deflate that RFC 7692 allows is accepted, and no other extension.',
    holds: (entry, theirs, ours) =>
      theirs.some(isUpgrade) && String(EXTENSIONS.exec(ours.join(''))) !== String(EXTENSIONS.exec(theirs.join(''))),
  },
  {
    reason: 'A request may have at most 100 headers, not 98.',
    holds: ({ name }, theirs) => /^sizes: (?:99|100) /.test(name) && theirs[0] === HEADERS_TOO_LARGE,
  },
  {
    reason: 'An upgrade request that does not offer version 13 of the WebSocket protocol is answered with 426.',
    holds: ({ bytes }, theirs, ours) =>
      theirs.some(isUpgrade) &&
      ours.at(-1) === UPGRADE_REQUIRED &&
      valuesOf(bytes, 'sec-websocket-version')[0] !== '13',
  },
  {
    reason:
      'An upgrade request has an Upgrade header that names websocket, a Connection header that names upgrade, and a key ' +
      'that is the base64 encoding of 16 bytes; without any of these it is an ordinary request.',
    holds: ({ bytes }, theirs, ours) =>
      theirs.some(isUpgrade) &&
      !ours.some(isUpgrade) &&
      !(
        names(bytes, 'upgrade', 'websocket') &&
        names(bytes, 'connection', 'upgrade') &&
        valuesOf(bytes, 'sec-websocket-key').some((key) => /^[A-Za-z0-9+/]{22}==$/.test(key))
      ),
  },
  {
    reason: 'An upgrade request with more than one key or version is a bad request.',
    holds: ({ bytes }, theirs, ours) =>
      ours[0] === BAD_REQUEST && ['key', 'version'].some((name) => valuesOf(bytes, `sec-websocket-${name}`).length > 1),
  },
  {
    reason: 'An upgrade request with a body is a bad request.',
    holds: ({ bytes }, theirs, ours) => theirs.some(isUpgrade) && ours[0] === BAD_REQUEST && hasFraming(bytes),
  },
  {
    reason: 'The selected subprotocol is trimmed, and none is selected if the first one of the list is empty.',
    holds: ({ bytes }, theirs, ours) =>
      /^Sec-WebSocket-Protocol: *(?:,|[^\r]*\s,)/m.test(bytes) && theirs.some(isUpgrade) && ours.some(isUpgrade),
  },
  {
    reason:
      '100 Continue is sent if a request has a body and a handler, whatever the letter case of its expectation, ' +
      'and also if the expectation is one of a list.',
    holds: ({ bytes }, theirs, ours) =>
      valuesOf(bytes, 'expect').length > 0 &&
      theirs.some(isContinue) !== ours.some(isContinue) &&
      !(ours.some(isContinue) && !hasFraming(bytes)),
  },
  {
    reason:
      'Frames that arrive together with their upgrade request are processed, not dropped, and an invalid one is ' +
      'answered with a Close frame.',
    holds: (entry, theirs, ours) => theirs.some(isUpgrade) && ours.join('').startsWith(theirs.join('')),
  },
  {
    reason:
      'Responses to HEAD and responses with status 204 or 304 have no body; a 204 has no Content-Length, and a 304 ' +
      'has one only if the program reports it.',
    holds: ({ bytes }, theirs, ours) =>
      theirs.length === ours.length &&
      theirs.some((text, i) => text !== ours[i]) &&
      theirs.every((text, i) => text === ours[i] || withoutBody(text) === withoutBody(ours[i])) &&
      (bytes.includes('HEAD ') || /HTTP\/1\.1 (?:204|304) /.test(ours.join(''))),
  },
  {
    reason: 'An invalid percent-escape in a query value is kept as it is, and a key without a value is skipped.',
    holds: ({ group }, theirs, ours) => group === 'queries' && isServed(theirs) && isServed(ours),
  },
  {
    reason: 'getMethod() converts only letters to lower case.',
    holds: ({ bytes }) => bytes.startsWith('_ '),
  },
  {
    reason: 'end(body, true) after write does not write a header into the body.',
    holds: (entry, theirs) => theirs.join('').includes('oneConnection: close\r\n'),
  },
  {
    reason: 'Connection is a list and may occur more than once; close takes effect beside other options.',
    holds: ({ bytes }, theirs, ours) =>
      valuesOf(bytes, 'connection').join().includes(',') && ours.at(-1) !== ALIVE && isServed(ours),
  },
  {
    reason: 'Requests after one that closes the connection are not served.',
    holds: ({ bytes }, theirs, ours) =>
      isServed(ours) &&
      ours.at(-1) !== ALIVE &&
      (/-close /.test(bytes) || valuesOf(bytes, 'connection').includes('close')) &&
      (theirs.length > ours.length || isError(theirs[0])),
  },
  {
    reason: 'A bad request does not discard the responses to the requests before it.',
    holds: (entry, theirs, ours) =>
      theirs.length === 1 && isError(theirs[0]) && ours.length > 1 && isError(ours.at(-1)) && !isError(ours[0]),
  },
  {
    reason: 'Trailers are read and discarded.',
    holds: ({ bytes }, theirs, ours) =>
      isChunked(bytes) && /\r\n0+(?:;[^\r]*)?\r\n(?:[^\r]|$)/.test(bytes) && !ours.includes(BAD_REQUEST),
  },
  {
    reason: 'Chunk extensions are read and discarded, up to a total of 4 KiB.',
    holds: ({ bytes }, theirs, ours) =>
      isChunked(bytes) && /^[0-9a-f]+[ \t]*;/im.test(bytes) && !ours.includes(BAD_REQUEST),
  },
  {
    reason: 'Empty lines before a request are skipped (RFC 9112 section 2.2).',
    holds: ({ bytes }, theirs, ours) =>
      /^\r\n|\r\n\r\n(?:body|ok)?\r\n/.test(bytes) && ours.at(-1) === ALIVE && theirs.at(-1) !== ALIVE,
  },
  {
    reason: 'Input that can no longer become a valid HTTP/1.1 request or body is rejected at once with a response.',
    holds: (entry, theirs, ours) =>
      isError(ours.at(-1)) &&
      !theirs.some(isError) &&
      theirs.at(-1) !== ALIVE &&
      ours.slice(0, -1).join('') === theirs.join(''),
  },
  {
    reason: 'A method that is not a token, or a target that contains DEL or is not valid UTF-8, makes a bad request.',
    holds: ({ bytes }, theirs, ours) =>
      isRefused(ours, theirs) &&
      (/^[^ ]*[^ A-Za-z0-9!#$%&'*+.^_`|~-]|^ /.test(bytes) ||
        /^\S+ \S*[\x7f-\xff]/.test(bytes) ||
        // The sentinel's method was appended to the body.
        bytes.endsWith('\r\n\r\nb')),
  },
  {
    reason: 'A header line without a name makes a bad request.',
    holds: ({ bytes }, theirs, ours) => /\r\n:/.test(bytes) && ours.at(-1) === BAD_REQUEST,
  },
  {
    reason: 'DEL in a header value makes a bad request.',
    holds: ({ bytes }, theirs, ours) => /^[\w-]+: ?[^\r\n]*\x7f/m.test(bytes) && isRefused(ours, theirs),
  },
  {
    reason: 'Bytes above 0x7f at the beginning or end of a header value are part of it.',
    holds: ({ bytes }, theirs, ours) =>
      (/^[\w-]+: ?[\x80-\xff]/m.test(bytes) || /[\x80-\xff]\s*\r$/m.test(bytes)) && isServed(theirs) && isServed(ours),
  },
  {
    reason: 'An empty Host header makes a bad request.',
    holds: ({ bytes }, theirs, ours) => valuesOf(bytes, 'host').includes('') && isRefused(ours, theirs),
  },
  {
    reason: 'More than one Content-Length makes a bad request, and so does an empty one or one that is not all digits.',
    holds: ({ bytes }, theirs, ours) => {
      const lengths = valuesOf(bytes, 'content-length');
      return (lengths.length > 1 || lengths.some((value) => !/^\d+$/.test(value))) && isRefused(ours, theirs);
    },
  },
  {
    reason: 'A Transfer-Encoding other than chunked, or more than one, makes a bad request.',
    holds: ({ bytes }, theirs, ours) => {
      const codings = valuesOf(bytes, 'transfer-encoding');
      return codings.length > 0 && !/^chunked$/i.test(codings.join()) && isRefused(ours, theirs);
    },
  },
  {
    reason: 'Chunks that do not have the syntax of RFC 9112 section 7.1 make a bad request.',
    holds: ({ bytes }, theirs, ours) => isChunked(bytes) && ours.includes(BAD_REQUEST),
  },
  {
    reason: 'A Content-Length that the program writes is sent once.',
    holds: ({ bytes }, theirs, ours) => bytes.includes(' /own-length') && isServed(ours),
  },
  {
    reason: 'A Connection: close that the program writes closes the connection and is sent once.',
    holds: ({ bytes }, theirs, ours) => bytes.includes(' /own-date') && isServed(ours) && ours.at(-1) !== ALIVE,
  },
  {
    reason: 'A response after which the connection closes says so, even if the client asked for that.',
    holds: ({ bytes }, theirs, ours) =>
      ours.at(-1) !== ALIVE &&
      valuesOf(bytes, 'connection').some((value) => /close/i.test(value)) &&
      ours.map(withoutClose).join('') === theirs.map(withoutClose).join(''),
  },
  {
    reason: 'A malformed request line makes a bad request, rather than one of an unsupported version.',
    holds: (entry, theirs, ours) => isOfVersion(theirs) && ours.at(-1) === BAD_REQUEST,
  },
];

/** Returns the reason for a difference, or undefined if none is known. */
function differenceFor(entry, theirs, ours) {
  const [given, said] = [splitAnswers(theirs), splitAnswers(ours)];
  const find = (told) => DIFFERENCES.find(({ holds }) => holds(entry, given, told));
  // A response that announces the end of the connection may differ in something else as well.
  return find(said) ?? find(said.map(withoutClose));
}

/** Splits a text into its responses, and what follows them. */
function splitAnswers(text) {
  return text === '' ? [] : text.split(/(?=HTTP\/1\.1 \d{3} )|(?=\[alive\]$)/);
}

function isUpgrade(text) {
  return text.startsWith('HTTP/1.1 101 ');
}

function isContinue(text) {
  return text.startsWith('HTTP/1.1 100 ');
}

function isError(text) {
  return ERRORS.includes(text);
}

/** Whether the last response is an error about the version. */
function isOfVersion(answers) {
  return answers.at(-1) === VERSION_NOT_SUPPORTED;
}

/** Whether every response comes from a handler, or is a 404. */
function isServed(answers) {
  return answers.length > 0 && !answers.some(isError);
}

/** Whether ours ends with a bad request where uWebSockets.js responds without errors. */
function isRefused(ours, theirs) {
  return ours.at(-1) === BAD_REQUEST && !theirs.some(isError);
}

function withoutBody(text) {
  return text.slice(0, text.indexOf('\r\n\r\n')).replace(/\r\nContent-Length: \d+/, '');
}

/** Removes `Connection: close` from a handler's response. */
function withoutClose(text) {
  return text.replace(/\r\nConnection: close(?=(?:\r\n[^\r]+)*?\r\nuWebSockets: 20\r\n)/, '');
}

/** Returns the values of the header fields with this name, in order. */
function valuesOf(bytes, name) {
  return [...bytes.matchAll(new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*\\r$`, 'gim'))].map(([, value]) => value);
}

/** Whether a header field that is a list contains a token. */
function names(bytes, header, wanted) {
  const tokens = valuesOf(bytes, header).flatMap((value) => value.split(','));
  return tokens.some((token) => token.trim().toLowerCase() === wanted);
}

function isChunked(bytes) {
  return valuesOf(bytes, 'transfer-encoding').length > 0;
}

function hasFraming(bytes) {
  return isChunked(bytes) || valuesOf(bytes, 'content-length').length > 0;
}

module.exports = { DIFFERENCES, differenceFor };
