'use strict';

// Publish and subscribe: a client names the topics that it wants to hear of, and gets what others publish to them. All
// messages are JSON:
//
//   {"subscribe":"news/sport"}
//   {"unsubscribe":"news/sport"}
//   {"publish":"news/sport","text":"Krikkit is leading"}
//
// Programs that have no WebSocket publish as well:
//
//   curl -d 'Krikkit is leading' localhost:9001/news/sport

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/**
 * What may be a topic here. To milliways it is any text, and only that: the slash means nothing, and there are no
 * wildcards. Whoever subscribes to `news` gets nothing of `news/sport`.
 */
const TOPIC = /^[\w/-]{1,100}$/;

/** Each subscription takes memory, so a client may not have as many as it likes. */
const MAX_SUBSCRIPTIONS = 100;

/** @typedef {import('../dist/uws.js').WebSocket<unknown>} WebSocket */

const app = uWS.App();

app
  .ws('/*', {
    message: (ws, message, isBinary) => {
      // It is what a stranger has sent: whatever it may be, there is an answer, not an exception that ends the process.
      const answer = isBinary ? { error: 'Text, please.' } : obey(ws, parse(message));
      ws.send(JSON.stringify(answer));
    },
    // Also called for each topic of a client that leaves: there is nothing to clean up in a close handler.
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
      // To all subscribers. It costs the same for one and for thousands, and false says that there are none.
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
 * The object that a message is, or an empty one.
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
 * Does what a client asks for, and gives the answer.
 *
 * @param {WebSocket} ws
 * @param {Record<string, unknown>} request
 */
function obey(ws, { subscribe, unsubscribe, publish, text }) {
  const topic = subscribe ?? unsubscribe ?? publish;
  if (topic === undefined) return { error: 'Say subscribe, unsubscribe or publish.' };
  if (typeof topic !== 'string' || !TOPIC.test(topic)) return { error: 'That is no topic.' };

  if (topic === subscribe) {
    if (ws.getTopics().length >= MAX_SUBSCRIPTIONS) return { error: 'Unsubscribe from something first.' };
    ws.subscribe(topic);
    return { subscribed: topic };
  }
  if (topic === unsubscribe) {
    return ws.unsubscribe(topic) ? { unsubscribed: topic } : { error: `You have not subscribed to ${topic}.` };
  }
  if (typeof text !== 'string') return { error: 'Publish a text.' };
  // Unlike app.publish, this leaves out the one who publishes.
  return { published: topic, isHeard: ws.publish(topic, JSON.stringify({ topic, text })) };
}
