'use strict';

const dgram = require('node:dgram');
const { once } = require('node:events');
const net = require('node:net');

/** Below the ports that Linux picks by itself for clients and for `listen(0)`, which would otherwise take one meanwhile. */
const FIRST = 10_000;
const LAST = 32_000;

/**
 * Returns a TCP port that nobody listens on, for a program that has to be told one. No other caller gets it while this
 * process lives, in whatever process it is: two programs that share ports, as HAProxy does, would both listen on it.
 */
async function freePort() {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
}

/** The UDP port of the same number, which no test needs, is what says that a TCP port is taken. */
function reserve(port) {
  const socket = dgram.createSocket('udp4').unref();
  return succeeds(socket, 'listening', () => socket.bind({ port, address: '127.0.0.1', exclusive: true }));
}

async function isFree(port) {
  const server = net.createServer();
  if (!(await succeeds(server, 'listening', () => server.listen({ port, exclusive: true })))) return false;
  server.close();
  await once(server, 'close');
  return true;
}

/** Resolves to whether `begin` makes `emitter` emit `event`, and not EADDRINUSE. */
async function succeeds(emitter, event, begin) {
  const happens = once(emitter, event);
  begin();
  try {
    await happens;
    return true;
  } catch (error) {
    if (error.code !== 'EADDRINUSE') throw error;
    return false;
  }
}

module.exports = { freePort };
