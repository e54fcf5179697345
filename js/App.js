'use strict';

const connections = require('./connections');
const { fail, requireArguments, requireFunction } = require('./errors');
const HttpRequest = require('./HttpRequest');
const HttpResponse = require('./HttpResponse');
const { listenToken } = require('./ListenSocket');
const native = require('./native');
const WebSocket = require('./WebSocket');

/** Methods of an app by the numbers that the addon gives them; `any` is the one behind them. */
const METHODS = ['get', 'post', 'options', 'del', 'patch', 'put', 'head', 'connect', 'trace', 'any'];

const LIBUS_LISTEN_EXCLUSIVE_PORT = 1;

class TemplatedApp {
  #app = native.createApp();

  ws(pattern, behavior) {
    requireArguments(2, arguments.length);
    const { open, message, dropped, drain, close, ping, pong } = handlersOf(behavior);
    native.addWebSocketRoute(
      this.#app,
      pattern,
      behavior,
      tellOpen(open),
      message && tellMessage(message),
      dropped && tellMessage(dropped),
      drain && ((slot) => drain(connections[slot])),
      tellClose(close),
      ping && tellControl(ping),
      pong && tellControl(pong),
    );
    return this;
  }

  listen(...parameters) {
    requireArguments(2, parameters.length);
    const callback = parameters.pop();
    requireFunction(callback);
    // The host is the first, if there is one. Digits alone are a port: that is what environment variables give.
    const host = isPort(parameters[0]) ? undefined : parameters.shift();
    const [port = 0, options = 0] = parameters;
    const exclusive = (options & LIBUS_LISTEN_EXCLUSIVE_PORT) !== 0;
    const listener = native.listen(this.#app, host, port >>> 0, exclusive);
    callback(listener === false ? false : listenToken(listener));
    return this;
  }

  close() {
    native.closeApp(this.#app);
    return this;
  }

  static {
    METHODS.forEach((name, number) => {
      const method = {
        [name](pattern, handler) {
          requireArguments(2, arguments.length);
          if (handler !== null) requireFunction(handler);
          native.addRoute(this.#app, number, pattern, handler === null ? undefined : tellRequest(handler));
          return this;
        },
      }[name];
      Object.defineProperty(this.prototype, name, { value: method, writable: true, configurable: true });
    });
  }
}

Object.defineProperty(TemplatedApp, 'name', { value: 'uWS.App' });

const HANDLERS = ['open', 'message', 'dropped', 'drain', 'close', 'ping', 'pong'];

/** What a behavior may have and this version does not do: ignoring a handler could leave a door open. */
const UNSUPPORTED = ['upgrade', 'subscription', 'textAsString'];

function handlersOf(behavior) {
  if (behavior === null || typeof behavior !== 'object') {
    fail('ERR_MILLIWAYS_INVALID_HANDLER', `A WebSocket behavior must be an object, not ${behavior}.`, TypeError);
  }
  for (const name of UNSUPPORTED) {
    if (behavior[name] !== undefined && behavior[name] !== false) {
      fail('ERR_MILLIWAYS_NOT_SUPPORTED', `The behavior has '${name}', which this version does not support.`);
    }
  }
  const handlers = {};
  for (const name of HANDLERS) {
    const handler = behavior[name];
    if (handler === undefined) continue;
    requireFunction(handler);
    handlers[name] = handler;
  }
  return handlers;
}

function isPort(value) {
  return typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value));
}

// What the addon calls for an event: it knows a connection by its slot.

function tellRequest(handler) {
  return (slot, generation, serial) => {
    handler(new HttpResponse(slot, generation), new HttpRequest(serial));
  };
}

function tellOpen(handler) {
  // The form of 2019, when there was no upgrade handler: the request is valid in `open`.
  const wantsRequest = handler !== undefined && handler.length >= 2;
  return (slot, generation, serial) => {
    const ws = new WebSocket(slot, generation);
    connections[slot] = ws;
    if (wantsRequest) handler(ws, new HttpRequest(serial));
    else if (handler !== undefined) handler(ws);
  };
}

function tellMessage(handler) {
  return (slot, message, isBinary) => handler(connections[slot], message, isBinary !== 0);
}

function tellControl(handler) {
  return (slot, message) => handler(connections[slot], message);
}

function tellClose(handler) {
  return (slot, message, code) => {
    const ws = connections[slot];
    connections[slot] = undefined;
    return handler?.(ws, code, message);
  };
}

module.exports = TemplatedApp;
