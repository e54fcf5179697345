'use strict';

// What Node's own servers do in a worker process of node:cluster: its primary hears that it listens, and a worker that is
// disconnected listens no longer. Workers share a port by the system, as threads do, and not by the primary.

const { isIP } = require('node:net');
const { isMainThread } = require('node:worker_threads');

const native = require('./native');

/** By number, the sockets that listen in a worker process. */
const listeners = new Set();

/** Whether they are closed when the worker disconnects. */
let isFollowing = false;

/** This process as a worker of a cluster that can still talk to its primary, or undefined. */
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
  // Of a host's name it is what that has been found to be.
  const isName = port >= 0 && host !== '' && isIP(host) === 0;
  const address = isName ? native.localAddress(listener) : host;
  const addressType = port < 0 ? -1 : isIP(address) || 4;
  const info = { addressType, address: address === '' ? null : address, port, fd: undefined };
  // The message with which Node's servers tell the primary; should there be another one day, this one has no effect.
  process.send({ cmd: 'NODE_CLUSTER', act: 'listening', ...info });
  worker.emit('listening', info);
}

/** Closes what listens before the channel to the primary, so that nobody is accepted once the primary knows. */
function follow(worker) {
  isFollowing = true;
  // The primary's wish that the worker disconnects, or its answer to the worker's own, is such a message. Node acts on it after
  // this. Should there be no such event one day, the sockets are closed a moment after the channel.
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
