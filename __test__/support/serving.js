'use strict';

// A server process for tests of several processes on one port. It answers with its process id.
//
//     node serving.js PORT            serves; with a parent, reports its port as a message
//     node serving.js PORT WORKERS    is a primary of node:cluster, and reports its workers' ids as JSON

const cluster = require('node:cluster');
const { App } = require('./server.js');
const { uWS } = require('./uws.js');

const [port, workers] = process.argv.slice(2).map(Number);

if (workers > 0 && cluster.isPrimary) lead();
else serve();

async function lead() {
  cluster.setupPrimary({ args: [] });
  const pids = [];
  for (let at = port; pids.length < workers;) {
    const worker = cluster.fork({ SERVING_PORT: at });
    at = await new Promise((resolve) => worker.once('listening', (address) => resolve(address.port)));
    pids.push(worker.process.pid);
    if (pids.length === workers) console.log(JSON.stringify({ port: at, pids, policy: cluster.schedulingPolicy }));
  }
}

function serve() {
  const { pid } = process;
  App()
    .ws('/*', {
      open: (ws) => ws.send(String(pid)),
      message: (ws, message, isBinary) => ws.send(message, isBinary),
    })
    .get('/*', (res) => res.end(String(pid)))
    .listen('127.0.0.1', port || Number(process.env.SERVING_PORT ?? 0), (token, error) => {
      if (!token) throw error;
      process.send?.({ port: uWS.us_socket_local_port(token) });
    });
  // A test that fails must not leave it behind.
  process.on('disconnect', () => process.exit());
}
