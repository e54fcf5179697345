'use strict';

// Bodies of the three kinds that forms and programs send, each with a limit of its own. The answer shows what was
// understood.
//
//   curl -d '{"name":"towel"}' -H 'Content-Type: application/json' localhost:9001
//   curl -d 'name=towel&color=white&color=blue' localhost:9001
//   curl -F name=towel -F picture=@towel.jpg localhost:9001

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Fields that a form may have. Each of them takes memory, however short it is. */
const MAX_FIELDS = 100;

/**
 * By the media type: the longest body (bytes), which is held in memory as a whole, and what takes it apart, or throws.
 *
 * @type {Map<string, { limit: number, parse: (body: ArrayBuffer, contentType: string) => unknown }>}
 */
const kinds = new Map([
  ['application/json', { limit: 64 * 1024, parse: (body) => JSON.parse(decode(body)) }],
  ['application/x-www-form-urlencoded', { limit: 16 * 1024, parse: parseUrlEncoded }],
  ['multipart/form-data', { limit: 1024 * 1024, parse: parseMultipart }],
]);

uWS
  .App()
  .post('/', (res, req) => {
    // The request is gone when the body has come.
    const contentType = req.getHeader('content-type');
    const kind = kinds.get(contentType.replace(/[\s;].*/, '').toLowerCase());
    if (!kind) {
      res.writeStatus('415 Unsupported Media Type').end(`Send ${[...kinds.keys()].join(', ')}.\n`);
      return;
    }
    // What is compressed comes as it is, and a few bytes can unpack to gigabytes.
    if (req.getHeader('content-encoding') !== '') {
      res.writeStatus('415 Unsupported Media Type').writeHeader('Accept-Encoding', 'identity').end('Not compressed.\n');
      return;
    }

    // Between this and the body the client may leave. Then there is nothing to do: the other function is not called.
    res.onAborted(() => console.log('The client left.'));
    res.collectBody(kind.limit, (body) => {
      if (body === null) {
        // The second argument ends the connection, and with it the rest of the body.
        res.writeStatus('413 Content Too Large').end(`At most ${kind.limit} bytes.\n`, true);
        return;
      }
      let content;
      try {
        content = kind.parse(body, contentType);
      } catch (error) {
        // What was sent may be quoted in it. As plain text it can be no script to a browser.
        res.writeStatus('400 Bad Request').writeHeader('Content-Type', 'text/plain; charset=utf-8');
        res.end(`${/** @type {Error} */ (error).message}\n`);
        return;
      }
      res.writeHeader('Content-Type', 'application/json').end(JSON.stringify(content));
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
 * Text, or an exception if it is none. Without `fatal`, what is no UTF-8 would become question marks unnoticed.
 *
 * @param {ArrayBuffer} bytes
 */
function decode(bytes) {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** @param {ArrayBuffer} body */
function parseUrlEncoded(body) {
  return collect([...new URLSearchParams(decode(body))]);
}

/**
 * @param {ArrayBuffer} body
 * @param {string} contentType
 */
function parseMultipart(body, contentType) {
  // Undefined if the type does not say what stands between the parts.
  const parts = uWS.getParts(body, contentType);
  if (!parts || parts.length === 0) throw new Error('There is no part in this form.');
  return collect(
    parts.map(({ name, filename, type, data }) => {
      if (name === undefined) throw new Error('A part has no name.');
      // Of a file, what the client says it is. Do not believe it: not the type, and above all not that the name is no
      // path. The data is a copy and can be kept.
      return [name, filename === undefined ? decode(data) : { filename, type, size: data.byteLength }];
    }),
  );
}

/**
 * The values by the names of their fields. There are always several, since a form may name a field as often as it likes,
 * and code that expects a string should not get a list for once.
 *
 * @template Value
 * @param {[string, Value][]} fields
 */
function collect(fields) {
  if (fields.length > MAX_FIELDS) throw new Error(`At most ${MAX_FIELDS} fields.`);
  // A Map, because a field may be called __proto__.
  /** @type {Map<string, Value[]>} */
  const values = new Map();
  for (const [name, value] of fields) values.set(name, [...(values.get(name) ?? []), value]);
  return Object.fromEntries(values);
}
