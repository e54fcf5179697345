// Requests and responses, as far as they have to be equal.

import { once } from 'node:events';
import http from 'node:http';

/**
 * Sends a request on a connection of its own and gives what came, headers as they were but for the date. `body` may be
 * anything that a stream can be given, or a list of such pieces, which go out in chunks unless there is a content-length.
 */
export async function request(server, target, { body = [], ...options } = {}) {
  const sent = http.request(`${server.origin}${target}`, { agent: new http.Agent(), ...options });
  for (const piece of [body].flat()) sent.write(piece);
  sent.end();
  const [response] = await once(sent, 'response');
  return describe(response.statusCode, response.headers, Buffer.concat(await response.toArray()));
}

/** What a scenario may tell of a response; a body as text. */
export function describe(status, headers, body) {
  const rest = { ...headers };
  delete rest.date;
  // milliways gives no length where there is no body (RFC 9110 section 8.6).
  if (status === 204 || status === 304) delete rest['content-length'];
  return { status, headers: rest, body: body.toString() };
}
