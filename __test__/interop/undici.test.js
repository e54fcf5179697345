'use strict';

// The npm package undici, whose client is the global WebSocket of Node. It always offers permessage-deflate, takes
// compressed messages and sends none. It inflates in a thread, and throws away what it has not got to when the server
// ends the connection, the close frame included: that is seen as code 1006.

const { WebSocket, fetch } = require('undici');
const { converse } = require('./clients/web.js');
const { testClient } = require('../support/interop.js');

testClient('undici', (task) => converse({ WebSocket, fetch, crypto }, task), {
  canRefuse: false,
  canInflateAtEnd: false,
});
