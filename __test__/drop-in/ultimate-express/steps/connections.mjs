// Many clients, slow clients, clients that leave, and clients that send nonsense.

import { once } from 'node:events';
import http from 'node:http';
import { WebSocket } from 'ws';
import support from '../../../support/http.js';
import wait from '../../../support/wait.js';
import {
  DEPARTURES,
  areAlwaysEqual,
  depart,
  digest,
  inParallel,
  pattern,
  send,
  sendAndDawdle,
} from '../../parts/bytes.mjs';
import { request } from '../../parts/http.mjs';
import { head } from './requests.mjs';

const { exchange } = support;
const { until } = wait;

/** Returns the body of /download. */
function downloaded(count) {
  const piece = pattern(64 * 1024);
  return Buffer.concat(
    Array.from({ length: count }, (_, number) => {
      piece.writeUInt32LE(number);
      return Buffer.from(piece);
    }),
  );
}

/** Makes slow readers request each of the targets while others make requests; fails unless all responses are right. */
async function dawdle({ server }, targets) {
  const meanwhile = async () => {
    const answers = await inParallel(20, 10, async (number) => {
      return (await request(server, `/send/string?text=${number}`)).body === String(number);
    });
    if (answers.includes(false)) throw new Error('the others got something else');
  };
  await Promise.all(
    Object.entries(targets).map(async ([target, expected]) => {
      const { status, body } = await sendAndDawdle(server, target, { meanwhile, patience: 5_000 });
      if (status !== 200 || !body.equals(expected)) throw new Error(`not what ${target} is`);
    }),
  );
}

export const connections = {
  'clients that leave while they send': async ({ server }) => {
    const seen = [];
    for (const [how, leave] of Object.entries(DEPARTURES)) {
      for (const rest of [
        'Content-Length: 1000000\r\n\r\nand then',
        'Transfer-Encoding: chunked\r\n\r\n3\r\nand\r\n',
      ]) {
        await depart(server, `POST /upload?watched=1 HTTP/1.1\r\nHost: localhost\r\n${rest}`, async (client) => {
          await server.log.next('waiting');
          leave(client);
        });
        seen.push(how, await server.log.next('aborted'));
      }
    }
    return seen;
  },

  'clients that leave while they wait': async ({ server }) => {
    const seen = [];
    for (const [how, leave] of Object.entries(DEPARTURES)) {
      await depart(server, 'GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n', async (client) => {
        await server.log.next('waiting');
        leave(client);
      });
      seen.push(how, await server.log.next('aborted'));
    }
    return seen;
  },

  'clients that leave in the middle of an answer': async ({ server }) => {
    const seen = [];
    for (const [how, leave] of Object.entries(DEPARTURES)) {
      for (const query of ['count=500', 'count=500&length=1']) {
        await depart(server, `GET /download?${query} HTTP/1.1\r\nHost: localhost\r\n\r\n`, async (client) => {
          await client.read(100_000);
          leave(client);
        });
        seen.push(how, query, await server.log.next('aborted'));
      }
    }
    return seen;
  },

  'answers that end before they are complete': async ({ server }) => {
    const broken = await exchange(server.port, 'GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const hangup = await exchange(server.port, 'GET /hangup HTTP/1.1\r\nHost: localhost\r\n\r\n');
    return [broken, await server.log.next('broken'), hangup];
  },

  'slow readers get everything, and nobody waits for them': (stage) =>
    dawdle(stage, { '/download?count=500': downloaded(500) }),

  'slow readers of what has a length get everything': (stage) =>
    dawdle(stage, { '/download?count=500&length=1': downloaded(500), '/files/big.bin': pattern(12_000_000) }),

  'many connections at once': async ({ server }) => {
    const targets = [
      '/simple',
      '/send/string?text=x',
      '/way/user/7',
      '/files/hello.txt',
      '/page',
      '/stream',
      '/nowhere',
    ];
    return areAlwaysEqual(server, targets, 700, 200);
  },

  'many requests on few connections': async ({ server }) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const seen = await inParallel(1000, 50, async (number) => {
      const text = 'x'.repeat(number);
      const target = number % 3 === 0 ? '/late' : `/send/string?text=${text}`;
      const method = number % 3 === 0 ? 'POST' : 'GET';
      return (
        String((await send(server, target, { method, agent, pieces: method === 'POST' ? [text] : [] })).body) === text
      );
    });
    agent.destroy();
    return [...new Set(seen)];
  },

  'requests that come together': async ({ server }) => {
    const requests = ['GET /send/string?text=1', 'HEAD /method', 'GET /nowhere', 'GET /redirect', 'GET /way/user/2'];
    const bytes = requests.map((line) => `${line} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join('');
    const answers = await exchange(server.port, bytes.repeat(20) + head('GET /method'));
    return [answers.length, answers.split('HTTP/1.1 ').length - 1, answers.slice(-300)];
  },

  'requests that make no sense': async ({ server }) => {
    const seen = [];
    for (const bytes of [
      'GET /simple HTTP/1.1\r\n\r\n',
      'GET /simple HTTP/2.0\r\nHost: a\r\n\r\n',
      'POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n',
      'POST /late HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
      'POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      `GET /simple HTTP/1.1\r\nHost: a\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`,
      'GET /simple HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n',
    ]) {
      seen.push(bytes.slice(0, 60), await exchange(server.port, bytes));
    }
    return seen;
  },

  'a WebSocket beside the routes': async ({ server }) => {
    const sockets = Array.from({ length: 20 }, () => new WebSocket(`ws://127.0.0.1:${server.port}/live`));
    const messages = sockets.map(() => []);
    sockets.forEach((socket, index) => {
      socket.on('message', (data, isBinary) => messages[index].push(isBinary ? digest(data) : String(data)));
    });
    await Promise.all(sockets.map((socket) => once(socket, 'open')));
    sockets[0].send('from a client');
    await until(() => messages.every((its) => its.length === 1), 'the first message');
    const headers = { 'content-type': 'text/plain' };
    const posted = await request(server, '/live', { method: 'POST', headers, body: 'from a request' });
    await until(() => messages.every((its) => its.length === 2), 'the second message');
    sockets.forEach((socket, index) => socket.send(pattern(index * 800)));
    await until(() => messages.every((its) => its.length === 3), 'the echoes');
    const { extensions } = sockets[0];
    for (const socket of sockets) socket.close();
    await Promise.all(sockets.map((socket) => once(socket, 'close')));
    await until(
      async () =>
        JSON.parse((await request(server, '/live', { method: 'POST', headers, body: '-' })).body).listening === 0,
      'end of all WebSockets',
    );
    return [messages, posted, extensions, await request(server, '/live')];
  },

  'it is there again after a crash': async ({ server }) => {
    const agent = new http.Agent({ keepAlive: true });
    await send(server, '/simple', { agent });
    const lost = request(server, '/never').catch((error) => error.code);
    await server.log.next('waiting');
    await server.restart();
    agent.destroy();
    return [await lost, await request(server, '/method'), server.log.count('logged')];
  },
};
