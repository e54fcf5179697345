'use strict';

const { noteClosed } = require('./cluster');
const { describe, fail } = require('./errors');
const native = require('./native');

// Methods of a token, under symbols that every copy of the package knows. Each copy has its own class, and a program
// that loads several may pass the token of one to another.
const CLOSE = Symbol.for('milliways.us_listen_socket.close');
const LOCAL_PORT = Symbol.for('milliways.us_listen_socket.localPort');

/** Returns the number of a listening socket, which only its token holds. */
let numberOf;

/** The opaque token that `listen` passes to its callback. It identifies a listening socket. */
class ListenSocket {
  #listener;

  constructor(listener) {
    this.#listener = listener;
  }

  [CLOSE]() {
    const listener = numberOf(this);
    native.closeListener(listener);
    noteClosed(listener);
  }

  [LOCAL_PORT]() {
    return native.localPort(numberOf(this));
  }

  static {
    numberOf = (token) => (#listener in token ? token.#listener : refuse(token));
  }
}

Object.defineProperty(ListenSocket, 'name', { value: 'uWS.us_listen_socket' });

function refuse(token) {
  fail(
    'ERR_MILLIWAYS_INVALID_TOKEN',
    `Expected the token that a listen callback was called with, not ${describe(token)}.`,
    TypeError,
  );
}

/** Calls a method of a token, whichever copy of the package made the token. */
function act(token, action) {
  const isOne = typeof token === 'object' && token !== null && typeof token[action] === 'function';
  return isOne ? token[action]() : refuse(token);
}

function listenToken(listener) {
  return new ListenSocket(listener);
}

function us_listen_socket_close(token) {
  act(token, CLOSE);
}

function us_socket_local_port(token) {
  const port = act(token, LOCAL_PORT);
  return port > 0xffff ? -1 : port;
}

module.exports = { listenToken, us_listen_socket_close, us_socket_local_port };
