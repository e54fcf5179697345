// JavaScript with types in JSDoc comments.

const uWS = require('uWebSockets.js');

/**
 * @typedef {import('uWebSockets.js').TemplatedApp} App
 * @typedef {import('uWebSockets.js').WebSocket<{ room: string }>} Socket
 * @typedef {import('uWebSockets.js').WebSocketBehavior<{ room: string }>} Behavior
 */

/**
 * @param {App} app
 * @param {import('uWebSockets.js').RecognizedString} pattern
 * @param {(req: import('uWebSockets.js').HttpRequest) => Promise<{ room: string }>} authenticate
 * @param {{ opened?: (ws: Socket) => void, behavior?: Behavior }} [callbacks]
 * @returns {App}
 */
function register(app, pattern, authenticate, { opened, behavior } = {}) {
  return app.ws(pattern, {
    ...behavior,
    async upgrade(res, req, context) {
      const [key, protocol, extensions] = ['key', 'protocol', 'extensions'].map((name) =>
        req.getHeader(`sec-websocket-${name}`),
      );
      let aborted = false;
      res.onAborted(() => {
        aborted = true;
      });
      const data = await authenticate(req);
      if (aborted) return;
      res.cork(() => res.upgrade(data, key ?? '', protocol ?? '', extensions ?? '', context));
    },
    open(/** @type {Socket} */ ws) {
      ws.subscribe(ws.getUserData().room);
      if (opened) opened(ws);
      if (behavior?.open) behavior.open(ws);
    },
    message(ws, message, isBinary) {
      ws.publish(ws.getUserData().room, message, isBinary);
    },
    close(ws, code, reason) {
      if (behavior?.close) behavior.close(ws, code, reason);
    },
  });
}

register(uWS.App({}), '/*', async (req) => ({ room: req.getQuery('room') ?? req.getUrl() }))
  .get('/', (res) => {
    res.end('hello');
  })
  .listen(9001, (token) => {
    if (token) console.log(uWS.us_socket_local_port(token));
  });
