'use strict';

// What every server has: its options, and the channel to the runner.

/** What an HTTP request is answered with. */
const HELLO = 'Hello World!';
/** Bytes of the largest message that is taken. */
const MAX_PAYLOAD = 1024 * 1024;

/** The command line as `{ idleTimeout }`, in seconds; 120 is the default of uWebSockets.js. */
const options = { idleTimeout: Number(process.argv[2] ?? 120) };

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
