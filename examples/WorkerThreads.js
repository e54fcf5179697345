'use strict';

// As many servers as there are processors, each in a thread of its own. They share the port, and the system gives each
// of them a part of the connections. What is said at one is heard at all.
//
//   for i in 1 2 3 4; do curl localhost:9001; done
//   ws = new WebSocket('ws://localhost:9001'); ws.onmessage = (event) => console.log(event.data)

const os = require('node:os');
const { BroadcastChannel, Worker, parentPort, threadId, workerData } = require('node:worker_threads');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
const THREADS = Number(process.env.THREADS || os.availableParallelism());

const TOPIC = 'all';

if (parentPort) serve(workerData.port, parentPort);
else lead();

/** The main thread has no server: it starts the others, and waits for their end. */
async function lead() {
  /** @type {Set<Worker>} */
  const workers = new Set();
  let isEnding = false;

  const end = () => {
    isEnding = true;
    for (const worker of workers) worker.postMessage('end');
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);

  /**
   * @param {number} port
   * @returns {Promise<number>} the port that it listens on
   */
  const start = (port) =>
    new Promise((resolve) => {
      const worker = new Worker(__filename, { workerData: { port } });
      workers.add(worker);
      worker.once('message', resolve);
      worker.on('error', (error) => console.error(error));
      worker.on('exit', (code) => {
        workers.delete(worker);
        // With one of them gone something is wrong. Whoever has started us can start us again.
        if (code !== 0) process.exitCode = code;
        if (!isEnding) end();
      });
    });

  // With port 0 the system chooses one for the first, which the others have to know.
  const port = await start(wantedPort);
  if (isEnding) return;
  await Promise.all(Array.from({ length: THREADS - 1 }, () => start(port)));
  console.log(`Listening on port ${port} in ${THREADS} threads`);
}

/**
 * @param {number} port
 * @param {import('node:worker_threads').MessagePort} leader
 */
function serve(port, leader) {
  // Topics belong to an app, and an app to a thread. What is published in one goes to the others by this channel.
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
      // What is kept under a key is the same for all threads of the process.
      const visits = uWS.incInteger('visits', 1);
      res.writeHeader('Content-Type', 'application/json').end(JSON.stringify({ thread: threadId, visits }));
    })
    // Without an option, as several listen on the port. So could another program of the same user, unnoticed.
    .listen(port, (listenSocket, error) => {
      if (!listenSocket) throw error;
      leader.postMessage(uWS.us_socket_local_port(listenSocket));
    });

  channel.onmessage = (/** @type {any} */ { data }) => {
    app.publish(TOPIC, data.message, data.isBinary);
  };
  // A thread ends when nothing is left that could happen in it: no connection, and no message from other threads.
  // GracefulShutdown.js has a better way to part from clients.
  leader.once('message', () => {
    app.close();
    channel.close();
  });
}
