'use strict';

// Publish and subscribe: a client subscribes to topics and receives what others publish to them. All messages are JSON:
//
//   {"subscribe":"news/sport"}
//   {"unsubscribe":"news/sport"}
//   {"publish":"news/sport","text":"Krikkit is leading"}
//
// Programs without a WebSocket can publish as well:
//
//   curl -d 'Krikkit is leading' localhost:9001/news/sport

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/**
 * The valid topics of this program. To milliways a topic is any text: the slash has no meaning, and there are no
 * wildcards. A subscriber of `news` does not receive messages of `news/sport`.
 */
const TOPIC = /^[\w/-]{1,100}$/;

/** Each subscription takes memory, so the number per client is limited. */
const MAX_SUBSCRIPTIONS = 100;

/** @typedef {import('../dist/uws.js').WebSocket<unknown>} WebSocket */

const app = uWS.App();

app
  .ws('/*', {
    message: (ws, message, isBinary) => {
      // The message comes from a stranger. Whatever it contains, answer it; an exception would end the process.
      const answer = isBinary ? { error: 'Text, please.' } : obey(ws, parse(message));
      ws.send(JSON.stringify(answer));
    },
    // This is also called for each topic of a client that disconnects, so no cleanup in a close handler is necessary.
    subscription: (ws, topic, newCount, oldCount) => {
      console.log(`${Buffer.from(topic)}: ${newCount} subscribers, was ${oldCount}`);
    },
  })
  .post('/*', (res, req) => {
    const topic = req.getUrl().slice(1);
    res.onAborted(() => {});
    res.collectBody(16 * 1024, (body) => {
      if (body === null || !TOPIC.test(topic)) {
        res.writeStatus('400 Bad Request').end('POST at most 16 KiB to /topic.\n', body === null);
        return;
      }
      // Publishes to all subscribers. The cost of the call does not depend on their number, and it returns false if
      // there are none.
      app.publish(topic, JSON.stringify({ topic, text: Buffer.from(body).toString() }));
      res.end(`${app.numSubscribers(topic)} get it.\n`);
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
 * Returns the object that a message contains, or an empty object.
 *
 * @param {ArrayBuffer} message
 * @returns {Record<string, unknown>}
 */
function parse(message) {
  try {
    return Object(JSON.parse(Buffer.from(message).toString()));
  } catch {
    return {};
  }
}

/**
 * Executes a client's request and returns the answer.
 *
 * @param {WebSocket} ws
 * @param {Record<string, unknown>} request
 */
function obey(ws, { subscribe, unsubscribe, publish, text }) {
  const topic = subscribe ?? unsubscribe ?? publish;
  if (topic === undefined) return { error: 'Say subscribe, unsubscribe or publish.' };
  if (typeof topic !== 'string' || !TOPIC.test(topic)) return { error: 'That is not a valid topic.' };

  if (topic === subscribe) {
    if (ws.getTopics().length >= MAX_SUBSCRIPTIONS) return { error: 'Unsubscribe from something first.' };
    ws.subscribe(topic);
    return { subscribed: topic };
  }
  if (topic === unsubscribe) {
    return ws.unsubscribe(topic) ? { unsubscribed: topic } : { error: `You have not subscribed to ${topic}.` };
  }
  if (typeof text !== 'string') return { error: 'Publish a text.' };
  // Unlike app.publish, this does not send to the publisher itself.
  return { published: topic, isHeard: ws.publish(topic, JSON.stringify({ topic, text })) };
}
