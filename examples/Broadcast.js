'use strict';

// The same data for everybody: each client that connects gets the price of towels whenever it changes.
//
//   ws = new WebSocket('ws://localhost:9001'); ws.onmessage = (event) => console.log(event.data)
//   curl localhost:9001

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Milliseconds between two prices. */
const INTERVAL = Number(process.env.INTERVAL || 1000);

const TOPIC = 'towels';

let quote = { tick: 0, price: 42 };
/** @type {NodeJS.Timeout | undefined} */
let timer;

const app = uWS.App();

app
  .ws('/*', {
    open: (ws) => {
      // Send the current price. The client gets all later ones automatically.
      ws.send(JSON.stringify(quote));
      ws.subscribe(TOPIC);
    },
    // A subscription ends when its client disconnects, in whatever way. There is nothing else to do.
    subscription: (ws, topic, newCount) => {
      if (newCount === 0) stop();
      else start();
    },
  })
  .get('/', (res) => {
    res.end(`Towels are at ${quote.price}; ${app.numSubscribers(TOPIC)} clients know.\n`);
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

function start() {
  if (timer) return;
  console.log('Trading');
  timer = setInterval(() => {
    const change = (Math.random() - 0.5) / 10;
    quote = { tick: quote.tick + 1, price: Number((quote.price * (1 + change)).toFixed(2)) };
    // One call sends one message to any number of subscribers. A client that reads too slowly does not delay the
    // others, but misses messages; see SlowReceiver.js.
    app.publish(TOPIC, JSON.stringify(quote));
  }, INTERVAL);
}

/** Stops the timer when there are no clients, so that it does not keep the machine awake. */
function stop() {
  clearInterval(timer);
  timer = undefined;
  console.log(`Nobody is here: stopped after tick ${quote.tick}`);
}
