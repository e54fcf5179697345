'use strict';

const { getSystemErrorMap } = require('node:util');

const { noteListening } = require('./cluster');
const { define } = require('./define');
const diagnostics = require('./diagnostics');
const { describe, errorOf } = require('./errors');
const { listenToken } = require('./ListenSocket');
const native = require('./native');

// The arguments of `listen` and `listen_unix`, and the results that their callbacks receive.

const MAX_PORT = 0xffff;

/** libuv's error numbers for a lookup that found nothing, which Node calls ENOTFOUND, and for a lookup that failed. */
const UV_EAI_NONAME = -3008;
const UV_EAI_AGAIN = -3001;

/**
 * Parses the arguments before the callback: `([host,] port, [options])` or, in the order of node:http, `(port, [host],
 * [options])`. In the latter the host is recognized by its type.
 */
function listenAt([first, ...others]) {
  if (!isNumber(first)) {
    const [port = 0, options = 0] = others;
    return { host: first, port, options };
  }
  const isOption = (value) => !isHost(value) && value !== undefined && value !== null;
  return { host: others.find(isHost), port: first, options: others.find(isOption) ?? 0 };
}

/** A string of digits is a port, because environment variables hold it in that form. */
function isNumber(value) {
  return typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value));
}

/** Whether an argument after a port is a host: anything but options, null or undefined. */
function isHost(value) {
  return typeof value === 'object' ? value !== null : typeof value === 'string' && !isNumber(value);
}

/** Returns the port number, 0 (the system chooses) for null, or NaN for a value that Node's servers reject as well. */
function portOf(port) {
  if (port === null) return 0;
  const isGiven = typeof port === 'number' || (typeof port === 'string' && port.trim() !== '');
  const number = isGiven ? Number(port) : NaN;
  return Number.isInteger(number) && number >= 0 && number <= MAX_PORT ? number : NaN;
}

/** Has an app, named by its number, listen on a port, and calls the callback with the result: a token, or false and an Error. */
function listenOnPort(app, callback, { host, port }, listen) {
  const number = portOf(port);
  if (Number.isNaN(number)) {
    const given = typeof port === 'string' ? `'${port}'` : describe(port);
    const message = `port must be a whole number from 0 to ${MAX_PORT}, and is ${given}.`;
    callback(false, errorOf('ERR_MILLIWAYS_OUT_OF_RANGE', message, RangeError));
    return;
  }
  const listener = listen(number);
  if (listener >= 0) {
    const at = native.localPort(listener);
    noteListening(listener, textOf(host), at);
    diagnostics.noteListening(app, { address: native.localAddress(listener), port: at });
    callback(listenToken(listener));
  } else if (isOfLookup(listener)) fail(app, callback, lookupError(listener, textOf(host)));
  else fail(app, callback, listenError(listener, textOf(host) || '::', number));
}

/** Does the same for a Unix domain socket. */
function listenOnPath(app, callback, path, listen) {
  // Node's servers use this port for a path.
  const port = -1;
  const listener = listen();
  if (listener >= 0) {
    noteListening(listener, textOf(path), port);
    diagnostics.noteListening(app, { path: textOf(path) });
    callback(listenToken(listener));
  } else fail(app, callback, listenError(listener, textOf(path), port));
}

function fail(app, callback, error) {
  diagnostics.noteListenError(app, error);
  callback(false, error);
}

// System errors, with the messages and properties of those that Node's servers emit.

function listenError(errno, address, port) {
  const [code, reason] = nameOf(errno);
  const error = new Error(`listen ${code}: ${reason} ${port > 0 ? `${address}:${port}` : address}`);
  const properties = { code, errno, syscall: 'listen', address };
  return defineAll(error, port === 0 ? properties : { ...properties, port });
}

function lookupError(errno, hostname) {
  const code = errno === UV_EAI_NONAME ? 'ENOTFOUND' : nameOf(errno)[0];
  const error = new Error(`getaddrinfo ${code} ${hostname}`);
  return defineAll(error, { errno, code, syscall: 'getaddrinfo', hostname });
}

function defineAll(error, properties) {
  for (const [key, value] of Object.entries(properties)) define(error, key, value);
  return error;
}

function isOfLookup(errno) {
  return errno === UV_EAI_NONAME || errno === UV_EAI_AGAIN;
}

/** Returns the name and the description of a libuv error number. */
function nameOf(errno) {
  return getSystemErrorMap().get(errno) ?? ['UNKNOWN', 'unknown error'];
}

/** Converts text or bytes to text. */
function textOf(value = '') {
  if (typeof value === 'string') return value;
  return Buffer.from(value.buffer ?? value, value.byteOffset, value.byteLength).toString();
}

module.exports = { listenAt, listenOnPath, listenOnPort };
