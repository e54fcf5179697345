// GraphQL over WebSockets, on uWebSockets.js.

import { buildSchema } from 'graphql';
import { makeBehavior } from 'graphql-ws/use/uWebSockets';
import uWS from 'uWebSockets.js';
import { listening, note, port } from './serving.cjs';

const schema = buildSchema(`
  type Query { hello(name: String = "world"): String!, echo(text: String!): String!, fail: String }
  type Mutation { publish(text: String!): Int! }
  type Subscription { count(to: Int!, size: Int = 1): String!, published: String! }
`);

const subscribers = new Set();

/** Iterates over published texts until the subscriber leaves. A generator could not be ended while it waits. */
function published() {
  const queue = [];
  const waiting = [];
  const receive = (text) => {
    const value = { published: text };
    if (waiting.length > 0) waiting.shift()({ value, done: false });
    else queue.push(value);
  };
  subscribers.add(receive);
  note('subscribed', subscribers.size);
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (queue.length > 0) return { value: queue.shift(), done: false };
      return new Promise((resolve) => waiting.push(resolve));
    },
    async return() {
      if (subscribers.delete(receive)) note('unsubscribed', subscribers.size);
      for (const resolve of waiting.splice(0)) resolve({ value: undefined, done: true });
      return { value: undefined, done: true };
    },
  };
}

async function* count({ to, size }) {
  for (let number = 1; number <= to; number += 1) yield { count: String(number).padEnd(size, '.') };
}

const roots = {
  query: {
    hello: ({ name }) => `Hello, ${name}!`,
    echo: ({ text }) => text,
    fail: () => {
      throw new Error('as asked');
    },
  },
  mutation: {
    publish: ({ text }) => {
      for (const receive of subscribers) receive(text);
      return subscribers.size;
    },
  },
  subscription: {
    count,
    published,
  },
};

const app = uWS.App();
app.ws(
  '/graphql',
  makeBehavior(
    {
      schema,
      roots,
      connectionInitWaitTimeout: 500,
      context: ({ extra }) => ({ agent: extra.persistedRequest.headers['x-agent'] }),
      onConnect: ({ connectionParams, extra }) => {
        const { method, url, query, headers } = extra.persistedRequest;
        note('connect', method, url, query, headers['sec-websocket-protocol']);
        return connectionParams?.token !== 'wrong';
      },
      onDisconnect: (_context, code, reason) => note('disconnect', code, reason),
    },
    { maxPayloadLength: 100_000, compression: uWS.SHARED_COMPRESSOR, idleTimeout: 30 },
  ),
);
app.get('/hello', (res) => res.end('hello'));

app.listen('127.0.0.1', port, (token) => {
  listening(token, () => app.close());
});
