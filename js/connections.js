'use strict';

const { define } = require('./define');
const native = require('./native');

/**
 * By slot: the WebSocket that is open there, or the response that wants to hear when it is aborted. One array for all
 * instead of a reference for each: that is what keeps an idle WebSocket small. Where this file is evaluated several times,
 * as jest does, all share the addon's slots. It has no prototype whose setters could get them.
 */
if (!Object.hasOwn(native, 'connections')) define(native, 'connections', Object.setPrototypeOf([], null));
module.exports = native.connections;
