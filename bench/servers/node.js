'use strict';

// Node's own HTTP server.

const http = require('node:http');
const { HELLO, ready } = require('./parts/process.js');

const server = http.createServer((_request, response) => response.end(HELLO));
server.listen(0, '127.0.0.1', () => ready(server.address().port));
