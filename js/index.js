'use strict';

module.exports = require('./uws.js');
