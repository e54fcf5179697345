'use strict';

// Shared by the tests of examples that read or write files.

const assert = require('node:assert/strict');
const fs = require('node:fs/promises');
const os = require('node:os');
const path = require('node:path');
const { RawSocket } = require('../support/RawSocket.js');
const { request } = require('../support/http.js');
const { until } = require('../support/wait.js');

async function temporaryFolder(t) {
  const folder = await fs.realpath(await fs.mkdtemp(path.join(os.tmpdir(), 'milliways-example-')));
  t.after(() => fs.rm(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Requests a file of this size, which exceeds the system's buffers, and reads nothing until the example has stopped
 * reading the file, too.
 */
async function stuck(t, example, target, size) {
  const client = await RawSocket.connect(example.port);
  t.after(() => client.destroy());
  const before = await bytesRead(example);
  client.pause();
  client.write(request(target));
  let last = before;
  let unchanged = 0;
  await until(async () => {
    const now = await bytesRead(example);
    unchanged = now === last ? unchanged + 1 : 0;
    last = now;
    return now > before && unchanged === 10;
  }, 'standstill');
  assert.ok(last - before < size, `${last - before} bytes were read`);
  return client;
}

/** Returns how many bytes the example has read from files. */
async function bytesRead(example) {
  return Number(/^rchar: (\d+)$/m.exec(await fs.readFile(`/proc/${example.pid}/io`, 'utf8'))[1]);
}

/** Returns the files in a folder that the example has open. */
async function openFiles(example, folder) {
  const links = await fs.readdir(`/proc/${example.pid}/fd`);
  const targets = links.map((link) => fs.readlink(`/proc/${example.pid}/fd/${link}`).catch(() => ''));
  return (await Promise.all(targets)).filter((target) => target.startsWith(folder));
}

module.exports = { temporaryFolder, stuck, openFiles };
