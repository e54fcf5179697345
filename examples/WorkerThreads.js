'use strict';

// Runs one server per processor, each in its own thread. A message that is published in one thread reaches the clients
// of all threads.
//
// By default the threads share the port, and the system distributes the connections among them. With ACCEPTOR=1 the
// main thread accepts all connections and hands them over to the others in turn, so that each gets as many.
//
//   for i in 1 2 3 4; do curl localhost:9001; done
//   ws = new WebSocket('ws://localhost:9001'); ws.onmessage = (event) => console.log(event.data)

const os = require('node:os');
const { BroadcastChannel, Worker, parentPort, threadId, workerData } = require('node:worker_threads');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
const THREADS = Number(process.env.THREADS || os.availableParallelism());

const ACCEPTOR = Boolean(process.env.ACCEPTOR);

const TOPIC = 'all';

if (parentPort) serve(workerData.port, parentPort);
else lead();

/** The main thread starts the others and waits until they end. */
async function lead() {
  /** @type {import('../dist/uws.js').TemplatedApp | undefined} */
  let acceptor;
  /** @type {Set<Worker>} */
  const workers = new Set();
  let isEnding = false;

  const end = () => {
    isEnding = true;
    acceptor?.close();
    for (const worker of workers) worker.postMessage('end');
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);

  /**
   * @param {number} [port]
   * @returns {Promise<number>} the port that it listens on, or its app's descriptor if there is an acceptor
   */
  const start = (port) =>
    new Promise((resolve) => {
      const worker = new Worker(__filename, { workerData: { port } });
      workers.add(worker);
      worker.once('message', resolve);
      worker.on('error', (error) => console.error(error));
      worker.on('exit', (code) => {
        workers.delete(worker);
        // Something is wrong if one of them ends. Whoever started this process can restart it.
        if (code !== 0) process.exitCode = code;
        if (!isEnding) end();
      });
    });

  if (ACCEPTOR) {
    const descriptors = await Promise.all(Array.from({ length: THREADS }, () => start()));
    if (isEnding) return;
    acceptor = uWS.App();
    for (const descriptor of descriptors) acceptor.addChildAppDescriptor(descriptor);
    acceptor.listen(wantedPort, (listenSocket, error) => {
      if (!listenSocket) throw error;
      const port = uWS.us_socket_local_port(listenSocket);
      console.log(`Listening on port ${port} for ${THREADS} threads`);
    });
    return;
  }
  // With port 0 the system chooses a port for the first thread, and the others have to use the same.
  const port = await start(wantedPort);
  if (isEnding) return;
  await Promise.all(Array.from({ length: THREADS - 1 }, () => start(port)));
  console.log(`Listening on port ${port} in ${THREADS} threads`);
}

/**
 * @param {number | undefined} port undefined if an acceptor hands connections over
 * @param {import('node:worker_threads').MessagePort} leader
 */
function serve(port, leader) {
  // Topics belong to an app, and an app belongs to a thread. This channel passes published messages on to the other
  // threads.
  const channel = new BroadcastChannel(TOPIC);
  const app = uWS.App();

  app
    .ws('/*', {
      open: (ws) => {
        ws.subscribe(TOPIC);
        ws.send(`Welcome to thread ${threadId}.`);
      },
      message: (ws, message, isBinary) => {
        app.publish(TOPIC, message, isBinary);
        // The message is copied for each of the other threads.
        channel.postMessage({ message, isBinary });
      },
    })
    .get('/', (res) => {
      // All threads of the process share the values of the key-value store.
      const visits = uWS.incInteger('visits', 1);
      res.writeHeader('Content-Type', 'application/json').end(JSON.stringify({ thread: threadId, visits }));
    });

  if (port === undefined) {
    // This app does not listen. It lives from here on, and gets connections once the acceptor has its descriptor.
    leader.postMessage(app.getDescriptor());
  } else {
    // Without an option, so that several threads can listen on the port. Note that another program of the same user
    // could do so, too.
    app.listen(port, (listenSocket, error) => {
      if (!listenSocket) throw error;
      leader.postMessage(uWS.us_socket_local_port(listenSocket));
    });
  }

  channel.onmessage = (/** @type {any} */ { data }) => {
    app.publish(TOPIC, data.message, data.isBinary);
  };
  // A thread ends when it has nothing left to wait for: no connection, and no message from other threads.
  // GracefulShutdown.js shows a better way to disconnect clients.
  leader.once('message', () => {
    app.close();
    channel.close();
  });
}
