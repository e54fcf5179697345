'use strict';

// Reads and writes headers and cookies, and sends responses that the client may cache (ETag and 304).

const { createHash } = require('node:crypto');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

const page = '<!doctype html><title>Cached</title><p>This page is sent again only when it has changed.\n';
const pageTag = `"${createHash('sha256').update(page).digest('base64url')}"`;

uWS
  .App()
  // All headers of the request. The request is valid only until the handler returns: copy what you need later.
  .get('/', (res, req) => {
    // The object has no prototype, because a client may name a header `constructor` or `__proto__`.
    /** @type {Record<string, string>} */
    const headers = Object.create(null);
    req.forEach((name, value) => {
      // Names are in lower case. The function is called several times for a header that occurs several times.
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    });
    res.writeHeader('Content-Type', 'application/json').end(JSON.stringify(headers, null, 2));
  })
  // One header, or an empty string if there is none. Pass the name in lower case.
  .get('/greeting', (res, req) => {
    const isGerman = req.getHeader('accept-language').startsWith('de');
    res
      .writeHeader('Content-Language', isGerman ? 'de' : 'en')
      // The same URL has different responses. This header tells caches what they depend on.
      .writeHeader('Vary', 'Accept-Language')
      .end(isGerman ? 'Hallo\n' : 'Hello\n');
  })
  .get('/visits', (res, req) => {
    const visits = (Number(parseCookies(req.getHeader('cookie')).get('visits')) || 0) + 1;
    res
      // The status comes before all headers. A header that is written twice is sent twice, as cookies require.
      .writeStatus('200 OK')
      .writeHeader('Set-Cookie', `visits=${visits}; Path=/; HttpOnly; SameSite=Lax`)
      .writeHeader('Set-Cookie', `last=${new Date().toISOString()}; Path=/; HttpOnly; SameSite=Lax`)
      .writeHeader('Cache-Control', 'no-store')
      .end(`You were here ${visits} times.\n`);
  })
  .get('/page', (res, req) => {
    const known = req.getHeader('if-none-match');
    const isKnown = known.split(',').some((tag) => ['*', pageTag].includes(tag.trim().replace(/^W\//, '')));
    if (isKnown) res.writeStatus('304 Not Modified');
    // Both responses have these headers, because a 304 renews the client's copy.
    res.writeHeader('ETag', pageTag).writeHeader('Cache-Control', 'no-cache');
    if (isKnown) res.endWithoutBody();
    else res.writeHeader('Content-Type', 'text/html; charset=utf-8').end(page);
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

/**
 * Returns the cookies of a request by name.
 *
 * @param {string} header
 */
function parseCookies(header) {
  const cookies = new Map();
  for (const pair of header.split(';')) {
    const end = pair.indexOf('=');
    if (end > 0) cookies.set(pair.slice(0, end).trim(), pair.slice(end + 1).trim());
  }
  return cookies;
}
