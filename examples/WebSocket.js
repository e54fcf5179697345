'use strict';

// An echo server: what a client sends over a WebSocket comes back, and plain HTTP requests get a few words.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

uWS
  .App()
  .ws('/*', {
    compression: uWS.DISABLED,
    // A client that sends a longer message than this (bytes) is disconnected.
    maxPayloadLength: 16 * 1024 * 1024,
    // A client that was not heard of for this long (seconds) is disconnected. Pings go out before, so that only one
    // that is really gone, and cannot answer them, runs into it.
    idleTimeout: 60,

    open: (ws, req) => {
      console.log(`open: ${req.getUrl()}`);
      ws.send('Welcome. What you send comes back.');
    },

    // The message is an ArrayBuffer of our own. It may be kept; sending copies it.
    message: (ws, message, isBinary) => {
      const status = ws.send(message, isBinary);
      // 0 says that the client reads more slowly than it sends. The message waits in memory; see drain.
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
  // Without the option a second server would share the port with the first, and get half of the connections.
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
