'use strict';

require('./parts/interface.js')(require('uwebsockets'));
