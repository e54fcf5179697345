'use strict';

// Uploads: a file of any length that is written to disk as it arrives, and the fields and files of a multipart form.
//
//   curl -T film.mp4 localhost:9001/files/film.mp4
//   curl -F title=Towel -F picture=@towel.jpg localhost:9001/form

const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
const folder = process.argv[2] ?? fs.mkdtempSync(path.join(os.tmpdir(), 'upload-'));

/** The maximum number of bytes of a form, which is held in memory as a whole. */
const MAX_FORM = 1024 * 1024;

uWS
  .App()
  .put('/files/:name', (res, req) => {
    // Never let a client choose a path: this pattern excludes slashes and leading dots.
    const name = /^\w[\w.-]{0,99}$/.exec(req.getParameter('name') ?? '')?.[0];
    if (name) receive(res, path.join(folder, name));
    else res.writeStatus('400 Bad Request').end('Invalid file name.\n');
  })
  .post('/form', (res, req) => {
    const contentType = req.getHeader('content-type');
    let isAborted = false;
    res.onAborted(() => {
      isAborted = true;
    });
    res.collectBody(MAX_FORM, async (body) => {
      if (body === null) {
        res.writeStatus('413 Content Too Large').end(`At most ${MAX_FORM} bytes.\n`, true);
        return;
      }
      // Undefined if it is not a multipart body.
      const parts = uWS.getParts(body, contentType);
      if (!parts) {
        res.writeStatus('400 Bad Request').end('This is not a multipart form.\n');
        return;
      }
      const fields = parts.map(({ name, filename, type, data }) => ({ name, filename, type, size: data.byteLength }));
      const files = parts.filter((part) => part.filename !== undefined);
      // The client has chosen the file names, so the files get other names on disk.
      try {
        await Promise.all(
          files.map(({ data }) => fs.promises.writeFile(path.join(folder, randomUUID()), Buffer.from(data))),
        );
      } catch (error) {
        // The disk may be full, for example. Nothing else catches this error, and an uncaught error ends the process.
        console.error(error);
        if (!isAborted) res.cork(() => res.writeStatus('500 Internal Server Error').end());
        return;
      }
      if (isAborted) return;
      res.cork(() => {
        res.writeHeader('Content-Type', 'application/json').end(JSON.stringify(fields));
      });
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
 * Writes the body to a file, which gets its name only when it is complete.
 *
 * @param {import('../dist/uws.js').HttpResponse} res
 * @param {string} target
 */
function receive(res, target) {
  const partial = `${target}.${randomUUID()}.part`;
  const file = fs.createWriteStream(partial);
  let isOver = false;

  /** @param {string} status */
  const answer = (status) => {
    if (isOver) return;
    isOver = true;
    res.cork(() => {
      res.writeStatus(status).end();
    });
  };

  res.onAborted(() => {
    isOver = true;
    // Has no effect if the file is already complete.
    file.destroy(new Error('the client left'));
  });
  res.onData((chunk, isLast) => {
    // The chunk has its own memory and may be written later. (With uWebSockets.js, copy it: chunk.slice(0).)
    const hasRoom = file.write(Buffer.from(chunk));
    if (isLast) file.end();
    // The disk is slower than the network. Reading stops, the kernel's buffers fill, and the client has to wait.
    else if (!hasRoom) res.pause();
  });
  file.on('drain', () => {
    if (!isOver) res.resume();
  });
  file.on('error', (error) => {
    console.log(`${path.basename(target)} failed: ${error.message}`);
    fs.rm(partial, { force: true }, () => answer('500 Internal Server Error'));
  });
  file.on('finish', () => {
    fs.rename(partial, target, (error) => answer(error ? '500 Internal Server Error' : '201 Created'));
  });
}
