'use strict';

// A server that does all kinds of things for a moment, and its clients. __test__/operations.test.js looks at the system
// calls of this process.

const fs = require('node:fs/promises');
const os = require('node:os');
const path = require('node:path');
const zlib = require('node:zlib');
const { promisify } = require('node:util');
const { Worker } = require('node:worker_threads');
const { once } = require('node:events');
const { Agent, fetch } = require('undici');
const { WebSocket } = require('ws');
const { ordinaryCertificate } = require('../support/certificates.js');
const { uWS } = require('../support/uws.js');

async function main() {
  const { key, cert } = ordinaryCertificate();
  const ca = await fs.readFile(cert);
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'milliways-busy-'));
  const dispatcher = new Agent({ connect: { ca }, keepAliveTimeout: 1 });
  const apps = [uWS.App(), uWS.SSLApp({ key_file_name: key, cert_file_name: cert })];
  for (const app of apps) {
    app
      .ws('/*', { compression: uWS.SHARED_COMPRESSOR, message: (ws, message) => ws.send(message, true, true) })
      .post('/*', (res) => {
        res.onAborted(() => {});
        res.collectBody(1 << 24, (body) => res.cork(() => res.end(body)));
      });
    let port;
    app.listen('localhost', 0, (token) => {
      port = uWS.us_socket_local_port(token);
    });
    const isSecure = app === apps[1];
    const address = `://localhost:${port}`;
    const url = isSecure ? `https${address}` : `http${address}`;
    const response = await fetch(url, { method: 'POST', body: Buffer.alloc(1 << 22), dispatcher });
    await response.arrayBuffer();
    const webSocket = new WebSocket(url.replace('http', 'ws'), { ca });
    await once(webSocket, 'open');
    webSocket.send(Buffer.alloc(1 << 14));
    await once(webSocket, 'message');
    const shutdown = app.shutdown();
    await Promise.all([once(webSocket, 'close'), shutdown]);
  }
  uWS.App().listen_unix((token) => uWS.us_listen_socket_close(token), path.join(folder, 'socket'));
  // What programs do themselves.
  await promisify(zlib.gzip)(Buffer.alloc(1 << 20));
  await once(new Worker('0', { eval: true }), 'exit');
  await fs.rm(folder, { recursive: true });
  await dispatcher.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
