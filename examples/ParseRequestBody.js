'use strict';

// Parses the three kinds of bodies that forms and programs send, each with its own limit. The response shows the
// result.
//
//   curl -d '{"name":"towel"}' -H 'Content-Type: application/json' localhost:9001
//   curl -d 'name=towel&color=white&color=blue' localhost:9001
//   curl -F name=towel -F picture=@towel.jpg localhost:9001

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** The maximum number of fields of a form. Each field takes memory, however short it is. */
const MAX_FIELDS = 100;

/**
 * For each media type: the maximum length of a body in bytes, which is held in memory as a whole, and the function that
 * parses it or throws.
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
    // The request is no longer valid when the body has arrived.
    const contentType = req.getHeader('content-type');
    const kind = kinds.get(contentType.replace(/[\s;].*/, '').toLowerCase());
    if (!kind) {
      res.writeStatus('415 Unsupported Media Type').end(`Send ${[...kinds.keys()].join(', ')}.\n`);
      return;
    }
    // A compressed body is not decompressed. A few bytes could expand to gigabytes.
    if (req.getHeader('content-encoding') !== '') {
      res.writeStatus('415 Unsupported Media Type').writeHeader('Accept-Encoding', 'identity').end('Not compressed.\n');
      return;
    }

    // The client may disconnect before the body is complete. Then there is nothing to do, because the function below is
    // not called.
    res.onAborted(() => console.log('The client left.'));
    res.collectBody(kind.limit, (body) => {
      if (body === null) {
        // The second argument closes the connection, and so the rest of the body is not read.
        res.writeStatus('413 Content Too Large').end(`At most ${kind.limit} bytes.\n`, true);
        return;
      }
      let content;
      try {
        content = kind.parse(body, contentType);
      } catch (error) {
        // The message may quote the client's input. As plain text it cannot be a script for a browser.
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
 * Decodes text, or throws. Without `fatal`, invalid UTF-8 would silently become replacement characters.
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
  // Undefined if the type does not specify the boundary between the parts.
  const parts = uWS.getParts(body, contentType);
  if (!parts || parts.length === 0) throw new Error('The form has no parts.');
  return collect(
    parts.map(({ name, filename, type, data }) => {
      if (name === undefined) throw new Error('A part has no name.');
      // The name and the type of a file are the client's claims. Do not trust the type, and above all do not use the
      // name as a path. The data is a copy and may be kept.
      return [name, filename === undefined ? decode(data) : { filename, type, size: data.byteLength }];
    }),
  );
}

/**
 * Groups values by the names of their fields. Each result is a list, because a form may repeat a field as often as it
 * likes, and code that expects a string should not sometimes get a list.
 *
 * @template Value
 * @param {[string, Value][]} fields
 */
function collect(fields) {
  if (fields.length > MAX_FIELDS) throw new Error(`At most ${MAX_FIELDS} fields.`);
  // A Map, because a field may be named __proto__.
  /** @type {Map<string, Value[]>} */
  const values = new Map();
  for (const [name, value] of fields) values.set(name, [...(values.get(name) ?? []), value]);
  return Object.fromEntries(values);
}
