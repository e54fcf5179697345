'use strict';

// The server process of endurance.js and descriptors.js, which starts and ends worker threads with the same servers as its parent asks. It
// needs --expose-gc. Its arguments are the files of a certificate and its key.

const { getHeapStatistics } = require('node:v8');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { uWS } = require('../../support/uws.js');
const collect = require('./collect.js');

const MAX_LENGTH = 1 << 16;

const [certificate, key] = isMainThread ? process.argv.slice(2) : workerData;
let sockets = 0;

function addRoutes(app) {
  const echo = (compression) => ({
    compression,
    maxPayloadLength: MAX_LENGTH,
    // Those that are held do not answer Pings.
    idleTimeout: 0,
    message: (ws, message, isBinary) => ws.send(message, isBinary, compression !== uWS.DISABLED),
  });
  app
    .ws('/plain', echo(uWS.DISABLED))
    .ws('/shared', echo(uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR))
    .ws('/dedicated', echo(uWS.DEDICATED_COMPRESSOR_32KB | uWS.DEDICATED_DECOMPRESSOR))
    // Each has a topic of its own, and gets what it says by way of it.
    .ws('/topic', {
      maxPayloadLength: MAX_LENGTH,
      upgrade: (res, req, context) => {
        sockets += 1;
        const header = (name) => req.getHeader(`sec-websocket-${name}`);
        const topic = `topic ${sockets}`;
        res.upgrade({ topic }, header('key'), header('protocol'), header('extensions'), context);
      },
      open: (ws) => ws.subscribe(ws.topic),
      message: (ws, message, isBinary) => app.publish(ws.topic, message, isBinary),
    })
    .get('/hello', (res) => res.end('hello'))
    .post('/echo', (res) => {
      res.onAborted(() => {});
      res.collectBody(MAX_LENGTH, (body) => res.end(body));
    });
  return app;
}

function listen(app) {
  let port;
  app.listen('127.0.0.1', 0, (token, error) => {
    if (!token) throw error;
    port = uWS.us_socket_local_port(token);
  });
  return port;
}

const plain = addRoutes(uWS.App());
const secure = addRoutes(uWS.SSLApp({ cert_file_name: certificate, key_file_name: key }));
const listening = { port: listen(plain), securePort: listen(secure) };

/** What a worker does when it is told to end, without being terminated. */
const ENDS = {
  close: () => {
    for (const app of [plain, secure]) app.close();
    parentPort.close();
  },
  exit: () => process.exit(),
  throw: () => {
    throw new Error('this ends the thread');
  },
};

const workers = new Map();

const ANSWERS = {
  async collect() {
    await collect();
    return {};
  },
  stats: () => {
    // process.memoryUsage() would need a descriptor.
    const heap = getHeapStatistics();
    return { stats: uWS.stats(), heap: heap.used_heap_size + heap.external_memory };
  },
  cpu: () => ({ cpu: process.cpuUsage() }),
  async start({ id }) {
    const worker = new Worker(__filename, { workerData: [certificate, key] });
    worker.on('error', () => {});
    workers.set(id, worker);
    return new Promise((resolve, reject) => {
      worker.once('message', (ports) => resolve({ ...ports, threadId: worker.threadId }));
      worker.once('exit', () => reject(new Error('a worker has ended early')));
    });
  },
  /** Ends a worker, in the way that is asked for, which may be in the middle of what it does. */
  async end({ id, how }) {
    const worker = workers.get(id);
    workers.delete(id);
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    if (how === 'terminate') worker.terminate();
    else worker.postMessage(how);
    await exited;
    return {};
  },
};

if (isMainThread) {
  process.on('message', async ({ ask, ...options }) => {
    try {
      process.send(await ANSWERS[ask](options));
    } catch (error) {
      process.send({ failed: `${ask}: ${error.stack}` });
    }
  });
  process.on('disconnect', () => process.exit());
  process.send(listening);
} else {
  parentPort.on('message', (how) => ENDS[how]());
  parentPort.postMessage(listening);
}
