'use strict';

// Routes: methods, parameters, wildcards, a handler that passes a request on, and a route that is added and removed.
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

// The order of registration does not matter. A literal segment takes precedence over a :parameter, and a :parameter
// over a *. Routes of the request's method take precedence over those of any().
app
  .get('/users', (res) => {
    res.writeHeader('Content-Type', 'application/json').end(JSON.stringify(Object.fromEntries(users)));
  })
  .post('/users', (res, req) => {
    // One value of the query, decoded. Without an argument, getQuery returns the whole query as it was sent.
    const name = req.getQuery('name');
    if (!name) {
      res.writeStatus('400 Bad Request').end('Say who: /users?name=...\n');
      return;
    }
    lastId += 1;
    users.set(String(lastId), name);
    res.writeStatus('201 Created').writeHeader('Location', `/users/${lastId}`).end();
  })
  // Handles every method that has no route of its own.
  .any('/users', (res) => {
    res.writeStatus('405 Method Not Allowed').writeHeader('Allow', 'GET, POST').end('GET or POST, please.\n');
  })
  .get('/users/:id', (res, req) => {
    const name = users.get(req.getParameter('id') ?? '');
    // Passes the request on to the next matching route, which is the one for 404 below.
    if (name === undefined) req.setYield(true);
    else send(res, name);
  })
  .del('/users/:id', (res, req) => {
    if (users.delete(req.getParameter('id') ?? '')) res.writeStatus('204 No Content').endWithoutBody();
    else req.setYield(true);
  })
  // Parameters are available by name or by index, as they were sent. (HttpParsingErrorHandling.js decodes them.)
  .get('/flights/:from/:to', (res, req) => {
    send(res, `From ${req.getParameter(0)} to ${req.getParameter('to')}`);
  })
  // A * matches the rest of the path, however many segments that has.
  .get('/archive/*', (res, req) => {
    send(res, `In the archive: ${req.getUrl().slice('/archive/'.length)}`);
  })
  // This route works once: null removes a route, even within its own handler.
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
 * Answers with text that a client has sent. Without a type, a browser would guess one, and might run scripts in the
 * text.
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
