'use strict';

// Async functions as handlers: what has to happen before the first await, what may happen after it, and where errors
// go.
//
//   curl localhost:9001/users/1
//   curl localhost:9001/search?for=towel

const { setTimeout: delay } = require('node:timers/promises');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds that the simulated database takes. */
const LATENCY = Number(process.env.LATENCY || 50);

const users = new Map([
  ['1', 'Arthur'],
  ['2', 'Ford'],
]);

uWS
  .App()
  .get('/users/:id', async (res, req) => {
    // An async function returns at its first await. By then it must have answered, or have set an abort handler.
    let isAborted = false;
    res.onAborted(() => {
      isAborted = true;
      console.log('The client left.');
    });
    // The request cannot be read after the first await, so read what you need before it. Strings are copies.
    const id = req.getParameter('id') ?? '';

    let status = '200 OK';
    /** @type {string | undefined} */
    let body;
    try {
      body = await findUser(id);
      if (body === undefined) status = '404 Not Found';
    } catch (error) {
      // Nothing else catches this error, and an uncaught error ends the process.
      console.error(error);
      status = '500 Internal Server Error';
    }
    // Check this after every await: every method of the response throws if the client has disconnected.
    if (isAborted) return;
    // Everything that is written in a cork is sent together. A handler is corked only up to its first await.
    res.cork(() => {
      res.writeStatus(status).end(`${body ?? status}\n`);
    });
  })
  // All of this once for many routes. The second function has no access to the request, so it cannot read it too late.
  .get(
    '/search',
    later(
      (req) => req.getQuery('for') ?? '',
      (words, signal) => search(words, signal),
    ),
  )
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

/**
 * Creates a handler that answers later, with JSON.
 *
 * @template Input
 * @param {(req: import('../dist/uws.js').HttpRequest) => Input} read returns what is needed from the request
 * @param {(input: Input, signal: AbortSignal) => Promise<unknown>} work returns the answer; the signal is aborted when
 * the client has disconnected
 * @returns {import('../dist/uws.js').HttpHandler}
 */
function later(read, work) {
  return async (res, req) => {
    const leaving = new AbortController();
    res.onAborted(() => leaving.abort());

    let status = '200 OK';
    let answer;
    try {
      answer = await work(read(req), leaving.signal);
    } catch (error) {
      // Aborted work also fails. There is nothing to report.
      if (!leaving.signal.aborted) console.error(error);
      status = '500 Internal Server Error';
      answer = { error: 'Try again later.' };
    }
    if (leaving.signal.aborted) return;
    res.cork(() => {
      res.writeStatus(status).writeHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
    });
  };
}

/**
 * Simulates a database.
 *
 * @param {string} id
 */
async function findUser(id) {
  console.log(`Looking up ${id}`);
  await delay(LATENCY);
  if (id === 'broken') throw new Error('the database is down');
  return users.get(id);
}

/**
 * Simulates a search that takes long and stops when the signal is aborted.
 *
 * @param {string} words
 * @param {AbortSignal} signal
 */
async function search(words, signal) {
  console.log(`Searching for ${words}`);
  signal.addEventListener('abort', () => console.log(`No longer searching for ${words}`));
  // Independent operations run concurrently.
  const [books, guides] = await Promise.all([
    delay(LATENCY, [`A history of ${words}`], { signal }),
    delay(LATENCY, [`${words}: mostly harmless`], { signal }),
  ]);
  if (words === 'broken') throw new Error('the index is gone');
  return { books, guides };
}
