'use strict';

// Routes: methods, parameters, wildcards, a handler that passes a request on, and a route that comes and goes.
//
//   curl localhost:9001/users/1
//   curl -X POST 'localhost:9001/users?name=Trillian'

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

const users = new Map([
  ['1', 'Arthur'],
  ['2', 'Ford'],
]);
let lastId = users.size;

const app = uWS.App();

// The order of registration does not matter. A plain segment goes before a :parameter, and that before a *; routes of
// the request's method go before those of any().
app
  .get('/users', (res) => {
    res.writeHeader('Content-Type', 'application/json').end(JSON.stringify(Object.fromEntries(users)));
  })
  .post('/users', (res, req) => {
    // Of the query, one value (decoded); without an argument getQuery gives all of it as it came.
    const name = req.getQuery('name');
    if (!name) {
      res.writeStatus('400 Bad Request').end('Say who: /users?name=...\n');
      return;
    }
    lastId += 1;
    users.set(String(lastId), name);
    res.writeStatus('201 Created').writeHeader('Location', `/users/${lastId}`).end();
  })
  // Whatever has no route of its own method ends here.
  .any('/users', (res) => {
    res.writeStatus('405 Method Not Allowed').writeHeader('Allow', 'GET, POST').end('GET or POST, please.\n');
  })
  .get('/users/:id', (res, req) => {
    const name = users.get(req.getParameter('id') ?? '');
    // Passes the request on to the next route that matches, which is the one for 404 below.
    if (name === undefined) req.setYield(true);
    else send(res, name);
  })
  .del('/users/:id', (res, req) => {
    if (users.delete(req.getParameter('id') ?? '')) res.writeStatus('204 No Content').endWithoutBody();
    else req.setYield(true);
  })
  // Parameters can be had by name or by number, as they were sent. (HttpParsingErrorHandling.js decodes them.)
  .get('/flights/:from/:to', (res, req) => {
    send(res, `From ${req.getParameter(0)} to ${req.getParameter('to')}`);
  })
  // A * stands for the rest of the path, however many segments that has.
  .get('/archive/*', (res, req) => {
    send(res, `In the archive: ${req.getUrl().slice('/archive/'.length)}`);
  })
  // Works once: null removes the route, also from within its own handler.
  .get('/invitation', (res) => {
    app.get('/invitation', null);
    res.end('You are the one.\n');
  })
  .any('/*', (res, req) => {
    send(res.writeStatus('404 Not Found'), `There is no ${req.getUrl()} for ${req.getMethod().toUpperCase()}.`);
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
 * Answers with what somebody has sent. Without its type a browser guesses, and might find a page with scripts.
 *
 * @param {import('../dist/uws.js').HttpResponse} res
 * @param {string} text
 */
function send(res, text) {
  res
    .writeHeader('Content-Type', 'text/plain; charset=utf-8')
    .writeHeader('X-Content-Type-Options', 'nosniff')
    .end(`${text}\n`);
}
