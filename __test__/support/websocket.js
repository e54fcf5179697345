'use strict';

// Shared by the tests of WebSockets.

const { EventLog } = require('./EventLog.js');
const { RawSocket } = require('./RawSocket.js');
const { serve } = require('./server.js');
const { ours } = require('./uws.js');

const CLOSED = {
  name: 'Error',
  message: 'Invalid access of closed uWS.WebSocket/SSLWebSocket.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_WEBSOCKET_CLOSED' }),
};
const INVALID_DATA = {
  name: 'Error',
  message: 'Text and data can only be passed by String, ArrayBuffer or TypedArray.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_INVALID_DATA' }),
};
const KIBIBYTE = 1 << 10;
const MEBIBYTE = 1 << 20;
/** A behavior that echoes every message. */
const ECHO = {
  maxPayloadLength: 16 * MEBIBYTE,
  maxBackpressure: 0,
  message: (ws, message, isBinary) => ws.send(message, isBinary),
};

/** Calls every method that throws on a closed WebSocket. */
const CALLS = {
  send: (ws) => ws.send('evil'),
  ping: (ws) => ws.ping('evil'),
  end: (ws) => ws.end(1000, 'evil'),
  close: (ws) => ws.close(),
  getBufferedAmount: (ws) => ws.getBufferedAmount(),
  cork: (ws) => ws.cork(() => {}),
  subscribe: (ws) => ws.subscribe('evil'),
  unsubscribe: (ws) => ws.unsubscribe('evil'),
  isSubscribed: (ws) => ws.isSubscribed('evil'),
  getTopics: (ws) => ws.getTopics(),
  publish: (ws) => ws.publish('evil', 'evil'),
  sendFirstFragment: (ws) => ws.sendFirstFragment('evil'),
  sendFragment: (ws) => ws.sendFragment('evil'),
  sendLastFragment: (ws) => ws.sendLastFragment('evil'),
  ...(ours.skip
    ? {}
    : {
        experimental_cork: (ws) => ws.experimental_cork(() => {}),
        unsubscribeAll: (ws) => ws.unsubscribeAll(),
        pause: (ws) => ws.pause(),
        resume: (ws) => ws.resume(),
      }),
};

/** Serves one WebSocket route, and returns its port and the log of its handlers. */
function serveLogged(t, behavior) {
  const log = new EventLog();
  const { app, port } = serve(t, (routes) => routes.ws('/*', log.behavior(behavior)));
  return { app, port, log };
}

/** Serves one WebSocket route, and returns an upgraded raw client, the log, and the server's WebSocket. */
async function connectLogged(t, behavior = {}, options = {}) {
  let ws;
  const { app, port, log } = serveLogged(t, {
    ...behavior,
    open: (opened, ...more) => {
      ws = opened;
      return behavior.open?.(opened, ...more);
    },
  });
  const client = await RawSocket.upgrade(port, '/', options);
  t.after(() => client.destroy());
  return { app, port, log, client, ws };
}

module.exports = { CLOSED, INVALID_DATA, KIBIBYTE, MEBIBYTE, ECHO, CALLS, serveLogged, connectLogged };
