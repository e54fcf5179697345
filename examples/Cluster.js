'use strict';

// Runs one server per processor, each in a process of its own, by node:cluster. They share the port, and the kernel
// distributes the connections among them. A process that dies takes its own clients with it, and no others: they
// reconnect to the others, and another process takes its place.
//
//   for i in 1 2 3 4; do curl localhost:9001; done
//   kill -9 PROCESS          one of those that answered; the clients of the others notice nothing
//   kill -HUP PRIMARY        restarts one process after the other, with the program as it is now on disk
//   kill -TERM PRIMARY       ends all of them, without cutting anybody off

// The types of Node declare the module itself as that of an `import`.
const cluster = /** @type {import('node:cluster').Cluster} */ (/** @type {unknown} */ (require('node:cluster')));
const { once } = require('node:events');
const os = require('node:os');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
const WORKERS = Number(process.env.WORKERS || os.availableParallelism());
/** Milliseconds after which a worker that is to end cuts its remaining connections. */
const GRACE = Number(process.env.GRACE || 5000);

const TOPIC = 'all';

if (cluster.isPrimary) lead();
else serve();

/** The primary serves nobody: it starts the workers, replaces those that die, and passes messages on between them. */
async function lead() {
  // Messages between processes may contain ArrayBuffers.
  cluster.setupPrimary({ serialization: 'advanced' });
  let isEnding = false;
  const end = () => {
    isEnding = true;
    cluster.disconnect();
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);

  // With port 0 the system chooses a port for the first worker, and the others have to use the same.
  const port = await start(wantedPort);
  if (port === undefined || isEnding) return;
  await Promise.all(Array.from({ length: WORKERS - 1 }, () => start(port)));

  cluster.on('exit', async (worker, code, signal) => {
    if (worker.exitedAfterDisconnect) return;
    console.error(`Process ${worker.process.pid} ended with ${signal ?? code}`);
    // A worker that cannot even start would be replaced forever. Whoever started this process can restart it.
    if (!isEnding && (await start(port)) === undefined) end();
  });
  cluster.on('message', (sender, message) => {
    for (const worker of Object.values(cluster.workers ?? {})) {
      if (worker && worker !== sender && worker.isConnected()) worker.send(message);
    }
  });

  let restarting = Promise.resolve();
  process.on('SIGHUP', () => {
    restarting = restarting.then(() => restart(port));
  });
  console.log(`Listening on port ${port} in ${WORKERS} processes`);
}

/**
 * Starts a worker.
 *
 * @param {number} port
 * @returns {Promise<number | undefined>} the port that it listens on, or undefined if it ended before it listened
 */
function start(port) {
  const worker = cluster.fork({ PORT: port });
  return new Promise((resolve) => {
    worker.once('listening', (address) => resolve(address.port));
    worker.once('exit', (code) => {
      if (code !== 0) process.exitCode = code ?? 1;
      resolve(undefined);
    });
  });
}

/**
 * Replaces every worker. A worker is disconnected when its successor listens, so there are never fewer than usual.
 *
 * @param {number} port
 */
async function restart(port) {
  for (const worker of Object.values(cluster.workers ?? {})) {
    if (!worker || (await start(port)) === undefined) return;
    const ended = once(worker, 'exit');
    worker.disconnect();
    await ended;
    console.log(`Replaced process ${worker.process.pid}`);
  }
}

function serve() {
  const app = uWS.App();
  app
    .ws('/*', {
      open: (ws) => {
        ws.subscribe(TOPIC);
        ws.send(`Welcome to process ${process.pid}.`);
      },
      message: (ws, message, isBinary) => {
        app.publish(TOPIC, message, isBinary);
        // The clients of other processes get it by way of the primary.
        if (process.connected) process.send?.({ message, isBinary });
      },
    })
    .get('/', (res) => {
      res
        .writeHeader('Content-Type', 'application/json')
        .end(JSON.stringify({ process: process.pid, primary: process.ppid }));
    })
    // Without an option, so that several processes can listen on the port. Note that another program of the same user
    // could do so, too.
    .listen(wantedPort, (listenSocket, error) => {
      if (!listenSocket) throw error;
    });

  process.on('message', (/** @type {any} */ { message, isBinary }) => {
    app.publish(TOPIC, message, isBinary);
  });
  // Ctrl+C signals every process of the terminal, and the primary tells this one to end.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => cluster.worker?.disconnect());
  // Nothing listens here any more. The process ends with its last connection.
  process.once('disconnect', () => app.shutdown?.({ reason: 'please reconnect', timeout: GRACE }));
}
