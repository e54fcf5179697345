'use strict';

// Where milliways answers otherwise than uWebSockets.js on purpose.
//
// expected.json holds, to the byte, what milliways answers to each entry that is concerned; here is why. Each reason
// says what has to be true of the bytes and of both answers, `theirs` those of uWebSockets.js, a list with one string
// for each. The first that holds counts, so the narrow ones come first. docs/COMPATIBILITY.md has every reason.

const { BAD_REQUEST, HEADERS_TOO_LARGE, VERSION_NOT_SUPPORTED } = require('../../support/http.js');
const { ALIVE } = require('./exchange.js');

const UPGRADE_REQUIRED =
  'HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n' +
  '<h1>Upgrade Required</h1><hr><i>uWebSockets/20 Server</i>';
const ERRORS = [BAD_REQUEST, HEADERS_TOO_LARGE, VERSION_NOT_SUPPORTED, UPGRADE_REQUIRED];

/** What is agreed on. */
const EXTENSIONS = /Sec-WebSocket-Extensions: [^\r]*\r\n/;

const DIFFERENCES = [
  {
    reason: 'HTTP/1.0 is served, and nobody sends chunks in it.',
    holds: ({ bytes }, theirs, ours) =>
      bytes.includes(' HTTP/1.0\r\n') && isOfVersion(theirs) && ours.at(-1) !== VERSION_NOT_SUPPORTED,
  },
  {
    reason: 'HTTP/1.2 and what may follow it is read as HTTP/1.1.',
    holds: ({ bytes }, theirs, ours) =>
      / HTTP\/1\.[2-9]\r\n/.test(bytes) && isOfVersion(theirs) && ours.at(-1) !== VERSION_NOT_SUPPORTED,
  },
  {
    reason: 'A target may be an absolute URI, whose host counts in place of the Host header.',
    holds: ({ bytes }, theirs, ours) => /^\S+ https?:\/\//i.test(bytes) && isOfVersion(theirs) && isServed(ours),
  },
  {
    reason: 'A parameter that the route does not have is undefined, not an empty string.',
    holds: ({ bytes }, theirs, ours) => bytes.startsWith('GET /p/') && isServed(theirs) && isServed(ours),
  },
  {
    reason:
      'Of several offers of permessage-deflate the first that RFC 7692 allows is accepted, and no other extension.',
    holds: (entry, theirs, ours) =>
      theirs.some(isUpgrade) && String(EXTENSIONS.exec(ours.join(''))) !== String(EXTENSIONS.exec(theirs.join(''))),
  },
  {
    reason: 'A request has 100 headers at most, not 98.',
    holds: ({ name }, theirs) => /^sizes: (?:99|100) /.test(name) && theirs[0] === HEADERS_TOO_LARGE,
  },
  {
    reason: 'A client that offers no version 13 of the WebSocket protocol is told so with 426.',
    holds: ({ bytes }, theirs, ours) =>
      theirs.some(isUpgrade) &&
      ours.at(-1) === UPGRADE_REQUIRED &&
      valuesOf(bytes, 'sec-websocket-version')[0] !== '13',
  },
  {
    reason:
      'An upgrade has an Upgrade that names websocket, a Connection that names upgrade, and a key that is the base64 form ' +
      'of 16 bytes; without, it is a request like others.',
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
    reason: 'An upgrade with several keys or versions is a bad request.',
    holds: ({ bytes }, theirs, ours) =>
      ours[0] === BAD_REQUEST && ['key', 'version'].some((name) => valuesOf(bytes, `sec-websocket-${name}`).length > 1),
  },
  {
    reason: 'An upgrade that has a body is a bad request.',
    holds: ({ bytes }, theirs, ours) => theirs.some(isUpgrade) && ours[0] === BAD_REQUEST && hasFraming(bytes),
  },
  {
    reason: 'The subprotocol is trimmed, and an empty one in front of a comma is none.',
    holds: ({ bytes }, theirs, ours) =>
      /^Sec-WebSocket-Protocol: *(?:,|[^\r]*\s,)/m.test(bytes) && theirs.some(isUpgrade) && ours.some(isUpgrade),
  },
  {
    reason: '100 Continue is for requests that have a body and a handler, in any letter case and in a list.',
    holds: ({ bytes }, theirs, ours) =>
      valuesOf(bytes, 'expect').length > 0 &&
      theirs.some(isContinue) !== ours.some(isContinue) &&
      !(ours.some(isContinue) && !hasFraming(bytes)),
  },
  {
    reason: 'Frames in the same read as their upgrade are served, not dropped, and a bad one gets a close frame.',
    holds: (entry, theirs, ours) => theirs.some(isUpgrade) && ours.join('').startsWith(theirs.join('')),
  },
  {
    reason:
      'Responses to HEAD and those of 204 and 304 have no body, nor 204 a length, and 304 only one that is reported.',
    holds: ({ bytes }, theirs, ours) =>
      theirs.length === ours.length &&
      theirs.some((text, i) => text !== ours[i]) &&
      theirs.every((text, i) => text === ours[i] || withoutBody(text) === withoutBody(ours[i])) &&
      (bytes.includes('HEAD ') || /HTTP\/1\.1 (?:204|304) /.test(ours.join(''))),
  },
  {
    reason: 'A value in a query that is no valid escape stands for itself, and a key without a value is skipped.',
    holds: ({ group }, theirs, ours) => group === 'queries' && isServed(theirs) && isServed(ours),
  },
  {
    reason: 'getMethod() changes no characters but letters.',
    holds: ({ bytes }) => bytes.startsWith('_ '),
  },
  {
    reason: 'end(body, true) after write does not write a header into the body.',
    holds: (entry, theirs) => theirs.join('').includes('oneConnection: close\r\n'),
  },
  {
    reason: 'Connection is a list, and may come twice: close counts beside others.',
    holds: ({ bytes }, theirs, ours) =>
      valuesOf(bytes, 'connection').join().includes(',') && ours.at(-1) !== ALIVE && isServed(ours),
  },
  {
    reason: 'Nothing behind a request that closes the connection is served.',
    holds: ({ bytes }, theirs, ours) =>
      isServed(ours) &&
      ours.at(-1) !== ALIVE &&
      (/-close /.test(bytes) || valuesOf(bytes, 'connection').includes('close')) &&
      (theirs.length > ours.length || isError(theirs[0])),
  },
  {
    reason: 'A request that is bad does not take back the answers to those before it.',
    holds: (entry, theirs, ours) =>
      theirs.length === 1 && isError(theirs[0]) && ours.length > 1 && isError(ours.at(-1)) && !isError(ours[0]),
  },
  {
    reason: 'Trailers are read and dropped.',
    holds: ({ bytes }, theirs, ours) =>
      isChunked(bytes) && /\r\n0+(?:;[^\r]*)?\r\n(?:[^\r]|$)/.test(bytes) && !ours.includes(BAD_REQUEST),
  },
  {
    reason: 'Chunk extensions are read and dropped, up to 4 KiB of them.',
    holds: ({ bytes }, theirs, ours) =>
      isChunked(bytes) && /^[0-9a-f]+[ \t]*;/im.test(bytes) && !ours.includes(BAD_REQUEST),
  },
  {
    reason: 'Empty lines before a request are skipped (RFC 9112 section 2.2).',
    holds: ({ bytes }, theirs, ours) =>
      /^\r\n|\r\n\r\n(?:body|ok)?\r\n/.test(bytes) && ours.at(-1) === ALIVE && theirs.at(-1) !== ALIVE,
  },
  {
    reason: 'What cannot become an HTTP/1.1 request or its body any more is refused with an answer, at once.',
    holds: (entry, theirs, ours) =>
      isError(ours.at(-1)) &&
      !theirs.some(isError) &&
      theirs.at(-1) !== ALIVE &&
      ours.slice(0, -1).join('') === theirs.join(''),
  },
  {
    reason: 'A method that is no token, and a target with DEL or with bytes that are not UTF-8, make a bad request.',
    holds: ({ bytes }, theirs, ours) =>
      isRefused(ours, theirs) &&
      (/^[^ ]*[^ A-Za-z0-9!#$%&'*+.^_`|~-]|^ /.test(bytes) ||
        /^\S+ \S*[\x7f-\xff]/.test(bytes) ||
        // The body has taken the method of the sentinel.
        bytes.endsWith('\r\n\r\nb')),
  },
  {
    reason: 'A header without a name is a bad request.',
    holds: ({ bytes }, theirs, ours) => /\r\n:/.test(bytes) && ours.at(-1) === BAD_REQUEST,
  },
  {
    reason: 'DEL in the value of a header makes a bad request.',
    holds: ({ bytes }, theirs, ours) => /^[\w-]+: ?[^\r\n]*\x7f/m.test(bytes) && isRefused(ours, theirs),
  },
  {
    reason: 'Bytes over 0x7f around the value of a header are part of it.',
    holds: ({ bytes }, theirs, ours) =>
      (/^[\w-]+: ?[\x80-\xff]/m.test(bytes) || /[\x80-\xff]\s*\r$/m.test(bytes)) && isServed(theirs) && isServed(ours),
  },
  {
    reason: 'An empty Host is a bad request.',
    holds: ({ bytes }, theirs, ours) => valuesOf(bytes, 'host').includes('') && isRefused(ours, theirs),
  },
  {
    reason: 'More than one Content-Length is a bad request, and so is one that is empty or not all digits.',
    holds: ({ bytes }, theirs, ours) => {
      const lengths = valuesOf(bytes, 'content-length');
      return (lengths.length > 1 || lengths.some((value) => !/^\d+$/.test(value))) && isRefused(ours, theirs);
    },
  },
  {
    reason: 'A Transfer-Encoding other than chunked, or more than one, is a bad request.',
    holds: ({ bytes }, theirs, ours) => {
      const codings = valuesOf(bytes, 'transfer-encoding');
      return codings.length > 0 && !/^chunked$/i.test(codings.join()) && isRefused(ours, theirs);
    },
  },
  {
    reason: 'Chunks have the syntax of RFC 9112 section 7.1, or the request is bad.',
    holds: ({ bytes }, theirs, ours) => isChunked(bytes) && ours.includes(BAD_REQUEST),
  },
  {
    reason: "A program's own Content-Length is said once.",
    holds: ({ bytes }, theirs, ours) => bytes.includes(' /own-length') && isServed(ours),
  },
  {
    reason: "A program's own Connection: close closes the connection, and is said once.",
    holds: ({ bytes }, theirs, ours) => bytes.includes(' /own-date') && isServed(ours) && ours.at(-1) !== ALIVE,
  },
  {
    reason: 'A response after which the connection closes says so, also when the client has asked for it.',
    holds: ({ bytes }, theirs, ours) =>
      ours.at(-1) !== ALIVE &&
      valuesOf(bytes, 'connection').some((value) => /close/i.test(value)) &&
      ours.map(withoutClose).join('') === theirs.map(withoutClose).join(''),
  },
  {
    reason: 'A request line that is malformed is a bad request, and not one of another version.',
    holds: (entry, theirs, ours) => isOfVersion(theirs) && ours.at(-1) === BAD_REQUEST,
  },
];

/** Why milliways answers otherwise, or nothing that is known. */
function differenceFor(entry, theirs, ours) {
  const [given, said] = [splitAnswers(theirs), splitAnswers(ours)];
  const find = (told) => DIFFERENCES.find(({ holds }) => holds(entry, given, told));
  // What says that it is the last may differ in something else besides.
  return find(said) ?? find(said.map(withoutClose));
}

/** One string for each answer, and what follows them. */
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

/** It ends with an error that speaks of the version. */
function isOfVersion(answers) {
  return answers.at(-1) === VERSION_NOT_SUPPORTED;
}

/** Every answer is one of a handler, or that there is none. */
function isServed(answers) {
  return answers.length > 0 && !answers.some(isError);
}

/** It ends with an error where uWebSockets.js has none. */
function isRefused(ours, theirs) {
  return ours.at(-1) === BAD_REQUEST && !theirs.some(isError);
}

function withoutBody(text) {
  return text.slice(0, text.indexOf('\r\n\r\n')).replace(/\r\nContent-Length: \d+/, '');
}

/** An answer of a handler, without the line that says that it is the last. */
function withoutClose(text) {
  return text.replace(/\r\nConnection: close(?=(?:\r\n[^\r]+)*?\r\nuWebSockets: 20\r\n)/, '');
}

/** The values of a header of that name, in order. */
function valuesOf(bytes, name) {
  return [...bytes.matchAll(new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*\\r$`, 'gim'))].map(([, value]) => value);
}

/** Whether a header that is a list has a token. */
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
