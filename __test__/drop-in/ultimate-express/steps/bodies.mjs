// Request bodies.

import zlib from 'node:zlib';
import raw from '../../../support/RawSocket.js';
import { cut, digest, inParallel, pattern, send, sendInPieces } from '../../parts/bytes.mjs';
import { request } from '../../parts/http.mjs';

const { RawSocket } = raw;

export const bodies = {
  'bodies of each kind, in one piece, in many, and byte by byte': async ({ server }) => {
    const seen = [];
    for (const [kind, type, text] of [
      ['json', 'application/json', JSON.stringify({ text: 'Grüße, 世界', list: [1, null, { deep: true }] })],
      ['json', 'application/json; charset=utf-8', ''],
      ['json', 'text/plain', '{"not":"json"}'],
      ['form', 'application/x-www-form-urlencoded', 'a=1&b[c]=2&b[d][]=3&text=%C3%BC+x'],
      ['flat', 'application/x-www-form-urlencoded', 'a=1&a=2&b[c]=2'],
      ['text', 'text/plain', 'some words, Grüße'],
      ['text', 'text/plain; charset=latin1', 'Grüße'],
      ['raw', 'application/octet-stream', 'any bytes'],
      ['plain', 'application/json', '[1, 2, 3]'],
    ]) {
      for (const answer of await sendInPieces(server, `/body/${kind}`, type, text)) seen.push([kind, ...answer]);
    }
    return seen;
  },

  'bodies of all methods': async ({ server }) => {
    const seen = [];
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'SEARCH']) {
      const headers = { 'content-type': 'application/json' };
      seen.push(method, await request(server, '/body/json', { method, headers, body: '{"a":1}' }));
    }
    return seen;
  },

  'compressed bodies': async ({ server }) => {
    const seen = [];
    const text = Buffer.from(JSON.stringify({ words: 'again and '.repeat(5000) }));
    for (const [encoding, bytes] of [
      ['gzip', zlib.gzipSync(text)],
      ['deflate', zlib.deflateSync(text)],
      ['br', zlib.brotliCompressSync(text)],
      ['identity', text],
      ['compress', text],
    ]) {
      const headers = {
        'content-type': 'application/json',
        'content-encoding': encoding,
        'content-length': bytes.length,
      };
      for (const size of [bytes.length, 100, 1]) {
        const pieces = cut(bytes, size).slice(0, 2000);
        headers['content-length'] = Math.min(bytes.length, 2000 * size);
        const { status, body } = await send(server, '/body/json', { method: 'POST', headers, pieces });
        seen.push([encoding, size, status, digest(body)]);
      }
      headers['content-length'] = bytes.length;
      const { status, body } = await send(server, '/body/plain', { method: 'POST', headers, pieces: [bytes] });
      seen.push([encoding, 'as it is', status, digest(body)]);
    }
    return seen;
  },

  'bodies that make no sense, and such that are too large': async ({ server }) => {
    const seen = [];
    const client = await RawSocket.connect(server.port);
    for (const [kind, type, bytes] of [
      ['json', 'application/json', Buffer.from('{"a":')],
      ['json', 'application/json', Buffer.alloc(300_000, ' ')],
      ['plain', 'application/json', Buffer.alloc(150_000, '1')],
      ['text', 'text/plain; charset=klingon', Buffer.from('nuqneH')],
      ['raw', 'application/octet-stream', Buffer.alloc(30_000_000, 5)],
      ['flat', 'application/x-www-form-urlencoded', Buffer.alloc(200_000, 'a=1&')],
    ]) {
      client.write(`POST /body/${kind} HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\n`);
      client.write(`Content-Length: ${bytes.length}\r\n\r\n`).write(bytes);
      const { statusLine, body } = await client.readResponse();
      seen.push([kind, statusLine, body]);
    }
    client.destroy();
    return seen;
  },

  'a body turns out to be too large with its last piece': async ({ server }) => {
    const client = await RawSocket.connect(server.port);
    const headers = 'Host: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked';
    client.write(`POST /body/tiny HTTP/1.1\r\n${headers}\r\n\r\n3e8\r\n${' '.repeat(1000)}\r\n0\r\n\r\n`);
    const { status, body } = await client.readResponse();
    client.destroy();
    return [status, body];
  },

  'a refused body leaves the connection as it should be': async ({ server }) => {
    const client = await RawSocket.connect(server.port);
    const seen = [];
    for (let round = 0; round < 3; round += 1) {
      const type = 'Host: localhost\r\nContent-Type: application/json';
      client.write(`POST /body/json HTTP/1.1\r\n${type}\r\nContent-Length: 400000\r\n\r\n`);
      client.write(Buffer.alloc(400_000, '1'));
      const refused = await client.readResponse();
      client.write(`POST /body/json HTTP/1.1\r\n${type}\r\nContent-Length: 7\r\n\r\n{"a":1}`);
      const accepted = await client.readResponse();
      seen.push(refused.status, refused.body, accepted.status, accepted.body);
    }
    client.destroy();
    return seen;
  },

  'uploads are read no faster than they are wanted, and whole': async ({ server }) => {
    const bytes = pattern(6_000_000);
    const seen = [];
    for (const headers of [{ 'content-length': bytes.length }, {}]) {
      for (const size of [bytes.length, 100_000, 3_000]) {
        const pieces = cut(bytes, size);
        const { status, body } = await send(server, '/upload', { method: 'POST', headers, pieces });
        seen.push([status, String(body)]);
      }
    }
    const small = await inParallel(100, 50, async (number) => {
      const its = bytes.subarray(number * 1000, number * 21_000);
      const { body } = await send(server, '/upload', { method: 'POST', pieces: cut(its, 9_999) });
      return String(body);
    });
    return [seen, digest(Buffer.from(small.join()))];
  },

  'what is sent comes back while it is sent': async ({ server }) => {
    const bytes = pattern(4_000_000);
    const seen = [];
    for (const target of ['/echo', `/echo?length=${bytes.length}`]) {
      const { status, headers, body } = await send(server, target, { method: 'POST', pieces: cut(bytes, 50_000) });
      seen.push([status, headers['content-length'], headers['transfer-encoding'], body.equals(bytes)]);
    }
    const many = await inParallel(100, 50, async (number) => {
      const its = bytes.subarray(number, number + 70_000);
      return (await send(server, '/echo', { method: 'POST', pieces: cut(its, 10_000) })).body.equals(its);
    });
    seen.push([...new Set(many)]);
    const late = await send(server, '/late', { method: 'POST', pieces: cut(bytes.subarray(0, 50_000), 1_000) });
    return [...seen, digest(late.body)];
  },

  'forms with files': async ({ server }) => {
    const file = pattern(200_000);
    const form = (...files) =>
      Buffer.concat([
        Buffer.from('--XX\r\nContent-Disposition: form-data; name="title"\r\n\r\nGrüße\r\n'),
        ...files.flatMap((bytes, index) => [
          Buffer.from(
            `--XX\r\nContent-Disposition: form-data; name="photo"; filename="${index}.png"\r\nContent-Type: image/png\r\n\r\n`,
          ),
          bytes,
          Buffer.from('\r\n'),
        ]),
        Buffer.from('--XX--\r\n'),
      ]);
    const headers = { 'content-type': 'multipart/form-data; boundary=XX' };
    const seen = [];
    for (const pieces of [
      [form(file, file.subarray(7))],
      cut(form(file, Buffer.alloc(0)), 1_000),
      cut(form(Buffer.from('small')), 1),
      cut(form(...Array.from({ length: 5 }, () => Buffer.from('too many'))), 100),
    ]) {
      const { status, body } = await send(server, '/photos', { method: 'POST', headers, pieces });
      seen.push([status, JSON.parse(body)]);
    }
    return seen;
  },
};
