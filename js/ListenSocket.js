'use strict';

const { fail } = require('./errors');
const native = require('./native');

/** What `listen` gives to its callback: names a listening socket, and nothing else can be done with it. */
let numberOf;

class ListenSocket {
  #listener;

  constructor(listener) {
    this.#listener = listener;
  }

  static {
    numberOf = (token) => {
      if (token === null || typeof token !== 'object' || !(#listener in token)) {
        fail(
          'ERR_MILLIWAYS_INVALID_TOKEN',
          `Expected the token that a listen callback was called with, not ${describe(token)}.`,
          TypeError,
        );
      }
      return token.#listener;
    };
  }
}

Object.defineProperty(ListenSocket, 'name', { value: 'uWS.us_listen_socket' });

/** A value for a message; never throws, whatever the value's own methods do. */
function describe(value) {
  if (value === null) return 'null';
  return ['object', 'function'].includes(typeof value) ? `a value of type ${typeof value}` : String(value);
}

function listenToken(listener) {
  return new ListenSocket(listener);
}

function us_listen_socket_close(token) {
  native.closeListener(numberOf(token));
}

function us_socket_local_port(token) {
  const port = native.localPort(numberOf(token));
  return port > 0xffff ? -1 : port;
}

module.exports = { listenToken, us_listen_socket_close, us_socket_local_port };
