'use strict';

// Tells load balancers and orchestrators how the server is.
//
//   curl -i localhost:9001/live      whether it runs: if it does not answer, restart it
//   curl -i localhost:9001/ready     whether it takes new clients: if it does not, send none, and leave those it has alone
//   kill -TERM PROCESS               takes no new clients, waits until that has been noticed, and shuts down

const { setTimeout: delay } = require('node:timers/promises');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
/** Milliseconds in which every load balancer checks often enough to notice: longer than their intervals. */
const NOTICE = Number(process.env.NOTICE || 5000);
/** Milliseconds after which the remaining connections are cut. */
const GRACE = Number(process.env.GRACE || 10_000);

let isReady = false;

// Install the handlers before anybody can know that the server is running.
process.once('SIGTERM', shutDown);
process.once('SIGINT', shutDown);

const app = uWS
  .App()
  // Whoever answers here has a thread that is not blocked, and that is all. In particular it does not ask whether a
  // database is there: to restart the server would not bring the database back.
  .get('/live', (res) => {
    res.end('alive\n');
  })
  // HAProxy takes 404 to mean that clients who are here may stay; for others, such as Kubernetes, it is a failure like
  // any other status from 400 on.
  .get('/ready', (res) => {
    if (isReady) res.end('ready\n');
    else res.writeStatus('404 Not Found').end('not ready\n');
  })
  .ws('/*', {
    message: (ws, message, isBinary) => {
      ws.send(message, isBinary);
    },
  })
  .listen(wantedPort, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

start();

/** Does what has to be done before the first client: connect to a database, fill caches. */
async function start() {
  await delay(10);
  isReady = true;
}

async function shutDown() {
  isReady = false;
  console.log('Not ready any more');
  // Until load balancers have noticed, they send clients, who must not find the port closed.
  await delay(NOTICE);
  await app.shutdown?.({ timeout: GRACE });
  console.log('Shut down');
}
