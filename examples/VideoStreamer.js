'use strict';

// A page with a video. A player asks for the beginning, for the end, where the index may be, and for wherever its user
// seeks to. Each time it asks for a range, which is read from disk as fast as the player accepts it.
//
//   node examples/VideoStreamer.js film.mp4
//   curl -i -r 0-99 localhost:9001/video

const fs = require('node:fs');
const path = require('node:path');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
const video = process.argv[2] ?? 'film.mp4';
const type = path.extname(video) === '.webm' ? 'video/webm' : 'video/mp4';

/** @typedef {import('../dist/uws.js').HttpResponse} HttpResponse */
/** @typedef {{ first: number, last: number }} Range */

uWS
  // In seconds. A player that has buffered enough, or that is paused, reads nothing for a while.
  .App({ idleTimeout: 300 })
  .get('/', (res) => {
    res
      .writeHeader('Content-Type', 'text/html; charset=utf-8')
      .end('<!doctype html><title>Video</title><video src="/video" controls></video>\n');
  })
  .get('/video', play)
  .head('/video', play)
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

/**
 * @param {HttpResponse} res
 * @param {import('../dist/uws.js').HttpRequest} req
 */
async function play(res, req) {
  let isAborted = false;
  res.onAborted(() => {
    isAborted = true;
  });
  const isHead = req.getMethod() === 'head';
  const wanted = req.getHeader('range');
  const condition = req.getHeader('if-range');

  let file;
  let stats;
  try {
    file = await fs.promises.open(video);
    stats = await file.stat();
  } catch (error) {
    console.error(error);
  }
  if (isAborted || !file || !stats) {
    await file?.close();
    if (!isAborted) res.cork(() => res.writeStatus('404 Not Found').end());
    return;
  }

  const { size } = stats;
  const tag = `"${stats.mtimeMs.toString(36)}-${size.toString(36)}"`;
  // If the player's copy has another tag, it gets the whole video instead of the range (RFC 9110 section 13.1.5). HEAD
  // has no ranges (section 14.2).
  const range = isHead || (condition !== '' && condition !== tag) ? undefined : parseRange(wanted, size);
  const { first, last } = range ?? { first: 0, last: size - 1 };
  res.cork(() => {
    if (range === null) res.writeStatus('416 Range Not Satisfiable').writeHeader('Content-Range', `bytes */${size}`);
    else if (range)
      res.writeStatus('206 Partial Content').writeHeader('Content-Range', `bytes ${first}-${last}/${size}`);
    res.writeHeader('Accept-Ranges', 'bytes').writeHeader('ETag', tag);
    if (range !== null) res.writeHeader('Content-Type', type);
    if (isHead) res.endWithoutBody(size);
    else if (range === null || size === 0) res.end();
  });
  if (isHead || range === null || size === 0) await file.close();
  else send(res, file, first, last);
}

/**
 * @param {HttpResponse} res
 * @param {fs.promises.FileHandle} file is closed at the end
 * @param {number} first
 * @param {number} last
 */
function send(res, file, first, last) {
  const length = last - first + 1;
  let isOver = false;
  const stream = file.createReadStream({ start: first, end: last });

  stream.on('data', (/** @type {any} */ chunk) => {
    const start = res.getWriteOffset();
    /** Writes as much of the chunk as the socket accepts. Returns whether that was all of it. */
    const offer = () => {
      let isTaken;
      [isTaken, isOver] = res.tryEnd(chunk.subarray(res.getWriteOffset() - start), length);
      // The stream has read at most one chunk ahead.
      if (isTaken) stream.resume();
      else stream.pause();
      return isTaken;
    };
    // Called when the client has read something, if the chunk was not accepted as a whole.
    res.onWritable(offer);
    res.cork(offer);
  });
  stream.on('error', (error) => console.error(error));
  // This is always the last event, emitted when the file has been closed.
  stream.on('close', () => {
    // The client relies on the announced length. Only ending the connection tells it that there is less.
    if (isOver) return;
    isOver = true;
    res.close();
  });
  res.onAborted(() => {
    if (isOver) return;
    isOver = true;
    console.log(`The client left when ${stream.bytesRead} of ${length} bytes were read`);
    stream.destroy();
  });
}

/**
 * Parses a range of bytes. Returns undefined if there is none or it may be ignored (RFC 9110 section 14.2), and null if
 * it lies outside of the video.
 *
 * @param {string} header
 * @param {number} size
 * @returns {Range | null | undefined}
 */
function parseRange(header, size) {
  // A list of several ranges, which no player asks for, is ignored.
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header);
  if (!match) return undefined;
  const [from, to] = match.slice(1).map((digits) => (digits === '' ? undefined : Number(digits)));
  if (from === undefined) {
    if (to === undefined) return undefined;
    // The last bytes of the video.
    return to === 0 || size === 0 ? null : { first: Math.max(size - to, 0), last: size - 1 };
  }
  if (to !== undefined && to < from) return undefined;
  return from < size ? { first: from, last: Math.min(to ?? Infinity, size - 1) } : null;
}
