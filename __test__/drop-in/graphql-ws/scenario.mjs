// What clients of graphql-ws see.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import wait from '../../support/wait.js';

const { until } = wait;

const PROTOCOL = 'graphql-transport-ws';

/** Runs a step with a client of the package. */
function withClient(run, options = {}) {
  return async (stage) => {
    const { createClient } = await stage.use('graphql-ws');
    const all = [];
    const connect = (more) => {
      const client = createClient({
        url: `ws://127.0.0.1:${stage.server.port}/graphql?from=test`,
        webSocketImpl: WebSocket,
        ...options,
        ...more,
      });
      all.push(client);
      return client;
    };
    try {
      return await run({ ...stage, connect, client: connect() });
    } finally {
      await Promise.all(all.map((client) => client.dispose()));
    }
  };
}

async function results(client, query, variables) {
  const seen = [];
  for await (const result of client.iterate({ query, variables })) seen.push(result);
  return seen;
}

/** Connects a client without the package; `closed` resolves to the code and the reason. */
async function dial(server, protocols, options) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/graphql`, protocols, options);
  socket.on('error', () => {});
  const messages = [];
  socket.on('message', (data) => messages.push(JSON.parse(data)));
  const closed = new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve([code, String(reason)]));
  });
  return { socket, messages, closed };
}

async function opened(...parameters) {
  const dialed = await dial(...parameters);
  await once(dialed.socket, 'open');
  return { ...dialed, send: (message) => dialed.socket.send(JSON.stringify(message)) };
}

export const differences = {
  'a question that is too large ends the connection': 'the client is told 1009 before it is let go',
};

export const steps = {
  'queries and mutations': withClient(async ({ client, server }) => {
    const answers = [
      await results(client, '{ hello }'),
      await results(client, 'query ($name: String) { hello(name: $name) }', { name: 'Grüße, 世界' }),
      await results(client, '{ hello fail }'),
      await results(client, 'mutation { publish(text: "nobody listens") }'),
    ];
    return [answers, await server.log.next('connect')];
  }),

  'what is no query is refused': withClient(async ({ client }) => {
    const seen = [];
    for (const query of ['{ nothing }', 'subscription { published, count(to: 1) }']) {
      seen.push(await results(client, query).catch((errors) => errors));
    }
    return seen;
  }),

  'a subscription gives what it has, in order, and ends': withClient(async ({ client }) => {
    const counted = await results(client, 'subscription { count(to: 5000) }');
    return [counted.length, counted.every(({ data }, index) => data.count === String(index + 1))];
  }),

  'what is published reaches all subscribers': withClient(async ({ connect, client, server }) => {
    const received = [];
    const ends = [];
    for (let index = 0; index < 100; index += 1) {
      received.push([]);
      const next = ({ data }) => received[index].push(data.published);
      ends.push(connect().subscribe({ query: 'subscription { published }' }, { next, error() {}, complete() {} }));
      await server.log.next('subscribed');
    }
    const counts = [];
    for (let number = 0; number < 20; number += 1) {
      counts.push(await results(client, 'mutation ($text: String!) { publish(text: $text) }', { text: `${number}` }));
    }
    await until(() => received.every((messages) => messages.length === 20), 'all messages');
    for (const end of ends) end();
    for (let index = 0; index < 100; index += 1) await server.log.next('unsubscribed');
    return [counts.at(-1), [...new Set(received.map((messages) => messages.join(' ')))]];
  }),

  'large results and large questions': withClient(async ({ client }) => {
    const large = await results(client, 'subscription { count(to: 20, size: 300000) }');
    const text = 'ä'.repeat(45_000);
    const [echo] = await results(client, 'query ($text: String!) { echo(text: $text) }', { text });
    return [large.map(({ data }) => data.count.length), echo.data.echo === text];
  }),

  'a question that is too large ends the connection': withClient(
    async ({ client, server }) => {
      const text = 'a'.repeat(200_000);
      const error = await results(client, 'query ($text: String!) { echo(text: $text) }', { text }).catch((e) => e);
      return [error.code, error.reason, await server.log.next('disconnect')];
    },
    { retryAttempts: 0 },
  ),

  'other protocols are refused': async ({ server }) => {
    const seen = [];
    for (const protocols of [[], ['graphql-ws'], ['chat', 'soap'], [PROTOCOL], ['chat', PROTOCOL]]) {
      const { socket, closed } = await dial(server, protocols);
      const first = await new Promise((resolve) => {
        socket.once('open', () => resolve(`spoke ${socket.protocol}`));
        socket.once('error', (error) => resolve(error.message));
      });
      seen.push([protocols, first]);
      socket.close(4000);
      seen.push(await closed);
    }
    return seen;
  },

  'who breaks the rules is told so': async ({ server }) => {
    const seen = [];
    const init = { type: 'connection_init' };
    const subscribe = { id: '1', type: 'subscribe', payload: { query: 'subscription { published }' } };
    for (const messages of [
      [],
      ['no JSON'],
      [init, init],
      [subscribe],
      [init, { type: 'unheard of' }],
      [init, subscribe, subscribe],
      [{ ...init, payload: { token: 'wrong' } }],
      [init, { type: 'ping', payload: { a: 1 } }],
    ]) {
      const { socket, send, messages: answers, closed } = await opened(server, PROTOCOL);
      for (const message of messages) typeof message === 'string' ? socket.send(message) : send(message);
      const isLive = messages.at(-1)?.type === 'ping';
      if (isLive) {
        await until(() => answers.length === 2, 'pong');
        socket.close(1000, 'bye');
      }
      seen.push([await closed, answers]);
    }
    return seen;
  },

  'messages in pieces and in binary': async ({ server }) => {
    const { socket, messages, closed } = await opened(server, PROTOCOL);
    const init = JSON.stringify({ type: 'connection_init', payload: { long: 'x'.repeat(1000) } });
    for (let at = 0; at < init.length; at += 100)
      socket.send(init.slice(at, at + 100), { fin: at + 100 >= init.length });
    await until(() => messages.length === 1, 'acknowledgement');
    socket.send(Buffer.from(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: '{ hello }' } })));
    await until(() => messages.length === 3, 'result');
    socket.close(1000);
    return [messages, await closed];
  },

  'a slow reader gets everything': async ({ server }) => {
    const { socket, send, messages } = await opened(server, PROTOCOL);
    send({ type: 'connection_init' });
    await until(() => messages.length === 1, 'acknowledgement');
    socket._socket.pause();
    const query = 'subscription { count(to: 300, size: 3000) }';
    send({ id: '1', type: 'subscribe', payload: { query } });
    const other = await opened(server, PROTOCOL);
    other.send({ type: 'connection_init' });
    await until(() => other.messages.length === 1, 'acknowledgement of another');
    other.socket.terminate();
    socket._socket.resume();
    await until(() => messages.at(-1).type === 'complete', 'end');
    socket.terminate();
    return messages.length;
  },

  'clients that vanish give back their subscriptions': async ({ server }) => {
    for (let round = 0; round < 20; round += 1) {
      const { socket, send, messages } = await opened(server, PROTOCOL);
      send({ type: 'connection_init' });
      await until(() => messages.length === 1, 'acknowledgement');
      send({ id: '1', type: 'subscribe', payload: { query: 'subscription { published }' } });
      await server.log.next('subscribed');
      if (round % 2 === 0) socket.terminate();
      else socket._socket.resetAndDestroy();
      await server.log.next('unsubscribed');
    }
    await until(() => server.log.all.at(-1)[0] === 'disconnect', 'end');
    return server.log.all.at(-1);
  },

  'a client comes back after the server did': withClient(
    async ({ client, server }) => {
      const subscribed = server.log.count('subscribed');
      const ended = results(client, 'subscription { published }').catch((error) => error);
      await until(() => server.log.count('subscribed') === subscribed + 1, 'subscription');
      await server.restart();
      // The client resubscribes by itself.
      await until(() => server.log.count('subscribed') === subscribed + 2, 'subscription once more');
      const publish = 'mutation { publish(text: "again") }';
      return [await Promise.race([ended, results(client, publish)]), await results(client, publish)];
    },
    { retryAttempts: 100, shouldRetry: () => true, retryWait: () => new Promise((resolve) => setTimeout(resolve, 20)) },
  ),

  'other requests on the way': async ({ server }) => {
    const response = await fetch(`${server.origin}/hello`);
    return [response.status, await response.text(), (await fetch(`${server.origin}/graphql`)).status];
  },
};
