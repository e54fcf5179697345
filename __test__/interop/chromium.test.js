'use strict';

// A page in a real browser.

const assert = require('node:assert/strict');
const { after, before, describe, it } = require('node:test');
const { PATIENCE, launch, reasonToSkip } = require('../support/chromium.js');
const { EventLog } = require('../support/EventLog.js');
const { serve } = require('../support/server.js');
const { httpUrl } = require('../support/tls.js');
const { deadline, noConnectionLeft } = require('../support/wait.js');

const PAGE = '<!doctype html><meta charset="utf-8"><title>milliways</title><p>Served over HTTP.</p>';

describe('a page in Chromium', { skip: reasonToSkip() }, () => {
  const log = new EventLog();
  let app;
  let browser;
  let page;

  before(async () => {
    // The server is closed below, after the browser: an `after` inside `before` runs as soon as `before` is done.
    const server = serve({ after: () => {} }, (routes) =>
      routes
        .ws(
          '/echo',
          log.behavior({
            maxPayloadLength: 1 << 20,
            maxBackpressure: 1 << 22,
            message: (ws, message, isBinary) => {
              if (Buffer.from(message).toString() === 'end') ws.end(4002, 'h\u00e9 said so');
              else ws.send(message, isBinary);
            },
          }),
        )
        .any('/*', (res, req) => {
          if (req.getUrl() === '/') res.writeHeader('Content-Type', 'text/html; charset=utf-8').end(PAGE);
          else res.writeStatus('404 Not Found').end();
        }),
    );
    app = server.app;
    browser = await launch();
    page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.goto(`${httpUrl(server.port)}/`);
  });

  after(async () => {
    await browser?.close();
    app?.close();
    await noConnectionLeft();
  });

  const inPage = (script) => deadline(page.evaluate(script), 'answer of the page', PATIENCE);

  it('is served', async () => {
    assert.equal(await page.title(), 'milliways');
    assert.equal(await page.textContent('p'), 'Served over HTTP.');
  });

  it('gets text and binary back over a WebSocket, and closes it with a code', async () => {
    const seen = await inPage(async () => {
      const { WebSocket, location } = globalThis;
      const ws = new WebSocket(`${location.origin.replace('http', 'ws')}/echo`, ['chat', 'superchat']);
      ws.binaryType = 'arraybuffer';
      const next = (name) =>
        new Promise((resolve, reject) => {
          ws.addEventListener(name, resolve, { once: true });
          ws.addEventListener('error', () => reject(new Error('the WebSocket failed')), { once: true });
        });
      await next('open');
      const result = { protocol: ws.protocol, extensions: ws.extensions, texts: [], binaries: [] };
      for (const text of ['', 'hello', '\u20ac \u{1f600}', 'x'.repeat(100_000)]) {
        const answer = next('message');
        ws.send(text);
        const { data } = await answer;
        result.texts.push(data === text ? 'same' : data);
      }
      for (const size of [0, 1, 126, 70_000]) {
        const bytes = Uint8Array.from({ length: size }, (_, i) => i % 251);
        const answer = next('message');
        ws.send(bytes);
        const data = new Uint8Array((await answer).data);
        result.binaries.push(data.length === size && data.every((byte, i) => byte === bytes[i]) ? 'same' : [...data]);
      }
      const closed = next('close');
      ws.close(4001, 'enough \u2713');
      const { code, reason, wasClean } = await closed;
      return { ...result, code, reason, wasClean };
    });
    assert.deepEqual(seen, {
      protocol: 'chat',
      extensions: '',
      texts: ['same', 'same', 'same', 'same'],
      binaries: ['same', 'same', 'same', 'same'],
      code: 4001,
      reason: 'enough \u2713',
      wasClean: true,
    });
    assert.deepEqual(await log.next('close'), [4001, 'enough \u2713']);
  });

  it('is told the code and the reason when the server ends a WebSocket', async () => {
    const seen = await inPage(
      () =>
        new Promise((resolve) => {
          const { WebSocket, location } = globalThis;
          const ws = new WebSocket(`${location.origin.replace('http', 'ws')}/echo`);
          ws.onopen = () => ws.send('end');
          ws.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
        }),
    );
    assert.deepEqual(seen, { code: 4002, reason: 'h\u00e9 said so', wasClean: true });
    assert.deepEqual(await log.next('close'), [4002, 'h\u00e9 said so']);
  });

  it('that is left closes its WebSocket with 1001', async () => {
    await inPage(
      () =>
        new Promise((resolve) => {
          const { WebSocket, location } = globalThis;
          globalThis.kept = new WebSocket(`${location.origin.replace('http', 'ws')}/echo`);
          globalThis.kept.onopen = resolve;
        }),
    );
    await page.goto('about:blank');
    assert.deepEqual(await log.next('close'), [1001, '']);
  });
});
