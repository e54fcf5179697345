'use strict';

// Tests of WebSocket clients that others wrote: the messages, the server that echoes them, and the test cases.

const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const { after, describe, it } = require('node:test');
const { EventLog } = require('./EventLog.js');
const { noise } = require('./noise.js');
const { serve } = require('./server.js');
const { httpUrl, webSocketUrl } = require('./tls.js');
const { uWS } = require('./uws.js');
const { deadline, noConnectionLeft } = require('./wait.js');
const { MEBIBYTE } = require('./websocket.js');

/** For one conversation, in milliseconds: up to 34 MiB in each direction, on a loaded machine. */
const PATIENCE = 60_000;

/** In bytes: both sides of each change in the encoding of a frame's length, and more than any single read returns. */
const SIZES = [0, 1, 125, 126, 65_535, 65_536, MEBIBYTE, 16 * MEBIBYTE];
const MESSAGES = SIZES.flatMap((size) => [
  { isBinary: false, data: text(size) },
  { isBinary: true, data: noise(size) },
]).map(({ isBinary, data }, index) => ({
  isBinary,
  data,
  digest: createHash('sha256').update(data).digest('hex'),
  path: `/messages/${index}`,
}));

/** The paths of the server, with the compression of each. */
const COMPRESSIONS = {
  '/shared': uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR,
  '/dedicated': uWS.DEDICATED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR,
  '/disabled': uWS.DISABLED,
};
/** Bytes in a frame of a fragmented message. */
const FRAGMENT = 10_007;
/**
 * The messages of 16 MiB (`long`) take most of the time, so they are sent only once compressed and once uncompressed.
 */
const CONVERSATIONS = [
  { title: 'compressed with shared contexts', path: '/shared', deflate: true },
  { title: 'compressed with dedicated contexts', path: '/dedicated', deflate: true, long: true },
  { title: 'compressed with dedicated contexts, in fragments', path: '/dedicated', deflate: true, fragment: FRAGMENT },
  { title: 'compressed within a window that it asks for', path: '/dedicated', deflate: true, window: 15 },
  { title: 'compressed within a small window that it asks for', path: '/shared', deflate: true, window: 9 },
  { title: 'not compressed, since the server does not', path: '/disabled', deflate: true, long: true },
  { title: 'not compressed, since the client does not', path: '/shared', deflate: false },
  { title: 'not compressed, in fragments', path: '/disabled', deflate: false, fragment: FRAGMENT },
];

/**
 * The length of the longest message, in bytes. Compression makes incompressible data longer (with the settings of
 * websockets by 0.24 %), and yet the message does not exceed the limit.
 */
const MAX_PAYLOAD = 16 * MEBIBYTE;

const CLIENT_CLOSES = [4001, 'enough \u2713'];
const SERVER_CLOSES = [4002, 'h\u00e9 said so'];

/**
 * Tests a client. `converse(task)` makes it hold one conversation, and resolves to what it reports:
 *
 *     ['open', extensions]                  what was negotiated, as far as the client can tell
 *     ['message', isBinary, sha256]         for each received message
 *     ['close', code, reason]
 *
 * The task is plain JSON with these members:
 *
 * - `path`: the path to connect to at `webSocketUrl`
 * - `deflate`: whether to offer permessage-deflate
 * - `messages`: each is to be fetched from its own `path` at `httpUrl`, sent, and received again before the next
 * - `fragment`: the length of the frames to send, in bytes; if undefined, messages are not fragmented
 * - `window`: the window bits to ask the server for, if any
 * - `close`: the code and reason to close with, or null to wait for the server to close. A client that closes reports
 *   no reason.
 *
 * Not every client can send fragments (`canFragment`), refuse compression (`canRefuse`) or ask for a window
 * (`canLimit`).
 */
function testClient(name, converse, { skip = false, ...can } = {}) {
  const { canFragment = false, canRefuse = true, canLimit = false } = can;
  const conversations = CONVERSATIONS.filter(
    ({ deflate, fragment, window }) =>
      (deflate || canRefuse) && (fragment === undefined || canFragment) && (window === undefined || canLimit),
  );

  async function hold(task, log) {
    try {
      return await deadline(converse(task), 'end of the conversation', PATIENCE);
    } catch (error) {
      error.message += `; the server saw: ${JSON.stringify(log.all)}`;
      throw error;
    }
  }

  describe(`the WebSocket client of ${name}`, { skip }, () => {
    for (const { title, long = false, path, ...more } of conversations) {
      it(`gets every message back, ${title}`, async (t) => {
        const { urls, log } = serveEcho(t);
        const messages = MESSAGES.filter(({ data }) => long || data.length <= MEBIBYTE);
        const task = { ...urls, path, ...more, messages: messages.map(toTask), close: CLIENT_CLOSES };
        const [[, extensions], ...events] = await hold(task, log);
        const isDeflated = more.deflate && path !== '/disabled';
        assert.match(extensions, isDeflated ? /^permessage-deflate\b/ : /^$/);
        assert.deepEqual(events, [...messages.map(toEvent), ['close', CLIENT_CLOSES[0]]]);
        assert.deepEqual(await log.next('close'), CLIENT_CLOSES);
      });
    }

    for (const path of ['/shared', '/disabled']) {
      it(`is told why the server closes, after the message before: compression ${path.slice(1)}`, async (t) => {
        const { urls, log } = serveEcho(t);
        const message = MESSAGES.find(({ data }) => data.length === MEBIBYTE);
        const task = { ...urls, path: `${path}/once`, deflate: true, messages: [toTask(message)], close: null };
        const [, ...events] = await hold(task, log);
        assert.deepEqual(events, [toEvent(message), ['close', ...SERVER_CLOSES]]);
        assert.deepEqual(await log.next('close'), SERVER_CLOSES);
      });
    }

    after(noConnectionLeft);
  });
}

/** Serves all paths, a variant of each below it (`/once`) that closes after the first message, and the messages. */
function serveEcho(t) {
  const log = new EventLog();
  const behavior = (compression, message) => ({
    compression,
    maxPayloadLength: MAX_PAYLOAD,
    maxBackpressure: 0,
    message,
    close: (ws, code, reason) => log.add('close', code, Buffer.from(reason).toString()),
  });
  const echo = (ws, message, isBinary) => ws.send(message, isBinary, true);
  const echoAndClose = (ws, message, isBinary) => {
    echo(ws, message, isBinary);
    ws.end(...SERVER_CLOSES);
  };
  const { port } = serve(t, (app) => {
    for (const [path, compression] of Object.entries(COMPRESSIONS)) {
      app.ws(path, behavior(compression, echo)).ws(`${path}/once`, behavior(compression, echoAndClose));
    }
    // Connections are closed so that no client keeps any in a pool.
    for (const { path, data } of MESSAGES) app.get(path, (res) => res.end(data, true));
    // A page for a client in a browser to run in.
    app.get('/', (res) => res.writeHeader('Content-Type', 'text/html').end('<!doctype html><title>echo</title>', true));
  });
  return { urls: { httpUrl: httpUrl(port), webSocketUrl: webSocketUrl(port) }, log };
}

function toTask({ isBinary, path }) {
  return { isBinary, path };
}

function toEvent({ isBinary, digest }) {
  return ['message', isBinary, digest];
}

/** Returns repetitive text, with characters of one to four bytes. */
function text(size) {
  const phrase = Buffer.from('Don\u2019t panic: the Gr\u00f6\u00dfe of it is 42 \u20ac, or \u{1f42c}. ');
  const whole = Math.floor(size / phrase.length) * phrase.length;
  return Buffer.concat([Buffer.alloc(whole, phrase), Buffer.alloc(size - whole, '.')]);
}

module.exports = { PATIENCE, testClient };
