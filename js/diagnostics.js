'use strict';

// Makes messages on channels, and lines for MILLIWAYS_DEBUG, of what the addon has noted. It notes nothing as long as
// nobody wants to know.

const { channels, watchSubscribers } = require('./channels');
const debug = require('./debug');
const { define } = require('./define');
const native = require('./native');
const { Scope } = require('./scope');

/** How much the addon notes; see `WATCHING` in src/classes/diagnostics.rs. */
const NOTHING = 0;
const CONNECTIONS = 1;
const REQUESTS = 2;

/** The channels whose messages are made of what the addon has noted. */
const NOTED = ['connect', 'upgrade', 'close', 'error', 'limit'].map((name) => channels[name]);

/** Where an error that the addon counts has happened, and its code, by the path of the number. */
const ERRORS = {
  handlerErrors: ['handler', 'HANDLER_ERROR'],
  internalErrors: ['internal', 'INTERNAL_ERROR'],
  'connections.acceptErrors': ['accept', 'ACCEPT_ERROR'],
};

/** The categories of lines for errors of the protocols. All others are about connections. */
const CATEGORIES = { http: 'http', webSocket: 'ws', tls: 'tls' };

/** A connection that is being watched. */
class Watched {
  /** What messages contain of it. */
  connection;
  isWebSocket = false;
  /** The path of the number that counts its end. */
  end;
  timeout;
  code;

  constructor(id) {
    this.connection = {
      id,
      secure: undefined,
      remoteAddress: undefined,
      remotePort: undefined,
      proxiedRemoteAddress: undefined,
      proxiedRemotePort: undefined,
    };
  }

  setClient(secure, address, port, proxied = '', proxiedPort = 0) {
    const { connection } = this;
    connection.secure = secure;
    // A connection that has failed no longer knows its peer.
    if (address !== '') [connection.remoteAddress, connection.remotePort] = [address, port];
    if (proxied !== '') [connection.proxiedRemoteAddress, connection.proxiedRemotePort] = [proxied, proxiedPort];
  }
}

class Diagnostics {
  /** Weak references to apps by their numbers in the addon. */
  #apps = new Map();
  /** The connections that are being watched, by slot. */
  #watched = new Map();
  /** The number of connections that have been watched. */
  #count = 0;
  #watching = NOTHING;
  /** Facts that have been taken from the addon, in batches, while some are being told. */
  #untold = [];

  start() {
    native.setObserver((facts) => this.#tell(facts));
    watchSubscribers(() => this.update());
    this.update();
  }

  /** Has the addon note what somebody wants to know. */
  update() {
    const isWatching = debug.isEnabled() || NOTED.some((channel) => channel.hasSubscribers);
    const watching = debug.isEnabled('http') ? REQUESTS : isWatching ? CONNECTIONS : NOTHING;
    if (watching === this.#watching) return;
    // What has happened before an uncaughtException ends the process matters most.
    if (this.#watching === NOTHING) process.on('exit', this.#flush);
    if (watching === NOTHING) process.removeListener('exit', this.#flush);
    this.#watching = watching;
    this.#watched.clear();
    native.watch(watching);
  }

  #flush = () => this.#tell(native.takeFacts());

  noteApp(number, app) {
    this.#apps.set(number, new WeakRef(app));
    this.update();
  }

  forgetApp(number) {
    this.#apps.delete(number);
  }

  noteListening(app, where) {
    publish(channels.listen, () => ({ app: this.#app(app), ...where }));
    debug.write(['connections'], 'listen', { app, ...where });
  }

  noteListenError(app, error) {
    const code = String(error.code);
    publish(channels.error, () => ({
      app: this.#app(app),
      connection: undefined,
      kind: 'listen',
      code,
      count: 1,
      error,
    }));
    debug.write(['connections'], 'error', { app, kind: 'listen', code });
  }

  noteShutdown(app, phase, details) {
    // What has happened before it comes first.
    if (this.#watching !== NOTHING) this.#flush();
    publish(channels.shutdown, () => ({ app: this.#app(app), phase, ...details }));
    debug.write(['connections'], 'shutdown', { app, phase, ...details });
  }

  #app(number) {
    return this.#apps.get(number)?.deref();
  }

  #tell(facts) {
    this.#untold.push(facts);
    // A subscriber that shuts an app down has more told while it is being told something.
    if (this.#untold.length > 1) return;
    try {
      for (const batch of this.#untold) batch.forEach((fact) => this.#tellInScope(fact));
    } finally {
      this.#untold = [];
    }
  }

  /** Whatever a subscriber enters in an AsyncLocalStorage is not there any more when the next one is called. */
  #tellInScope = new Scope().bind(([name, app, slot, ...details]) => {
    this.#tellFact(name, details, app, slot, slot === null ? undefined : this.#watchedAt(slot, name));
  });

  #watchedAt(slot, name) {
    let watched = this.#watched.get(slot);
    if (watched === undefined && name !== 'removed') {
      this.#count += 1;
      watched = new Watched(this.#count);
      this.#watched.set(slot, watched);
    }
    return watched;
  }

  #tellFact(name, details, app, slot, watched) {
    const about = { app, connection: watched?.connection.id };
    switch (name) {
      case 'connected':
        watched.setClient(...details);
        publish(channels.connect, () => ({ app: this.#app(app), connection: watched.connection }));
        return debug.write(['connections'], 'connect', { ...about, ...clientOf(watched) });
      case 'client':
        return watched.setClient(...details);
      case 'requested':
        return debug.write(['http'], 'request', { ...about, method: details[0] });
      case 'upgraded': {
        const [compression] = details;
        watched.isWebSocket = true;
        publish(channels.upgrade, () => ({ app: this.#app(app), connection: watched.connection, compression }));
        return debug.write(['connections', 'ws'], 'upgrade', { ...about, ...clientOf(watched), compression });
      }
      case 'closed':
        [watched.code] = details;
        return;
      case 'refused':
        return this.#tellRefusal(app, ...details);
      case 'removed':
        return this.#tellClose(app, slot, watched);
      default:
        this.#tellNumber(name, details[0], app, watched);
    }
  }

  /** Tells of a connection that has not begun, and of which nothing else is told. */
  #tellRefusal(app, path, address, port) {
    this.#count += 1;
    const refused = new Watched(this.#count);
    refused.setClient(undefined, address, port);
    this.#tellNumber(path, 1, app, refused);
  }

  #tellClose(app, slot, watched) {
    this.#watched.delete(slot);
    // Nobody watched yet when it ended.
    if (watched?.end === undefined) return;
    const { connection, code } = watched;
    const [, protocol, reason] = watched.end.split('.');
    // A connection may have outlived another timeout, such as that of a body.
    const timeout = reason === 'timedOut' || reason === 'lifetime' ? watched.timeout : undefined;
    publish(channels.close, () => ({ app: this.#app(app), connection, protocol, reason, timeout, code }));
    const categories = ['connections', protocol === 'http' ? 'http' : 'ws'];
    const fields = { app, connection: connection.id, ...clientOf(watched), protocol, reason, timeout, code };
    debug.write(categories, 'close', fields);
  }

  /** Tells that a number of `stats()` has risen. */
  #tellNumber(path, count, app, watched) {
    const connection = watched?.connection;
    const about = { app, connection: connection?.id };
    const parts = path.split('.');
    const last = parts.at(-1);
    if (parts[0] === 'limits') {
      publish(channels.limit, () => ({ app: this.#app(app), connection, limit: last, count }));
      const { remote } = watched === undefined ? {} : clientOf(watched);
      return debug.write(['limits'], 'limit', { ...about, remote, limit: last, count });
    }
    const [kind, code] = ERRORS[path] ?? (parts[1] === 'errors' ? [parts[0], last] : []);
    if (kind !== undefined) {
      publish(channels.error, () => ({ app: this.#app(app), connection, kind, code, count, error: undefined }));
      const ofHandler = kind === 'handler' && watched !== undefined ? (watched.isWebSocket ? 'ws' : 'http') : undefined;
      const categories = ['connections', CATEGORIES[kind] ?? ofHandler].filter(Boolean);
      return debug.write(categories, 'error', { ...about, kind, code, count });
    }
    if (parts[0] === 'ended') watched.end = path;
    else if (parts[0] === 'timeouts') {
      // What ends a connection that is closing already is not why it has ended.
      if (watched.end === undefined) watched.timeout = last;
      debug.write(['connections'], 'timeout', { ...about, timeout: last });
    } else if (parts[1] === 'handshakes') debug.write(['tls'], 'handshake', { ...about, resumed: last === 'resumed' });
    else if (parts[1] === 'responses') debug.write(['http'], 'response', { ...about, class: last });
    else if (parts[1] === 'aborted') debug.write(['http'], 'aborted', about);
    else if (parts[1] === 'handedOver') debug.write(['connections'], 'handedOver', { ...about, count });
  }
}

/** Publishes what `make` returns, if anybody has subscribed. */
function publish(channel, make) {
  if (channel.hasSubscribers) channel.publish(make());
}

/** Returns what lines contain of a client. */
function clientOf({ connection }) {
  const { secure, remoteAddress, remotePort, proxiedRemoteAddress, proxiedRemotePort } = connection;
  const at = (address, port) => (address?.includes(':') ? `[${address}]:${port}` : address && `${address}:${port}`);
  return { remote: at(remoteAddress, remotePort), proxied: at(proxiedRemoteAddress, proxiedRemotePort), tls: secure };
}

/**
 * Where this file is evaluated more than once, as in jest, all evaluations share one object, because the addon has one
 * observer.
 */
if (!Object.hasOwn(native, 'diagnostics')) {
  define(native, 'diagnostics', new Diagnostics());
  native.diagnostics.start();
}
module.exports = native.diagnostics;
