'use strict';

const { constants } = require('node:buffer');
const { isArrayBuffer } = require('node:util/types');

const connections = require('./connections');
const { kindOf } = require('./data');
const { define } = require('./define');
const diagnostics = require('./diagnostics');
const {
  describe,
  errorOf,
  fail,
  refuseArguments,
  requireArguments,
  requireFunction,
  requireOptions,
} = require('./errors');
const { watch } = require('./failure');
const { toHostname, toKnownHostname } = require('./hostname');
const HttpRequest = require('./HttpRequest');
const { HttpResponse, SSLHttpResponse, responseAt } = require('./HttpResponse');
const { listenAt, listenOnPath, listenOnPort } = require('./listen');
const native = require('./native');
const { makeNativeLike } = require('./nativeLike');
const { failReceiver } = require('./receiver');
const { SLOT, VALUE, noteAsync, registers } = require('./registers');
const { Scope } = require('./scope');
const { SocketContext } = require('./SocketContext');
const { statsOf } = require('./stats');
const { warnDhParams, warnDomain } = require('./warnings');
const { SSLWebSocket, WebSocket } = require('./WebSocket');

/** The routing methods of an app. The addon knows each by its index; `any` comes last. */
const METHODS = ['get', 'post', 'options', 'del', 'patch', 'put', 'head', 'connect', 'trace', 'any'];

const LIBUS_LISTEN_EXCLUSIVE_PORT = 1;

/** The close code for WebSockets of a server that goes away (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001;

/** Milliseconds after which `shutdown` cuts what is left. */
const SHUTDOWN_TIMEOUT = 10_000;

/** The generation of a connection that has gone. The addon returns empty addresses for it. */
const GONE = 0xffffffff;

/**
 * Tells the addon when an app has become unreachable: the addon drops it once nothing listens and nobody is connected.
 */
const apps = new FinalizationRegistry((app) => {
  diagnostics.forgetApp(app);
  native.releaseApp(app);
});

/** Tells the addon when no context is left by which a request could still be upgraded to a WebSocket of a behavior. */
const contexts = new FinalizationRegistry((behavior) => native.releaseContexts(behavior));

/** Throws unless the receiver of a method is an app. */
let requireApp;

class TemplatedApp {
  #app;
  /** The addon stores handlers on this object while it does not hold them itself. */
  #holder = {};
  /** The domain whose routes are registered next: that of a server name, or 0 for all others. */
  #domain = 0;
  #isSecure;
  #filters = [];
  /** Whether microtasks and nextTicks run before the next message is delivered. */
  #drains;
  /** The promise that `shutdown` has returned, until the app listens again. */
  #shutdown;
  #isShuttingDown = false;

  constructor(options, isSecure = false) {
    this.#app = native.createApp(options, this.#holder);
    apps.register(this, this.#app);
    diagnostics.noteApp(this.#app, this);
    this.#isSecure = isSecure;
    if (isSecure) secure(options, () => native.secureApp(this.#app, options ?? {}));
    this.#drains = Boolean(options?.drainEachMessage);
  }

  ws(pattern, behavior) {
    requireApp(this);
    requireArguments(2, arguments.length);
    refuseArguments('ws', 2, arguments);
    const { upgrade, open, message, dropped, drain, close, ping, pong, subscription } = handlersOf(behavior);
    const scope = new Scope();
    native.addWebSocketRoute(
      this.#app,
      this.#domain,
      pattern,
      behavior,
      tellOpen(scope, open, this.#isSecure ? SSLWebSocket : WebSocket),
      message && tellMessage(scope, message),
      dropped && tellDropped(scope, dropped),
      drain && tellDrain(scope, drain),
      tellClose(scope, close),
      ping && tellControl(scope, ping),
      pong && tellControl(scope, pong),
      upgrade && tellUpgrade(scope, upgrade, this.#isSecure ? SSLHttpResponse : HttpResponse, this),
      subscription && tellSubscription(scope, subscription),
      this.#drains,
      constants.MAX_STRING_LENGTH,
    );
    return this;
  }

  publish(topic, message, isBinary, compress) {
    requireApp(this);
    requireArguments(2, arguments.length);
    return native.publish(this.#app, topic, message, kindOf(isBinary, compress));
  }

  numSubscribers(topic) {
    requireApp(this);
    requireArguments(1, arguments.length);
    return native.numSubscribers(this.#app, topic);
  }

  listen(...parameters) {
    requireApp(this);
    requireArguments(2, parameters.length);
    refuseArguments('listen', 4, parameters);
    const callback = parameters.pop();
    requireFunction(callback);
    if (this.#isShuttingDown) return this.#refuseToListen(callback);
    const { host, port, options } = listenAt(parameters);
    const exclusive = (options & LIBUS_LISTEN_EXCLUSIVE_PORT) !== 0;
    this.#shutdown = undefined;
    listenOnPort(this.#app, callback, { host, port }, (number) => native.listen(this.#app, host, number, exclusive));
    return this;
  }

  listen_unix(callback, path) {
    requireApp(this);
    requireArguments(2, arguments.length);
    refuseArguments('listen_unix', 2, arguments);
    requireFunction(callback);
    if (this.#isShuttingDown) return this.#refuseToListen(callback);
    this.#shutdown = undefined;
    listenOnPath(this.#app, callback, path, () => native.listenUnix(this.#app, path));
    return this;
  }

  filter(handler) {
    requireApp(this);
    refuseArguments('filter', 1, arguments);
    requireFunction(handler);
    // push() assigns, which would call setters on Array.prototype.
    define(this.#filters, this.#filters.length, new Scope().bindAlone(handler));
    if (this.#filters.length === 1) {
      native.setFilter(this.#app, (slot, generation, count) => {
        // A filter may ask for the address of a connection that has gone, which must not throw.
        const Response = this.#isSecure ? SSLHttpResponse : HttpResponse;
        const res = new Response(slot, count > 0 ? generation : GONE);
        // A filter that another filter adds is called from the next event on.
        const { length } = this.#filters;
        for (let i = 0; i < length; i += 1) {
          const filter = this.#filters[i];
          filter(res, count);
        }
      });
    }
    return this;
  }

  addServerName(hostname, options) {
    requireApp(this);
    refuseArguments('addServerName', 2, arguments);
    requireArguments(1, arguments.length);
    if (this.#isSecure) {
      const name = toHostname(hostname);
      secure(options, () => native.addServerName(this.#app, name, options ?? {}));
    }
    return this;
  }

  removeServerName(hostname) {
    requireApp(this);
    refuseArguments('removeServerName', 1, arguments);
    requireArguments(1, arguments.length);
    if (this.#isSecure) native.removeServerName(this.#app, toKnownHostname(hostname));
    return this;
  }

  missingServerName(handler) {
    requireApp(this);
    refuseArguments('missingServerName', 1, arguments);
    requireFunction(handler);
    if (this.#isSecure) native.setMissingServerName(this.#app, new Scope().bindAlone(handler));
    return this;
  }

  domain(hostname) {
    requireApp(this);
    refuseArguments('domain', 1, arguments);
    requireArguments(1, arguments.length);
    if (this.#isSecure) this.#domain = native.findDomain(this.#app, toKnownHostname(hostname));
    else warnDomain(hostname);
    return this;
  }

  reloadCertificates() {
    requireApp(this);
    refuseArguments('reloadCertificates', 0, arguments);
    if (this.#isSecure) secure(undefined, () => native.reloadCertificates(this.#app));
    return this;
  }

  getDescriptor() {
    requireApp(this);
    refuseArguments('getDescriptor', 0, arguments);
    this.#requireOpen();
    return native.getDescriptor(this.#app);
  }

  addChildAppDescriptor(descriptor) {
    requireApp(this);
    requireArguments(1, arguments.length);
    refuseArguments('addChildAppDescriptor', 1, arguments);
    native.addChildAppDescriptor(this.#app, descriptor);
    return this;
  }

  removeChildAppDescriptor(descriptor) {
    requireApp(this);
    requireArguments(1, arguments.length);
    refuseArguments('removeChildAppDescriptor', 1, arguments);
    native.removeChildAppDescriptor(this.#app, descriptor);
    return this;
  }

  adoptSocket(fd, ip) {
    requireApp(this);
    requireArguments(1, arguments.length);
    refuseArguments('adoptSocket', 2, arguments);
    this.#requireOpen();
    native.adoptSocket(this.#app, fd, ip);
    return this;
  }

  shutdown(options = {}) {
    requireApp(this);
    refuseArguments('shutdown', 1, arguments);
    if (this.#isShutDown()) return this.#shutdown;
    requireOptions('shutdown', options);
    const { code = GOING_AWAY, reason = '', timeout = SHUTDOWN_TIMEOUT } = options;
    // A getter of the options may have called this.
    if (this.#isShutDown()) return this.#shutdown;
    let resolve;
    const promise = new Promise((settle) => (resolve = settle));
    let hasBegun = false;
    const note = (phase, details) => diagnostics.noteShutdown(this.#app, phase, details);
    const begin = () => {
      if (!hasBegun) note('begin', { code, timeout });
      hasBegun = true;
    };
    const done = (closed, forced) => {
      this.#isShuttingDown = false;
      // Without connections, this is called before `shutDownApp` returns.
      begin();
      note('end', { closed, forced });
      resolve({ closed, forced });
    };
    this.#isShuttingDown = true;
    try {
      native.shutDownApp(this.#app, code, reason, timeout, done);
    } catch (error) {
      this.#isShuttingDown = false;
      throw error;
    }
    begin();
    this.#shutdown = promise;
    return promise;
  }

  /** Whether shutting down has begun and nothing has come since, such as a WebSocket from another app. */
  #isShutDown() {
    if (this.#shutdown === undefined || this.#isShuttingDown) return this.#shutdown !== undefined;
    const { plain, tls } = this.stats().connections;
    return [plain, tls].every(({ http, webSocket, closing }) => http.open + webSocket.open + closing === 0);
  }

  close() {
    requireApp(this);
    refuseArguments('close', 0, arguments);
    native.closeApp(this.#app);
    return this;
  }

  stats() {
    requireApp(this);
    refuseArguments('stats', 0, arguments);
    return statsOf(this.#app);
  }

  metrics() {
    requireApp(this);
    refuseArguments('metrics', 0, arguments);
    return native.appMetrics(this.#app);
  }

  /** Throws while the app is being shut down, because what the caller asks for would end at once. */
  #requireOpen() {
    if (this.#isShuttingDown) throw shuttingDown();
    this.#shutdown = undefined;
  }

  #refuseToListen(callback) {
    callback(false, shuttingDown());
    return this;
  }

  static {
    requireApp = (value) => {
      if (typeof value !== 'object' || value === null || !(#app in value)) {
        failReceiver(value, 'uWS.App', 'app.get(pattern, handler)');
      }
    };
    METHODS.forEach((name, number) => {
      const method = {
        [name](pattern, handler) {
          requireApp(this);
          requireArguments(2, arguments.length);
          refuseArguments(name, 2, arguments);
          const response = this.#isSecure ? SSLHttpResponse : HttpResponse;
          native.addRoute(this.#app, this.#domain, number, pattern, toRoute(handler, response));
          return this;
        },
      }[name];
      Object.defineProperty(this.prototype, name, { value: method, writable: true, configurable: true });
    });
  }
}

makeNativeLike(TemplatedApp, 'uWS.App');

class SSLTemplatedApp extends TemplatedApp {
  constructor(options) {
    super(options, true);
  }
}

makeNativeLike(SSLTemplatedApp, 'uWS.SSLApp');

/**
 * Calls a function that makes the addon read certificates and keys, and rethrows its errors with the text of
 * uWebSockets.js.
 */
function secure(options, call) {
  if (options?.dh_params_file_name !== undefined) warnDhParams();
  try {
    call();
  } catch (cause) {
    if (cause?.code !== 'ERR_MILLIWAYS_TLS') throw cause;
    fail(cause.code, `App construction failed: ${cause.message}`, Error, { cause });
  }
}

function shuttingDown() {
  const message = 'The app is being shut down. Wait for the promise that shutdown has returned.';
  return errorOf('ERR_MILLIWAYS_SHUTTING_DOWN', message);
}

const HANDLERS = ['upgrade', 'open', 'message', 'dropped', 'drain', 'close', 'ping', 'pong', 'subscription'];

function handlersOf(behavior) {
  if (behavior === null || typeof behavior !== 'object') {
    fail(
      'ERR_MILLIWAYS_INVALID_HANDLER',
      `A WebSocket behavior must be an object, not ${describe(behavior)}.`,
      TypeError,
    );
  }
  const handlers = {};
  for (const name of HANDLERS) {
    const handler = behavior[name];
    if (handler === undefined || handler === null) continue;
    requireFunction(handler);
    handlers[name] = handler;
  }
  return handlers;
}

/** Accepts a function, `null` to remove a route, or the ArrayBuffer that `DeclarativeResponse.end` returns. */
function toRoute(handler, Response) {
  if (handler === null) return undefined;
  // An ArrayBuffer of another realm is accepted too.
  if (isArrayBuffer(handler)) return handler;
  requireFunction(handler);
  return tellRequest(handler, Response);
}

// The functions below make what the addon calls for events. The addon identifies a connection by its slot. The user's
// handlers run in the scope in which they were registered.

function tellRequest(handler, Response) {
  const run = new Scope().bindAlone(handler);
  return (slot, generation, serial) => {
    watch(run(responseAt(slot, generation, Response), new HttpRequest(serial)), slot, generation);
  };
}

function tellUpgrade(scope, handler, Response, app) {
  const run = scope.bindAlone(handler);
  // Shared by all contexts of the behavior. It also keeps the app alive whose WebSockets they open.
  let token;
  return (slot, generation, serial, behavior) => {
    if (token === undefined) {
      token = { behavior, app };
      contexts.register(token, behavior);
    }
    const res = responseAt(slot, generation, Response);
    watch(run(res, new HttpRequest(serial), new SocketContext(token)), slot, generation);
  };
}

function tellOpen(scope, handler, Socket) {
  // The API of 2019: without an upgrade handler, `open` is called with the request, which is valid in it.
  const wantsRequest = handler !== undefined && handler.length >= 2;
  const run = handler && scope.bindAlone(handler);
  // `res.upgrade` opens the WebSocket inside another handler.
  const runInside = handler && scope.bind(handler);
  // A `serial` of null means that `res.upgrade` opened the WebSocket, with the user's data.
  return (slot, generation, serial, properties) => {
    const ws = new Socket(slot, generation);
    connections[slot] = ws;
    if (properties !== undefined) addProperties(ws, properties);
    if (serial === null) runInside?.(ws);
    else if (wantsRequest) run(ws, new HttpRequest(serial));
    else run?.(ws);
  };
}

/**
 * Copies the user's properties to a WebSocket. A peer may have sent them, so none is assigned through a setter such as
 * that of `__proto__`, which is left out.
 */
function addProperties(ws, properties) {
  for (const [key, value] of properties) {
    if (!(key in ws)) ws[key] = value;
    else if (key !== '__proto__') define(ws, key, value);
  }
}

function tellMessage(scope, handler) {
  const run = scope.bindMessage(handler);
  return (message) => noteAsync(run(connections[registers[SLOT]], message, registers[VALUE] !== 0));
}

function tellDropped(scope, handler) {
  const run = scope.bind(handler);
  return (message) => noteAsync(run(connections[registers[SLOT]], message, registers[VALUE] !== 0));
}

function tellDrain(scope, handler) {
  const run = scope.bind(handler);
  return (slot) => run(connections[slot]);
}

function tellControl(scope, handler) {
  const run = scope.bind(handler);
  return (message) => noteAsync(run(connections[registers[SLOT]], message));
}

function tellSubscription(scope, handler) {
  const run = scope.bind(handler);
  return (slot, topic, newCount, oldCount) => noteAsync(run(connections[slot], topic, newCount, oldCount));
}

function tellClose(scope, handler) {
  const run = handler && scope.bind(handler);
  return (message) => {
    const [slot, code] = [registers[SLOT], registers[VALUE]];
    const ws = connections[slot];
    connections[slot] = undefined;
    noteAsync(run?.(ws, code, message));
  };
}

module.exports = { SSLTemplatedApp, TemplatedApp };
