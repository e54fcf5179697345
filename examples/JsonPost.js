'use strict';

// JSON in the body of a POST: with a limit, and an answer to everything that can be wrong with it.
//
//   curl -d '{"name":"towel"}' -H 'Content-Type: application/json' localhost:9001/items

const { setTimeout: delay } = require('node:timers/promises');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Bytes of the longest body we take. */
const MAX_BODY = 16 * 1024;

uWS
  .App()
  .post('/items', (res, req) => {
    // The request is gone when this function returns, so what is needed of it is looked at now.
    const isJson = /^application\/json *(;|$)/i.test(req.getHeader('content-type'));
    if (!isJson) {
      res.writeStatus('415 Unsupported Media Type').end('Send application/json.\n');
      return;
    }

    // Whoever answers later has to know when there is nobody left to answer to: after this the response may not be used.
    let isAborted = false;
    res.onAborted(() => {
      isAborted = true;
      console.log('The client left.');
    });

    res.collectBody(MAX_BODY, async (body) => {
      if (body === null) {
        // The second argument ends the connection, and with it the rest of the body.
        res.writeStatus('413 Content Too Large').end(`At most ${MAX_BODY} bytes.\n`, true);
        return;
      }
      const item = parse(body);
      if (typeof item?.name !== 'string') {
        res.writeStatus('400 Bad Request').end('This is no JSON object with a name.\n');
        return;
      }

      let id;
      try {
        id = await save(item);
      } catch (error) {
        // Nobody else would catch it, and what nobody catches ends the process.
        console.error(error);
        if (!isAborted) res.cork(() => res.writeStatus('503 Service Unavailable').end('Try again later.\n'));
        return;
      }
      if (isAborted) return;
      // After an await each write would be a packet of its own; a cork makes them one.
      res.cork(() => {
        res
          .writeStatus('201 Created')
          .writeHeader('Content-Type', 'application/json')
          // In this order: the item may have an id, too.
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
 * What JSON says, or undefined if it is none.
 *
 * @param {ArrayBuffer} body
 */
function parse(body) {
  try {
    // Without `fatal`, what is no UTF-8 would become question marks unnoticed.
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

let items = 0;

/**
 * Stands for a database.
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
