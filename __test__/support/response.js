'use strict';

// Shared by the tests of HttpResponse.

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

/** Calls every method of a response with valid arguments. */
const CALLS = {
  writeStatus: (res) => res.writeStatus('200 OK'),
  writeHeader: (res) => res.writeHeader('a', 'b'),
  onAborted: (res) => res.onAborted(() => {}),
  onData: (res) => res.onData(() => {}),
  onWritable: (res) => res.onWritable(() => true),
  write: (res) => res.write('a'),
  tryEnd: (res) => res.tryEnd('a', 1),
  endWithoutBody: (res) => res.endWithoutBody(),
  getWriteOffset: (res) => res.getWriteOffset(),
  pause: (res) => res.pause(),
  resume: (res) => res.resume(),
  getRemoteAddress: (res) => res.getRemoteAddress(),
  getRemoteAddressAsText: (res) => res.getRemoteAddressAsText(),
  ...(ours.skip ? {} : { upgrade: (res) => res.upgrade({}, 'dGhlIHNhbXBsZSBub25jZQ==', '', '', undefined) }),
  cork: (res) => res.cork(() => {}),
  end: (res) => res.end(''),
  close: (res) => res.close(),
};

/**
 * Serves one handler, and returns everything that it sends for one request, with the date replaced. The request asks
 * for the connection to be closed. The field in the response that confirms this is removed, unless the handler asked
 * for it.
 */
async function sent(t, handler, options = {}) {
  const { port } = serve(t, (app) => app.any('/*', handler));
  const headers = [...(options.headers ?? []), 'Connection: close'];
  const text = await exchange(port, request('/', { ...options, headers }));
  return text.replace('\r\nConnection: close\r\nDate: ', '\r\nDate: ');
}

module.exports = { DONE, CALLS, sent };
