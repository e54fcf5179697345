'use strict';

// Streams a film of any size to players: in ranges, no faster than the client reads, and with no more than one chunk in
// memory per response.
//
//   node examples/FileStreaming.js film.mp4

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Bytes per read. */
const CHUNK = 64 * 1024;

// All responses share one descriptor, because each read specifies its position.
const film = fs.openSync(process.argv[2] ?? makeFilm(), 'r');
const { size } = fs.fstatSync(film);

uWS
  .App()
  .get('/film', (res, req) => {
    // If-Range names an ETag or a date. This server sends neither, so the condition is false (RFC 9110 section 13.1.5).
    const range = req.getHeader('if-range') === '' ? parseRange(req.getHeader('range')) : undefined;
    if (range === null) {
      res.writeStatus('416 Range Not Satisfiable').writeHeader('Content-Range', `bytes */${size}`).end();
      return;
    }
    const { first, last } = range ?? { first: 0, last: size - 1 };
    if (range) res.writeStatus('206 Partial Content').writeHeader('Content-Range', `bytes ${first}-${last}/${size}`);
    res.writeHeader('Content-Type', 'video/mp4').writeHeader('Accept-Ranges', 'bytes');
    if (size === 0) res.end();
    else send(res, first, last - first + 1);
  })
  // A GET route does not get HEAD requests. The argument is the length of the body in response to a GET.
  .head('/film', (res) => {
    res.writeHeader('Content-Type', 'video/mp4').writeHeader('Accept-Ranges', 'bytes').endWithoutBody(size);
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
 * @param {number} first position in the film
 * @param {number} length
 */
function send(res, first, length) {
  const buffer = Buffer.allocUnsafe(CHUNK);
  /** The chunk that is being written, or empty while the next one is read. */
  let chunk = buffer.subarray(0, 0);
  /** Position of the chunk in the body. */
  let start = 0;
  let isAborted = false;

  const read = () => {
    fs.read(film, buffer, 0, Math.min(CHUNK, length - start), first + start, (error, bytesRead) => {
      if (isAborted) return;
      chunk = buffer.subarray(0, bytesRead);
      // The client relies on the announced length. Only ending the connection tells it that there is less.
      if (error || bytesRead === 0) res.close();
      else res.cork(offer);
    });
  };
  /** Writes as much of the chunk as the socket accepts. Returns whether that was all of it. */
  const offer = () => {
    if (chunk.length === 0) return true;
    const [isTaken, isDone] = res.tryEnd(chunk.subarray(res.getWriteOffset() - start), length);
    if (isTaken && !isDone) {
      start += chunk.length;
      chunk = buffer.subarray(0, 0);
      read();
    }
    return isTaken;
  };

  // Called when the client has read something, after a chunk that was not accepted as a whole.
  res.onWritable(offer);
  res.onAborted(() => {
    isAborted = true;
    console.log(`The client left after ${start} of ${length} bytes`);
  });
  read();
}

/**
 * Parses a range of bytes. Returns undefined if there is none or it may be ignored (RFC 9110 section 14.2), and null if
 * it lies outside of the film.
 *
 * @param {string} header
 */
function parseRange(header) {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/i.exec(header) ?? [];
  if (from === '' && to === '') return undefined;
  // Without a first position, the range is the last bytes of the film.
  const first = from === '' ? Math.max(size - Number(to), 0) : Number(from);
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined;
  return first < size ? { first, last } : null;
}

/** Makes a film without pictures, for when you have none at hand. */
function makeFilm() {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'film-')), 'film.mp4');
  fs.writeFileSync(file, Buffer.alloc(8 * 1024 * 1024, 'no pictures, no sound. '));
  return file;
}
