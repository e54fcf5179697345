'use strict';

// What every server has: its options, and the channel to the runner.

const { parseArgs } = require('node:util');

/** What an HTTP request is answered with. */
const HELLO = 'Hello World!';
/** Bytes of the largest message that is taken. */
const MAX_PAYLOAD = 1024 * 1024;

const { values } = parseArgs({
  options: {
    // Seconds; it is the default of uWebSockets.js.
    'idle-timeout': { type: 'string', default: '120' },
    // Files; with them it is TLS.
    key: { type: 'string' },
    cert: { type: 'string' },
  },
});

/** The command line. */
const options = { idleTimeout: Number(values['idle-timeout']), key: values.key, cert: values.cert };

/** Tells the runner the port. From then on it may ask for a collection of garbage; the server ends when it does. */
function ready(port) {
  process.on('message', async () => {
    // What a finalizer frees is free only after the next turn, and the collection after that.
    for (let i = 0; i < 4; i += 1) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    process.send({ collected: true });
  });
  process.on('disconnect', () => process.exit());
  process.send({ port });
}

module.exports = { HELLO, MAX_PAYLOAD, options, ready };
