'use strict';

// Makes an app behave like Node's own servers in a worker of node:cluster: the primary is told when the worker listens,
// and a worker that disconnects stops listening. Workers share a port through the kernel, as threads do, not through
// the primary.

const { isIP } = require('node:net');
const { isMainThread } = require('node:worker_threads');

const native = require('./native');

/** The numbers of the sockets that listen in this worker process. */
const listeners = new Set();

/** Whether the sockets are closed when the worker disconnects. */
let isFollowing = false;

/** Returns this process's cluster worker if it can still talk to its primary, otherwise undefined. */
function workerOf() {
  // Without a channel to a parent there is no need to load the module.
  if (!isMainThread || !process.connected) return undefined;
  return require('node:cluster').worker;
}

function noteListening(listener, host, port) {
  const worker = workerOf();
  if (worker === undefined) return;
  if (!isFollowing) follow(worker);
  listeners.add(listener);
  // A host name is reported as the address that it resolved to.
  const isName = port >= 0 && host !== '' && isIP(host) === 0;
  const address = isName ? native.localAddress(listener) : host;
  const addressType = port < 0 ? -1 : isIP(address) || 4;
  const info = { addressType, address: address === '' ? null : address, port, fd: undefined };
  // This is the message that Node's servers send to the primary. It is internal to Node: if Node changes it, this has
  // no effect.
  process.send({ cmd: 'NODE_CLUSTER', act: 'listening', ...info });
  worker.emit('listening', info);
}

/** Closes the sockets before the channel to the primary, so that none accepts a connection once the primary knows. */
function follow(worker) {
  isFollowing = true;
  // The primary's request to disconnect and its answer to the worker's own are internal messages, on which Node acts
  // after this listener. If Node stops emitting them, the sockets are closed just after the channel.
  process.prependListener('internalMessage', (message) => {
    if (worker.exitedAfterDisconnect || (message.cmd === 'NODE_CLUSTER' && message.act === 'disconnect')) closeAll();
  });
  worker.on('disconnect', closeAll);
}

function noteClosed(listener) {
  listeners.delete(listener);
}

function closeAll() {
  for (const listener of listeners) native.closeListener(listener);
  listeners.clear();
}

module.exports = { noteClosed, noteListening };
