'use strict';

// Programs that speak HTTP/1.0: ApacheBench, and nginx as a reverse proxy with its default settings.

const assert = require('node:assert/strict');
const { execFile, spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');
const { promisify } = require('node:util');
const { freePort } = require('../support/freePort.js');
const { noise } = require('../support/noise.js');
const { serve } = require('../support/server.js');
const { httpUrl } = require('../support/tls.js');
const { ours } = require('../support/uws.js');
const { noConnectionLeft, until } = require('../support/wait.js');

/** For one program on a loaded machine, in milliseconds. */
const PATIENCE = 60_000;
const LONG = noise(3 << 20);

/** Returns why a program cannot be run, or false. */
function reasonToSkip(program, option) {
  return ours.skip || (spawnSync(program, [option]).error ? `there is no ${program}` : false);
}

function routes(app) {
  app
    .get('/', (res) => res.end('Hello World!'))
    .get('/pieces', (res) => {
      for (const piece of ['Hello', ' ', 'World!']) res.write(piece);
      res.end();
    })
    .get('/later', (res) => {
      res.onAborted(() => {});
      setImmediate(() => res.cork(() => res.end('Hello World!')));
    })
    .get('/long', (res) => {
      res.onAborted(() => {});
      res.write(LONG.subarray(0, 1000));
      res.end(LONG.subarray(1000));
    })
    .get('/no-content', (res) => res.writeStatus('204 No Content').end())
    .post('/upload', (res) => {
      res.onAborted(() => {});
      res.collectBody(LONG.length, (body) => {
        const bytes = Buffer.from(new Uint8Array(body));
        res.cork(() => res.end(bytes));
      });
    });
}

describe('ApacheBench', { skip: reasonToSkip('ab', '-V') }, () => {
  const { port } = serve({ after }, routes);
  const REQUESTS = 200;

  /** Runs ApacheBench, and returns its counts by the names it prints. */
  async function ab(...args) {
    const { stdout } = await promisify(execFile)('ab', ['-q', '-n', `${REQUESTS}`, '-c', '10', ...args], {
      timeout: PATIENCE,
    });
    return Object.fromEntries(
      Array.from(stdout.matchAll(/^([^:\n]+):\s+(\d+)/gm), ([, name, count]) => [name, Number(count)]),
    );
  }

  for (const [target, keptAlive] of [
    ['/', REQUESTS],
    ['/later', REQUESTS],
    ['/pieces', 0],
  ]) {
    it(`gets ${target} on new connections, and where it may keep them on ${keptAlive} kept ones`, async () => {
      const once = await ab(`${httpUrl(port)}${target}`);
      assert.equal(once['Complete requests'], REQUESTS);
      assert.equal(once['Failed requests'], 0);
      assert.equal(once['HTML transferred'], REQUESTS * 'Hello World!'.length);
      const kept = await ab('-k', `${httpUrl(port)}${target}`);
      assert.equal(kept['Complete requests'], REQUESTS);
      assert.equal(kept['Failed requests'], 0);
      assert.equal(kept['Keep-Alive requests'], keptAlive);
      assert.equal(kept['Non-2xx responses'], undefined);
    });
  }

  it('sends bodies, and asks for heads', async () => {
    const sent = await ab('-k', '-p', __filename, '-T', 'text/plain', `${httpUrl(port)}/upload`);
    assert.equal(sent['Failed requests'], 0);
    assert.equal(sent['HTML transferred'], REQUESTS * fs.statSync(__filename).size);
    const heads = await ab('-k', '-i', `${httpUrl(port)}/nowhere`);
    assert.equal(heads['Complete requests'], REQUESTS);
    assert.equal(heads['Keep-Alive requests'], REQUESTS);
  });
});

describe('nginx as a proxy', { skip: reasonToSkip('nginx', '-v') }, () => {
  const { port } = serve({ after }, routes);
  let child;
  let folder;
  let proxy;

  before(async () => {
    proxy = await freePort();
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'milliways-nginx-'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const config = `
      daemon off;
      master_process off;
      pid ${folder}/pid;
      error_log stderr;
      events {}
      http {
        access_log off;
        ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n')}
        client_max_body_size 0;
        upstream kept { server 127.0.0.1:${port}; keepalive 4; }
        server {
          listen 127.0.0.1:${proxy};
          location /1.0/ { proxy_http_version 1.0; proxy_pass ${httpUrl(port)}/; }
          location /1.0-kept/ {
            proxy_http_version 1.0;
            proxy_set_header Connection keep-alive;
            proxy_pass ${httpUrl(port).replace(/127.*/, 'kept')}/;
          }
          location /1.1/ { proxy_http_version 1.1; proxy_pass ${httpUrl(port)}/; }
        }
      }`;
    fs.writeFileSync(path.join(folder, 'nginx.conf'), config);
    child = spawn('nginx', ['-e', 'stderr', '-c', path.join(folder, 'nginx.conf')], { stdio: 'inherit' });
    const answers = () => get('/1.0/').then(Boolean, () => child.exitCode !== null);
    await until(answers, 'answer of nginx', PATIENCE);
  });
  after(async () => {
    if (child?.exitCode === null) {
      child.kill();
      await once(child, 'exit');
    }
    fs.rmSync(folder, { recursive: true, force: true });
  });

  /** Makes a request to nginx, and returns the response and whether it is complete. */
  async function get(target, { method = 'GET', body = '' } = {}) {
    const request = http.request({ port: proxy, host: '127.0.0.1', path: target, method, agent: false });
    request.end(body);
    const [response] = await once(request, 'response');
    const chunks = await response.toArray();
    return { status: response.statusCode, body: Buffer.concat(chunks), isComplete: response.complete };
  }

  for (const version of ['1.0', '1.0-kept', '1.1']) {
    it(`in HTTP/${version} gets every kind of answer`, async () => {
      for (const target of ['', 'later', 'pieces']) {
        for (let i = 0; i < 3; i += 1) {
          const { status, body, isComplete } = await get(`/${version}/${target}`);
          assert.deepEqual([status, body.toString(), isComplete], [200, 'Hello World!', true], target);
        }
      }
      assert.equal((await get(`/${version}/no-content`)).status, 204);
      assert.equal((await get(`/${version}/nowhere`)).status, 404);
      const long = await get(`/${version}/long`);
      assert.ok(long.isComplete && long.body.equals(LONG));
      assert.equal((await get(`/${version}/nowhere`, { method: 'HEAD' })).status, 404);
    });

    it(`in HTTP/${version} sends a body`, async () => {
      const { status, body } = await get(`/${version}/upload`, { method: 'POST', body: LONG });
      assert.equal(status, 200);
      assert.ok(body.equals(LONG));
    });
  }
});

after(noConnectionLeft);
