'use strict';

// Programs that speak TLS, each with its own implementation: OpenSSL (curl, Python, Node and openssl itself) and
// BoringSSL (Chromium).

const assert = require('node:assert/strict');
const { execFile, spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const tls = require('node:tls');
const { promisify } = require('node:util');
const { Agent, WebSocket, fetch } = require('undici');
const { makeCertificate, ordinaryCertificate, scratchFile } = require('../support/certificates.js');
const chromium = require('../support/chromium.js');
const { connectSecure, contents, files, getSecure, serveSecure } = require('../support/secure.js');
const { ours } = require('../support/uws.js');
const { deadline, noConnectionLeft } = require('../support/wait.js');

/** For one process on a loaded machine, in milliseconds. */
const PATIENCE = 60_000;
/** Longer than what a socket accepts at once, and than many records. */
const LONG = 3_000_000;

const ordinary = ordinaryCertificate();
const authority = makeCertificate({ names: ['authority'] });
const client = makeCertificate({ names: ['client'], issuer: authority });

/** Serves everything that the tests request; the other name has another certificate. */
function serveAll(owner, options = files(ordinary)) {
  const other = makeCertificate({ names: ['other.example'] });
  const { app, port } = serveSecure(
    owner,
    (routes) =>
      routes
        .get('/', (res) => res.writeHeader('Content-Type', 'text/html').end('<!doctype html><title>secure</title>'))
        .get('/long', (res) => res.end('x'.repeat(LONG)))
        .get('/certificate', (res) => res.end(res.getX509Certificate()))
        .post('/*', (res) => {
          res.onAborted(() => {});
          res.collectBody(2 * LONG, (body) => res.end(String(body.byteLength)));
        })
        .ws('/echo', {
          maxPayloadLength: LONG,
          maxBackpressure: 0,
          message: (ws, message, isBinary) => ws.send(message, isBinary),
        })
        .addServerName('other.example', files(other))
        .domain('other.example')
        .get('/', (res) => res.end('other')),
    options,
  );
  return { app, port, other };
}

/** Returns what a program prints, and rejects unless its exit status is 0. */
async function run(program, args) {
  return promisify(execFile)(program, args, { timeout: PATIENCE, maxBuffer: 2 * LONG });
}

/** Returns why a program cannot be run, or false. */
function reasonToSkip(program) {
  return spawnSync(program, ['--version']).error ? `there is no ${program}` : false;
}

describe('curl', { skip: reasonToSkip('curl') }, () => {
  const { port, other } = serveAll({ after }, { ...files(ordinary), ca_file_name: authority.cert });
  const curl = (...args) => run('curl', ['--silent', '--show-error', '--cacert', ordinary.cert, ...args]);

  for (const version of ['1.2', '1.3']) {
    const only = [`--tlsv${version}`, '--tls-max', version];

    it(`gets a page in TLS ${version}`, async () => {
      const { stdout } = await curl(...only, '--http1.1', `https://localhost:${port}/`);
      assert.equal(stdout, '<!doctype html><title>secure</title>');
    });

    it(`gets and sends what is long in TLS ${version}`, async () => {
      const { stdout } = await curl(...only, `https://localhost:${port}/long`);
      assert.equal(stdout.length, LONG);
      const sent = await curl(...only, '--data-binary', `@${__filename}`, `https://localhost:${port}/upload`);
      assert.equal(Number(sent.stdout), readFileSync(__filename).length);
    });
  }

  it('offers HTTP/2, and is answered that HTTP/1.1 will be spoken', ours, async () => {
    const write = ['--write-out', '%{http_version} %{num_connects}', '--output', '/dev/null'];
    const { stdout, stderr } = await curl('--http2', '--verbose', ...write, `https://localhost:${port}/`);
    assert.equal(stdout, '1.1 1');
    assert.match(stderr, /ALPN: server accepted http\/1\.1/);
  });

  it('says like a proxy where it comes from, before the handshake', ours, async (t) => {
    const source = (res) => res.end(res.getProxiedRemoteAddressAsText());
    const options = { ...files(ordinary), proxyProtocol: true };
    const proxied = serveSecure(t, (app) => app.get('/', source), options);
    const { stdout } = await curl('--haproxy-protocol', '--ipv4', `https://localhost:${proxied.port}/`);
    assert.equal(stdout, '127.0.0.1');
  });

  it('uses a connection again', async () => {
    const url = `https://localhost:${port}/certificate`;
    const { stdout } = await curl('--write-out', '%{num_connects}\n', url, url, url);
    assert.equal(stdout, '1\n0\n0\n');
  });

  it('gets the certificate of another name, and refuses the one that is not for its name', async () => {
    const to = ['--resolve', `other.example:${port}:127.0.0.1`, '--resolve', `wrong.example:${port}:127.0.0.1`];
    const { stdout } = await curl('--cacert', other.cert, ...to, `https://other.example:${port}/`);
    assert.equal(stdout, 'other');
    // 60: the certificate cannot be verified.
    await assert.rejects(curl(...to, `https://wrong.example:${port}/`), { code: 60 });
  });

  it('shows a certificate of its own', async () => {
    const own = ['--cert', client.cert, '--key', client.key];
    const { stdout } = await curl(...own, `https://localhost:${port}/certificate`);
    assert.equal(stdout, readFileSync(client.cert, 'latin1'));
  });

  after(noConnectionLeft);
});

describe('Python', { skip: reasonToSkip('python3') }, () => {
  const { port, other } = serveAll({ after }, { ...files(ordinary), ca_file_name: authority.cert });

  async function ask(task) {
    const whole = { ca: ordinary.cert, name: 'localhost', version: 'TLSv1_3', path: '/', alpn: [], client: null };
    const script = path.join(__dirname, 'clients', 'tls_client.py');
    const { stdout } = await run('python3', ['-B', script, JSON.stringify({ ...whole, port, ...task })]);
    return JSON.parse(stdout);
  }

  for (const version of ['TLSv1_2', 'TLSv1_3']) {
    it(`gets all of an answer, and close_notify behind it, in ${version}`, async () => {
      for (const [target, length] of [
        ['/', 36],
        ['/long', LONG],
      ]) {
        const answer = await ask({ version, path: target });
        assert.deepEqual([answer.version, answer.status, answer.length], [version.replace('_', '.'), '200', length]);
      }
    });
  }

  it('is told which of its protocols will be spoken', ours, async () => {
    assert.equal((await ask({ alpn: ['h2', 'http/1.1'] })).alpn, 'http/1.1');
    assert.equal((await ask({ alpn: ['http/1.1'] })).alpn, 'http/1.1');
    assert.equal((await ask({})).alpn, null);
  });

  it('gets the certificate of another name', async () => {
    assert.equal((await ask({ name: 'other.example', ca: other.cert })).body, 'other');
  });

  it('shows a certificate of its own', async () => {
    const { body } = await ask({ client, path: '/certificate' });
    assert.equal(body, readFileSync(client.cert, 'latin1'));
  });

  after(noConnectionLeft);
});

describe('Node', () => {
  const { port } = serveAll({ after });
  const ca = readFileSync(ordinary.cert);
  const url = `https://localhost:${port}`;

  it('by https uses a connection again, and sends and gets what is long', async (t) => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca });
    t.after(() => agent.destroy());
    const reused = [];
    const exchange = async (options, body) => {
      const request = https.request(`${url}${options.path}`, { agent, family: 4, ...options });
      request.end(body);
      const [response] = await deadline(once(request, 'response'), 'response');
      reused.push(request.reusedSocket);
      let length = 0;
      for await (const chunk of response) length += chunk.length;
      return length;
    };
    assert.equal(await exchange({ path: '/' }), 36);
    assert.equal(await exchange({ path: '/long' }), LONG);
    assert.equal(await exchange({ path: '/', method: 'POST' }, Buffer.alloc(LONG)), String(LONG).length);
    assert.deepEqual(reused, [false, true, true]);
  });

  it('by https resumes a session', async (t) => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
      const agent = new https.Agent({ keepAlive: false, ca, maxVersion });
      t.after(() => agent.destroy());
      const reused = [];
      for (let i = 0; i < 3; i += 1) {
        const request = https.get(`${url}/`, { agent, family: 4 });
        const [response] = await deadline(once(request, 'response'), 'response');
        reused.push(response.socket.isSessionReused());
        const ended = once(response, 'end');
        response.resume();
        await deadline(ended, 'end of the response');
      }
      assert.deepEqual(reused, [false, true, true], maxVersion);
    }
  });

  it('by undici fetches, and has a WebSocket', async (t) => {
    const dispatcher = new Agent({ connect: { ca, family: 4 } });
    t.after(() => dispatcher.destroy());
    const response = await fetch(`${url}/long`, { dispatcher });
    assert.equal((await response.text()).length, LONG);

    const ws = new WebSocket(`wss://localhost:${port}/echo`, { dispatcher });
    await deadline(once(ws, 'open'), 'open WebSocket');
    for (const length of [0, 5, LONG]) {
      ws.send('x'.repeat(length));
      const [{ data }] = await deadline(once(ws, 'message'), 'message');
      assert.equal(data.length, length);
    }
    ws.close(4001);
    const [{ code }] = await deadline(once(ws, 'close'), 'close');
    assert.equal(code, 4001);
  });

  it('is refused when it offers no protocol that is spoken', ours, async () => {
    await assert.rejects(getSecure(port, { ALPNProtocols: ['h2'] }), /alert no application protocol/);
    assert.equal((await getSecure(port, { ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'http/1.1');
    assert.equal((await getSecure(port)).alpn, false);
  });

  after(noConnectionLeft);
});

describe('openssl s_client', () => {
  const { port, other } = serveAll({ after }, { ...files(ordinary), ca_file_name: authority.cert });

  /** Requests a path with s_client, and returns everything that it prints. */
  async function ask(args, target = '/') {
    const whole = ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', '-verify_return_error', ...args];
    const child = spawn('openssl', whole, { stdio: ['pipe', 'pipe', 'pipe'], timeout: PATIENCE });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('latin1').on('data', (chunk) => {
        output += chunk;
      });
    }
    child.stdin.on('error', () => {});
    child.stdin.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    await deadline(once(child, 'close'), () => `end of s_client, which printed ${output}`, PATIENCE);
    return output;
  }

  const trusting = (pair, name) => ['-CAfile', pair.cert, '-servername', name, '-verify_hostname', name];

  for (const [version, option] of [
    ['TLSv1.2', '-tls1_2'],
    ['TLSv1.3', '-tls1_3'],
  ]) {
    it(`gets a page in ${version}`, async () => {
      const output = await ask([option, ...trusting(ordinary, 'localhost')]);
      assert.match(output, /^ *Verify return code: 0 \(ok\)$/m);
      assert.match(output, new RegExp(`^New, ${version}, Cipher is `, 'm'));
      assert.match(output, /<title>secure<\/title>/);
    });

    it(`resumes a session in ${version}`, async () => {
      const session = scratchFile('session.pem');
      const first = await ask([option, '-sess_out', session, ...trusting(ordinary, 'localhost')]);
      assert.match(first, /^New, /m);
      const second = await ask([option, '-sess_in', session, ...trusting(ordinary, 'localhost')]);
      assert.match(second, /^Reused, /m);
      assert.match(second, /<title>secure<\/title>/);
    });

    it(`shows a certificate of its own in ${version}`, async () => {
      const own = ['-cert', client.cert, '-key', client.key];
      const output = await ask([option, ...own, ...trusting(ordinary, 'localhost')], '/certificate');
      assert.ok(output.includes(readFileSync(client.cert, 'latin1')));
      assert.match(output, /^Acceptable client certificate CA names\n.*CN ?= ?authority$/m);
    });

    it(`gets the certificate of another name in ${version}`, async () => {
      const output = await ask([option, ...trusting(other, 'other.example')]);
      assert.match(output, /^ *Verify return code: 0 \(ok\)$/m);
      assert.match(output, /\r\n\r\nother/);
    });

    it(`is told in ${version} that nobody can renegotiate unseen`, async () => {
      const output = await ask([option, ...trusting(ordinary, 'localhost')]);
      // RFC 5746 applies to TLS 1.2. It prevents a handshake from being passed off as a renegotiation, but does not
      // enable renegotiation.
      const expected = version === 'TLSv1.2' ? /^Secure Renegotiation IS supported$/m : /^Secure Renegotiation IS NOT/m;
      assert.match(output, expected);
      assert.match(output, /^Compression: NONE$/m);
    });
  }

  it('has no version before TLS 1.2', async () => {
    for (const option of ['-tls1', '-tls1_1']) {
      const output = await ask([option, '-cipher', 'ALL:@SECLEVEL=0', ...trusting(ordinary, 'localhost')]);
      assert.match(output, /alert protocol version/);
    }
  });

  after(noConnectionLeft);
});

describe('Chromium', { skip: chromium.reasonToSkip() }, () => {
  const { port } = serveAll({ after });
  let browser;

  it('opens a page, fetches, and has a WebSocket', async () => {
    browser = await chromium.launch();
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    page.setDefaultTimeout(chromium.PATIENCE);
    const response = await page.goto(`https://localhost:${port}/`);
    assert.equal(await page.title(), 'secure');
    assert.equal((await response.securityDetails()).protocol, 'TLS 1.3');
    const seen = await deadline(
      page.evaluate(async (length) => {
        const { WebSocket: Client, fetch: get, location, performance, isSecureContext } = globalThis;
        const long = await (await get('/long')).text();
        const sent = await (await get('/upload', { method: 'POST', body: 'x'.repeat(length) })).text();
        const ws = new Client(`wss://${location.host}/echo`);
        const next = (name) =>
          new Promise((resolve, reject) => {
            ws.addEventListener(name, resolve, { once: true });
            ws.addEventListener('error', () => reject(new Error('the WebSocket failed')), { once: true });
          });
        await next('open');
        ws.send('x'.repeat(length));
        const { data } = await next('message');
        ws.close(4001, 'enough');
        const { code, wasClean } = await next('close');
        const [{ nextHopProtocol }] = performance.getEntriesByType('navigation');
        return { isSecureContext, nextHopProtocol, lengths: [long.length, Number(sent), data.length], code, wasClean };
      }, LONG),
      'answer of the page',
      chromium.PATIENCE,
    );
    assert.deepEqual(seen, {
      isSecureContext: true,
      nextHopProtocol: 'http/1.1',
      lengths: [LONG, LONG, LONG],
      code: 4001,
      wasClean: true,
    });
  });

  after(async () => {
    await browser?.close();
    await noConnectionLeft();
  });
});

// Lists the ciphers accepted in each version, as testssl.sh and similar programs do; there must be no others.
describe('every version and cipher', () => {
  const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
  const SUITES = {
    'P-256': {
      'TLSv1.2': ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305'],
      'TLSv1.3': ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
    },
    'RSA-2048': {
      'TLSv1.2': ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-RSA-CHACHA20-POLY1305'],
      'TLSv1.3': ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
    },
  };
  /** The alerts of a server that refuses the client's offer; any other error is a failure of the test. */
  const REFUSED = /alert (handshake failure|protocol version|insufficient security)/;

  /** Every cipher of this OpenSSL, by OpenSSL's names. */
  const ciphers = tls.getCiphers().map((name) => name.toUpperCase());

  /** Returns the names of the ciphers with which a handshake of that version succeeds. */
  async function accepted(port, version) {
    const found = [];
    for (const cipher of ciphers) {
      const isOf13 = cipher.startsWith('TLS_');
      if (isOf13 !== (version === 'TLSv1.3')) continue;
      const options = { minVersion: version, maxVersion: version, rejectUnauthorized: false };
      const offer = isOf13 ? cipher : `${cipher}:@SECLEVEL=0`;
      try {
        const socket = await connectSecure(port, { ...options, ciphers: offer });
        assert.equal(socket.getCipher().name, cipher);
        socket.destroy();
        found.push(cipher);
      } catch (error) {
        // Some clients cannot make the offer at all.
        if (!REFUSED.test(error.message) && !/no ciphers available/.test(error.message)) throw error;
      }
    }
    return found.sort();
  }

  for (const [key, suites] of Object.entries(SUITES)) {
    for (const version of VERSIONS) {
      it(`with a key of ${key}, ${version}: ${suites[version]?.length ?? 'none'} of them`, ours, async (t) => {
        const { port } = serveSecure(t, () => {}, files(makeCertificate({ key })));
        assert.deepEqual(await accepted(port, version), suites[version] ?? []);
      });
    }
  }

  it('is found where it is: a server that takes all has more', async (t) => {
    const everything = {
      minVersion: 'TLSv1',
      ciphers: 'ALL:@SECLEVEL=0',
      ...contents(makeCertificate({ key: 'RSA-2048' })),
    };
    const server = tls.createServer(everything).listen(0, '127.0.0.1');
    server.on('tlsClientError', () => {});
    t.after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address();
    for (const version of ['TLSv1', 'TLSv1.1']) {
      assert.ok((await accepted(port, version)).includes('ECDHE-RSA-AES128-SHA'), version);
    }
    const found = await accepted(port, 'TLSv1.2');
    for (const cipher of ['AES128-SHA', 'AES256-GCM-SHA384', ...SUITES['RSA-2048']['TLSv1.2']]) {
      assert.ok(found.includes(cipher), cipher);
    }
    assert.deepEqual(await accepted(port, 'TLSv1.3'), SUITES['RSA-2048']['TLSv1.3']);
  });

  after(noConnectionLeft);
});
