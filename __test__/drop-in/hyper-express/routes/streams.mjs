// Responses that take a while.

import { Readable } from 'node:stream';
import { note } from '../serving.cjs';

const PIECE = 50_000;

/** Yields `size` bytes whose contents depend on their position. */
function* pieces(size) {
  for (let start = 0; start < size; start += PIECE) {
    const length = Math.min(PIECE, size - start);
    yield Buffer.from(Uint8Array.from({ length }, (_, index) => (start + index) % 251));
  }
}

function watch(response, name) {
  response.on('abort', () => note('aborted', name));
  response.on('finish', () => note('finished', name));
  response.on('close', () => note('closed', name));
}

export function addStreams(server) {
  server.get('/big/:how', async (request, response) => {
    const { how } = request.params;
    const { size, name } = request.query_parameters;
    const source = Readable.from(pieces(Number(size)), { objectMode: false });
    if (name) {
      watch(response, name);
      if (how !== 'send') source.once('close', () => note('released', name));
    }
    if (how === 'pipe') source.pipe(response);
    if (how === 'stream') await response.stream(source);
    if (how === 'known') await response.stream(source, Number(size));
    if (how === 'send') response.send(Buffer.concat([...pieces(Number(size))]));
    if (how === 'wrong') await response.stream(source, Number(size) + 1);
  });

  server.get('/chunked', (request, response) => {
    response.type('text').status(203);
    for (let count = 0; count < 5; count += 1) response.write(`${count} ü\n`);
    response.write(Buffer.from('bytes\n'));
    response.send('the end');
  });
  server.get('/written', async (request, response) => {
    response.cork();
    for (let count = 0; count < 5; count += 1) response.write(`${count}`);
    response.uncork();
    const offset = await new Promise((resolve) => response.write('|', () => resolve(response.write_offset)));
    response.end(String(offset));
  });
  server.get('/broken', (request, response) => {
    const source = Readable.from(
      (function* () {
        yield 'some';
        throw new Error('no more');
      })(),
    );
    source.pipe(response);
  });
  // Writes without a pipe: as much as is accepted, and the rest on `drain`.
  server.get('/drain', (request, response) => {
    const all = pieces(Number(request.query_parameters.size));
    let drains = 0;
    const more = () => {
      for (let next = all.next(); !next.done; next = all.next()) if (!response.write(next.value)) return;
      response.send();
    };
    response.on('drain', () => {
      drains += 1;
      more();
    });
    response.once('finish', () => note('drained', drains > 0));
    more();
  });

  const streams = new Set();
  server.get('/events', (request, response) => {
    const { name } = request.query_parameters;
    const { sse } = response;
    sse.open();
    sse.send('hello');
    streams.add(sse);
    response.once('close', () => {
      streams.delete(sse);
      note('left', name, sse.active, streams.size);
    });
    note('came', name, streams.size);
  });
  server.post('/events', async (request, response) => {
    const messages = await request.json();
    for (const args of messages) for (const sse of streams) sse.send(...args);
    if (messages.length === 0) for (const sse of streams) sse.close();
    response.json({ streams: streams.size, sse: response.sse === undefined });
  });
}
