'use strict';

// The same for everybody: each client that connects gets the price of towels, as often as it changes.
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
      // What there is to know so far; the rest comes by itself.
      ws.send(JSON.stringify(quote));
      ws.subscribe(TOPIC);
    },
    // All that a subscription needs to end is that its client leaves, in whatever way.
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
    // One call, one message, however many there are. A client that reads too slowly does not delay the others: it
    // misses some; see SlowReceiver.js.
    app.publish(TOPIC, JSON.stringify(quote));
  }, INTERVAL);
}

/** A timer that nobody listens to would only keep the machine from sleeping. */
function stop() {
  clearInterval(timer);
  timer = undefined;
  console.log(`Nobody is here: stopped after tick ${quote.tick}`);
}
