'use strict';

// The client process of descriptors.js: WebSockets, a quarter of them with TLS, that wait as long as it takes until the
// server accepts them. Its arguments are the ports without and with TLS.

const { once } = require('node:events');
const net = require('node:net');
const tls = require('node:tls');
const { upgradeRequest } = require('../../support/RawSocket.js');
const frames = require('../../support/frames.js');

const REQUEST = upgradeRequest('/plain');
const HELLO = frames.text('hello');
const ANSWER = frames.text('hello', { mask: null });

const [port, securePort] = process.argv.slice(2).map(Number);
/** Those that have been served, and have not left. */
const served = new Set();
let servedInAll = 0;
let onServed = () => {};

/** Connects to a listening socket; resolves once the kernel has, whether or not the server accepts. */
async function enter(number) {
  const isSecure = number % 4 === 0;
  const tcp = net.connect(isSecure ? securePort : port, '127.0.0.1');
  await once(tcp, 'connect');
  const socket = isSecure ? tls.connect({ socket: tcp, rejectUnauthorized: false }) : tcp;
  socket.on('close', () => served.has(member) && process.send({ lost: true }));
  const member = { tcp, socket };
  socket.once('data', async () => {
    await say(member);
    served.add(member);
    servedInAll += 1;
    onServed();
  });
  socket.write(REQUEST);
}

/** Has a message echoed. */
async function say({ socket }) {
  socket.write(HELLO);
  const [answer] = await once(socket, 'data');
  if (!answer.equals(ANSWER)) throw new Error(`another answer: ${answer.toString('hex')}`);
}

const COMMANDS = {
  async enter({ count }) {
    await Promise.all(Array.from({ length: count }, (_, number) => enter(number)));
  },
  /** Resolves once this many have been served, from the beginning on. */
  async served({ count }) {
    while (servedInAll < count) {
      await new Promise((resolve) => {
        onServed = resolve;
      });
    }
  },
  /** Has a message echoed to each that has been served. */
  async say() {
    await Promise.all([...served].map(say));
  },
  /** Lets some that have been served leave. */
  async leave({ count }) {
    for (const member of [...served].slice(0, count)) {
      served.delete(member);
      member.socket.destroy();
      member.tcp.destroy();
    }
  },
};

process.on('message', async ({ command, ...options }) => {
  try {
    await COMMANDS[command](options);
    process.send({ served: servedInAll, present: served.size });
  } catch (error) {
    process.send({ failed: `${command}: ${error.stack}` });
  }
});
process.on('disconnect', () => process.exit());
