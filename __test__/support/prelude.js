'use strict';

// The first argument of a function that runs in its own process or worker thread; see Script.js and `startWorker`.

const fs = require('node:fs');
const { Worker } = require('node:worker_threads');

/**
 * Reports an event to the parent. It is written synchronously, even from a worker thread, so that nothing is lost if
 * the process ends next.
 */
function report(name, ...details) {
  fs.writeSync(1, `${JSON.stringify([name, ...details])}\n`);
}

/** Runs `main(prelude, parentPort, workerData)` in a worker thread; the function is sent as source text. */
function startWorker(main, workerData) {
  const source = `{
    const { parentPort, workerData } = require('node:worker_threads');
    (${main})(require(${JSON.stringify(__filename)}), parentPort, workerData);
  }`;
  return new Worker(source, { eval: true, workerData });
}

module.exports = {
  ...require('./uws.js'),
  ...require('./wait.js'),
  ...require('./RawSocket.js'),
  ...require('./server.js'),
  ...require('./tls.js'),
  frames: require('./frames.js'),
  secure: require('./secure.js'),
  report,
  startWorker,
};
