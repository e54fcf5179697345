'use strict';

const { runCorked } = require('./cork');
const { COMPRESS, kindOf, toData } = require('./data');
const { requireArguments, requireFunction } = require('./errors');
const native = require('./native');
const { makeNativeLike } = require('./nativeLike');
const { GENERATION, SLOT, VALUE, registers } = require('./registers');

// What a message is sent as. Of whole messages the number is whether they are binary.
const FIRST = 2;
const MIDDLE = 4;
const LAST = 5;

class WebSocket {
  // Two small integers and nothing else: the memory of an idle WebSocket is what this project exists for.
  #slot;
  #generation;

  constructor(slot, generation) {
    this.#slot = slot;
    this.#generation = generation;
  }

  send(message, isBinary, compress) {
    requireArguments(1, arguments.length);
    return this.#send(message, kindOf(isBinary, compress));
  }

  sendFirstFragment(message, isBinary, _compress) {
    requireArguments(1, arguments.length);
    return this.#send(message, FIRST + (isBinary ? 1 : 0));
  }

  sendFragment(message, _compress) {
    requireArguments(1, arguments.length);
    return this.#send(message, MIDDLE);
  }

  sendLastFragment(message, _compress) {
    requireArguments(1, arguments.length);
    return this.#send(message, LAST);
  }

  ping(message) {
    return native.webSocketPing(this.#slot, this.#generation, toData(message));
  }

  end(code, shortMessage) {
    native.webSocketEnd(this.#slot, this.#generation, code, toData(shortMessage));
  }

  close() {
    native.webSocketClose(this.#slot, this.#generation);
  }

  getBufferedAmount() {
    return native.webSocketBufferedAmount(this.#slot, this.#generation);
  }

  getRemoteAddress() {
    return native.webSocketAddress(this.#slot, this.#generation, false, false);
  }

  getRemoteAddressAsText() {
    return native.webSocketAddress(this.#slot, this.#generation, false, true);
  }

  getRemotePort() {
    return native.webSocketPort(this.#slot, this.#generation, false);
  }

  getUserData() {
    return this;
  }

  subscribe(topic) {
    native.webSocketSubscribe(this.#slot, this.#generation, toData(topic));
    return true;
  }

  unsubscribe(topic) {
    return native.webSocketUnsubscribe(this.#slot, this.#generation, toData(topic));
  }

  unsubscribeAll() {
    native.webSocketUnsubscribeAll(this.#slot, this.#generation);
    return true;
  }

  isSubscribed(topic) {
    return native.webSocketIsSubscribed(this.#slot, this.#generation, toData(topic));
  }

  getTopics() {
    return native.webSocketTopics(this.#slot, this.#generation);
  }

  publish(topic, message, isBinary, compress) {
    requireArguments(2, arguments.length);
    const [name, data] = [toData(topic), toData(message)];
    return native.webSocketPublish(this.#slot, this.#generation, name, data, kindOf(isBinary, compress));
  }

  pause() {
    native.webSocketPause(this.#slot, this.#generation);
    return this;
  }

  resume() {
    native.webSocketResume(this.#slot, this.#generation);
    return this;
  }

  cork(callback) {
    requireFunction(callback);
    runCorked(this.#slot, native.webSocketCork(this.#slot, this.#generation), callback);
    return this;
  }

  #send(message, kind) {
    registers[SLOT] = this.#slot;
    registers[GENERATION] = this.#generation;
    registers[VALUE] = kind;
    if (typeof message === 'string' && kind < COMPRESS) native.webSocketSendText(message);
    else native.webSocketSend(toData(message));
    return registers[VALUE];
  }
}

// The name it had in 2019.
WebSocket.prototype.experimental_cork = WebSocket.prototype.cork;
makeNativeLike(WebSocket, 'uWS.WebSocket');

class SSLWebSocket extends WebSocket {}
makeNativeLike(SSLWebSocket, 'uWS.SSLWebSocket');

module.exports = { SSLWebSocket, WebSocket };
