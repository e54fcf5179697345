'use strict';

// The npm package undici, whose client is Node's global WebSocket. It always offers permessage-deflate, accepts
// compressed messages, and sends none. It inflates in a thread, and would discard what it has not processed, including
// the close frame, if the connection ended before it has answered that frame.

const { Agent, WebSocket, fetch, setGlobalDispatcher } = require('undici');
const { converse } = require('./clients/web.js');
const { testClient } = require('../support/interop.js');
const { clientOptions } = require('../support/tls.js');

setGlobalDispatcher(new Agent({ connect: clientOptions }));

testClient('undici', (task) => converse({ WebSocket, fetch, crypto }, task), { canRefuse: false });
