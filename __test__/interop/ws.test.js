'use strict';

// The npm package ws.

const { createHash } = require('node:crypto');
const { once } = require('node:events');
const { Agent, fetch } = require('undici');
const { WebSocket } = require('ws');
const { testClient } = require('../support/interop.js');
const { clientOptions } = require('../support/tls.js');

const dispatcher = new Agent({ connect: clientOptions });

async function converse({ httpUrl, webSocketUrl, path, deflate, fragment, window, messages, close }) {
  const ws = new WebSocket(webSocketUrl + path, {
    ...clientOptions,
    perMessageDeflate: deflate && { threshold: 0, ...(window && { serverMaxWindowBits: window }) },
  });
  const closed = once(ws, 'close');
  await once(ws, 'open');
  const events = [['open', ws.extensions]];
  for (const message of messages) {
    const response = await fetch(httpUrl + message.path, { dispatcher });
    const data = Buffer.from(await response.arrayBuffer());
    const answer = once(ws, 'message');
    // An empty message also takes one frame.
    let start = 0;
    do {
      const end = start + (fragment ?? data.length);
      ws.send(data.subarray(start, end), { binary: message.isBinary, fin: end >= data.length });
      start = end;
    } while (start < data.length);
    const [received, isBinary] = await answer;
    events.push(['message', isBinary, createHash('sha256').update(received).digest('hex')]);
  }
  if (close) ws.close(...close);
  const [code, reason] = await closed;
  events.push(close ? ['close', code] : ['close', code, reason.toString()]);
  return events;
}

testClient('ws', converse, { canFragment: true, canLimit: true });
