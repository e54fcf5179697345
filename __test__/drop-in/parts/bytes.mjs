// Bodies too large to be shown, and clients that are impatient or slow.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import raw from '../../support/RawSocket.js';
import wait from '../../support/wait.js';
import { request } from './http.mjs';

const { RawSocket } = raw;
const { deadline } = wait;

/** Returns a summary of a body: its length and the beginning of its hash. */
export function digest(bytes) {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`;
}

/** Returns bytes in which no two stretches are alike. */
export function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index + 4 <= length; index += 4) bytes.writeUInt32LE(Math.imul(index, 2654435761) >>> 0, index);
  return bytes;
}

/**
 * Sends a request piece by piece, each after the previous one has left; returns status, headers and body. The
 * connection stays open until then, because a response that arrives before everything is sent would otherwise be lost.
 */
export async function send(server, target, { pieces = [], agent, ...options } = {}) {
  const own = new http.Agent({ keepAlive: true });
  const sent = http.request(`${server.origin}${target}`, { agent: agent ?? own, ...options });
  sent.setNoDelay(true);
  // The response is read while the request is sent, because a server that echoes would wait otherwise.
  const answered = once(sent, 'response').then(async ([response]) => {
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(await response.toArray()) };
  });
  answered.catch(() => {});
  for (const piece of pieces) await new Promise((resolve) => sent.write(piece, resolve));
  sent.end();
  const answer = await answered;
  own.destroy();
  return answer;
}

/** Cuts into pieces of `size` bytes. */
export function cut(bytes, size) {
  const pieces = [];
  for (let start = 0; start < bytes.length; start += size) pieces.push(bytes.subarray(start, start + size));
  return pieces;
}

/**
 * Posts a text whole, seven bytes at a time and byte by byte, each with a Content-Length and in chunks; returns the
 * status and the body of each response.
 */
export async function sendInPieces(server, target, type, text) {
  const bytes = Buffer.from(text);
  const answers = [];
  for (const pieces of [[bytes], cut(bytes, 7), cut(bytes, 1)]) {
    for (const length of [{ 'content-length': bytes.length }, { 'transfer-encoding': 'chunked' }]) {
      const headers = { 'content-type': type, ...length };
      const { status, body } = await send(server, target, { method: 'POST', headers, pieces });
      answers.push([status, String(body)]);
    }
  }
  return answers;
}

/**
 * Requests a large response, and reads nothing of it until `meanwhile` has ended, then runs `meanwhile` again after
 * every million bytes. Fails unless the response is complete within `patience` milliseconds.
 */
export async function sendAndDawdle(server, target, { meanwhile, patience }) {
  const sent = http.request(`${server.origin}${target}`, { agent: new http.Agent() });
  sent.end();
  const [response] = await once(sent, 'response');
  const chunks = [];
  const read = async () => {
    let untilPause = 0;
    for await (const chunk of response) {
      chunks.push(chunk);
      untilPause -= chunk.length;
      if (untilPause > 0) continue;
      untilPause = 1_000_000;
      await meanwhile();
    }
  };
  try {
    await deadline(read(), () => `end of ${target} after ${Buffer.concat(chunks).length} bytes`, patience);
  } finally {
    sent.destroy();
  }
  return { status: response.statusCode, body: Buffer.concat(chunks) };
}

/** Connects, writes the request, and then ends the connection by `leave`. */
export async function depart(server, request, leave) {
  const client = await RawSocket.connect(server.port);
  client.write(request);
  await leave(client);
}

/** Ways to end a connection early. */
export const DEPARTURES = {
  'by a reset': (client) => client.reset(),
  'without a word': (client) => client.destroy(),
};

/** Runs `task` for each number below `count`, at most `width` concurrently. */
export async function inParallel(count, width, task) {
  const results = [];
  let next = 0;
  const work = async () => {
    while (next < count) {
      const number = next;
      next += 1;
      results[number] = await task(number);
    }
  };
  await deadline(Promise.all(Array.from({ length: width }, work)), `end of ${count} tasks`, 40_000);
  return results;
}

/**
 * Requests each target alone, and then all of them many times concurrently; returns whether the responses were equal to
 * the first ones.
 */
export async function areAlwaysEqual(server, targets, count, width) {
  const expected = [];
  for (const target of targets) expected.push(JSON.stringify(await request(server, target)));
  const seen = await inParallel(count, width, async (number) => {
    const answer = await request(server, targets[number % targets.length]);
    return JSON.stringify(answer) === expected[number % targets.length];
  });
  return [...new Set(seen)];
}
