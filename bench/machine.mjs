// The machine under measurement: its description, the processors to use, and how much of their time others took.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import os from 'node:os';
import { BuildError, root } from '../scripts/build.mjs';

/** Describes the machine for the head of a table. */
export function describeMachine() {
  const name = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  const memory = `${Math.round(os.totalmem() / 2 ** 30)} GiB`;
  return `${os.cpus().length} × ${os.cpus()[0].model.trim()}, ${memory}, ${name}, Linux ${os.release()}`;
}

/** Returns the commit of the tree, with a + if files differ from it. */
export function describeCommit() {
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
  const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+';
  return `${git('rev-parse', '--short=10', 'HEAD')}${changed}`;
}

/**
 * Chooses processors for the server and the load that are not two threads of the same core, if the machine has such.
 *
 * @returns {{ server: number, load: number }}
 */
export function choosePair() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const allowed = parseList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)[1]);
  const [server] = allowed;
  const siblings = parseList(
    readFileSync(`/sys/devices/system/cpu/cpu${server}/topology/thread_siblings_list`, 'utf8'),
  );
  const load = allowed.find((cpu) => !siblings.includes(cpu)) ?? allowed[1];
  if (load === undefined)
    throw new BuildError('a benchmark needs two processors: one for the server, one for the load.');
  return { server, load };
}

/** Parses `0-2,5` as [0, 1, 2, 5]. */
function parseList(text) {
  return text.split(',').flatMap((range) => {
    const [first, last = first] = range.trim().split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/**
 * Starts to watch. The returned function returns the share of processor time that the hypervisor gave to others since.
 */
export function watchSteal() {
  const [total, stolen] = processorTimes();
  return () => {
    const [totalNow, stolenNow] = processorTimes();
    return (stolenNow - stolen) / Math.max(1, totalNow - total);
  };
}

function processorTimes() {
  // user nice system idle iowait irq softirq steal; guest times are part of user and nice. See proc_stat(5).
  const times = /^cpu\s+(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))[1].split(' ').slice(0, 8).map(Number);
  return [times.reduce((sum, time) => sum + time), times[7]];
}

/** Returns the CPU time of all threads of a process, in seconds. */
export async function cpuSeconds(pid) {
  let nanoseconds = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    nanoseconds += Number((await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')).split(' ')[0]);
  }
  return nanoseconds / 1e9;
}

/** Returns the bytes of anonymous memory that a process has in RAM. */
export async function anonymousBytes(pid) {
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}
