'use strict';

const { noteClosed } = require('./cluster');
const { describe, fail } = require('./errors');
const native = require('./native');

// What can be done with a token, by names that all copies of the package know: each has a class of its own, and a program
// in which several are loaded may give the token of one to another.
const CLOSE = Symbol.for('milliways.us_listen_socket.close');
const LOCAL_PORT = Symbol.for('milliways.us_listen_socket.localPort');

/** The number of a listening socket, which its token alone has. */
let numberOf;

/** What `listen` gives to its callback: names a listening socket, and nothing else can be done with it. */
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

/** Does what can be done with a token, of whichever copy of the package it is. */
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
