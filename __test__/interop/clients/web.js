'use strict';

/**
 * Holds a conversation (see support/interop.js) through the interfaces of the Web: in a browser's page, to which this
 * function is sent as source text, or with those of undici.
 */
async function converse({ WebSocket, fetch, crypto }, { httpUrl, webSocketUrl, path, messages, close }) {
  const ws = new WebSocket(webSocketUrl + path);
  ws.binaryType = 'arraybuffer';
  const next = (name) => new Promise((resolve) => ws.addEventListener(name, resolve, { once: true }));
  const closed = next('close');
  const broken = closed.then(({ code, reason }) => {
    throw new Error(`the WebSocket was closed with ${code} (${reason})`);
  });
  // An early close only matters while something else is awaited.
  broken.catch(() => {});

  await Promise.race([next('open'), broken]);
  const events = [['open', ws.extensions]];
  for (const message of messages) {
    const response = await fetch(httpUrl + message.path);
    const data = message.isBinary ? await response.arrayBuffer() : await response.text();
    const answer = next('message');
    ws.send(data);
    const { data: received } = await Promise.race([answer, broken]);
    const isBinary = typeof received !== 'string';
    const bytes = isBinary ? received : new TextEncoder().encode(received);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    events.push(['message', isBinary, Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')]);
  }

  if (close) ws.close(...close);
  const { code, reason } = await closed;
  events.push(close ? ['close', code] : ['close', code, reason]);
  return events;
}

module.exports = { converse };
