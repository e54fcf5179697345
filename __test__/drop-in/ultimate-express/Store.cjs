'use strict';

// Sessions in the key-value store of uWebSockets.js, which all threads of the process share.

const uWS = require('uWebSockets.js');

const COLLECTION = 'sessions';

/** Returns the class for express-session, which provides its base class. */
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
