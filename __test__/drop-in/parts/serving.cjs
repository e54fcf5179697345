'use strict';

// Copied beside each program, to connect its server with the scenario.

/** The port to listen on. */
const port = Number(process.env.PORT);

/** Reports an event to the scenario. */
function note(...event) {
  console.log(`note ${JSON.stringify(event)}`);
}

/** For the callback of `listen`; `close` is called when the server is to end. */
function listening(token, close) {
  if (!token) throw new Error(`Cannot listen on port ${port}`);
  process.once('SIGTERM', close);
  note('listening');
}

module.exports = { port, note, listening };
