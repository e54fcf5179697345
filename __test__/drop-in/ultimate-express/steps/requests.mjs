// Builds requests as text, and makes several.

import { request } from '../../parts/http.mjs';

/** Requests each of the targets. */
export async function getAll(server, targets, options = {}) {
  const seen = {};
  for (const target of targets) seen[target] = await request(server, target, options);
  return seen;
}

/** Returns the bytes of a request that closes the connection. */
export function head(line, ...headers) {
  return `${[`${line} HTTP/1.1`, 'Host: localhost', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`;
}
