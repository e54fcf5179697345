'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { Script } = require('./support/Script.js');
const { clientOptions, webSocketUrl } = require('./support/tls.js');
const { ours } = require('./support/uws.js');
const { deadline, noConnectionLeft, until } = require('./support/wait.js');
const { ECHO, CALLS, serveLogged, connectLogged } = require('./support/websocket.js');

describe('a WebSocket', () => {
  it('can be extended, and its methods replaced', async (t) => {
    const { client, ws } = await connectLogged(t);
    ws.sendJson = (value) => ws.send(JSON.stringify(value));
    const send = ws.send;
    ws.send = (message) => send.call(ws, `<${message}>`);
    ws.sendJson({ a: 1 });
    assert.equal(await client.readText(), '<{"a":1}>');
  });

  it('throws when a method is called on something else', ours, async (t) => {
    const { client, ws } = await connectLogged(t);
    for (const name of Object.keys(CALLS)) {
      for (const other of [undefined, null, {}, 5]) assert.throws(() => ws[name].call(other, () => {}), name);
    }
    ws.send('alive');
    assert.equal(await client.readText(), 'alive');
  });

  it('is the same object for the whole of its life, also when nobody else keeps it', async () => {
    const { code, reports } = await Script.run(
      async ({ App, uWS: { us_socket_local_port: localPort }, RawSocket: Client, frames: { text }, report }) => {
        let port;
        const app = App().ws('/*', {
          open: (ws) => {
            ws.count = 0;
          },
          message: (ws) => {
            ws.count += 1;
            ws.send(`${ws.count}`);
          },
          close: (ws) => report('close', ws.count),
        });
        app.listen('127.0.0.1', 0, (token) => {
          port = localPort(token);
        });
        const client = await Client.upgrade(port, '/');
        for (let i = 1; i <= 5; i += 1) {
          globalThis.gc();
          client.write(text('x'));
          report('text', await client.readText());
        }
        app.close();
        client.destroy();
      },
      { execArgv: ['--expose-gc'] },
    );
    const texts = ['1', '2', '3', '4', '5'].map((count) => ['text', count]);
    assert.deepEqual({ code, reports }, { code: 0, reports: [...texts, ['close', 5]] });
  });
});

describe('many connections', () => {
  it('come, talk and go at once', async (t) => {
    const { port, log } = serveLogged(t, ECHO);
    const count = 200;
    const clients = Array.from({ length: count }, () => new WebSocket(webSocketUrl(port), clientOptions));
    await deadline(Promise.all(clients.map((client) => once(client, 'open'))), `${count} connections`);
    const answers = clients.map(async (client, i) => {
      client.send(`hello ${i}`);
      const [data] = await once(client, 'message');
      return data.toString();
    });
    assert.deepEqual(
      await deadline(Promise.all(answers), 'every answer'),
      clients.map((_, i) => `hello ${i}`),
    );
    clients.forEach((client, i) => (i % 2 ? client.close(1000) : client.terminate()));
    await until(() => log.count('close') === count, 'the end of all of them');
    await noConnectionLeft();
  });
});

after(noConnectionLeft);
