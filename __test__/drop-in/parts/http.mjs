// Requests and responses, reduced to what must be equal.

import { once } from 'node:events';
import http from 'node:http';

/**
 * Sends a request on its own connection, and returns the response. `body` is text or bytes, or an array of such pieces,
 * which are sent in chunks unless there is a Content-Length.
 */
export async function request(server, target, { body, ...options } = {}) {
  const sent = http.request(`${server.origin}${target}`, { agent: new http.Agent(), ...options });
  if (Array.isArray(body)) for (const piece of body) sent.write(piece);
  sent.end(Array.isArray(body) ? undefined : body);
  const [response] = await once(sent, 'response');
  return describe(response.statusCode, response.headers, Buffer.concat(await response.toArray()));
}

/** Returns what a scenario may compare of a response, with the body as text. */
export function describe(status, headers, body) {
  const rest = { ...headers };
  delete rest.date;
  // If the client asks for the connection to be closed, milliways confirms it (RFC 9112 section 9.6), whatever the
  // program sends.
  delete rest.connection;
  // milliways sends no Content-Length if there is no body (RFC 9110 section 8.6).
  if (status === 204 || status === 304) delete rest['content-length'];
  return { status, headers: rest, body: body.toString() };
}
