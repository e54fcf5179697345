// Requests, as text and in numbers.

import { request } from '../../parts/http.mjs';

/** Gets each of the targets. */
export async function getAll(server, targets, options = {}) {
  const seen = {};
  for (const target of targets) seen[target] = await request(server, target, options);
  return seen;
}

/** A request that closes the connection, as bytes. */
export function head(line, ...headers) {
  return `${[`${line} HTTP/1.1`, 'Host: localhost', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`;
}
