'use strict';

// ArrayBuffers whose bytes were transferred: there is nothing left to send.

const assert = require('node:assert/strict');
const { after, describe, it } = require('node:test');
const { RawSocket } = require('./support/RawSocket.js');
const frames = require('./support/frames.js');
const { fetch } = require('./support/http.js');
const { App, serve } = require('./support/server.js');
const { ours, uWS } = require('./support/uws.js');
const { noConnectionLeft } = require('./support/wait.js');

const SAMPLE_KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const DETACHED = { name: 'Error', code: 'ERR_MILLIWAYS_DETACHED_BUFFER', message: /detached/ };

/** Returns detached buffers and views of every type that is accepted as data. */
function detachedOnes() {
  const make = (view) => {
    const buffer = new ArrayBuffer(16);
    const value = view(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    return value;
  };
  const memory = new WebAssembly.Memory({ initial: 1 });
  const ofMemory = new Uint8Array(memory.buffer, 0, 16);
  memory.grow(1);
  return [
    make((buffer) => buffer),
    make((buffer) => new Uint8Array(buffer)),
    make((buffer) => new Uint8Array(buffer, 4, 8)),
    make((buffer) => Buffer.from(buffer)),
    make((buffer) => new Float64Array(buffer)),
    ofMemory,
  ];
}

/** Asserts that every call throws for every detached buffer or view. */
function refuseAll(calls) {
  for (const [name, call] of Object.entries(calls)) {
    for (const detached of detachedOnes()) assert.throws(() => call(detached), DETACHED, name);
  }
}

describe('what is detached is refused', ours, () => {
  it('by a WebSocket, which sends nothing then', async (t) => {
    const { app, port } = serve(t, (routes) =>
      routes.ws('/*', {
        compression: uWS.SHARED_COMPRESSOR,
        message: (ws) => {
          refuseAll({
            send: (data) => ws.send(data),
            'send, binary': (data) => ws.send(data, true),
            'send, compressed': (data) => ws.send(data, true, true),
            sendFirstFragment: (data) => ws.sendFirstFragment(data, true),
            ping: (data) => ws.ping(data),
            end: (data) => ws.end(1000, data),
            subscribe: (data) => ws.subscribe(data),
            unsubscribe: (data) => ws.unsubscribe(data),
            isSubscribed: (data) => ws.isSubscribed(data),
            'publish, a topic': (data) => ws.publish(data, 'x'),
            'publish, a message': (data) => ws.publish('nobody', data),
            'publish of an app, a topic': (data) => app.publish(data, 'x'),
            'publish of an app, a message': (data) => app.publish('nobody', data),
            numSubscribers: (data) => app.numSubscribers(data),
          });
          ws.sendFirstFragment('a');
          refuseAll({
            sendFragment: (data) => ws.sendFragment(data),
            sendLastFragment: (data) => ws.sendLastFragment(data),
          });
          ws.sendLastFragment('z');
          // A buffer that is merely empty is not detached.
          for (const empty of [new ArrayBuffer(0), new Uint8Array(0), Buffer.alloc(0)]) ws.send(empty, true);
          ws.send('end');
        },
      }),
    );
    const client = await RawSocket.upgrade(port, '/');
    client.write(frames.text('go'));
    const received = [];
    do {
      const { opcode, payload } = await client.readFrame();
      received.push([opcode, payload.toString()]);
    } while (received.at(-1)[1] !== 'end');
    assert.deepEqual(received, [
      [frames.OPCODE.TEXT, 'a'],
      [frames.OPCODE.CONTINUATION, 'z'],
      ...Array.from({ length: 3 }, () => [frames.OPCODE.BINARY, '']),
      [frames.OPCODE.TEXT, 'end'],
    ]);
    client.destroy();
  });

  it('by a request and a response, which can still be answered', async (t) => {
    const { port } = serve(t, (app) =>
      app
        .get('/:name', (res, req) => {
          refuseAll({
            getHeader: (data) => req.getHeader(data),
            getQuery: (data) => req.getQuery(data),
            getParameter: (data) => req.getParameter(data),
            writeStatus: (data) => res.writeStatus(data),
            'writeHeader, a name': (data) => res.writeHeader(data, 'x'),
            'writeHeader, a value': (data) => res.writeHeader('x', data),
            write: (data) => res.write(data),
            end: (data) => res.end(data),
            'tryEnd, all': (data) => res.tryEnd(data),
            'tryEnd, a piece': (data) => res.tryEnd(data, 10),
          });
          res.end('answered');
        })
        .ws('/ws', {
          upgrade: (res, req, context) => {
            refuseAll({
              'upgrade, the key': (data) => res.upgrade({}, data, '', '', context),
              'upgrade, the protocol': (data) => res.upgrade({}, SAMPLE_KEY, data, '', context),
              'upgrade, the extensions': (data) => res.upgrade({}, SAMPLE_KEY, '', data, context),
            });
            res.upgrade({}, SAMPLE_KEY, '', '', context);
          },
        }),
    );
    const { status, body } = await fetch(port, '/name?query');
    assert.deepEqual([status, String(body)], [200, 'answered']);
    (await RawSocket.upgrade(port, '/ws')).destroy();
  });

  it('by an app and the functions of the module', (t) => {
    const app = App();
    t.after(() => app.close());
    const contentType = 'multipart/form-data; boundary=x';
    refuseAll({
      get: (data) => app.get(data, () => {}),
      any: (data) => app.any(data, () => {}),
      ws: (data) => app.ws(data, {}),
      'listen, a host': (data) => app.listen(data, 0, () => {}),
      listen_unix: (data) => app.listen_unix(() => {}, data),
      'getParts, a body': (data) => uWS.getParts(data, contentType),
      'getParts, a type': (data) => uWS.getParts('x', data),
      getString: (data) => uWS.getString(data),
      'setString, a value': (data) => uWS.setString('key', data),
      getInteger: (data) => uWS.getInteger(data),
      incInteger: (data) => uWS.incInteger(data, 1),
      getStringKeys: (data) => uWS.getStringKeys(data),
      deleteStringCollection: (data) => uWS.deleteStringCollection(data),
      key: (data) => uWS.SSLApp({ key: data, cert: 'x' }),
      cert: (data) => uWS.SSLApp({ cert: data }),
      cert_file_name: (data) => uWS.SSLApp({ cert_file_name: data }),
    });
    const [declared] = detachedOnes();
    assert.throws(() => app.get('/*', declared), DETACHED);
  });
});

after(noConnectionLeft);
