'use strict';

// The npm package ws, with its optional native parts.

require('bufferutil');
require('utf-8-validate');
const { WebSocketServer } = require('ws');
const { MAX_PAYLOAD, ready } = require('./parts/process.js');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: MAX_PAYLOAD });
const members = new Set();

server.on('connection', (socket, { url }) => {
  if (url === '/topic') {
    members.add(socket);
  } else if (url === '/topicpublish') {
    socket.on('message', (message, isBinary) => {
      for (const member of members) member.send(message, { binary: isBinary });
    });
  } else {
    socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
  }
});
server.on('listening', () => ready(server.address().port));
