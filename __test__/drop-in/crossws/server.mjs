// A chat with rooms and a service with routes, on crossws and uWebSockets.js.

import crossws from 'crossws/adapters/uws';
import uWS from 'uWebSockets.js';
import { listening, note, port } from './serving.cjs';

const LIMITS = { maxPayloadLength: 2_000_000, maxBackpressure: 64 * 1024 * 1024 };

process.on('uncaughtException', (error) => note('uncaught', error.message));

const chat = crossws({
  idleTimeout: 60,
  uws: { ...LIMITS, compression: uWS.SHARED_COMPRESSOR },
  handleProtocols: (offered) => (offered.has('chat.v2') ? 'chat.v2' : undefined),
  hooks: {
    upgrade: (request) => doorman(new URL(request.url), request),
    open(peer) {
      const { remoteAddress, namespace, context, topics, websocket, request, peers } = peer;
      if (context.isQuiet) return;
      peer.send({
        remoteAddress,
        namespace,
        context,
        topics: [...topics],
        protocol: websocket.protocol,
        extensions: websocket.extensions,
        url: websocket.url,
        readyState: websocket.readyState,
        agent: request.headers.get('x-agent'),
        isAmongPeers: peers.has(peer),
      });
    },
    message(peer, message) {
      if (peer.context.isEcho) peer.send(message.uint8Array());
      else talk(peer, message, message.json());
    },
    drain: (peer) => note('drain', peer.bufferedAmount),
    ping: (peer, data) => note('ping', Buffer.from(data).toString()),
    pong: (peer, data) => note('pong', Buffer.from(data).toString()),
    close(peer, { code }) {
      const { context, namespace, websocket, topics, remoteAddress } = peer;
      if (context.isQuiet) return;
      note('closed', { code, name: context.name, namespace, state: websocket.readyState, remoteAddress });
      const tries = {
        send: () => peer.send('too late'),
        subscribe: () => peer.subscribe('too late'),
        publish: () => peer.publish('too late', ''),
        terminate: () => peer.terminate(),
        bufferedAmount: () => peer.bufferedAmount,
        ping: () => peer.ping(),
      };
      if (context.isStubborn) note('too late', Object.entries(tries).map(attempt), [...topics]);
    },
    error: (peer, error) => note('error', error.name, error.message),
  },
});

/** Decides which upgrades are accepted, and how. */
function doorman(url, request) {
  const name = url.searchParams.get('name') ?? undefined;
  const cookies = request.headers.get('cookie') ?? undefined;
  switch (url.pathname) {
    case '/chat/refused':
      return new Response('Not you.', { status: 403, headers: { 'x-reason': 'mood' } });
    case '/chat/refused/json':
      return Response.json({ error: 'money' }, { status: 402, statusText: 'Payment Required' });
    case '/chat/refused/silently':
      return new Response(null, { status: 401, headers: { 'www-authenticate': 'Basic realm="chat"' } });
    case '/chat/refused/at-length':
      return new Response(new Blob([Buffer.alloc(300_000, 'no ')]).stream(), { status: 409, statusText: 'Conflict' });
    case '/chat/refused/thrown':
      throw new Response('Thrown out.', { status: 410, statusText: 'Gone' });
    case '/chat/refused/error':
      throw Object.assign(new Error('no'), { response: new Response('Gone wrong.', { status: 418 }) });
    case '/chat/headers': {
      const headers = new Headers({ 'x-seen': `${cookies}`, 'x-powered-by': 'crossws' });
      headers.append('set-cookie', 'a=1; Path=/');
      headers.append('set-cookie', 'b=2; HttpOnly');
      return { headers };
    }
    case '/chat/protocol':
      return { protocol: 'own.protocol' };
    case '/chat/elsewhere':
      return { namespace: 'elsewhere', context: { name } };
    case '/chat/stubborn':
      return { context: { name, isStubborn: true } };
    case '/chat/echo':
      return { context: { isEcho: true, isQuiet: true } };
    case '/chat/hall':
      return { context: { name, isQuiet: true } };
    default:
      return { context: { name, cookies } };
  }
}

const values = {
  number: 1.5,
  bigint: 12n,
  boolean: false,
  nothing: undefined,
  null: null,
  text: 'Grüße',
  empty: '',
  object: { deep: { list: [1, 2] } },
  bytes: new Uint8Array([0, 255]),
  buffer: new Uint8Array([1, 2, 3]).buffer,
  words: new Uint16Array([513, 1027]),
};

const commands = {
  describe: (peer, message) => ({
    raw: Object.prototype.toString.call(message.rawData),
    text: message.text(),
    string: `${message}`,
    bytes: message.uint8Array().length,
    buffer: message.arrayBuffer().byteLength,
    blob: message.blob().size,
    data: Object.prototype.toString.call(message.data),
  }),
  values: (peer) => Object.keys(values).map((name) => peer.send(values[name])),
  join: (peer, message, topic) => {
    peer.subscribe(topic);
    return [...peer.topics];
  },
  leave: (peer, message, topic) => {
    peer.unsubscribe(topic);
    return [...peer.topics];
  },
  say: (peer, message, topic, text, options) => {
    peer.publish(topic, text, options);
    return 'said';
  },
  sayBytes: (peer, message, topic, length) => {
    peer.publish(topic, Buffer.alloc(length, 'b'));
    return 'said';
  },
  shout: (peer, message, topic, text, options) => {
    chat.publish(topic, text, options);
    return 'shouted';
  },
  repeat: (peer, message, length, options) => void peer.send('r'.repeat(length), options),
  peers: (peer) => peer.peers.size,
  bye: (peer, message, code, reason) => peer.close(code, reason),
  die: (peer) => peer.terminate(),
  fail: (peer, message, text) => {
    throw new Error(text);
  },
  ping: (peer, message, data) => peer.ping(data),
  later: async (peer, message) => {
    const text = message.text();
    await new Promise(setImmediate);
    return `later ${text.length}`;
  },
  flood: async (peer, message, count, size) => {
    for (let index = 0; index < count; index += 1) peer.send(Buffer.alloc(size, index));
    const hasWaited = peer.bufferedAmount > 0;
    await peer.waitForDrain({ threshold: 1000, pollInterval: 10 });
    if (peer.websocket.readyState === 1) peer.send({ hasWaited });
  },
};

function talk(peer, message, [command, ...args]) {
  const answer = commands[command](peer, message, ...args);
  if (answer instanceof Promise) answer.then((value) => value !== undefined && peer.send({ answer: value }));
  else if (answer !== undefined) peer.send({ answer });
}

function attempt([name, run]) {
  try {
    return [name, run()];
  } catch (error) {
    return [name, error.message];
  }
}

// Frameworks look hooks up for each request, either synchronously or asynchronously.
const routes = {
  now: {
    message: (peer, message) => void peer.send(message.uint8Array()),
    close: (peer, { code }) => note('route closed', peer.namespace, code),
    ping: (peer, data) => note('route ping', Buffer.from(data).toString()),
  },
  promised: {
    upgrade: () => ({ headers: { 'x-route': 'promised' }, context: { count: 0 } }),
    async message(peer, message) {
      peer.context.count += 1;
      peer.send(`${peer.context.count} ${message.text()}`);
    },
  },
  refusing: { upgrade: async () => new Response('Not here.', { status: 403 }) },
};
const service = crossws({
  uws: LIMITS,
  getNamespace: (request) => `service ${new URL(request.url).pathname}`,
  resolve(request) {
    const hooks = routes[new URL(request.url).pathname.split('/')[2]];
    return hooks === routes.now ? hooks : Promise.resolve(hooks);
  },
});

const app = uWS.App();
app.ws('/chat/*', chat.websocket);
app.ws('/service/*', service.websocket);
app.get('/peers', (res) => {
  const count = (adapter) => [...adapter.peers.values()].reduce((sum, peers) => sum + peers.size, 0);
  res.end(String(count(chat) + count(service)));
});
app.post('/publish/:topic', (res, req) => {
  const topic = req.getParameter(0);
  const namespace = req.getQuery('namespace');
  let body = Buffer.alloc(0);
  res.onAborted(() => {});
  res.onData((chunk, isLast) => {
    body = Buffer.concat([body, Buffer.from(chunk)]);
    if (!isLast) return;
    chat.publish(topic, body.toString(), { namespace });
    res.end('published');
  });
});
app.post('/close', async (res) => {
  res.onAborted(() => {});
  await chat.close(4000, 'closing time');
  res.cork(() => res.end('closed'));
});
app.any('/*', (res) => res.end('nothing here'));

app.listen('127.0.0.1', port, (token) => listening(token, () => app.close()));
