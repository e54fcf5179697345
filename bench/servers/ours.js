'use strict';

require('./parts/interface.js')(require('../../dist/uws.js'));
