// Request bodies.

import { createHash } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { note } from '../serving.cjs';

/** Returns the length and the hash of a stream, read with a turn of the event loop per chunk if `eachTurn`. */
function digest(stream, eachTurn) {
  const hash = createHash('sha256');
  let length = 0;
  const write = (piece, _encoding, done) => {
    hash.update(piece);
    length += piece.length;
    if (eachTurn) setImmediate(done);
    else done();
  };
  return new Promise((resolve, reject) => {
    const sink = new Writable({ write });
    sink.once('finish', () => resolve({ length, digest: hash.digest('hex') }));
    stream.once('error', reject);
    stream.pipe(sink);
  });
}

export function addBodies(server) {
  const large = { max_body_length: 64 * 1024 * 1024 };

  const readers = {
    text: (request) => request.text(),
    json: (request) => request.json('no json'),
    strict: (request) => request.json(null),
    urlencoded: (request) => request.urlencoded(),
    buffer: async (request) => (await request.buffer()).toString('base64'),
    twice: async (request) => [await request.text(), (await request.buffer()).length, await request.text()],
  };
  server.post('/body/:as', async (request, response) => {
    response.json({ body: await readers[request.params.as](request), received: request.received });
  });
  server.put('/body/:as', large, async (request, response) => {
    response.json({ length: (await readers[request.params.as](request)).length });
  });

  // By then more has arrived than is buffered.
  server.post('/late', large, async (request, response) => {
    for (let count = 0; count < 20; count += 1) await turn();
    const [text, paused] = [await request.text(), request.paused];
    response.json({ ...(await digest(Readable.from([Buffer.from(text)]))), paused });
  });
  server.post('/digest', large, async (request, response) => {
    response.json(await digest(request, request.query_parameters.slow !== undefined));
  });
  server.post('/paused', large, async (request, response) => {
    request.pause();
    await turn();
    request.resume();
    response.json(await digest(request));
  });
  server.post('/back', large, async (request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.once('end', () => {
      for (const piece of pieces) response.write(piece);
      response.end();
    });
  });
  // The route responds before the body has arrived.
  server.post('/unread', large, (request, response) => response.send('not read'));

  server.post('/upload', large, async (request, response) => {
    const { limits } = request.query_parameters;
    const seen = [];
    const options = limits ? { limits: JSON.parse(limits) } : {};
    try {
      await request.multipart(options, async (field) => {
        const { name, encoding, mime_type: type, value, truncated, file } = field;
        const content = file && { file: file.name ?? null, ...(await digest(file.stream)) };
        seen.push({ name, encoding, type, value, truncated, ...content });
      });
      response.json(seen);
    } catch (error) {
      response.status(422).json({ error: error.message ?? error });
    }
  });

  // Bodies that remain incomplete.
  server.post('/watched/:how', large, (request, response) => {
    const { how } = request.params;
    response.on('abort', () => note('aborted', how, request.received));
    response.on('close', () => note('closed', how));
    const body =
      how === 'stream'
        ? digest(request)
        : how === 'multipart'
          ? request.multipart((field) => digest(field.file.stream))
          : request.text();
    note('watched', how);
    return body.then(
      () => response.send('whole'),
      (error) => note('failed', how, error.code ?? error.message),
    );
  });
}
