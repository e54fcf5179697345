'use strict';

// The server process of the soak tests. It echoes and counts, and reports when its parent asks. It needs --expose-gc.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const { uWS } = require('../../support/uws.js');
const collect = require('./collect.js');

const withClose = !process.argv.includes('--without-close');
let opened = 0;
let closed = 0;

const app = uWS.App().ws('/*', {
  maxPayloadLength: 1 << 20,
  open: () => {
    opened += 1;
  },
  message: (ws, message, isBinary) => {
    ws.send(message, isBinary);
  },
  // This handler is left out to measure the memory of a server with only the other two.
  close: withClose
    ? () => {
        closed += 1;
      }
    : undefined,
});

// Messages from the publisher go to all subscribers.
let dropped = 0;

app
  .ws('/publisher', { maxPayloadLength: 1 << 20, message: (ws, message) => ws.publish('all', message, true) })
  .ws('/subscriber', {
    maxBackpressure: argument('max-backpressure'),
    idleTimeout: 0,
    open: (ws) => ws.subscribe('all'),
    dropped: () => {
      dropped += 1;
    },
  });

// Uploads are hashed, with a pause every STOP_EVERY bytes; downloads send a file as fast as the client reads.
const file = argument('file');
const STOP_EVERY = 8 << 20;

app.put('/*', (res) => {
  const hash = createHash('sha256');
  let unstopped = 0;
  res.onAborted(() => {});
  res.onData((chunk, isLast) => {
    hash.update(new Uint8Array(chunk));
    unstopped += chunk.byteLength;
    if (isLast) {
      res.end(hash.digest('hex'));
    } else if (unstopped > STOP_EVERY) {
      unstopped = 0;
      res.pause();
      setTimeout(() => res.resume(), 1);
    }
  });
});

app.get('/:what', (res, req) => {
  const size = req.getParameter('what') === 'file' ? fs.statSync(file).size : STOP_EVERY;
  const descriptor = fs.openSync(file);
  const piece = Buffer.alloc(1 << 18);
  const finish = () => fs.closeSync(descriptor);
  const goOn = () => {
    for (;;) {
      const length = fs.readSync(descriptor, piece, 0, piece.length, res.getWriteOffset());
      const left = size - res.getWriteOffset();
      const [ok, done] = res.tryEnd(piece.subarray(0, Math.min(length, left)), size);
      if (done) finish();
      if (done || !ok) return ok;
    }
  };
  res.onAborted(finish);
  res.onWritable(goOn);
  goOn();
});

app.listen(0, (token) => {
  process.send({ port: uWS.us_socket_local_port(token) });
});

process.on('message', async ({ ask }) => {
  if (ask === 'counts') process.send({ opened, closed, dropped, connections: uWS._stats?.().connections });
  if (ask === 'collect') {
    await collect();
    process.send({ collected: true });
  }
});
process.on('disconnect', () => process.exit());

/** Returns the value of the argument `--name=value`. */
function argument(name) {
  const start = `--${name}=`;
  return process.argv.find((text) => text.startsWith(start))?.slice(start.length);
}
