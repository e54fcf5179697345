// A server in a thread of its own, which gets its connections from an acceptor.

import { parentPort, workerData } from 'node:worker_threads';
import HyperExpress from 'hyper-express';

const server = new HyperExpress.Server({ auto_close: false });
server.get('/who', (_request, response) => response.json({ thread: workerData }));
server.post('/echo', async (request, response) => response.send(await request.buffer()));
server.ws('/socket', (socket) => socket.on('message', (message) => socket.send(`${workerData}: ${message}`)));

// This keeps the thread running, whichever package is below.
parentPort.on('message', () => {});
parentPort.postMessage(server.get_descriptor());
