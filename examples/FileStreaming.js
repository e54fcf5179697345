'use strict';

// A film of any size, as a player wants it: in ranges, no faster than the client reads, and with no more than one chunk
// of it in memory for each response.
//
//   node examples/FileStreaming.js film.mp4

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Bytes that are read at a time. */
const CHUNK = 64 * 1024;

// One descriptor serves all responses, since each read says where it begins.
const film = fs.openSync(process.argv[2] ?? makeFilm(), 'r');
const { size } = fs.fstatSync(film);

uWS
  .App()
  .get('/film', (res, req) => {
    // A range of what the client knows by a tag or a time is none of ours, for we give neither (RFC 9110 section 13.1.5).
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
  // A GET route does not get HEAD requests. The argument is the length of the body that a GET would get.
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
 * @param {number} first where in the film to begin
 * @param {number} length
 */
function send(res, first, length) {
  const buffer = Buffer.allocUnsafe(CHUNK);
  /** What is being written of it: nothing while the next is read. */
  let chunk = buffer.subarray(0, 0);
  /** Where in the body the chunk begins. */
  let start = 0;
  let isAborted = false;

  const read = () => {
    fs.read(film, buffer, 0, Math.min(CHUNK, length - start), first + start, (error, bytesRead) => {
      if (isAborted) return;
      chunk = buffer.subarray(0, bytesRead);
      // The client counts on the length it was told. That there is less can only be said by ending the connection.
      if (error || bytesRead === 0) res.close();
      else res.cork(offer);
    });
  };
  /** Writes what the socket takes of the chunk; tells whether that was the rest of it. */
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

  // Called when the client has read something, after a chunk that was not taken as a whole.
  res.onWritable(offer);
  res.onAborted(() => {
    isAborted = true;
    console.log(`The client left after ${start} of ${length} bytes`);
  });
  read();
}

/**
 * A range of bytes: undefined if there is none, or one that may be ignored (RFC 9110 section 14.2), and null if it lies
 * outside of the film.
 *
 * @param {string} header
 */
function parseRange(header) {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/i.exec(header) ?? [];
  if (from === '' && to === '') return undefined;
  // Without a beginning it is the last so many bytes.
  const first = from === '' ? Math.max(size - Number(to), 0) : Number(from);
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined;
  return first < size ? { first, last } : null;
}

/** A film without pictures, for those who have none at hand. */
function makeFilm() {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'film-')), 'film.mp4');
  fs.writeFileSync(file, Buffer.alloc(8 * 1024 * 1024, 'no pictures, no sound. '));
  return file;
}
