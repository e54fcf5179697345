'use strict';

// Live pictures for clients of any speed. A client that does not keep up misses pictures rather than receiving them
// late, and is told how many. At the path /strict it is disconnected instead.
//
//   node -e "new (require('ws'))('ws://localhost:9001').on('message', (m) => m.length < 99 && console.log(String(m)))"
//
// Ctrl+Z suspends that client, and fg resumes it. It first receives what the system has buffered, and then sees the
// gap.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds between two pictures. */
const INTERVAL = Number(process.env.INTERVAL || 40);

/** Bytes that may wait for a client in addition to the system's buffers: four pictures. */
const MAX_BACKPRESSURE = 256 * 1024;

const TOPIC = 'pictures';
const picture = Buffer.alloc(64 * 1024);
let pictures = 0;

/** @typedef {{ missed: number }} UserData */

/** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */
const behavior = {
  maxBackpressure: MAX_BACKPRESSURE,

  open: (ws) => {
    ws.getUserData().missed = 0;
    ws.subscribe(TOPIC);
  },
  // Called for each message that a client does not get. Do not send to the client here: that message would be dropped,
  // too.
  dropped: (ws) => {
    const client = ws.getUserData();
    if (client.missed === 0) console.log('A client is too slow');
    client.missed += 1;
  },
  // The client is reading again.
  drain: (ws) => {
    const client = ws.getUserData();
    // Wait until there is enough room that this message cannot be dropped, too.
    if (client.missed === 0 || ws.getBufferedAmount() > MAX_BACKPRESSURE / 2) return;
    ws.send(JSON.stringify({ missed: client.missed }));
    console.log(`It missed ${client.missed} pictures`);
    client.missed = 0;
  },
  close: (ws, code, reason) => {
    console.log(`close: ${code} ${Buffer.from(reason)}`);
  },
};

const app = uWS.App();

app
  .ws('/', behavior)
  // The same, except that the first message to be dropped ends the connection. This suits clients for which incomplete
  // data is useless, and clients that should reconnect, perhaps to another server.
  .ws('/strict', { ...behavior, closeOnBackpressureLimit: true })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
      return;
    }

    setInterval(() => {
      pictures += 1;
      picture.writeUInt32BE(pictures);
      app.publish(TOPIC, picture, true);
    }, INTERVAL);
  });
