'use strict';

// The module under test. MILLIWAYS_TEST_MODULE names another module, by package or path, to check whether a test is
// true of uWebSockets.js itself:
//
//     MILLIWAYS_TEST_MODULE=/somewhere/node_modules/uwebsockets node --test __test__/WebSocket.test.js
//
// That skips tests with the options `ours`, which cover what milliways has in addition or does differently on purpose.
// Child processes inherit the variable, so they use the same module.

const path = require('node:path');

const root = path.resolve(__dirname, '../..');
const named = process.env.MILLIWAYS_TEST_MODULE;
const modulePath = named ? require.resolve(named, { paths: [process.cwd(), root] }) : path.join(root, 'dist', 'uws.js');
const isReference = Boolean(named);

module.exports = {
  uWS: require(modulePath),
  modulePath,
  root,
  isReference,
  /** Options for a test that only holds for milliways. */
  ours: isReference ? { skip: 'uWebSockets.js differs here' } : {},
};
