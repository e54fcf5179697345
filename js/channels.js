'use strict';

// The channels of node:diagnostics_channel that milliways publishes on; docs/DIAGNOSTICS.md has their messages.

const { channel } = require('node:diagnostics_channel');

const NAMES = ['listen', 'connect', 'upgrade', 'close', 'error', 'limit', 'shutdown'];

/** The channels, by the part of their names after `milliways.`. Node forgets a channel that nobody holds. */
const channels = Object.fromEntries(NAMES.map((name) => [name, channel(`milliways.${name}`)]));

/**
 * Calls `update` whenever a channel may have got its first subscriber or lost its last. Node has no event for that, and
 * to ask each time something happens would cost something without a subscriber.
 */
function watchSubscribers(update) {
  for (const it of Object.values(channels)) {
    for (const name of ['subscribe', 'unsubscribe']) {
      // Another copy of the package may have been here. Node exchanges the prototype of a channel that has subscribers.
      const inner = Object.hasOwn(it, name) ? it[name] : undefined;
      const method = (...parameters) => {
        try {
          return Reflect.apply(inner ?? Object.getPrototypeOf(it)[name], it, parameters);
        } finally {
          update();
        }
      };
      Object.defineProperty(it, name, { value: method, writable: true, configurable: true });
    }
  }
}

module.exports = { channels, watchSubscribers };
