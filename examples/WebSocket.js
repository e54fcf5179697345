'use strict';

// An echo server: it sends back each WebSocket message, and answers plain HTTP requests with a short text.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

uWS
  .App()
  .ws('/*', {
    compression: uWS.DISABLED,
    // In bytes. A client that sends a longer message is disconnected.
    maxPayloadLength: 16 * 1024 * 1024,
    // In seconds. A client that is silent for this long is disconnected. Pings are sent before that, so only a client
    // that cannot answer them is affected.
    idleTimeout: 60,

    open: (ws, req) => {
      console.log(`open: ${req.getUrl()}`);
      ws.send('Welcome. What you send comes back.');
    },

    // The ArrayBuffer has its own memory and may be kept. Sending copies it.
    message: (ws, message, isBinary) => {
      const status = ws.send(message, isBinary);
      // 0 means that the client reads more slowly than it sends. The message waits in memory; see drain.
      if (status === 0) console.log(`${ws.getBufferedAmount()} bytes are waiting for a slow client`);
    },

    drain: (ws) => {
      console.log(`drain: ${ws.getBufferedAmount()} bytes left`);
    },

    close: (ws, code, message) => {
      console.log(`close: ${code} ${Buffer.from(message)}`);
    },
  })
  .any('/*', (res, req) => {
    res
      .writeHeader('Content-Type', 'text/plain; charset=utf-8')
      .end(`This is ${req.getUrl()}, by ${req.getMethod().toUpperCase()}. There is a WebSocket here, too.\n`);
  })
  // Without this option a second server could share the port with this one, and would get half of the connections.
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (!listenSocket) {
      console.error(error?.message);
      if (error?.code === 'EADDRINUSE') console.error('Set PORT to use another port.');
      process.exitCode = 1;
      return;
    }

    const port = uWS.us_socket_local_port(listenSocket);
    const client = [
      `const ws = new (require('ws'))('ws://localhost:${port}');`,
      `ws.on('open', () => ws.send('hello'));`,
      `ws.on('message', (data) => console.log(String(data)))`,
    ].join(' ');
    console.log(`Listening on ws://localhost:${port} and http://localhost:${port}. Ctrl+C ends it.

To try it, in another terminal, in this folder:

  node -e "${client}"
  curl http://localhost:${port}/hello

or in the console of a browser:

  ws = new WebSocket('ws://localhost:${port}'); ws.onmessage = (event) => console.log(event.data)
  ws.send('hello')
`);
  });
