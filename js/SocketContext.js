'use strict';

const { fail } = require('./errors');

/**
 * Returns the behavior that a context identifies: an `upgrade` handler receives the context and passes it to
 * `res.upgrade`.
 */
let behaviorOf;

class SocketContext {
  /** Shared by all contexts of the route. The addon keeps the behavior while one of them is reachable. */
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
