'use strict';

// Accepts JSON in the body of a POST, with a limit, and answers every kind of invalid body.
//
//   curl -d '{"name":"towel"}' -H 'Content-Type: application/json' localhost:9001/items

const { setTimeout: delay } = require('node:timers/promises');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** The maximum number of bytes of a body. */
const MAX_BODY = 16 * 1024;

uWS
  .App()
  .post('/items', (res, req) => {
    // The request is not valid after this function returns, so check it now.
    const isJson = /^application\/json *(;|$)/i.test(req.getHeader('content-type'));
    if (!isJson) {
      res.writeStatus('415 Unsupported Media Type').end('Send application/json.\n');
      return;
    }

    // A handler that answers later has to know whether the client is still there: after this call the response must not
    // be used.
    let isAborted = false;
    res.onAborted(() => {
      isAborted = true;
      console.log('The client left.');
    });

    res.collectBody(MAX_BODY, async (body) => {
      if (body === null) {
        // The second argument closes the connection, and so the rest of the body is not read.
        res.writeStatus('413 Content Too Large').end(`At most ${MAX_BODY} bytes.\n`, true);
        return;
      }
      const item = parse(body);
      if (typeof item?.name !== 'string') {
        res.writeStatus('400 Bad Request').end('The body is not a JSON object with a name.\n');
        return;
      }

      let id;
      try {
        id = await save(item);
      } catch (error) {
        // Nothing else catches this error, and an uncaught error ends the process.
        console.error(error);
        if (!isAborted) res.cork(() => res.writeStatus('503 Service Unavailable').end('Try again later.\n'));
        return;
      }
      if (isAborted) return;
      // After an await, use a cork, so that everything is sent together.
      res.cork(() => {
        res
          .writeStatus('201 Created')
          .writeHeader('Content-Type', 'application/json')
          // The order matters, because the item may contain an id, too.
          .end(JSON.stringify({ ...item, id }));
      });
    });
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

/**
 * Parses JSON. Returns undefined if it is invalid.
 *
 * @param {ArrayBuffer} body
 */
function parse(body) {
  try {
    // Without `fatal`, invalid UTF-8 would silently become replacement characters.
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

let items = 0;

/**
 * Simulates a database.
 *
 * @param {{ name: string }} item
 */
async function save(item) {
  await delay(20);
  if (item.name === 'broken') throw new Error('the database is down');
  items += 1;
  console.log(`Saved ${item.name} as ${items}.`);
  return items;
}
