'use strict';

// The module under test. MILLIWAYS_TEST_MODULE names another one, a package or a path, to see whether a test tells the
// truth about uWebSockets.js itself:
//
//     MILLIWAYS_TEST_MODULE=/somewhere/node_modules/uwebsockets node --test __test__/WebSocket.test.js
//
// Tests of what milliways does differently on purpose, or has beyond uWebSockets.js, carry the options `ours` and are
// skipped then. Child processes inherit the variable, so they use the same module.

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
  /** Test options of a test that only holds for milliways. */
  ours: isReference ? { skip: 'uWebSockets.js differs here' } : {},
};
