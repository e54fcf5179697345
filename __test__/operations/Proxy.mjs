// nginx and HAProxy as child processes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import net from 'node:net';
import path from 'node:path';
import { BuildError, root } from '../../scripts/build.mjs';
import { debianPackages } from '../../scripts/debian.mjs';
import { freePort } from '../support/freePort.js';
import { listeningSockets } from '../support/listening.js';
import { deadline, until } from '../support/wait.js';
import { adapt } from './snippets.mjs';

/** For a program to start or to end on a loaded machine, in milliseconds. */
const PATIENCE = 60_000;

/** Returns the packages with both programs, or why they cannot be had. */
async function fetchPrograms() {
  try {
    const packages = ['nginx', 'libnginx-mod-stream', 'haproxy'];
    return { debian: await debianPackages(path.join(root, 'target', 'debian'), packages) };
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return { skip: error.message };
  }
}

const { debian, skip } = await fetchPrograms();

/** Why the programs cannot be run, or undefined. */
export { skip };

/** A running proxy. */
class Proxy {
  #child;
  #said = '';
  /** Where its files are. */
  folder;
  /** The ports by the names that its configuration has for them. */
  ports = {};

  constructor(owner) {
    this.folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'milliways-proxy-')));
    owner.after(async () => {
      await this.stop();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  file(name) {
    return path.join(this.folder, name);
  }

  /** Returns a free port for each of the names. */
  async allot(...names) {
    for (const name of names) this.ports[name] ??= await freePort();
    return names.map((name) => `127.0.0.1:${this.ports[name]}`);
  }

  async run(program, args) {
    this.#child = spawn(path.join(debian.root, program), args, { env: debian.env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (data) => (this.#said += data));
    }
    const [port] = Object.values(this.ports);
    const isThere = () => {
      if (this.#child.exitCode !== null)
        throw new Error(`${program} ended with ${this.#child.exitCode}: ${this.#said}`);
      return accepts(port);
    };
    await until(isThere, `connection to ${program}`, PATIENCE);
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** What it has written. */
  get said() {
    return this.#said;
  }

  /** The processes that serve: the children of the one that was started. */
  get workers() {
    const { pid } = this.#child;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  }

  /** Makes it read its configuration again, and resolves when only new processes accept connections. */
  async reload() {
    const before = this.workers;
    this.signal(this.reloadSignal);
    const accepts = (pid) => listeningSockets(pid).length > 0;
    const isReloaded = () => this.workers.some((pid) => !before.includes(pid) && accepts(pid)) && !before.some(accepts);
    await until(isReloaded, 'new process of the proxy', PATIENCE);
    return { before };
  }

  /** Resolves when these processes have ended. */
  async ended(pids) {
    await until(() => !this.workers.some((pid) => pids.includes(pid)), 'end of the old processes', PATIENCE);
  }

  async stop() {
    if (this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.signal('SIGTERM');
    await deadline(exited, 'end of the proxy', PATIENCE).catch(() => this.signal('SIGKILL'));
  }
}

function accepts(port) {
  const socket = net.connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).finally(() => socket.destroy());
}

export class Nginx extends Proxy {
  reloadSignal = 'SIGHUP';

  /** Starts nginx with a whole configuration in which `replacements` are made, as are those that every test needs. */
  static async start(owner, code, replacements) {
    const nginx = new Nginx(owner);
    nginx.configure(code, await replacements(nginx));
    const options = ['-e', 'stderr', '-p', nginx.folder, '-c', nginx.file('nginx.conf')];
    await nginx.run('usr/sbin/nginx', [...options, '-g', 'daemon off;']);
    return nginx;
  }

  configure(code, replacements) {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const always = {
      'user www-data;': `user ${userInfo().username};`,
      '/run/nginx.pid': this.file('pid'),
      'error_log /var/log/nginx/error.log;': 'error_log stderr;',
    };
    const folders = temporary.map((name) => `${name}_temp_path ${this.file(name)};`).join(' ');
    const adapted = adapt(code, { ...always, ...replacements }).replace('http {', `http { access_log off; ${folders}`);
    writeFileSync(this.file('nginx.conf'), adapted);
  }

  /** The directive that loads the module `stream`. */
  static get streamModule() {
    return `load_module ${debian.root}/usr/lib/nginx/modules/ngx_stream_module.so;`;
  }
}

export class HAProxy extends Proxy {
  reloadSignal = 'SIGUSR2';

  /** Starts HAProxy, like `Nginx.start`. */
  static async start(owner, code, replacements) {
    const haproxy = new HAProxy(owner);
    haproxy.configure(code, await replacements(haproxy));
    await haproxy.run('usr/sbin/haproxy', ['-W', '-f', haproxy.file('haproxy.cfg'), '-p', haproxy.file('pid')]);
    return haproxy;
  }

  configure(code, replacements) {
    const { username, gid } = userInfo();
    const always = {
      'user haproxy': `user ${username}`,
      'group haproxy': `gid ${gid}`,
      '/run/haproxy/admin.sock': this.file('admin.sock'),
      '/dev/log': 'stdout format raw',
      // Which needs twice as many descriptors.
      'maxconn 100000': 'maxconn 1000',
    };
    writeFileSync(this.file('haproxy.cfg'), adapt(code, { ...always, ...replacements }));
  }

  /** Sends a command to the runtime API, and resolves to the answer. */
  async command(line) {
    const socket = net.connect(this.file('admin.sock'));
    socket.end(`${line}\n`);
    return Buffer.concat(await deadline(socket.toArray(), `answer to '${line}'`)).toString();
  }

  /** Resolves to the status of a server, such as UP, DOWN or NOLB. */
  async statusOf(backend, server) {
    return (await this.statistics(backend, server)).status;
  }

  /** Resolves to what HAProxy reports of a server, all of it text. */
  async statistics(backend, server) {
    const [names, ...lines] = (await this.command('show stat')).split('\n').map((line) => line.split(','));
    const values = lines.find(([first, second]) => first === backend && second === server);
    return Object.fromEntries(names.map((name, index) => [name, values[index]]));
  }
}
