'use strict';

// What the tests of HttpResponse have in common.

const { exchange, request } = require('./http.js');
const { serve } = require('./server.js');
const { ours } = require('./uws.js');

const DONE = {
  name: 'Error',
  message:
    'uWS.HttpResponse must not be accessed after uWS.HttpResponse.onAborted callback, or after a successful response. ' +
    'See documentation for uWS.HttpResponse and consult the user manual.',
  ...(ours.skip ? {} : { code: 'ERR_MILLIWAYS_RESPONSE_DONE' }),
};

/** Every method of a response, called with arguments that are right. */
const CALLS = {
  writeStatus: (res) => res.writeStatus('200 OK'),
  writeHeader: (res) => res.writeHeader('a', 'b'),
  onAborted: (res) => res.onAborted(() => {}),
  cork: (res) => res.cork(() => {}),
  end: (res) => res.end(''),
  close: (res) => res.close(),
};

/** Serves one handler, and gives everything that one request makes it send, the date replaced. */
async function sent(t, handler, options = {}) {
  const { port } = serve(t, (app) => app.any('/*', handler));
  return exchange(port, request('/', { ...options, headers: [...(options.headers ?? []), 'Connection: close'] }));
}

module.exports = { DONE, CALLS, sent };
