'use strict';

// What all servers share: their options, and the channel to the runner.

const { parseArgs } = require('node:util');

/** The body of every HTTP response. */
const HELLO = 'Hello World!';
/** The largest accepted message, in bytes. */
const MAX_PAYLOAD = 1024 * 1024;

const { values } = parseArgs({
  options: {
    // In seconds; the default of uWebSockets.js.
    'idle-timeout': { type: 'string', default: '120' },
    // File names. They turn TLS on.
    key: { type: 'string' },
    cert: { type: 'string' },
  },
});

/** The options from the command line. */
const options = { idleTimeout: Number(values['idle-timeout']), key: values.key, cert: values.cert };

/**
 * Tells the runner the port. The runner may then request garbage collections; the server exits when the runner does.
 */
function ready(port) {
  process.on('message', async () => {
    // What a finalizer releases is freed only in the next turn of the loop, by the collection after that.
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
