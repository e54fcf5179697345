'use strict';

// The npm package undici, whose client is the global WebSocket of Node. It always offers permessage-deflate, takes
// compressed messages and sends none. It inflates in a thread, and would throw away what it has not got to, the close
// frame included, if the connection ended before it has answered that.

const { Agent, WebSocket, fetch, setGlobalDispatcher } = require('undici');
const { converse } = require('./clients/web.js');
const { testClient } = require('../support/interop.js');
const { clientOptions } = require('../support/tls.js');

setGlobalDispatcher(new Agent({ connect: clientOptions }));

testClient('undici', (task) => converse({ WebSocket, fetch, crypto }, task), { canRefuse: false });
