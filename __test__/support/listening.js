'use strict';

const fs = require('node:fs');

/** The state of a listening socket in /proc/net/tcp. */
const LISTEN = '0A';

/**
 * Returns the sockets of IPv4 that listen, or only those that a process has: their ports, and how many connections wait
 * to be accepted (proc(5), /proc/net/tcp: local_address, st, rx_queue, inode).
 */
function listeningSockets(pid) {
  const owned = pid === undefined ? undefined : socketsOf(pid);
  const sockets = [];
  for (const line of fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1, -1)) {
    const [, local, , state, queues, , , , , inode] = line.trim().split(/\s+/);
    if (state !== LISTEN || (owned && !owned.has(`socket:[${inode}]`))) continue;
    sockets.push({ port: parseInt(local.split(':')[1], 16), queued: parseInt(queues.split(':')[1], 16) });
  }
  return sockets;
}

function socketsOf(pid) {
  try {
    return new Set(fs.readdirSync(`/proc/${pid}/fd`).map((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`)));
  } catch (error) {
    // The process or the descriptor has gone.
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return new Set();
    throw error;
  }
}

module.exports = { listeningSockets };
