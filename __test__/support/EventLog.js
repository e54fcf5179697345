'use strict';

// Records the events that a server's handlers saw, in order, and waits for the next one with a given name.

const { deadline } = require('./wait.js');

class EventLog {
  /** Every event so far: `[name, ...details]`. */
  all = [];
  #unread = [];
  #waiting = [];

  add(name, ...details) {
    this.all.push([name, ...details]);
    const index = this.#waiting.findIndex((waiter) => waiter.name === name);
    if (index < 0) this.#unread.push([name, ...details]);
    else this.#waiting.splice(index, 1)[0].resolve(details);
  }

  /** Resolves to the details of the next unread event with that name. Events with other names stay unread. */
  next(name, patience) {
    const index = this.#unread.findIndex((event) => event[0] === name);
    if (index >= 0) return Promise.resolve(this.#unread.splice(index, 1)[0].slice(1));
    const found = new Promise((resolve) => {
      this.#waiting.push({ name, resolve });
    });
    return deadline(found, () => `event '${name}' (so far: ${JSON.stringify(this.all).slice(0, 500)})`, patience);
  }

  /** Returns how many events with that name there were. */
  count(name) {
    return this.all.filter((event) => event[0] === name).length;
  }

  /** Returns WebSocket handlers that log their arguments and then call the handlers in `more`. */
  behavior(more = {}) {
    const string = (data) => Buffer.from(data).toString('utf8');
    const describe = {
      open: () => [],
      message: (ws, message, isBinary) => [string(message), isBinary],
      ping: (ws, message) => [string(message)],
      pong: (ws, message) => [string(message)],
      close: (ws, code, message) => [code, string(message)],
    };
    const behavior = { ...more };
    for (const [name, details] of Object.entries(describe)) {
      const then = more[name];
      behavior[name] = (...args) => {
        this.add(name, ...details(...args));
        return then?.(...args);
      };
    }
    return behavior;
  }
}

module.exports = { EventLog };
