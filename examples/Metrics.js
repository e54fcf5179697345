'use strict';

// Lets Prometheus see what the server does. Metrics.dashboard.json shows it in Grafana.
//
//   curl localhost:9002/metrics
//
// In Prometheus:
//
//   scrape_configs:
//     - job_name: my-server
//       static_configs: [{ targets: ['localhost:9002'] }]

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);
const wantedMetricsPort = Number(process.env.METRICS_PORT || 9002);

/** The program's own numbers go with those of the server. */
let chats = 0;

uWS
  .App()
  .ws('/*', {
    open: (ws) => {
      ws.subscribe('chat');
    },
    message: (ws, message, isBinary) => {
      chats += 1;
      ws.publish('chat', message, isBinary);
    },
  })
  .get('/*', (res) => {
    res.end('Hello\n');
  })
  .listen(wantedPort, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

// Not everybody who can reach the server should see this, so it has a port of its own. It is an app like any other and
// counts its requests, too. A thread that is blocked cannot answer: a worker thread could do it, since the numbers of all
// threads can be read in each of them.
uWS
  .App()
  .get('/metrics', (res) => {
    res
      .writeHeader('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
      .end(
        `${uWS.metrics()}# HELP chat_messages_total Messages of the chat.\n# TYPE chat_messages_total counter\nchat_messages_total ${chats}\n`,
      );
  })
  .listen('127.0.0.1', wantedMetricsPort, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Metrics on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });
