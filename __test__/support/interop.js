'use strict';

// What a client that others wrote is put through: the messages, the server that sends them back, and the tests.

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

/** Milliseconds for one conversation: up to 34 MiB there and back, on a loaded machine. */
const PATIENCE = 60_000;

/** In bytes: both sides of where the form of a frame's length changes, and what no single read takes. */
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

/** The paths of the server, and what each compresses with. */
const COMPRESSIONS = {
  '/shared': uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR,
  '/dedicated': uWS.DEDICATED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR,
  '/disabled': uWS.DISABLED,
};
/** Bytes of a frame, where messages are sent in several. */
const FRAGMENT = 10_007;
/** Messages of 16 MiB (`long`) take most of the time, so they are sent once compressed and once not. */
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
 * Bytes of the longest message. What cannot be compressed becomes longer by it, with the settings of websockets by 0.24 %,
 * and is none the less as long as it may be.
 */
const MAX_PAYLOAD = 16 * MEBIBYTE;

const CLIENT_CLOSES = [4001, 'enough \u2713'];
const SERVER_CLOSES = [4002, 'h\u00e9 said so'];

/**
 * Tests a client. `converse(task)` has it hold one conversation, and gives what it reports of it:
 *
 *     ['open', extensions]                  what was agreed on, as far as the client tells
 *     ['message', isBinary, sha256]         for each message that it got
 *     ['close', code, reason]
 *
 * The task is plain JSON: the `path` to connect to at `webSocketUrl`; whether to offer permessage-deflate (`deflate`); the
 * `messages`, each to be got from its own `path` at `httpUrl`, sent, and received again before the next; after how many bytes
 * to begin another frame (`fragment`, if any); which window bits to ask the server for (`window`, if any); and the code and reason to close with (`close`), or null to wait for the
 * server to do so. Where the client closes, it reports no reason.
 *
 * Not every client can send in fragments (`canFragment`), refuse compression (`canRefuse`) or ask for a window (`canLimit`).
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

/** A server of all paths, with their like below `/once` that close after the first message, and of the messages. */
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
    // Connections are closed, so that no pool of a client's keeps any.
    for (const { path, data } of MESSAGES) app.get(path, (res) => res.end(data, true));
    // For a page to run in.
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

/** Text that repeats itself, with characters of one to four bytes. */
function text(size) {
  const phrase = Buffer.from('Don\u2019t panic: the Gr\u00f6\u00dfe of it is 42 \u20ac, or \u{1f42c}. ');
  const whole = Math.floor(size / phrase.length) * phrase.length;
  return Buffer.concat([Buffer.alloc(whole, phrase), Buffer.alloc(size - whole, '.')]);
}

module.exports = { PATIENCE, testClient };
