'use strict';

// The npm package ws, with its optional native parts.

require('bufferutil');
require('utf-8-validate');
const { WebSocketServer } = require('ws');
const { MAX_PAYLOAD, ready } = require('./parts/process.js');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: MAX_PAYLOAD });
server.on('connection', (socket) => {
  socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
});
server.on('listening', () => ready(server.address().port));
