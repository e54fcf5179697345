'use strict';

// Requests that are wrong. Of those that are no proper HTTP a program hears nothing: the server answers, in HTML, and
// disconnects.
//
//   400 Bad Request                      what cannot be read; no Host; a length that is none, or two
//   413 Content Too Large                a longer body than maxBodySize
//   431 Request Header Fields Too Large  more of them than maxHeaderSize, or more than 100
//   505 HTTP Version Not Supported       a version other than HTTP/1.1 and 1.0
//
// The others get to a route, and how to refuse them is the program's affair. Here that is a problem in JSON (RFC 9457).
//
//   printf 'GET / HTTP/1.1\r\n\r\n' | nc localhost 9001
//   curl -i localhost:9001/flights/%zz

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Bytes of a booking. */
const MAX_BOOKING = 1024;

const flights = new Set(['HG 42', 'HG 43']);

/** What is wrong with a request, to be thrown by whatever finds it. */
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
    // Bytes. For all routes; one that takes less says so itself.
    maxHeaderSize: 8 * 1024,
    maxBodySize: 64 * 1024,
    // A client that is this slow with its request (seconds) is disconnected without an answer.
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
      // Also called when the body turns out to be longer than maxBodySize, which the server has then answered.
      res.onAborted(() => console.log('A booking was broken off.'));
      res.collectBody(MAX_BOOKING, (body) => {
        attempt(res, () => {
          const seats = parseBooking(body);
          res.writeStatus('201 Created').end(`${seats} seats on ${flight}.\n`);
        });
      });
    });
  })
  // Known addresses, with methods that they do not have.
  .any('/flights/:number', (res) => {
    refuse(res, new Problem('405 Method Not Allowed', 'A flight can be looked at.', { Allow: 'GET' }));
  })
  .any('/flights/:number/bookings', (res) => {
    refuse(res, new Problem('405 Method Not Allowed', 'A booking can be made.', { Allow: 'POST' }));
  })
  // Without this it would be 404 in HTML.
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
 * Calls the function, and answers with what it throws. What a handler throws ends the process otherwise.
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
    // Ours, then. What exactly is for us to know.
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
    // Parameters come as they were sent. What has a % in it may be anything.
    number = decodeURIComponent(req.getParameter('number') ?? '');
  } catch {
    throw new Problem('400 Bad Request', 'The number of the flight has a % that is no escape.');
  }
  // Stands for a mistake of ours.
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
    throw new Problem('400 Bad Request', 'This is no JSON.');
  }
  const seats = booking?.seats;
  if (!Number.isInteger(seats) || seats < 1 || seats > 9) {
    throw new Problem('422 Unprocessable Content', 'Say how many seats, from 1 to 9.');
  }
  return seats;
}
