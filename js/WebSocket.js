'use strict';

const { runCorked } = require('./cork');
const { toData } = require('./data');
const { requireArguments, requireFunction } = require('./errors');
const native = require('./native');

class WebSocket {
  // Two small integers and nothing else: the memory of an idle WebSocket is what this project exists for.
  #slot;
  #generation;

  constructor(slot, generation) {
    this.#slot = slot;
    this.#generation = generation;
  }

  send(message, isBinary, _compress) {
    requireArguments(1, arguments.length);
    const binary = isBinary ? 1 : 0;
    return typeof message === 'string'
      ? native.webSocketSendText(this.#slot, this.#generation, message, binary)
      : native.webSocketSend(this.#slot, this.#generation, toData(message), binary);
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

  cork(callback) {
    requireFunction(callback);
    runCorked(this.#slot, native.webSocketCork(this.#slot, this.#generation), callback);
    return this;
  }
}

// The name it had in 2019.
Object.defineProperty(WebSocket.prototype, 'experimental_cork', {
  value: WebSocket.prototype.cork,
  writable: true,
  configurable: true,
});
Object.defineProperty(WebSocket, 'name', { value: 'uWS.WebSocket' });

module.exports = WebSocket;
