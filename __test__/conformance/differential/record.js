'use strict';

// Writes expected.json, the responses of uWebSockets.js and milliways to every entry of the corpus:
//
//     node __test__/conformance/differential/record.js           both
//     node __test__/conformance/differential/record.js --ours    only milliways; the rest is kept
//
// It prints how often each of the known differences occurred, and the responses that differ without a reason in
// differences.js: they have to be fixed, or be given a reason. It installs uWebSockets.js as the benchmarks do. Service
// and client share a process, as in the test, so that splits take effect where they should.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { corpus, digest } = require('./corpus/index.js');
const { DIFFERENCES, differenceFor } = require('./differences.js');

const EXPECTED = path.join(__dirname, 'expected.json');
const BENCH = path.join(__dirname, '../../../bench');
const REFERENCE = path.join(BENCH, 'node_modules/uwebsockets');

async function main() {
  const theirs = process.argv.includes('--ours') ? recorded() : await askReference();
  const ours = [];
  const end = await run([process.execPath], {}, ours);
  if (ours.length < corpus.length) throw new Error(`milliways ends with ${end} at ${corpus[ours.length].name}`);
  write(theirs, ours);
  report(theirs, ours);
}

/** Returns the recorded responses of uWebSockets.js, in the order of the corpus. */
function recorded() {
  const { corpus: recordedDigest, answers, entries } = require(EXPECTED);
  if (recordedDigest !== digest()) throw new Error('the corpus has changed: uWebSockets.js has to be asked again');
  return corpus.map(({ name }) => ({ ...entries[name], text: answers[entries[name].theirs] }));
}

async function askReference() {
  const { preparePeers } = await import(path.join(BENCH, 'peers.mjs'));
  const { command, binary } = await preparePeers({ mustBeRight: true, say: console.log });
  console.log(binary);
  const answers = [];
  while (answers.length < corpus.length) {
    const end = await run(command, { MILLIWAYS_TEST_MODULE: REFERENCE }, answers);
    if (answers.length === corpus.length) break;
    // The next entry crashed the process. A new process continues after it.
    answers.push({ crashed: `uWebSockets.js ends with ${end}` });
  }
  return answers;
}

/** Appends the responses to the entries after those known, until the process ends; returns its exit code or signal. */
async function run(command, env, answers) {
  const child = spawn(command[0], [...command.slice(1), __filename, '--from', String(answers.length)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  readline.createInterface({ input: child.stdout }).on('line', (line) => answers.push({ text: JSON.parse(line) }));
  const [code, signal] = await once(child, 'close');
  return signal ?? code;
}

function write(theirs, ours) {
  const answers = new Map();
  const indexOf = (text) => {
    if (!answers.has(text)) answers.set(text, answers.size);
    return answers.get(text);
  };
  const entries = corpus.map(({ name }, i) => {
    const entry = 'crashed' in theirs[i] ? { crashed: theirs[i].crashed } : { theirs: indexOf(theirs[i].text) };
    if (theirs[i].text !== ours[i].text) entry.ours = indexOf(ours[i].text);
    return [name, entry];
  });
  const lines = (values) => values.map((value) => `    ${JSON.stringify(value)}`).join(',\n');
  const named = entries.map(([name, entry]) => `    ${JSON.stringify(name)}: ${JSON.stringify(entry)}`).join(',\n');
  const json =
    `{\n  "corpus": "${digest()}",\n  "answers": [\n${lines([...answers.keys()])}\n  ],\n` +
    `  "entries": {\n${named}\n  }\n}\n`;
  // Non-ASCII characters are escaped, so that every editor treats the file as text.
  const escape = (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  fs.writeFileSync(EXPECTED, json.replace(/[\x7f-\uffff]/g, escape));
}

function report(theirs, ours) {
  const counts = new Map(DIFFERENCES.map((difference) => [difference, 0]));
  let unexplained = 0;
  corpus.forEach((entry, i) => {
    if (theirs[i].text === undefined || theirs[i].text === ours[i].text) return;
    const difference = differenceFor(entry, theirs[i].text, ours[i].text);
    if (difference === undefined) {
      unexplained += 1;
      console.log(
        `for no reason: ${entry.name}\n${JSON.stringify([entry.bytes, theirs[i].text, ours[i].text], null, 2)}`,
      );
    } else {
      counts.set(difference, counts.get(difference) + 1);
    }
  });
  const all = [...counts.values()].reduce((sum, count) => sum + count, unexplained);
  console.log(
    `${corpus.length} entries, ${corpus.length - all} with equal answers; ${unexplained} differ for no reason`,
  );
  for (const [{ reason }, count] of counts) console.log(`${String(count).padStart(6)}  ${reason}`);
}

/** Runs in the child process: prints the responses from an entry on, one per line. */
async function answerFrom(first) {
  const { exchange } = require('./exchange.js');
  const { service } = require('./service.js');
  const { uWS } = require('../../support/uws.js');
  const app = service(uWS);
  let token;
  app.listen('127.0.0.1', 0, (listenSocket) => {
    token = listenSocket;
  });
  const port = uWS.us_socket_local_port(token);
  for (const { bytes } of corpus.slice(first)) {
    // Written synchronously, so that nothing is lost if the next entry crashes the process.
    fs.writeSync(1, `${JSON.stringify(await exchange(port, bytes))}\n`);
  }
  process.exit(0);
}

const from = process.argv.indexOf('--from');
if (from > 0) answerFrom(Number(process.argv[from + 1]));
else main();
