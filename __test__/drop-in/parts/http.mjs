// Requests and responses, as far as they have to be equal.

import { once } from 'node:events';
import http from 'node:http';

/**
 * Sends a request on a connection of its own and gives what came. `body` is text or bytes, or a list of such pieces,
 * which go out in chunks unless there is a content-length.
 */
export async function request(server, target, { body, ...options } = {}) {
  const sent = http.request(`${server.origin}${target}`, { agent: new http.Agent(), ...options });
  if (Array.isArray(body)) for (const piece of body) sent.write(piece);
  sent.end(Array.isArray(body) ? undefined : body);
  const [response] = await once(sent, 'response');
  return describe(response.statusCode, response.headers, Buffer.concat(await response.toArray()));
}

/** What a scenario may tell of a response; a body as text. */
export function describe(status, headers, body) {
  const rest = { ...headers };
  delete rest.date;
  // Where the client has asked for it milliways says that it closes (RFC 9112 section 9.6), whatever the program says.
  delete rest.connection;
  // milliways gives no length where there is no body (RFC 9110 section 8.6).
  if (status === 204 || status === 304) delete rest['content-length'];
  return { status, headers: rest, body: body.toString() };
}
