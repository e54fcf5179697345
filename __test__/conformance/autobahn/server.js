'use strict';

// The server that the Autobahn suite tests, in the mode that its argument names. It prints its port.

const { uWS } = require('../../support/uws.js');

const MODES = {
  plain: uWS.DISABLED,
  shared: uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR,
  dedicated: uWS.DEDICATED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR,
  // Each connection has its own topic, through which it gets its messages back.
  publish: uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR,
};

const mode = process.argv[2];
const app = uWS.App();
let connections = 0;

app.ws('/*', {
  compression: MODES[mode],
  maxPayloadLength: 64 * 1024 * 1024,
  // Cases 9.3.1 and 9.4.1 send 4 MiB in fragments of 64 bytes.
  maxFragments: 64 * 1024,
  maxBackpressure: 0,
  idleTimeout: 0,
  open: (ws) => {
    connections += 1;
    ws.topic = String(connections);
    if (mode === 'publish') ws.subscribe(ws.topic);
  },
  message: (ws, message, isBinary) => {
    if (mode === 'publish') app.publish(ws.topic, message, isBinary, true);
    else ws.send(message, isBinary, true);
  },
});
app.listen('127.0.0.1', 0, (token) => console.log(uWS.us_socket_local_port(token)));
