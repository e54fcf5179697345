'use strict';

// Servers written for uWebSockets.js, of 2019 and of today, which run unchanged in examples/.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs/promises');
const path = require('node:path');
const readline = require('node:readline');
const { describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { fetch } = require('../support/http.js');
const { modulePath, root, isReference, ours } = require('../support/uws.js');
const { EventLog } = require('../support/EventLog.js');
const { freePort } = require('../support/freePort.js');
const { deadline } = require('../support/wait.js');

let copies = 0;

/** Runs a copy of a fixture in examples/, on a given port or a free one. */
async function drop(t, name, wantedPort) {
  copies += 1;
  const file = path.join(root, 'examples', `dropin-${process.pid}-${copies}-${name}`);
  const text = await fs.readFile(path.join(__dirname, 'fixtures', name), 'utf8');
  const own = "require('../dist/uws.js')";
  assert.ok(text.includes(own));
  await fs.writeFile(file, isReference ? text.replace(own, `require(${JSON.stringify(modulePath)})`) : text);
  t.after(() => fs.rm(file, { force: true }));

  const port = wantedPort ?? (await freePort());
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const log = new EventLog();
  readline.createInterface({ input: child.stdout }).on('line', (line) => log.add(line));
  const ended = once(child, 'close');
  return {
    port,
    log,
    /** Waits for it to exit by itself. */
    async exit() {
      const [code, signal] = await deadline(ended, 'end of the server');
      return { code, signal };
    },
  };
}

/** Sends a message, and returns the next one and whether it was binary. */
async function exchange(client, data, options) {
  const answer = once(client, 'message');
  client.send(data, options);
  const [received, isBinary] = await deadline(answer, 'message');
  return { text: received.toString(), isBinary };
}

describe('a server written for uWebSockets.js, dropped into examples/', () => {
  it('of version 15.1, from 2019, runs unchanged', ours, async (t) => {
    const { port, log, exit } = await drop(t, 'v15.js');
    await log.next(`Listening to port ${port}`);

    const client = new WebSocket(`ws://localhost:${port}/room?a=b`, { headers: { 'X-Name': 'Ford' } });
    await once(client, 'open');
    await log.next('connected via /room by Ford');
    assert.deepEqual(await exchange(client, 'hello'), { text: 'hello', isBinary: false });
    assert.deepEqual(await exchange(client, Buffer.from('bytes')), { text: 'bytes', isBinary: true });
    await log.next('echoed on /room: true');
    assert.equal((await fetch(port, '/x', { method: 'POST' })).body, 'Nothing to see here! post');
    assert.equal((await fetch(port, '/shutdown')).body, 'Good bye');
    assert.deepEqual(await exchange(client, 'still there'), { text: 'still there', isBinary: false });
    client.close(1000, 'so long');
    await once(client, 'close');
    await log.next('closed /room: 1000 so long');
    assert.deepEqual(await exit(), { code: 0, signal: null });
  });

  it('of version 20 runs unchanged', async (t) => {
    const { port, log, exit } = await drop(t, 'v20.js');
    await log.next(`up on ${port}`);

    const first = new WebSocket(`ws://localhost:${port}/chat`);
    await once(first, 'open');
    await log.next('client 1 of 1');
    const second = new WebSocket(`ws://localhost:${port}/chat`);
    await once(second, 'open');
    await log.next('client 2 of 2');

    const heard = once(second, 'message');
    assert.deepEqual(await exchange(first, 'to all'), { text: 'to all', isBinary: false });
    assert.equal((await deadline(heard, 'message'))[0].toString(), 'to all');
    second.close(4000, 'bored');
    await log.next('client 2 left: 4000 bored');

    const { headers, body } = await fetch(port, '/later');
    assert.deepEqual({ later: headers['x-later'], body }, { later: 'yes', body: 'later at /later' });
    const missing = await fetch(port, '/missing');
    assert.deepEqual({ status: missing.status, body: missing.body }, { status: 404, body: 'no /missing' });

    const closed = once(first, 'close');
    assert.equal((await fetch(port, '/shutdown')).body, 'bye');
    const [code, reason] = await deadline(closed, 'close');
    assert.deepEqual([code, reason.toString()], [1001, 'going away']);
    await log.next('client 1 left: 1001 going away');
    assert.deepEqual(await exit(), { code: 0, signal: null });
  });

  it('says so when its port is in use, and ends', async (t) => {
    const first = await drop(t, 'v20.js');
    await first.log.next(`up on ${first.port}`);
    const second = await drop(t, 'v20.js', first.port);
    await second.log.next('port in use');
    assert.deepEqual(await second.exit(), { code: 0, signal: null });
    await fetch(first.port, '/shutdown');
    assert.deepEqual(await first.exit(), { code: 0, signal: null });
  });
});
