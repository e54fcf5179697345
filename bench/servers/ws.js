'use strict';

// The npm package ws, with its optional native addons.

require('bufferutil');
require('utf-8-validate');
const { readFileSync } = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { WebSocketServer } = require('ws');
const { MAX_PAYLOAD, options, ready } = require('./parts/process.js');

const { key, cert } = options;
const web =
  key === undefined ? http.createServer() : https.createServer({ key: readFileSync(key), cert: readFileSync(cert) });
const server = new WebSocketServer({ server: web, maxPayload: MAX_PAYLOAD });
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
web.listen(0, '127.0.0.1', () => ready(web.address().port));
