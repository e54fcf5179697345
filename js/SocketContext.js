'use strict';

const { fail } = require('./errors');

/** What an `upgrade` handler gets to give to `res.upgrade`: names its WebSocket route. */
let behaviorOf;

class SocketContext {
  #behavior;

  constructor(behavior) {
    this.#behavior = behavior;
  }

  static {
    behaviorOf = (context) => {
      if (context === null || typeof context !== 'object' || !(#behavior in context)) {
        fail(
          'ERR_MILLIWAYS_INVALID_UPGRADE',
          'The last argument of upgrade must be the context that the upgrade handler was called with.',
          TypeError,
        );
      }
      return context.#behavior;
    };
  }
}

Object.defineProperty(SocketContext, 'name', { value: 'uWS.us_socket_context' });

module.exports = { SocketContext, contextOf: (context) => behaviorOf(context) };
