'use strict';

// The asynchronous context of handlers. What an AsyncLocalStorage returns in one is what it returned where that was
// registered, whatever other handlers have entered meanwhile: events of many connections are told one after the other.

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');

const { define } = require('./define');
const native = require('./native');

const { runInAsyncScope } = AsyncResource.prototype;

/** Where hooks want to know when a resource has gone they are told so; tools that keep something for each rely on that. */
const OPTIONS = { requireManualDestroy: false };

function newResource() {
  return new AsyncResource('milliways', OPTIONS);
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
  // To ask one that has been used would be surer, but from then on V8 takes a slower way for all promises.
  const storage = new AsyncLocalStorage();
  storage.disable();
  return !('kResourceStore' in storage);
})();

/** The key by which a resource has its frame. */
const FRAME = Reflect.ownKeys(newResource()).find((key) => key.description === 'context_frame');

/** The frame in which events begin that have a callback scope of their own. */
const FIRST_FRAME = newResource()[FRAME];

/** The stores that are properties of an object, and may be entered there by handlers. */
class Stores {
  #holder;
  /** Those that were there from the beginning. */
  #registered;
  /** The keys of those that have been entered since. */
  #entered = new Set();

  constructor(holder, onEnter) {
    this.#holder = holder;
    this.#registered = storesOf(holder);
    // A property that is not there yet is assigned by way of the prototype.
    const set = (prototype, key, value, receiver) => {
      this.#entered.add(key);
      onEnter();
      return Reflect.set(prototype, key, value, receiver);
    };
    const prototype = Object.getPrototypeOf(holder) ?? Object.create(null);
    Object.setPrototypeOf(holder, new Proxy(prototype, { set }));
  }

  get hasRegistered() {
    return this.#registered.length !== 0;
  }

  /** Returns the stores, and makes them what they were at the beginning. */
  take() {
    const holder = this.#holder;
    const keys = [...this.#entered, ...this.#registered.map(([key]) => key)];
    const stores = keys.map((key) => [key, holder[key]]);
    for (const key of this.#entered) delete holder[key];
    this.#entered.clear();
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
  #hasRegistered;
  /** Whether there were any at the beginning. */
  hadAny;
  /** Whether they may be other than they were at the beginning. Looked at before and after each handler. */
  mayDiffer;

  constructor(resource) {
    this.hadAny = hasStores(resource);
    this.#all = holdersOf(resource).map((holder) => new Stores(holder, () => (this.mayDiffer = true)));
    this.#hasRegistered = this.#all.some((stores) => stores.hasRegistered);
    this.mayDiffer = this.#hasRegistered;
  }

  /** Takes out what a handler has entered. */
  take() {
    const taken = this.#all.map((stores) => stores.take());
    this.mayDiffer = this.#hasRegistered;
    return taken;
  }

  /** Puts back what was taken out before another handler has run inside. */
  enter(taken) {
    this.#all.forEach((stores, index) => stores.enter(taken[index]));
  }
}

/** Those of the addon's resource, in which events run that have a callback scope of their own. */
const FIRST_STORES = HAS_FRAMES ? undefined : firstStores();

/** Where this file is evaluated several times, as in jest, all share one: each would trap what the others trap. */
function firstStores() {
  if (!Object.hasOwn(native, 'firstStores')) define(native, 'firstStores', new ResourceStores(native.asyncResource));
  return native.firstStores;
}

/** Where handlers were registered that are called for any number of connections. */
class FrameScope {
  #resource = newResource();

  /** Binds a handler of any events. */
  bind(handler) {
    return bind(handler, this.#resource);
  }

  /**
   * Binds a handler of three parameters to events that the loop has caused, and no call from JavaScript. Most of all events
   * are such, and rest parameters would cost some 40 ns.
   */
  bindMessage(handler) {
    const resource = this.#resource;
    return (ws, message, isBinary) => runInAsyncScope.call(resource, handler, undefined, ws, message, isBinary);
  }

  /** Binds a handler of events that the loop has caused, and that have a callback scope of their own. */
  bindAlone(handler) {
    return bindAlone(handler, this.#resource, this.#resource[FRAME] === FIRST_FRAME);
  }
}

/** The same where stores stay with a resource. */
class ResourceScope {
  #resource = newResource();
  #stores = new ResourceStores(this.#resource);
  #isFirst = !FIRST_STORES.hadAny && !this.#stores.hadAny;

  bind(handler) {
    return restoring(bind(handler, this.#resource), this.#stores);
  }

  bindMessage(handler) {
    // The addon's resource executes, and almost always has the stores that it should have: none.
    if (!this.#isFirst) return this.bind(handler);
    return (ws, message, isBinary) => {
      const outer = FIRST_STORES.mayDiffer ? FIRST_STORES.take() : undefined;
      try {
        return handler(ws, message, isBinary);
      } finally {
        if (FIRST_STORES.mayDiffer) FIRST_STORES.take();
        if (outer !== undefined) FIRST_STORES.enter(outer);
      }
    };
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
  if (HAS_FRAMES) return bindAlone(handler, resource, resource[FRAME] === FIRST_FRAME);
  if (!FIRST_STORES.hadAny && !hasStores(resource)) return bindAlone(handler, resource, true);
  return keeping(bind(handler, resource), resource);
}

/** Has each run of a handler begin with the stores that its resource has now, not with what the one before has entered. */
function keeping(run, resource) {
  const holders = holdersOf(resource).map((holder) => [holder, storesOf(holder)]);
  return (...parameters) => {
    for (const [holder, stores] of holders) {
      for (const [key] of storesOf(holder)) holder[key] = undefined;
      for (const [key, value] of stores) holder[key] = value;
    }
    return run(...parameters);
  };
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

/** Has a handler see nothing of what others have entered in a resource, and leave nothing there. */
function restoring(handler, stores) {
  return (...parameters) => {
    const outer = stores.mayDiffer ? stores.take() : undefined;
    try {
      return handler(...parameters);
    } finally {
      if (stores.mayDiffer) stores.take();
      if (outer !== undefined) stores.enter(outer);
    }
  };
}

module.exports = { Scope: HAS_FRAMES ? FrameScope : ResourceScope, attach, attachAlone };
