'use strict';

// Caches responses that are expensive to compute. Each is computed once for all clients that ask for it at the same
// time, kept for a while, and not sent again to clients that have it.
//
//   curl -i localhost:9001/reports/towels

const { createHash } = require('node:crypto');
const { setTimeout: delay } = require('node:timers/promises');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds that computing a report takes. */
const LATENCY = Number(process.env.LATENCY || 200);
/** Milliseconds for which a report is fresh. */
const MAX_AGE = Number(process.env.MAX_AGE || 60_000);
/**
 * The number of reports that are kept. Multiplied by the size of the largest report, this is the memory that they may
 * take.
 */
const MAX_REPORTS = Number(process.env.MAX_REPORTS || 100);

const NAME = /^[a-z]{1,20}$/;

/**
 * A report in the form in which it is sent: as bytes, which need not be encoded each time.
 *
 * @typedef {{ body: Buffer, tag: string }} Report
 */
/** @typedef {{ report: Promise<Report>, expires: number }} Entry */

/**
 * The key contains everything that a report depends on, which is its name. If the report depended on the user, the user
 * would have to be part of the key. The least recently used report comes first.
 *
 * @type {Map<string, Entry>}
 */
const cache = new Map();

uWS
  .App()
  .get('/reports/:name', async (res, req) => {
    const name = req.getParameter('name') ?? '';
    const known = req.getHeader('if-none-match');
    if (!NAME.test(name)) {
      res.writeStatus('404 Not Found').end('There is no such report.\n');
      return;
    }
    let isAborted = false;
    res.onAborted(() => {
      isAborted = true;
      console.log('The client left.');
    });

    const entry = lookUp(name);
    let report;
    try {
      report = await entry.report;
    } catch (error) {
      console.error(error);
      if (isAborted) return;
      res.cork(() => {
        res.writeStatus('503 Service Unavailable').writeHeader('Cache-Control', 'no-store').end('Try again later.\n');
      });
      return;
    }
    if (isAborted) return;
    res.cork(() => {
      send(res, report, entry.expires, isAmong(known, report.tag));
    });
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
 * @param {import('../dist/uws.js').HttpResponse} res
 * @param {Report} report
 * @param {number} expires
 * @param {boolean} isKnown whether the client already has the report
 */
function send(res, { body, tag }, expires, isKnown) {
  // Until then the client does not ask at all. After that it asks whether its copy is still current.
  const seconds = Math.max(Math.floor((expires - performance.now()) / 1000), 0);
  if (isKnown) res.writeStatus('304 Not Modified');
  res.writeHeader('ETag', tag).writeHeader('Cache-Control', `max-age=${seconds}`);
  if (isKnown) res.endWithoutBody();
  else res.writeHeader('Content-Type', 'application/json').end(body);
}

/**
 * Returns whether a header If-None-Match contains the tag (RFC 9110 section 13.1.2).
 *
 * @param {string} header
 * @param {string} tag
 */
function isAmong(header, tag) {
  return header.split(',').some((known) => ['*', tag].includes(known.trim().replace(/^W\//, '')));
}

/**
 * Returns the entry of a report that is fresh or being computed, or starts to compute one.
 *
 * @param {string} name
 * @returns {Entry}
 */
function lookUp(name) {
  let entry = cache.get(name);
  if (!entry || entry.expires <= performance.now()) entry = make(name);
  // Move the entry to the end, and remove the first entries if there are too many.
  cache.delete(name);
  cache.set(name, entry);
  for (const oldest of cache.keys()) {
    if (cache.size <= MAX_REPORTS) break;
    cache.delete(oldest);
  }
  return entry;
}

/** @param {string} name */
function make(name) {
  /** @type {Entry} */
  const entry = { report: makeReport(name), expires: Infinity };
  entry.report.then(
    () => {
      entry.expires = performance.now() + MAX_AGE;
    },
    () => {
      // Those who are waiting for the report get the error. The next request computes it again.
      if (cache.get(name) === entry) cache.delete(name);
    },
  );
  return entry;
}

let lastNumber = 0;

/**
 * Simulates a long computation.
 *
 * @param {string} name
 * @returns {Promise<Report>}
 */
async function makeReport(name) {
  console.log(`Making ${name}`);
  await delay(LATENCY);
  if (name === 'broken') throw new Error('the figures are missing');
  lastNumber += 1;
  const body = Buffer.from(JSON.stringify({ name, number: lastNumber }));
  return { body, tag: `"${createHash('sha256').update(body).digest('base64url')}"` };
}
