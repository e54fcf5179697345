// Request bodies: whole, in pieces, too large, and incomplete.

import { createHash } from 'node:crypto';
import raw from '../../../support/RawSocket.js';
import { request } from '../../parts/http.mjs';

const { RawSocket } = raw;

const bytes = (length) => Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 7) % 253));
const digestOf = (data) => createHash('sha256').update(data).digest('hex');
const post = (server, target, body, headers = {}) => request(server, target, { method: 'POST', body, headers });

const BOUNDARY = '----pieces';

/** Returns the body of a form; a part is a field, or a file with a name. */
function form(parts) {
  const lines = parts.flatMap(({ name, file, type, data }) => [
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file === undefined ? '' : `; filename="${file}"`}\r\n`,
    type ? `Content-Type: ${type}\r\n\r\n` : '\r\n',
    data,
    '\r\n',
  ]);
  return Buffer.concat([...lines, `--${BOUNDARY}--\r\n`].map((line) => Buffer.from(line)));
}

const FORM = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
const PARTS = [
  { name: 'title', data: 'Grüße' },
  { name: 'picture', file: 'a.png', type: 'image/png', data: bytes(300_000) },
  { name: 'empty', data: '' },
  { name: 'notes', file: 'notes.txt', type: 'text/plain', data: 'one\r\n--two\r\n' },
  { name: 'nothing', file: 'none.bin', type: 'application/octet-stream', data: '' },
];

export const bodies = {
  'bodies as what they are': async ({ server }) => {
    const seen = [];
    for (const [as, body] of [
      ['text', 'Grüße, 世界'],
      ['text', []],
      ['json', '{"a":[1,2,"ü"]}'],
      ['json', 'broken'],
      ['strict', '{broken'],
      ['urlencoded', 'a=1&b=%C3%BC+x&a=2'],
      ['buffer', bytes(300)],
      ['twice', 'the same'],
      ['unknown', 'to nobody'],
    ]) {
      const length = Buffer.byteLength(body.length === 0 ? '' : body);
      seen.push([
        as,
        await post(server, `/body/${as}`, body),
        await post(server, `/body/${as}`, body, { 'content-length': length }),
      ]);
    }
    return seen;
  },

  'a body in pieces of one byte': async ({ server }) => {
    const text = 'Grüße, 世界. '.repeat(20);
    const seen = [];
    for (const chunked of [false, true]) {
      const client = await RawSocket.connect(server.port);
      const data = Buffer.from(text);
      const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${data.length}`;
      client.write(`POST /body/text HTTP/1.1\r\nHost: localhost\r\n${framing}\r\n\r\n`);
      const wire = chunked
        ? Buffer.from(
            `7\r\n${data.toString('latin1', 0, 7)}\r\n${(data.length - 7).toString(16)}\r\n${data.toString('latin1', 7)}\r\n0\r\n\r\n`,
            'latin1',
          )
        : data;
      for (const byte of wire) await client.writeAndTurn(Buffer.of(byte));
      const { status, body } = await client.readResponse();
      seen.push([status, JSON.parse(body).body === text]);
      client.destroy();
    }
    return seen;
  },

  'large bodies, to those who read at once, late, slowly, and after a pause': async ({ server }) => {
    const data = bytes(3_000_000).map((byte) => byte % 128);
    const seen = [];
    for (const target of ['/late', '/digest', '/digest?slow', '/paused']) {
      for (const headers of [{ 'content-length': data.length }, {}]) {
        const { status, body } = await post(server, target, data, headers);
        const answer = JSON.parse(body);
        seen.push([target, status, answer.length, answer.digest === digestOf(data), answer.paused]);
      }
    }
    seen.push((await request(server, '/body/buffer', { method: 'PUT', body: data })).body);
    return seen;
  },

  'a body comes back as it is': async ({ server }) => {
    const data = bytes(500_000).map((byte) => byte % 128);
    const { body, status, headers } = await post(server, '/back', data);
    return [status, headers, body.length, body === data.toString()];
  },

  'a body that nobody reads': async ({ server }) => [
    await post(server, '/unread', bytes(100)),
    await post(server, '/unread', bytes(2_000_000), { 'content-length': 2_000_000 }),
    await post(server, '/unread', bytes(2_000_000)),
    await post(server, '/nowhere', bytes(1000)),
  ],

  'more than is allowed': async ({ server }) => {
    const seen = [];
    for (const length of [256 * 1024, 256 * 1024 + 1, 600_000]) {
      for (const headers of [{ 'content-length': length }, {}]) {
        const { status, body } = await post(server, '/body/text', Buffer.alloc(length, 'a'), headers);
        seen.push([length, status, body.length]);
      }
    }
    return seen;
  },

  'a form with files': async ({ server }) => {
    const body = form(PARTS);
    const seen = [
      await post(server, '/upload', body, FORM),
      await post(server, '/upload', body, { ...FORM, 'content-length': body.length }),
    ];
    const pieces = Array.from({ length: Math.ceil(body.length / 1000) }, (_, index) =>
      body.subarray(index * 1000, index * 1000 + 1000),
    );
    seen.push((await post(server, '/upload', pieces, FORM)).body === seen[0].body);
    return seen;
  },

  'forms that have too much, too little, or are none': async ({ server }) => {
    const body = form(PARTS);
    const limited = (limits) =>
      post(server, `/upload?limits=${encodeURIComponent(JSON.stringify(limits))}`, body, FORM);
    return [
      await limited({ files: 1 }),
      await limited({ fields: 1 }),
      await limited({ parts: 2 }),
      await limited({ fieldSize: 3 }),
      await post(server, '/upload', body.subarray(0, 1000), FORM),
      await post(server, '/upload', form([]), FORM),
      await post(server, '/upload', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }),
      await post(server, '/upload', [], FORM),
    ];
  },

  'many forms at once': async ({ server }) => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, number) =>
        post(
          server,
          '/upload',
          form([
            { name: 'n', data: String(number) },
            { name: 'f', file: 'f', data: bytes(20_000 + number) },
          ]),
          FORM,
        ),
      ),
    );
    return answers.every(({ body }, number) => {
      const [field, file] = JSON.parse(body);
      return field.value === String(number) && file.digest === digestOf(bytes(20_000 + number));
    });
  },

  'clients that vanish in the middle of a body': async ({ server }) => {
    const seen = [];
    for (const how of ['stream', 'text', 'multipart']) {
      for (const leave of ['reset', 'end', 'destroy']) {
        const client = await RawSocket.connect(server.port);
        const start = form([{ name: 'f', file: 'f', data: bytes(5000) }]).subarray(0, 3000);
        client.write(
          `POST /watched/${how} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${FORM['content-type']}\r\nContent-Length: 9000\r\n\r\n`,
        );
        await client.writeAndTurn(start);
        await server.log.next('watched');
        client[leave]();
        seen.push([
          how,
          leave,
          await server.log.next('aborted'),
          await server.log.next('closed'),
          await server.log.next('failed'),
        ]);
        client.destroy();
      }
    }
    seen.push(await post(server, '/watched/text', 'whole'), await server.log.next('closed'));
    return seen;
  },
};
