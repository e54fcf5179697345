'use strict';

// A page with a video. A player asks for the beginning, for the end, where the index may be, and wherever its user goes:
// each time for a range, which is read from the disk as fast as the player takes it.
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
  // Seconds. A player that has enough, or whose user has paused it, reads nothing for a while.
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
  // A range of what the player knows under another tag is none of ours: then it gets all of it (RFC 9110 section 13.1.5).
  // HEAD knows no ranges (section 14.2).
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
    /** Writes what the socket takes of the chunk; tells whether that was the rest of it. */
    const offer = () => {
      let isTaken;
      [isTaken, isOver] = res.tryEnd(chunk.subarray(res.getWriteOffset() - start), length);
      // The stream has read no further than a chunk ahead.
      if (isTaken) stream.resume();
      else stream.pause();
      return isTaken;
    };
    // Called when the client has read something, as long as the chunk was not taken as a whole.
    res.onWritable(offer);
    res.cork(offer);
  });
  stream.on('error', (error) => console.error(error));
  // In any case the last event, when the file has been closed.
  stream.on('close', () => {
    // The client counts on the length it was told. That there is less can only be said by ending the connection.
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
 * A range of bytes: undefined if there is none, or one that may be ignored (RFC 9110 section 14.2), and null if it lies
 * outside of the video.
 *
 * @param {string} header
 * @param {number} size
 * @returns {Range | null | undefined}
 */
function parseRange(header, size) {
  // Of several ranges at once, which no player asks for, none is given.
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header);
  if (!match) return undefined;
  const [from, to] = match.slice(1).map((digits) => (digits === '' ? undefined : Number(digits)));
  if (from === undefined) {
    if (to === undefined) return undefined;
    // The last so many bytes.
    return to === 0 || size === 0 ? null : { first: Math.max(size - to, 0), last: size - 1 };
  }
  if (to !== undefined && to < from) return undefined;
  return from < size ? { first: from, last: Math.min(to ?? Infinity, size - 1) } : null;
}
