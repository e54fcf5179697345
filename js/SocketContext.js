'use strict';

const { fail } = require('./errors');

/** What an `upgrade` handler gets to give to `res.upgrade`: names its WebSocket route. */
let behaviorOf;

class SocketContext {
  /** What all contexts of the route share: as long as there is one, the addon keeps the behavior. */
  #token;

  constructor(token) {
    this.#token = token;
  }

  static {
    behaviorOf = (context) => {
      if (context === null || typeof context !== 'object' || !(#token in context)) {
        fail(
          'ERR_MILLIWAYS_INVALID_UPGRADE',
          'The last argument of upgrade must be the context that the upgrade handler was called with.',
          TypeError,
        );
      }
      return context.#token.behavior;
    };
  }
}

Object.defineProperty(SocketContext, 'name', { value: 'uWS.us_socket_context' });

module.exports = { SocketContext, contextOf: (context) => behaviorOf(context) };
