'use strict';

// The asynchronous context of handlers. What an AsyncLocalStorage returns in one is what it returned where that was
// registered, whatever other handlers have entered meanwhile: events of many connections are told one after the other.

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');

const native = require('./native');

const { runInAsyncScope } = AsyncResource.prototype;

/** Nobody waits to hear that such a resource is gone, and without its being watched it costs some 20 ns. */
const UNWATCHED = { requireManualDestroy: true };

function newResource() {
  return new AsyncResource('milliways', UNWATCHED);
}

/** The objects that have a resource's stores as properties: itself or, in Node 24 without frames, one of its own. */
function holdersOf(resource) {
  const isHolder = (value) => value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === null;
  const values = Reflect.ownKeys(resource).map((key) => resource[key]);
  return [resource, ...values.filter(isHolder)];
}

/** The stores that are properties of an object, with their keys. */
function storesOf(holder) {
  const isHolder = Object.getPrototypeOf(holder) === null;
  const keys = Reflect.ownKeys(holder).filter((key) => isHolder || key.description === 'kResourceStore');
  return keys.map((key) => [key, holder[key]]);
}

function hasStores(resource) {
  return holdersOf(resource).some((holder) => storesOf(holder).some(([, value]) => value !== undefined));
}

/**
 * Whether stores are in a frame that is exchanged for each run (Node 24, and 22 with --experimental-async-context-frame).
 * Otherwise a resource has them, and one that a handler enters stays with the resource in which it ran.
 */
const HAS_FRAMES = (() => {
  const storage = new AsyncLocalStorage();
  const resource = storage.run({}, newResource);
  storage.disable();
  return !hasStores(resource);
})();

/** The key by which a resource has its frame. */
const FRAME = Reflect.ownKeys(newResource()).find((key) => key.description === 'context_frame');

/** The frame in which events begin that have a callback scope of their own. */
const FIRST_FRAME = newResource()[FRAME];

/** Whether the addon's resource, in which those events run, has had stores from the beginning. */
const HAS_FIRST_STORES = hasStores(native.asyncResource);

/** The stores that are properties of an object, and may be entered there by handlers. */
class Stores {
  #holder;
  /** Those that were there from the beginning. */
  #registered;
  /** The keys of those that have been entered since. */
  #entered = [];

  constructor(holder) {
    this.#holder = holder;
    this.#registered = storesOf(holder);
    // A property that is not there yet is assigned by way of the prototype.
    const set = (_prototype, key, value, receiver) => {
      this.#entered.push(key);
      return define(receiver, key, value);
    };
    const prototype = Object.getPrototypeOf(holder) ?? Object.create(null);
    Object.setPrototypeOf(holder, new Proxy(prototype, { set }));
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

/** The stores of a resource in which handlers run, one after the other or one inside of another. */
class ResourceStores {
  #all;

  constructor(resource) {
    this.#all = holdersOf(resource).map((holder) => new Stores(holder));
  }

  /** Takes out what a handler has entered inside of which another is about to run. */
  take() {
    return this.#all.some((stores) => stores.isChanged()) ? this.#all.map((stores) => stores.take()) : undefined;
  }

  /** Takes out what the inner one has entered, and puts back what was taken out before. */
  restore(outer) {
    for (const stores of this.#all) if (stores.isChanged()) stores.take();
    outer?.forEach((entered, index) => this.#all[index].enter(entered));
  }
}

const FIRST_STORES = HAS_FRAMES ? undefined : new ResourceStores(native.asyncResource);

/** Where handlers were registered that are called for any number of connections. */
class FrameScope {
  #resource = newResource();

  run(handler, first, second, third) {
    return runInAsyncScope.call(this.#resource, handler, undefined, first, second, third);
  }

  bind(handler) {
    return bind(handler, this.#resource);
  }

  /** Binds a handler of events that have a callback scope of their own. */
  bindAlone(handler) {
    return bindAlone(handler, this.#resource, this.#resource[FRAME] === FIRST_FRAME);
  }
}

/** The same where stores stay with a resource. */
class ResourceScope {
  #resource = newResource();
  #isFirst = !HAS_FIRST_STORES && !hasStores(this.#resource);
  #stores = new ResourceStores(this.#resource);

  run(handler, first, second, third) {
    const outer = this.#stores.take();
    try {
      return runInAsyncScope.call(this.#resource, handler, undefined, first, second, third);
    } finally {
      this.#stores.restore(outer);
    }
  }

  bind(handler) {
    return restoring(bind(handler, this.#resource), this.#stores);
  }

  bindAlone(handler) {
    return this.#isFirst ? bindAlone(handler, this.#resource, true) : this.bind(handler);
  }
}

/** Binds a handler to where this is called, for one response. */
function attach(handler) {
  return bind(handler, newResource());
}

/** Does so for events that have a callback scope of their own. */
function attachAlone(handler) {
  const resource = newResource();
  const isFirst = HAS_FRAMES ? resource[FRAME] === FIRST_FRAME : !HAS_FIRST_STORES && !hasStores(resource);
  return bindAlone(handler, resource, isFirst);
}

function bind(handler, resource) {
  return (...parameters) => runInAsyncScope.call(resource, handler, undefined, ...parameters);
}

/**
 * Such events begin with no stores, which is what almost all handlers are to see. To run in another resource inside of
 * a callback scope would cost 300 ns, since Node tidies up after both.
 */
function bindAlone(handler, resource, isFirst) {
  if (!isFirst) return bind(handler, resource);
  return HAS_FRAMES ? handler : restoring(handler, FIRST_STORES);
}

/** Has a handler see nothing of what others have entered, and leave nothing. */
function restoring(handler, stores) {
  return (...parameters) => {
    const outer = stores.take();
    try {
      return handler(...parameters);
    } finally {
      stores.restore(outer);
    }
  };
}

/** Defines a property as assignment would make it, calling no setter. */
function define(object, key, value) {
  return Reflect.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

module.exports = { Scope: HAS_FRAMES ? FrameScope : ResourceScope, attach, attachAlone, define };
