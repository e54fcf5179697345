// JavaScript whose types come from JSDoc comments or from inference alone.

const uWS = require('milliways');

/** @type {import('milliways').WebSocketBehavior<{ name: string }>} */
const behavior = {
  compression: uWS.SHARED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR_4KB,
  open(ws, req) {
    ws.send(req.getUrl() + ws.getUserData().name);
  },
};

/** @param {import('milliways').WebSocket} ws */
function hello(ws) {
  ws.send('hello');
  // @ts-expect-error a number is not a message
  ws.send(5);
}

uWS.App().ws('/named', behavior);
new uWS.App()
  .ws('/*', {
    open: hello,
    message: (ws, message, isBinary) => {
      ws.send(message, isBinary);
      // @ts-expect-error messages are ArrayBuffers
      ws.send(message.toUpperCase());
    },
    close: (ws, code, message) => {
      /** @type {number} */
      const number = code + message.byteLength;
      return number;
    },
  })
  .get('/', (res) => res.end())
  .listen(0, (token) => {
    if (token) uWS.us_listen_socket_close(token);
  });
