'use strict';

const { once } = require('node:events');
const net = require('node:net');

/** Returns a port that nobody listens on. */
async function freePort() {
  const server = net.createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

module.exports = { freePort };
