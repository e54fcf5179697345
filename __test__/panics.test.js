'use strict';

// A panic is a bug of milliways. Wherever it happens, it ends one connection, or none, and becomes an uncaughtException
// with the code ERR_MILLIWAYS_INTERNAL; everything else goes on. `_provoke` makes a layer panic when it is next reached.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { Script } = require('./support/Script.js');
const { overTLS } = require('./support/tls.js');
const { ours, uWS } = require('./support/uws.js');

/** What makes each layer be reached, by a connection that may be lost. */
const PROVOKED = {
  Accept: 'connect',
  Command: 'hand over',
  Read: 'message',
  Handshake: 'connect',
  Http: 'request',
  Route: 'request',
  Response: 'request',
  WebSocket: 'message',
  Send: 'message',
  Publish: 'publish',
  Deadline: 'deadline',
  Close: 'end',
  Settle: 'message',
  Visit: 'shutdown',
  Call: 'request',
  Event: 'message',
  Sweep: 'sweep',
  Loop: 'message',
};

/** Provokes a panic in a server with other connections, and reports what has become of all of them. */
async function scenario({ App, uWS: module, RawSocket, frames, until, report }, layer, way) {
  const errors = [];
  process.on('uncaughtException', (error) => errors.push(error));
  const closed = [];
  const behavior = {
    message: (ws, message, isBinary) => {
      const text = Buffer.from(message).toString();
      if (text === 'publish') app.publish('all', 'published');
      else if (text === 'end') ws.end(4000);
      else ws.send(message, isBinary);
    },
    close: (_ws, code) => closed.push(code),
  };
  const app = App({ idleTimeout: 1 })
    .ws('/*', behavior)
    .ws('/victim', { ...behavior, open: (ws) => ws.subscribe('all') })
    .get('/*', (res) => res.end('answered'));
  let port;
  app.listen('127.0.0.1', 0, (token) => (port = module.us_socket_local_port(token)));
  const other = App().get('/*', (res) => res.end('other'));
  const upgraded = await Promise.all([RawSocket.upgrade(port, '/'), RawSocket.upgrade(port, '/')]);
  const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

  // The connection that may be lost.
  const victim = ['message', 'end', 'publish'].includes(way) ? await RawSocket.upgrade(port, '/victim') : undefined;
  let client = victim;
  if (way === 'hand over') app.addChildAppDescriptor(other.getDescriptor());
  if (way === 'request' || way === 'deadline') client = await RawSocket.connect(port);
  module._provoke(layer);
  if (way === 'connect' || way === 'hand over') client = await RawSocket.connect(port).catch(() => undefined);
  if (way === 'request') client.write(request);
  if (way === 'message' || way === 'end' || way === 'publish') client.write(frames.text(way));
  if (way === 'sweep') App().any('/*', () => {});
  if (way === 'shutdown') {
    const third = App().ws('/*', { close: (_ws, code) => closed.push(code) });
    let thirdPort;
    third.listen('127.0.0.1', 0, (token) => (thirdPort = module.us_socket_local_port(token)));
    client = await RawSocket.upgrade(thirdPort, '/');
    third.shutdown({ timeout: 5000 });
  }
  await until(() => errors.length > 0, `panic in ${layer}`);
  const isLost =
    client === undefined ||
    (await client.readToEnd().then(
      () => true,
      () => true,
    ));
  client?.destroy();
  if (way === 'hand over') app.close();

  // The others live, and new ones come.
  const alive = [];
  if (way !== 'hand over') {
    for (const [i, socket] of upgraded.entries()) {
      socket.write(frames.text(`alive ${i}`));
      alive.push(await socket.readText());
      socket.destroy();
    }
    const next = await RawSocket.connect(port);
    next.write(request);
    alive.push((await next.readResponse()).body);
    next.destroy();
  }
  report('result', { codes: errors.map((error) => error.code), isLost, alive });
  app.close();
  other.close();
}

describe('a panic', ours, () => {
  it('can be provoked in each of these layers', () => {
    const layers = uWS._provoke('none').sort();
    assert.deepEqual(layers, Object.keys(PROVOKED).sort());
  });

  for (const [layer, way] of Object.entries(PROVOKED)) {
    if (layer === 'Handshake' && !overTLS) continue;
    it(`in the layer ${layer} is reported, and ends one connection at most`, async () => {
      const { code, signal, reports, stderr } = await Script.run(scenario, { args: [layer, way], timeout: 30_000 });
      assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
      const alive = way === 'hand over' ? [] : ['alive 0', 'alive 1', 'answered'];
      const [[, result]] = reports;
      assert.deepEqual(result.alive, alive);
      assert.deepEqual(result.codes, ['ERR_MILLIWAYS_INTERNAL']);
      // These panic outside of any connection.
      if (!['Sweep', 'Loop'].includes(layer)) assert.ok(result.isLost);
    });
  }
});
