'use strict';

const { runCorked } = require('./cork');
const { kindOf } = require('./data');
const { requireArguments, requireFunction } = require('./errors');
const native = require('./native');
const { makeNativeLike } = require('./nativeLike');
const { failReceiver } = require('./receiver');
const { GENERATION, SLOT, VALUE, registers } = require('./registers');

// Kinds of fragments. A whole message has the kind 1 if it is binary, otherwise 0.
const FIRST = 2;
const MIDDLE = 4;
const LAST = 5;

/** Throws unless the receiver of a method is a WebSocket. */
let requireWebSocket;
/** Sends a message of a given kind, and returns the result. A private method would make each WebSocket larger. */
let sendAs;

class WebSocket {
  // Two small integers and nothing else: a small idle WebSocket is what this project exists for.
  #slot;
  #generation;

  constructor(slot, generation) {
    this.#slot = slot;
    this.#generation = generation;
  }

  send(message, isBinary, compress) {
    requireWebSocket(this);
    requireArguments(1, arguments.length);
    return sendAs(this, message, kindOf(isBinary, compress));
  }

  sendFirstFragment(message, isBinary, _compress) {
    requireWebSocket(this);
    requireArguments(1, arguments.length);
    return sendAs(this, message, FIRST + (isBinary ? 1 : 0));
  }

  sendFragment(message, _compress) {
    requireWebSocket(this);
    requireArguments(1, arguments.length);
    return sendAs(this, message, MIDDLE);
  }

  sendLastFragment(message, _compress) {
    requireWebSocket(this);
    requireArguments(1, arguments.length);
    return sendAs(this, message, LAST);
  }

  ping(message) {
    requireWebSocket(this);
    return native.webSocketPing(this.#slot, this.#generation, message);
  }

  end(code, shortMessage) {
    requireWebSocket(this);
    native.webSocketEnd(this.#slot, this.#generation, code, shortMessage);
  }

  close() {
    requireWebSocket(this);
    native.webSocketClose(this.#slot, this.#generation);
  }

  getBufferedAmount() {
    requireWebSocket(this);
    return native.webSocketBufferedAmount(this.#slot, this.#generation);
  }

  getRemoteAddress() {
    requireWebSocket(this);
    return native.webSocketAddress(this.#slot, this.#generation, false, false);
  }

  getRemoteAddressAsText() {
    requireWebSocket(this);
    return native.webSocketAddress(this.#slot, this.#generation, false, true);
  }

  getRemotePort() {
    requireWebSocket(this);
    return native.webSocketPort(this.#slot, this.#generation, false);
  }

  getUserData() {
    requireWebSocket(this);
    return this;
  }

  subscribe(topic) {
    requireWebSocket(this);
    return native.webSocketSubscribe(this.#slot, this.#generation, topic);
  }

  unsubscribe(topic) {
    requireWebSocket(this);
    return native.webSocketUnsubscribe(this.#slot, this.#generation, topic);
  }

  unsubscribeAll() {
    requireWebSocket(this);
    native.webSocketUnsubscribeAll(this.#slot, this.#generation);
    return true;
  }

  isSubscribed(topic) {
    requireWebSocket(this);
    return native.webSocketIsSubscribed(this.#slot, this.#generation, topic);
  }

  getTopics() {
    requireWebSocket(this);
    return native.webSocketTopics(this.#slot, this.#generation);
  }

  publish(topic, message, isBinary, compress) {
    requireWebSocket(this);
    requireArguments(2, arguments.length);
    return native.webSocketPublish(this.#slot, this.#generation, topic, message, kindOf(isBinary, compress));
  }

  pause() {
    requireWebSocket(this);
    native.webSocketPause(this.#slot, this.#generation);
    return this;
  }

  resume() {
    requireWebSocket(this);
    native.webSocketResume(this.#slot, this.#generation);
    return this;
  }

  cork(callback) {
    requireWebSocket(this);
    requireFunction(callback);
    runCorked(this.#slot, native.webSocketCork(this.#slot, this.#generation), callback);
    return this;
  }

  static {
    sendAs = (ws, message, kind) => {
      registers[SLOT] = ws.#slot;
      registers[GENERATION] = ws.#generation;
      registers[VALUE] = kind;
      if (typeof message === 'string') native.webSocketSendText(message);
      else native.webSocketSend(message);
      return registers[VALUE];
    };
    requireWebSocket = (value) => {
      if (typeof value !== 'object' || value === null || !(#slot in value)) {
        failReceiver(value, 'uWS.WebSocket', 'ws.send(message)');
      }
    };
  }
}

// Its name in 2019.
WebSocket.prototype.experimental_cork = WebSocket.prototype.cork;
makeNativeLike(WebSocket, 'uWS.WebSocket');

class SSLWebSocket extends WebSocket {}
makeNativeLike(SSLWebSocket, 'uWS.SSLWebSocket');

module.exports = { SSLWebSocket, WebSocket };
