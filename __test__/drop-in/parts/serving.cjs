'use strict';

// Copied beside each program: how its server talks to the scenario.

/** Where to listen. */
const port = Number(process.env.PORT);

/** Tells the scenario of something, by name. */
function note(...event) {
  console.log(`note ${JSON.stringify(event)}`);
}

/** For the callback of `listen`; `close` is called when the server shall end. */
function listening(token, close) {
  if (!token) throw new Error(`Cannot listen on port ${port}`);
  process.once('SIGTERM', close);
  note('listening');
}

module.exports = { port, note, listening };
