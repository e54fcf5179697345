'use strict';

// Handlers that are async functions: what has to be done before the first await, what after it, and where a failure goes.
//
//   curl localhost:9001/users/1
//   curl localhost:9001/search?for=towel

const { setTimeout: delay } = require('node:timers/promises');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds that our database takes. */
const LATENCY = Number(process.env.LATENCY || 50);

const users = new Map([
  ['1', 'Arthur'],
  ['2', 'Ford'],
]);

uWS
  .App()
  .get('/users/:id', async (res, req) => {
    // An async function returns at its first await. By then it must have answered, or said what happens when the client
    // does not wait for it.
    let isAborted = false;
    res.onAborted(() => {
      isAborted = true;
      console.log('The client left.');
    });
    // The request is gone after the first await, so what is needed of it is read before. Strings are copies.
    const id = req.getParameter('id') ?? '';

    let status = '200 OK';
    /** @type {string | undefined} */
    let body;
    try {
      body = await findUser(id);
      if (body === undefined) status = '404 Not Found';
    } catch (error) {
      // Nobody else would catch it, and what nobody catches ends the process.
      console.error(error);
      status = '500 Internal Server Error';
    }
    // To be asked after every await: the response of a client that has gone throws, whatever is done with it.
    if (isAborted) return;
    // What is written in a cork goes out together. Handlers have one of their own, but only up to the first await.
    res.cork(() => {
      res.writeStatus(status).end(`${body ?? status}\n`);
    });
  })
  // All of that once for many routes. The request is not to be had in the second function, so it cannot be read too late.
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
 * A handler that answers later, with JSON.
 *
 * @template Input
 * @param {(req: import('../dist/uws.js').HttpRequest) => Input} read takes what is needed from the request
 * @param {(input: Input, signal: AbortSignal) => Promise<unknown>} work gives the answer; the signal says that nobody
 * waits for it any more
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
      // Work that was called off fails as well, which is no news.
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
 * Stands for a database.
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
 * Stands for a search that takes long, and stops when the signal says so.
 *
 * @param {string} words
 * @param {AbortSignal} signal
 */
async function search(words, signal) {
  console.log(`Searching for ${words}`);
  signal.addEventListener('abort', () => console.log(`No longer searching for ${words}`));
  // What does not need each other goes on at the same time.
  const [books, guides] = await Promise.all([
    delay(LATENCY, [`A history of ${words}`], { signal }),
    delay(LATENCY, [`${words}: mostly harmless`], { signal }),
  ]);
  if (words === 'broken') throw new Error('the index is gone');
  return { books, guides };
}
