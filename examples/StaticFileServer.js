'use strict';

// Serves the files of a folder: nothing outside of it, nothing that the client already has, and no faster than it
// reads.
//
//   node examples/StaticFileServer.js public

const fs = require('node:fs');
const path = require('node:path');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
const root = fs.realpathSync(process.argv[2] ?? __dirname);

/** Bytes per read, and bytes in memory per response. */
const CHUNK = 64 * 1024;

const TYPES = new Map(
  Object.entries({
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.ico': 'image/x-icon',
    '.jpg': 'image/jpeg',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.mjs': 'text/javascript; charset=utf-8',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.txt': 'text/plain; charset=utf-8',
    '.wasm': 'application/wasm',
    '.webp': 'image/webp',
    '.woff2': 'font/woff2',
  }),
);

/** Errors of the file system that mean here that there is no such file. ENXIO occurs for Unix domain sockets. */
const ABSENT = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EACCES', 'ENXIO'];

/** @typedef {import('../dist/uws.js').HttpResponse} HttpResponse */
/** @typedef {{ address: string, query: string, names: string[], isHead: boolean, knownTag: string, knownTime: string }} Wanted */

uWS
  .App()
  .get('/*', handle)
  // A GET route does not get HEAD requests.
  .head('/*', handle)
  .any('/*', (res) => {
    res.writeStatus('405 Method Not Allowed').writeHeader('Allow', 'GET, HEAD').end();
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
 * @param {HttpResponse} res
 * @param {import('../dist/uws.js').HttpRequest} req
 */
async function handle(res, req) {
  const leaving = new AbortController();
  res.onAborted(() => leaving.abort());
  const wanted = {
    address: req.getUrl(),
    // The query with its question mark. getQuery() returns undefined if there is none, contrary to its declared type.
    query: req.getQuery() === undefined ? '' : `?${req.getQuery()}`,
    names: parse(req.getUrl()),
    isHead: req.getMethod() === 'head',
    knownTag: req.getHeader('if-none-match'),
    knownTime: req.getHeader('if-modified-since'),
  };
  /** @type {fs.promises.FileHandle | undefined} */
  let file;
  try {
    file = await open(wanted.names);
    if (leaving.signal.aborted) return;
    if (file) await answer(res, wanted, file, leaving.signal);
    else refuse(res, '404 Not Found');
  } catch (error) {
    console.error(error);
    if (leaving.signal.aborted) return;
    // In the middle of a response there is no other way to report an error.
    if (file) res.close();
    else refuse(res, '500 Internal Server Error');
  } finally {
    await file?.close();
  }
}

/**
 * Returns the names in a path, or none if one of them is not plain. Each name is checked after decoding, so that no
 * path can lead out of the folder, however it is encoded.
 *
 * @param {string} address
 */
function parse(address) {
  const parts = address.slice(1).split('/');
  // The path of a folder stands for its index page.
  if (parts.at(-1) === '') parts[parts.length - 1] = 'index.html';
  try {
    const names = parts.map(decodeURIComponent);
    // Reject slashes of either kind, drives and NUL, and names with a leading dot, such as `..` and hidden files.
    return names.every((name) => /^[^./\\:\0][^/\\:\0]*$/.test(name)) ? names : [];
  } catch {
    // The % does not begin a valid escape.
    return [];
  }
}

/**
 * Opens a file or a folder if it exists and is public.
 *
 * @param {string[]} names
 */
async function open(names) {
  if (names.length === 0) return undefined;
  try {
    // The real path, with all links resolved.
    const target = await fs.promises.realpath(path.join(root, ...names));
    if (!target.startsWith(path.join(root, path.sep))) return undefined;
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    return await fs.promises.open(target, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (error) {
    if (ABSENT.includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return undefined;
    throw error;
  }
}

/**
 * @param {HttpResponse} res
 * @param {Wanted} wanted
 * @param {fs.promises.FileHandle} file
 * @param {AbortSignal} signal
 */
async function answer(res, { address, query, names, isHead, knownTag, knownTime }, file, signal) {
  const stats = await file.stat();
  if (signal.aborted) return;
  if (!stats.isFile()) {
    // Add a slash, so that relative links of the page lead into the folder. (No name is empty, so the path cannot begin
    // with two slashes, which would lead to another host.)
    if (stats.isDirectory()) refuse(res, '301 Moved Permanently', { Location: `${address}/${query}` });
    else refuse(res, '404 Not Found');
    return;
  }

  const tag = `"${stats.mtimeMs.toString(36)}-${stats.size.toString(36)}"`;
  // Clients know the time to the second.
  const modified = Math.trunc(stats.mtimeMs / 1000) * 1000;
  // If there is a tag, the time is ignored (RFC 9110 section 13.1.3).
  const isKnown = knownTag === '' ? Date.parse(knownTime) >= modified : isAmong(knownTag, tag);
  res.cork(() => {
    if (isKnown) res.writeStatus('304 Not Modified');
    res
      // The tag is weak, because a file can change twice within one tick of the clock.
      .writeHeader('ETag', `W/${tag}`)
      .writeHeader('Last-Modified', new Date(modified).toUTCString())
      // The client may keep the file, but has to ask whether it is current before using it.
      .writeHeader('Cache-Control', 'no-cache');
    if (isKnown) {
      res.endWithoutBody();
      return;
    }
    const extension = path.extname(names.at(-1) ?? '').toLowerCase();
    res
      .writeHeader('Content-Type', TYPES.get(extension) ?? 'application/octet-stream')
      // The browser must use this type, whatever the content looks like.
      .writeHeader('X-Content-Type-Options', 'nosniff');
    if (isHead) res.endWithoutBody(stats.size);
    else if (stats.size === 0) res.end();
  });
  if (!isKnown && !isHead) await send(res, file, stats.size, signal);
}

/**
 * @param {HttpResponse} res
 * @param {fs.promises.FileHandle} file
 * @param {number} size
 * @param {AbortSignal} signal
 */
async function send(res, file, size, signal) {
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size));
  /** Ends the wait for the client. */
  let goOn = () => {};
  signal.addEventListener('abort', () => goOn());

  for (let start = 0; start < size;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    if (signal.aborted) return;
    if (bytesRead === 0) throw new Error('the file has become shorter than it was');

    /** Writes as much of this chunk as the socket accepts. Returns whether that was all of it. */
    const offer = () => {
      const [isTaken] = res.tryEnd(buffer.subarray(res.getWriteOffset() - start, bytesRead), size);
      if (isTaken) goOn();
      return isTaken;
    };
    await new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      goOn = resolve;
      // Called when the client has read something, if the chunk was not accepted as a whole.
      res.onWritable(offer);
      res.cork(offer);
    });
    start += bytesRead;
  }
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
 * @param {HttpResponse} res
 * @param {string} status
 * @param {Record<string, string>} headers
 */
function refuse(res, status, headers = {}) {
  res.cork(() => {
    res.writeStatus(status);
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    res.end();
  });
}
