'use strict';

// The asynchronous context of handlers. In a handler, an AsyncLocalStorage returns the value it had where the handler
// was registered, whatever other handlers have entered meanwhile: events of many connections are delivered one after
// another.

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');

const { define } = require('./define');
const native = require('./native');

const { runInAsyncScope } = AsyncResource.prototype;

/** Makes async hooks report when a resource is garbage collected. Tools that keep state per resource rely on that. */
const OPTIONS = { requireManualDestroy: false };

function newResource() {
  return new AsyncResource('milliways', OPTIONS);
}

/**
 * Returns the objects whose properties are a resource's stores: the resource or, in Node 24 without frames, an object
 * of its own.
 */
function holdersOf(resource) {
  const isHolder = (value) => value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === null;
  const values = Reflect.ownKeys(resource).map((key) => resource[key]);
  return [resource, ...values.filter(isHolder)];
}

/** Returns the stores that are properties of an object, with their keys. */
function storesOf(holder) {
  const isHolder = Object.getPrototypeOf(holder) === null;
  const keys = Reflect.ownKeys(holder).filter((key) => isHolder || key.description === 'kResourceStore');
  return keys.map((key) => [key, holder[key]]);
}

function hasStores(resource) {
  return holdersOf(resource).some((holder) => storesOf(holder).some(([, value]) => value !== undefined));
}

/**
 * Whether the stores are in a frame that is exchanged for each run (Node 24, and 22 with
 * --experimental-async-context-frame). Otherwise a resource holds them, and a store that a handler enters stays with
 * the resource in which the handler ran.
 */
const HAS_FRAMES = (() => {
  // Testing a storage in use would be more reliable, but using one makes V8 take a slower path for all promises from
  // then on.
  const storage = new AsyncLocalStorage();
  storage.disable();
  return !('kResourceStore' in storage);
})();

/** The key under which a resource holds its frame. */
const FRAME = Reflect.ownKeys(newResource()).find((key) => key.description === 'context_frame');

/** The frame that is current when an event with its own callback scope begins. */
const FIRST_FRAME = newResource()[FRAME];

/** The stores that are properties of an object. Handlers may enter more there. */
class Stores {
  #holder;
  /** The stores that were there when the handler was registered. */
  #registered;
  /** The keys of the stores entered since. */
  #entered = new Set();

  constructor(holder, onEnter) {
    this.#holder = holder;
    this.#registered = storesOf(holder);
    // Assigning a property that does not exist yet goes through the prototype.
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

  /** Returns the current stores, and restores the registered ones. */
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

/** The stores of a resource in which handlers run, one after another or nested. */
class ResourceStores {
  #all;
  #hasRegistered;
  /** Whether it had any stores at the beginning. */
  hadAny;
  /** Whether the stores may differ from those at the beginning. Checked before and after each handler. */
  mayDiffer;

  constructor(resource) {
    this.hadAny = hasStores(resource);
    this.#all = holdersOf(resource).map((holder) => new Stores(holder, () => (this.mayDiffer = true)));
    this.#hasRegistered = this.#all.some((stores) => stores.hasRegistered);
    this.mayDiffer = this.#hasRegistered;
  }

  /** Removes and returns what a handler has entered. */
  take() {
    const taken = this.#all.map((stores) => stores.take());
    this.mayDiffer = this.#hasRegistered;
    return taken;
  }

  /** Puts back what was taken before a nested handler ran. */
  enter(taken) {
    this.#all.forEach((stores, index) => stores.enter(taken[index]));
  }
}

/** The stores of the addon's resource, in which events with their own callback scope run. */
const FIRST_STORES = HAS_FRAMES ? undefined : firstStores();

/**
 * Where this file is evaluated more than once, as in jest, all evaluations share one object. Otherwise each would trap
 * the assignments that the others trap.
 */
function firstStores() {
  if (!Object.hasOwn(native, 'firstStores')) define(native, 'firstStores', new ResourceStores(native.asyncResource));
  return native.firstStores;
}

/** The context of handlers that are registered once and called for any number of connections. */
class FrameScope {
  #resource = newResource();

  /** Binds a handler of any event. */
  bind(handler) {
    return bind(handler, this.#resource);
  }

  /**
   * Binds a handler with three parameters to events that the loop causes, never a call from JavaScript. These are by
   * far the most frequent events, and rest parameters would cost about 40 ns.
   */
  bindMessage(handler) {
    const resource = this.#resource;
    return (ws, message, isBinary) => runInAsyncScope.call(resource, handler, undefined, ws, message, isBinary);
  }

  /** Binds a handler of events that the loop causes and that have their own callback scope. */
  bindAlone(handler) {
    return bindAlone(handler, this.#resource, this.#resource[FRAME] === FIRST_FRAME);
  }
}

/** The same as FrameScope, for versions of Node in which stores stay with a resource. */
class ResourceScope {
  #resource = newResource();
  #stores = new ResourceStores(this.#resource);
  #isFirst = !FIRST_STORES.hadAny && !this.#stores.hadAny;

  bind(handler) {
    return restoring(bind(handler, this.#resource), this.#stores);
  }

  bindMessage(handler) {
    // The addon's resource is current, and almost always has the right stores: none.
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

/** Binds a handler of one response to the current context. */
function attach(handler) {
  return bind(handler, newResource());
}

/** Does the same for events that have their own callback scope. */
function attachAlone(handler) {
  const resource = newResource();
  if (HAS_FRAMES) return bindAlone(handler, resource, resource[FRAME] === FIRST_FRAME);
  if (!FIRST_STORES.hadAny && !hasStores(resource)) return bindAlone(handler, resource, true);
  return keeping(bind(handler, resource), resource);
}

/**
 * Makes each run of a handler begin with the stores that its resource has now, instead of those that the previous run
 * entered.
 */
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
 * Events with their own callback scope begin without stores, which is right for almost all handlers. Running in another
 * resource inside a callback scope would cost 300 ns, because Node cleans up after both.
 */
function bindAlone(handler, resource, isFirst) {
  if (!isFirst) return bind(handler, resource);
  return HAS_FRAMES ? handler : restoring(handler, FIRST_STORES);
}

/** Hides from a handler what others have entered in a resource, and removes what it enters itself. */
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
