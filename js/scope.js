'use strict';

// The asynchronous context of handlers. What an AsyncLocalStorage gives in one is what it gave where that was registered,
// whatever other handlers have entered meanwhile: events of many connections are told one after the other.

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');

const { runInAsyncScope } = AsyncResource.prototype;

/** Nobody waits to hear that such a resource is gone, and without its being watched it costs some 20 ns. */
const UNWATCHED = { requireManualDestroy: true };

function newResource() {
  return new AsyncResource('milliways', UNWATCHED);
}

/**
 * Whether stores are in a frame that is exchanged for each run (Node 24, and 22 with --experimental-async-context-frame).
 * Otherwise a resource has them, and one that a handler enters stays with the resource in which it ran.
 */
const HAS_FRAMES = (() => {
  const [storage, store] = [new AsyncLocalStorage(), {}];
  const resource = storage.run(store, newResource);
  storage.disable();
  return holdersOf(resource).every((holder) => Reflect.ownKeys(holder).every((key) => holder[key] !== store));
})();

/** The objects that have a resource's stores as properties: itself or, in Node 24 without frames, one of its own. */
function holdersOf(resource) {
  const isHolder = (value) => value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === null;
  return [
    resource,
    ...Reflect.ownKeys(resource)
      .map((key) => resource[key])
      .filter(isHolder),
  ];
}

/** Calls a handler where this was called, any number of times, on behalf of one connection. */
function bind(handler) {
  const resource = newResource();
  return (...parameters) => runInAsyncScope.call(resource, handler, undefined, ...parameters);
}

/** Where handlers were registered that are called on behalf of any number of connections. */
class FrameScope {
  #resource = newResource();

  run(handler, first, second, third) {
    return runInAsyncScope.call(this.#resource, handler, undefined, first, second, third);
  }

  bind(handler) {
    return (...parameters) => runInAsyncScope.call(this.#resource, handler, undefined, ...parameters);
  }
}

/** The same where a resource has the stores: what a handler has entered is taken out again. */
class ResourceScope {
  #resource = newResource();
  #stores = holdersOf(this.#resource).map((holder) => new Stores(holder));

  run(handler, first, second, third) {
    const outer = this.#take();
    try {
      return runInAsyncScope.call(this.#resource, handler, undefined, first, second, third);
    } finally {
      this.#restore(outer);
    }
  }

  bind(handler) {
    return (...parameters) => {
      const outer = this.#take();
      try {
        return runInAsyncScope.call(this.#resource, handler, undefined, ...parameters);
      } finally {
        this.#restore(outer);
      }
    };
  }

  /** Takes out what a handler has entered inside of which another is about to run. */
  #take() {
    return this.#stores.some((stores) => stores.isChanged()) ? this.#stores.map((stores) => stores.take()) : undefined;
  }

  #restore(outer) {
    for (const stores of this.#stores) if (stores.isChanged()) stores.take();
    outer?.forEach((entered, index) => this.#stores[index].enter(entered));
  }
}

/** The stores that are properties of an object. */
class Stores {
  #holder;
  /** Those that were there from the beginning. */
  #registered;
  /** The keys of those that have been entered since. */
  #entered = [];

  constructor(holder) {
    this.#holder = holder;
    const prototype = Object.getPrototypeOf(holder);
    const isStore = (key) => prototype === null || key.description === 'kResourceStore';
    this.#registered = Reflect.ownKeys(holder)
      .filter(isStore)
      .map((key) => [key, holder[key]]);
    // A property that is not there yet is assigned by way of the prototype.
    const set = (_prototype, key, value, receiver) => {
      this.#entered.push(key);
      return define(receiver, key, value);
    };
    Object.setPrototypeOf(holder, new Proxy(prototype ?? Object.create(null), { set }));
  }

  isChanged() {
    return this.#entered.length !== 0 || this.#registered.some(([key, value]) => this.#holder[key] !== value);
  }

  /** Returns the stores, and makes them what they were at the beginning. */
  take() {
    const holder = this.#holder;
    const keys = [...this.#entered, ...this.#registered.map(([key]) => key)];
    const stores = keys.map((key) => [key, holder[key]]);
    for (const key of this.#entered) delete holder[key];
    this.#entered.length = 0;
    this.enter(this.#registered);
    return stores;
  }

  enter(stores) {
    for (const [key, value] of stores) this.#holder[key] = value;
  }
}

/** Defines a property as assignment would make it, calling no setter. */
function define(object, key, value) {
  return Reflect.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

module.exports = { Scope: HAS_FRAMES ? FrameScope : ResourceScope, bind, define };
