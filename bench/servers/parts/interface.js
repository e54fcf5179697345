'use strict';

// The server of all rows, written for the interface that milliways and uWebSockets.js share.

const { HELLO, MAX_PAYLOAD, options, ready } = require('./process.js');

/** More than the messages in flight of any row, so that nothing is ever dropped. */
const MAX_BACKPRESSURE = 4 * 1024 * 1024;
/** The step from one topic to the next. It is a prime, so that every topic has its turn. */
const TOPIC_STEP = 7919;

module.exports = function serve(uWS) {
  const { key, cert } = options;
  const app = key === undefined ? uWS.App() : uWS.SSLApp({ key_file_name: key, cert_file_name: cert });
  const limits = {
    idleTimeout: options.idleTimeout,
    maxPayloadLength: MAX_PAYLOAD,
    maxBackpressure: MAX_BACKPRESSURE,
  };
  app
    .ws('/topic', {
      ...limits,
      open: (ws) => {
        ws.subscribe('topic');
      },
    })
    .ws('/topicpublish', {
      ...limits,
      // In uWebSockets.js, only a WebSocket that has subscribed to something can publish.
      open: (ws) => {
        ws.subscribe('publishers');
      },
      message: (ws, message, isBinary) => {
        ws.publish('topic', message, isBinary);
      },
    })
    .ws('/topics/:count', {
      ...limits,
      upgrade: (res, req, context) => {
        const count = Number(req.getParameter(0));
        res.upgrade({ count, next: 0 }, req.getHeader('sec-websocket-key'), '', '', context);
      },
      open: (ws) => {
        for (let i = 0; i < ws.count; i += 1) ws.subscribe(`topics/${i}`);
      },
      message: (ws, message, isBinary) => {
        ws.next = (ws.next + TOPIC_STEP) % ws.count;
        const topic = `topics/${ws.next}`;
        ws.unsubscribe(topic);
        if (ws.isSubscribed(topic)) throw new Error(`${topic} is still there`);
        ws.subscribe(topic);
        ws.send(message, isBinary);
      },
    })
    .ws('/deflate', {
      ...limits,
      compression: uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR,
      message: (ws, message, isBinary) => {
        ws.send(message, isBinary, true);
      },
    })
    .ws('/*', {
      ...limits,
      message: (ws, message, isBinary) => {
        ws.send(message, isBinary);
      },
    })
    .get('/*', (res) => {
      res.end(HELLO);
    })
    .listen('127.0.0.1', 0, (token) => {
      ready(uWS.us_socket_local_port(token));
    });
};
