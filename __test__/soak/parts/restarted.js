'use strict';

// A server of restarts.js. It sends numbered messages to each client, acknowledges those of the clients, and shuts down
// on SIGTERM. It reports to its parent what it was told has been taken, and what it has handled.

const uWS = require('../../../dist/uws.js');

const [port, interval] = process.argv.slice(2).map(Number);
const sockets = new Set();
const handled = [];

const app = uWS
  .App()
  .ws('/*', {
    upgrade: (res, req, context) => {
      const header = (name) => req.getHeader(`sec-websocket-${name}`);
      const data = { connection: req.getUrl().slice(1), accepted: 0 };
      res.upgrade(data, header('key'), header('protocol'), header('extensions'), context);
    },
    open: (ws) => sockets.add(ws),
    message: (ws, message) => {
      const text = Buffer.from(message).toString();
      handled.push(text);
      ws.send(`ack ${text}`);
    },
    close: (ws) => {
      sockets.delete(ws);
      process.send({ connection: ws.connection, accepted: ws.accepted });
    },
  })
  .listen('127.0.0.1', port, (token, error) => {
    if (!token) throw error;
    process.send({ port: uWS.us_socket_local_port(token) });
  });

const timer = setInterval(() => {
  for (const ws of sockets) if (ws.send(`message ${ws.accepted}`) < 2) ws.accepted += 1;
}, interval);

process.once('SIGTERM', async () => {
  const result = await app.shutdown();
  clearInterval(timer);
  process.send({ handled });
  process.send({ result }, () => process.disconnect());
});
