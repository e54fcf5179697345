'use strict';

// Handles invalid requests. If a request is not valid HTTP, the program does not see it: the server answers in HTML and
// disconnects the client.
//
//   400 Bad Request                      cannot be parsed; no Host; an invalid length, or more than one
//   413 Content Too Large                a body longer than maxBodySize
//   431 Request Header Fields Too Large  headers longer than maxHeaderSize, or more than 100 of them
//   505 HTTP Version Not Supported       a version other than HTTP/1.1 and 1.0
//
// Any other request reaches a route, and the program decides how to reject it. This program sends problem details in
// JSON (RFC 9457).
//
//   printf 'GET / HTTP/1.1\r\n\r\n' | nc localhost 9001
//   curl -i localhost:9001/flights/%zz

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** The maximum number of bytes of a booking. */
const MAX_BOOKING = 1024;

const flights = new Set(['HG 42', 'HG 43']);

/** The reason why a request is rejected, thrown by the function that finds it. */
class Problem extends Error {
  /**
   * @param {string} status
   * @param {string} detail
   * @param {Record<string, string>} headers
   */
  constructor(status, detail, headers = {}) {
    super(detail);
    this.status = status;
    this.headers = headers;
  }
}

uWS
  .App({
    // In bytes, for all routes. A route with a lower limit checks it itself.
    maxHeaderSize: 8 * 1024,
    maxBodySize: 64 * 1024,
    // A client that takes this many seconds to send its request is disconnected without a response.
    idleTimeout: 10,
  })
  .get('/flights/:number', (res, req) => {
    attempt(res, () => {
      res.end(`${findFlight(req)} flies.\n`);
    });
  })
  .post('/flights/:number/bookings', (res, req) => {
    attempt(res, () => {
      const flight = findFlight(req);
      if (!/^application\/json *(;|$)/i.test(req.getHeader('content-type'))) {
        throw new Problem('415 Unsupported Media Type', 'Send application/json.');
      }
      // This is also called if the body turns out to be longer than maxBodySize. The server has then already answered.
      res.onAborted(() => console.log('A booking was aborted.'));
      res.collectBody(MAX_BOOKING, (body) => {
        attempt(res, () => {
          const seats = parseBooking(body);
          res.writeStatus('201 Created').end(`${seats} seats on ${flight}.\n`);
        });
      });
    });
  })
  // These paths exist, but not with this method.
  .any('/flights/:number', (res) => {
    refuse(res, new Problem('405 Method Not Allowed', 'A flight can be looked at.', { Allow: 'GET' }));
  })
  .any('/flights/:number/bookings', (res) => {
    refuse(res, new Problem('405 Method Not Allowed', 'A booking can be made.', { Allow: 'POST' }));
  })
  // Without this route the server would send a 404 in HTML.
  .any('/*', (res) => {
    refuse(res, new Problem('404 Not Found', 'There is nothing at this address.'));
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
 * Calls the function and answers with the error that it throws. Otherwise an exception in a handler ends the process.
 *
 * @param {import('../dist/uws.js').HttpResponse} res
 * @param {() => void} work
 */
function attempt(res, work) {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) {
      refuse(res, error);
      return;
    }
    // The server is at fault, and the details are not for the client.
    console.error(error);
    refuse(res, new Problem('500 Internal Server Error', 'This is our fault.'));
  }
}

/**
 * @param {import('../dist/uws.js').HttpResponse} res
 * @param {Problem} problem
 */
function refuse(res, { status, message: detail, headers }) {
  res.writeStatus(status).writeHeader('Content-Type', 'application/problem+json');
  for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
  res.end(JSON.stringify({ status: Number.parseInt(status, 10), title: status.slice(4), detail }));
}

/** @param {import('../dist/uws.js').HttpRequest} req */
function findFlight(req) {
  let number;
  try {
    // Parameters are not decoded, and an escape in them may be invalid.
    number = decodeURIComponent(req.getParameter('number') ?? '');
  } catch {
    throw new Problem('400 Bad Request', 'The flight number contains an invalid % escape.');
  }
  // Simulates a bug in the server.
  if (number === 'crash') throw new Error('the engine has failed');
  if (!flights.has(number)) throw new Problem('404 Not Found', `There is no flight ${number}.`);
  return number;
}

/** @param {ArrayBuffer | null} body */
function parseBooking(body) {
  if (body === null) throw new Problem('413 Content Too Large', `A booking has at most ${MAX_BOOKING} bytes.`);
  let booking;
  try {
    booking = JSON.parse(Buffer.from(body).toString());
  } catch {
    throw new Problem('400 Bad Request', 'The body is not valid JSON.');
  }
  const seats = booking?.seats;
  if (!Number.isInteger(seats) || seats < 1 || seats > 9) {
    throw new Problem('422 Unprocessable Content', 'Say how many seats, from 1 to 9.');
  }
  return seats;
}
