// Counts the instructions of the protocol core's hot paths under callgrind, and compares them with the recorded counts
// in bench/results/instructions.json.
//
//   node bench/instructions.mjs            fails if a count differs by more than 5 %
//   node bench/instructions.mjs --update   records the current counts
//
// Counts do not depend on the load of the machine. They depend on the compiler and, where a library chooses an
// implementation by CPU features (SHA-1, UTF-8, copying), on the processor.

import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BuildError, root, runMain, rustEnvironment } from '../scripts/build.mjs';

const ALLOWED = 0.05;
/** Each workload runs this often and twice as often; the difference excludes the cost of starting. */
const TIMES = 1000;

await runMain(import.meta.url, async (args) => {
  if (args.some((arg) => arg !== '--update')) throw new BuildError('usage: node bench/instructions.mjs [--update]');
  const file = path.join(root, 'bench/results/instructions.json');
  const kept = JSON.parse(await readFile(file, 'utf8'));
  const program = await buildProgram();

  const counted = {};
  for (const name of spawnSync(program, { encoding: 'utf8' }).stdout.trim().split('\n')) {
    const count = (collect(program, name, 2 * TIMES) - collect(program, name, TIMES)) / TIMES;
    counted[name] = Number(count.toFixed(1));
    const before = kept[name];
    const change = before === undefined ? 'new' : `${((count / before - 1) * 100).toFixed(1)} %`;
    process.stdout.write(`${name.padEnd(22)} ${count.toFixed(1).padStart(10)} instructions, ${change}\n`);
  }
  if (args.includes('--update')) return writeFile(file, `${JSON.stringify(counted, null, 2)}\n`);

  const names = [...new Set([...Object.keys(kept), ...Object.keys(counted)])];
  // A large gain has to be recorded too, otherwise it could be lost again unnoticed.
  const changed = names.filter((name) => !(Math.abs(counted[name] / kept[name] - 1) <= ALLOWED));
  if (changed.length > 0) {
    throw new BuildError(
      `${changed.join(', ')}: not within ${ALLOWED * 100} % of the counts in bench/results/instructions.json. ` +
        'If the change is intended, record it: node bench/instructions.mjs --update',
    );
  }
});

async function buildProgram() {
  const args = ['bench', '-p', 'milliways-proto', '--bench', 'instructions', '--no-run'];
  const built = spawnSync('cargo', [...args, '--message-format', 'json-render-diagnostics'], {
    cwd: root,
    env: await rustEnvironment(),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: Infinity,
  });
  if (built.status !== 0) throw new BuildError('building the benchmark failed; its messages are above.');
  const messages = built.stdout.split('\n').filter((line) => line.startsWith('{'));
  return messages.map((line) => JSON.parse(line).executable).findLast(Boolean);
}

function collect(program, name, times) {
  const args = ['--tool=callgrind', '--callgrind-out-file=/dev/null', program, name, String(times)];
  const run = spawnSync('valgrind', args, { encoding: 'utf8' });
  if (run.error?.code === 'ENOENT') throw new BuildError('valgrind is missing; on Debian: apt-get install valgrind.');
  const collected = /Collected : (\d+)/.exec(run.stderr)?.[1];
  if (run.status !== 0 || collected === undefined) throw new BuildError(`valgrind failed:\n${run.stderr}`);
  return Number(collected);
}
