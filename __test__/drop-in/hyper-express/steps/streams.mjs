// Responses that take a while, and clients that do not wait for the end.

import { once } from 'node:events';
import http from 'node:http';
import wait from '../../../support/wait.js';
import { describe, request } from '../../parts/http.mjs';

const { until } = wait;

const isWhole = (data, size) => data.length === size && data.every((byte, index) => byte === index % 251);

/** Makes a request, and resolves to the response once its head has arrived. */
async function ask(server, target) {
  const sent = http.get(`${server.origin}${target}`, { agent: new http.Agent() });
  const [response] = await once(sent, 'response');
  response.on('error', () => {});
  return response;
}

async function whole(server, target, size) {
  const response = await ask(server, target);
  const data = Buffer.concat(await response.toArray());
  const { headers } = describe(200, response.headers, '');
  return [response.statusCode, headers, isWhole(data, size)];
}

const HOWS = ['pipe', 'stream', 'known', 'send'];

export const streams = {
  'responses in pieces': async ({ server }) => [
    await request(server, '/chunked'),
    await request(server, '/written'),
    await request(server, '/broken').catch((error) => error.code),
    await request(server, '/big/wrong?size=1000').catch((error) => error.code),
  ],

  'large responses, whole': async ({ server }) => {
    const seen = [];
    for (const how of HOWS) {
      for (const size of [0, 1, 50_000, 3_000_000])
        seen.push([how, size, await whole(server, `/big/${how}?size=${size}`, size)]);
    }
    return seen;
  },

  'many large responses at once': async ({ server }) => {
    const size = 200_000;
    const all = await Promise.all(
      Array.from({ length: 100 }, (_, number) => whole(server, `/big/${HOWS[number % 4]}?size=${size}`, size)),
    );
    return all.every(([status, , isRight]) => status === 200 && isRight);
  },

  'one who reads slowly gets every byte': async ({ server }) => {
    const size = 12_000_000;
    const seen = [];
    for (const how of HOWS) {
      const response = await ask(server, `/big/${how}?size=${size}&name=${how}`);
      response.socket.pause();
      // Meanwhile the server has time for other clients.
      for (let count = 0; count < 20; count += 1) await request(server, '/chunked');
      const early = how === 'send' || server.log.count('finished') === seen.length;
      response.socket.resume();
      const data = Buffer.concat(await response.toArray());
      seen.push([how, early, isWhole(data, size), await server.log.next('finished'), await server.log.next('closed')]);
      if (how !== 'send') await server.log.next('released');
    }
    return seen;
  },

  'with its own hands': async ({ server }) => {
    const size = 12_000_000;
    const response = await ask(server, `/drain?size=${size}`);
    response.socket.pause();
    for (let count = 0; count < 5; count += 1) await request(server, '/chunked');
    response.socket.resume();
    const data = Buffer.concat(await response.toArray());
    return [isWhole(data, size), await server.log.next('drained')];
  },

  'clients that vanish in the middle of a response': async ({ server }) => {
    const seen = [];
    for (const how of ['pipe', 'stream', 'known']) {
      for (const leave of ['destroy', 'resetAndDestroy']) {
        const response = await ask(server, `/big/${how}?size=30000000&name=${how}`);
        await once(response, 'data');
        response.pause();
        response.socket[leave]();
        seen.push([
          await server.log.next('aborted'),
          await server.log.next('closed'),
          await server.log.next('released'),
        ]);
      }
    }
    return [seen, server.log.count('finished')];
  },

  'events, to all who listen': async ({ server }) => {
    const listeners = [];
    for (let number = 0; number < 20; number += 1) {
      const response = await ask(server, `/events?name=${number}`);
      const listener = { response, text: '' };
      response.setEncoding('utf8').on('data', (text) => (listener.text += text));
      listeners.push(listener);
      await server.log.next('came');
    }
    const send = (messages) => request(server, '/events', { method: 'POST', body: JSON.stringify(messages) });
    const answers = [await send([['one'], ['kind', 'two\nlines'], ['7', 'kind', 'ü']])];
    await until(() => listeners.every(({ text }) => text.endsWith('data: ü\n\n')), 'events');
    for (const { response } of listeners.slice(10)) {
      response.destroy();
      await server.log.next('left');
    }
    answers.push(await send([['', 'empty', '']]));
    await until(() => listeners.slice(0, 10).every(({ text }) => text.endsWith('data:\n\n')), 'events');
    const ends = Promise.all(listeners.slice(0, 10).map(({ response }) => once(response, 'end')));
    answers.push(await send([]));
    await ends;
    const left = [];
    for (let count = 0; count < 10; count += 1) left.push(await server.log.next('left'));
    const texts = new Set(listeners.slice(0, 10).map(({ text }) => text));
    return { answers, left, texts: [...texts], head: describe(200, listeners[0].response.headers, '') };
  },
};
