'use strict';

const { define } = require('./define');
const native = require('./native');

/**
 * The open WebSockets, and the responses that have handlers attached, by slot. One shared array instead of a reference
 * per connection keeps an idle WebSocket small. Where this file is evaluated more than once, as in jest, all
 * evaluations share the addon's slots. The array has no prototype, so that no setter can intercept what is stored.
 */
if (!Object.hasOwn(native, 'connections')) define(native, 'connections', Object.setPrototypeOf([], null));
module.exports = native.connections;
