'use strict';

// Sessions in the key-value store of uWebSockets.js, which every thread of the process would see.

const uWS = require('uWebSockets.js');

const COLLECTION = 'sessions';

/** Gives the class, for express-session, whose base class comes with it. */
module.exports = ({ Store }) =>
  class KeyValueStore extends Store {
    get(id, done) {
      const text = uWS.getString(id, COLLECTION);
      done(null, text && JSON.parse(text));
    }

    set(id, value, done) {
      uWS.setString(id, JSON.stringify(value), COLLECTION);
      done?.(null);
    }

    destroy(id, done) {
      uWS.deleteString(id, COLLECTION);
      done?.(null);
    }
  };
