'use strict';

// What a function that runs in a process or a worker thread of its own is given; see Script.js and `startWorker`.

const fs = require('node:fs');
const { Worker } = require('node:worker_threads');

/** Tells the parent; written at once, from a worker thread too, so that nothing is lost when the process dies next. */
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
