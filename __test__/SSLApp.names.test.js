'use strict';

// Server names (RFC 6066 section 3): the certificate and the routes that a client gets for the name it asks for.

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { after, describe, it } = require('node:test');
const { WebSocket } = require('ws');
const { EventLog } = require('./support/EventLog.js');
const { Script } = require('./support/Script.js');
const { makeCertificate, scratchFile } = require('./support/certificates.js');
const { contents, files, getSecure, isRefusal, serveSecure } = require('./support/secure.js');
const { isReference, ours } = require('./support/uws.js');
const { deadline, noConnectionLeft } = require('./support/wait.js');

const pairs = new Map();

/** Returns the certificate for a name. It is created once per name. */
function pairOf(name) {
  if (!pairs.has(name)) pairs.set(name, makeCertificate({ names: [name] }));
  return pairs.get(name);
}

const optionsOf = (name) => files(pairOf(name));
/**
 * A request that no route of the name matches gets a 404, as it does elsewhere; uWebSockets.js closes the connection.
 */
const UNMATCHED = isReference ? undefined : 404;

const says = (text) => (res) => res.end(text);

/**
 * Returns the certificate's name and the response that a client asking for a name gets, without verifying the
 * certificate.
 */
async function answer(port, servername, options = {}) {
  const { name, status, body } = await getSecure(port, { servername, rejectUnauthorized: false, ...options });
  return [name, status === 200 ? body : status];
}

describe('addServerName', () => {
  it('has clients that ask for the name get its certificate, and others the one of the app', async (t) => {
    const { port } = serveSecure(t, (app) => {
      app.get('/*', says('ok'));
      for (const name of ['a.example', 'b.example']) assert.equal(app.addServerName(name, optionsOf(name)), app);
    });
    for (const name of ['a.example', 'b.example']) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        // The client verifies it.
        const ca = readFileSync(pairOf(name).cert);
        assert.equal((await getSecure(port, { servername: name, ca, maxVersion })).name, name);
      }
    }
    for (const name of ['localhost', 'c.example', 'example', 'x.a.example', 'a.example.org']) {
      assert.equal((await answer(port, name))[0], 'localhost', name);
    }
    assert.equal((await getSecure(port, { servername: '' })).name, 'localhost', 'without a name');
  });

  it('does so while it listens', async (t) => {
    const { app, port } = serveSecure(t, (routes) => routes.get('/*', says('ok')));
    assert.equal((await answer(port, 'a.example'))[0], 'localhost');
    app.addServerName('a.example', optionsOf('a.example'));
    assert.equal((await answer(port, 'a.example'))[0], 'a.example');
  });

  it('takes the name as bytes, too', async (t) => {
    const { port } = serveSecure(t, (app) =>
      app.addServerName(Buffer.from('a.example'), optionsOf('a.example')).get('/*', says('ok')),
    );
    assert.equal((await answer(port, 'a.example'))[0], 'a.example');
  });

  it('with an asterisk for the first label stands for one label', async (t) => {
    const { port } = serveSecure(t, (app) =>
      app.addServerName('*.wild.example', optionsOf('*.wild.example')).get('/*', says('ok')),
    );
    const ca = readFileSync(pairOf('*.wild.example').cert);
    assert.equal((await getSecure(port, { servername: 'x.wild.example', ca })).name, '*.wild.example');
    for (const name of ['wild.example', 'y.x.wild.example', 'xwild.example']) {
      assert.equal((await answer(port, name))[0], 'localhost', name);
    }
  });

  it('goes by the exact name before one with an asterisk, whichever came first', async (t) => {
    for (const names of [
      ['x.wild.example', '*.wild.example'],
      ['*.wild.example', 'x.wild.example'],
    ]) {
      const { port } = serveSecure(t, (app) => {
        app.get('/*', says('ok'));
        for (const name of names) app.addServerName(name, optionsOf(name));
      });
      assert.equal((await answer(port, 'x.wild.example'))[0], 'x.wild.example');
      assert.equal((await answer(port, 'y.wild.example'))[0], '*.wild.example');
    }
  });

  // RFC 4343. uWebSockets.js compares bytes.
  it('takes upper and lower case for the same', ours, async (t) => {
    const { port } = serveSecure(t, (app) => {
      app.get('/*', says('ok'));
      app.addServerName('A.Example', optionsOf('a.example'));
      app.addServerName('*.wild.example', optionsOf('*.wild.example'));
    });
    for (const name of ['a.example', 'A.EXAMPLE']) assert.equal((await answer(port, name))[0], 'a.example');
    assert.equal((await answer(port, 'X.Wild.Example'))[0], '*.wild.example');
  });

  // uWebSockets.js uses only the certificate from the options of a name.
  it('has the options of an app: client certificates and ciphers of its own', ours, async (t) => {
    const authority = makeCertificate({ names: ['authority'] });
    const client = makeCertificate({ names: ['client'], issuer: authority });
    const { port } = serveSecure(t, (app) => {
      const tell = (res) => res.end(res.getX509Certificate());
      const cipher = 'ECDHE-ECDSA-AES256-GCM-SHA384';
      app.addServerName('a.example', {
        ...optionsOf('a.example'),
        ca_file_name: authority.cert,
        ssl_ciphers: cipher,
      });
      app.get('/*', tell).domain('a.example').get('/*', tell);
    });
    const certificate = readFileSync(client.cert, 'latin1');
    assert.deepEqual(await answer(port, 'a.example', contents(client)), ['a.example', certificate]);
    assert.deepEqual(await answer(port, 'localhost', contents(client)), ['localhost', '']);
    const other = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' };
    await assert.rejects(answer(port, 'a.example', other), /alert handshake failure/);
    assert.deepEqual(await answer(port, 'localhost', other), ['localhost', '']);
  });

  it('replaces what there was under the name', ours, async (t) => {
    const { app, port } = serveSecure(t, (routes) =>
      routes.get('/*', says('ok')).addServerName('a.example', optionsOf('a.example')),
    );
    app.addServerName('a.example', optionsOf('b.example'));
    assert.equal((await answer(port, 'a.example'))[0], 'b.example');
  });

  it('refuses files that are wrong, and none, and keeps what there was', ours, async (t) => {
    const missing = scratchFile('missing.pem');
    const { app, port } = serveSecure(t, (routes) =>
      routes.addServerName('a.example', optionsOf('a.example')).domain('a.example').get('/*', says('ok')),
    );
    for (const [options, reason] of [
      [{ ...optionsOf('a.example'), cert_file_name: missing }, missing],
      [{}, 'key_file_name'],
      [undefined, 'key_file_name'],
    ]) {
      assert.throws(
        () => app.addServerName('a.example', options),
        (error) => isRefusal(error, [reason]),
      );
    }
    assert.deepEqual(await answer(port, 'a.example'), ['a.example', 'ok']);
  });

  it('throws without a name, and for one that is neither text nor bytes', ours, (t) => {
    const { app } = serveSecure(t, () => {});
    assert.throws(() => app.addServerName(), { code: 'ERR_MILLIWAYS_MISSING_ARGUMENT' });
    assert.throws(() => app.addServerName(5, {}), { code: 'ERR_MILLIWAYS_INVALID_DATA' });
  });

  after(noConnectionLeft);
});

describe('removeServerName', () => {
  it('takes the certificate and the routes of the name away', async (t) => {
    const { app, port } = serveSecure(t, (routes) =>
      routes
        .get('/*', says('default'))
        .addServerName('a.example', optionsOf('a.example'))
        .domain('a.example')
        .get('/*', says('a')),
    );
    assert.deepEqual(await answer(port, 'a.example'), ['a.example', 'a']);
    assert.equal(app.removeServerName('a.example'), app);
    assert.deepEqual(await answer(port, 'a.example'), ['localhost', 'default']);
    app.addServerName('a.example', optionsOf('a.example'));
    assert.deepEqual(await answer(port, 'a.example'), ['a.example', UNMATCHED], 'added again it begins anew');
  });

  it('leaves the others alone, and takes names that are not there', async (t) => {
    const { app, port } = serveSecure(t, (routes) => {
      routes.get('/*', says('ok'));
      for (const name of ['x.wild.example', '*.wild.example']) routes.addServerName(name, optionsOf(name));
    });
    app.removeServerName('nobody.example').removeServerName('x.wild.example');
    assert.equal((await answer(port, 'x.wild.example'))[0], '*.wild.example');
    app.removeServerName('*.wild.example');
    assert.equal((await answer(port, 'x.wild.example'))[0], 'localhost');
  });

  // uWebSockets.js frees what the connections still use.
  it('leaves connections alone that are there', ours, async (t) => {
    const log = new EventLog();
    const { app, port } = serveSecure(t, (routes) =>
      routes
        .addServerName('a.example', optionsOf('a.example'))
        .domain('a.example')
        .ws('/*', log.behavior({ message: (ws, message) => ws.send(message) })),
    );
    const client = await openWebSocket(t, port, 'a.example');
    app.removeServerName('a.example');
    client.send('still here');
    assert.equal(String(await nextMessage(client)), 'still here');
    client.close(4001);
    assert.deepEqual(await log.next('close'), [4001, '']);
  });

  after(noConnectionLeft);
});

describe('missingServerName', () => {
  it('is called in the handshake with a name that nobody has added, and only with those', async (t) => {
    const log = new EventLog();
    const { port } = serveSecure(t, (app) => {
      app.get('/*', says('ok'));
      app.addServerName('a.example', optionsOf('a.example'));
      app.addServerName('*.wild.example', optionsOf('*.wild.example'));
      assert.equal(
        app.missingServerName((name) => log.add('missing', name)),
        app,
      );
    });
    for (const name of ['a.example', 'x.wild.example', '']) await answer(port, name);
    assert.deepEqual(log.all, []);
    for (const name of ['nobody.example', 'localhost', 'wild.example', 'nobody.example']) {
      assert.deepEqual(await answer(port, name), ['localhost', 'ok']);
    }
    const names = log.all.map(([, name]) => name);
    assert.deepEqual(names, ['nobody.example', 'localhost', 'wild.example', 'nobody.example']);
  });

  it('may add the name, and the handshake then has its certificate and its routes', async (t) => {
    const log = new EventLog();
    const { app, port } = serveSecure(t, (routes) => routes.get('/*', says('default')));
    app.missingServerName((name) => {
      log.add('missing', name);
      app
        .addServerName(name, optionsOf('late.example'))
        .domain(name)
        .get('/*', says(`routes of ${name}`));
    });
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
      const name = `late${maxVersion}.example`.toLowerCase();
      for (let i = 0; i < 2; i += 1) {
        assert.deepEqual(await answer(port, name, { maxVersion }), ['late.example', `routes of ${name}`]);
      }
    }
    assert.equal(log.count('missing'), 2, 'once for each name');
  });

  it('may add a name with an asterisk that fits', async (t) => {
    const { app, port } = serveSecure(t, (routes) => routes.get('/*', says('default')));
    let calls = 0;
    app.missingServerName((name) => {
      calls += 1;
      const wildcard = name.replace(/^[^.]+/, '*');
      app.addServerName(wildcard, optionsOf('*.wild.example')).domain(wildcard).get('/*', says('wild'));
    });
    assert.deepEqual(await answer(port, 'x.wild.example'), ['*.wild.example', 'wild']);
    assert.deepEqual(await answer(port, 'y.wild.example'), ['*.wild.example', 'wild']);
    assert.equal(calls, 1);
  });

  it('may remove names, close the app, and be replaced in its own call', ours, async (t) => {
    const { app, port } = serveSecure(t, (routes) =>
      routes.get('/*', says('default')).addServerName('a.example', optionsOf('a.example')),
    );
    app.missingServerName(() => {
      app.removeServerName('a.example');
      app.missingServerName(() => app.close());
    });
    assert.deepEqual(await answer(port, 'nobody.example'), ['localhost', 'default']);
    await assert.rejects(answer(port, 'a.example'));
    await assert.rejects(answer(port, 'a.example'), { code: 'ECONNREFUSED' });
  });

  it('that throws is an uncaughtException, and the client gets the certificate of the app', ours, async () => {
    const { code, reports } = await Script.run(async ({ secure, report }) => {
      process.on('uncaughtException', (error) => report('uncaught', error.message));
      let close;
      const { port } = secure.serveSecure({ after: (run) => (close = run) }, (app) =>
        app
          .get('/*', (res) => res.end('default'))
          .missingServerName((name) => {
            throw new Error(`no ${name}`);
          }),
      );
      const options = { servername: 'nobody.example', rejectUnauthorized: false };
      const { name, body } = await secure.getSecure(port, options);
      report('answer', name, body);
      close();
    });
    const expected = [
      ['uncaught', 'no nobody.example'],
      ['answer', 'localhost', 'default'],
    ];
    assert.deepEqual({ code, reports }, { code: 0, reports: expected });
  });

  it('throws for what is no function', ours, (t) => {
    const { app } = serveSecure(t, () => {});
    for (const value of [undefined, null, 5, 'name', {}]) {
      assert.throws(() => app.missingServerName(value), { code: 'ERR_MILLIWAYS_INVALID_HANDLER' });
    }
  });

  after(noConnectionLeft);
});

describe('domain', () => {
  /** Serves an app that has a name with its own routes, and a wildcard name. */
  function serveDomains(t) {
    return serveSecure(t, (app) => {
      app.get('/*', says('default')).get('/only', says('only by default'));
      app.addServerName('a.example', optionsOf('a.example'));
      app.addServerName('*.wild.example', optionsOf('*.wild.example'));
      assert.equal(app.domain('a.example'), app);
      app.get('/x', says('a'));
      app.domain('*.wild.example').any('/*', says('wild'));
    });
  }

  it('has the routes that follow be those of one name', async (t) => {
    const { port } = serveDomains(t);
    assert.deepEqual(await answer(port, 'a.example', { path: '/x' }), ['a.example', 'a']);
    assert.deepEqual(await answer(port, 'a.example', { path: '/only' }), ['a.example', UNMATCHED]);
    assert.deepEqual(await answer(port, 'x.wild.example', { path: '/x' }), ['*.wild.example', 'wild']);
    assert.deepEqual(await answer(port, 'localhost', { path: '/x' }), ['localhost', 'default']);
    assert.deepEqual(await answer(port, 'localhost', { path: '/only' }), ['localhost', 'only by default']);
  });

  it('goes by the name of the handshake, not by the Host of the request', async (t) => {
    const { port } = serveDomains(t);
    const [one, other] = ['a.example', 'localhost'];
    assert.deepEqual(await answer(port, one, { path: '/x', host: other }), ['a.example', 'a']);
    assert.deepEqual(await answer(port, other, { path: '/x', host: one }), ['localhost', 'default']);
  });

  it('of a name that was not added leads to the routes of all others', async (t) => {
    const { app, port } = serveDomains(t);
    app.domain('nobody.example').get('/only', says('replaced'));
    assert.deepEqual(await answer(port, 'localhost', { path: '/only' }), ['localhost', 'replaced']);
    assert.deepEqual(await answer(port, 'nobody.example', { path: '/only' }), ['localhost', 'replaced']);
    assert.deepEqual(await answer(port, 'a.example', { path: '/only' }), ['a.example', UNMATCHED]);
  });

  it('of an empty name leads back to those', async (t) => {
    const { app, port } = serveDomains(t);
    app.domain('a.example').domain('').get('/only', says('replaced'));
    assert.deepEqual(await answer(port, 'localhost', { path: '/only' }), ['localhost', 'replaced']);
    assert.deepEqual(await answer(port, 'a.example', { path: '/only' }), ['a.example', UNMATCHED]);
  });

  it('may be called while it listens, and removes routes by null as well', async (t) => {
    const { app, port } = serveDomains(t);
    app.domain('a.example').get('/x', null).get('/y', says('later'));
    assert.deepEqual(await answer(port, 'a.example', { path: '/x' }), ['a.example', UNMATCHED]);
    assert.deepEqual(await answer(port, 'a.example', { path: '/y' }), ['a.example', 'later']);
    assert.deepEqual(await answer(port, 'localhost', { path: '/x' }), ['localhost', 'default']);
  });

  it('has WebSocket routes of its own, and topics are those of the app', async (t) => {
    const open = (tag) => (ws) => {
      ws.subscribe('all');
      ws.send(tag);
    };
    const { app, port } = serveSecure(t, (routes) =>
      routes
        .ws('/*', { open: open('default') })
        .addServerName('a.example', optionsOf('a.example'))
        .domain('a.example')
        .ws('/*', { open: open('a') }),
    );
    const clients = [];
    for (const [name, tag] of [
      ['a.example', 'a'],
      ['localhost', 'default'],
    ]) {
      const client = await openWebSocket(t, port, name);
      assert.equal(String(await nextMessage(client)), tag);
      clients.push(client);
    }
    assert.equal(app.numSubscribers('all'), 2);
    assert.equal(app.publish('all', 'news'), true);
    for (const client of clients) assert.equal(String(await nextMessage(client)), 'news');
  });

  it('gives no warning', ours, async (t) => {
    const warnings = [];
    const note = (warning) => warnings.push(warning.message);
    process.on('warning', note);
    t.after(() => process.off('warning', note));
    const { port } = serveDomains(t);
    // A warning would come before the response.
    await answer(port, 'localhost');
    assert.deepEqual(warnings, []);
  });

  it('throws without a name', (t) => {
    const { app } = serveSecure(t, () => {});
    assert.throws(() => app.domain(), {
      message: 'Function requires at least 1 arguments.',
      ...(isReference ? {} : { code: 'ERR_MILLIWAYS_MISSING_ARGUMENT' }),
    });
  });

  after(noConnectionLeft);
});

/** Opens a WebSocket that asks for a name, and logs its messages in `log`. */
async function openWebSocket(t, port, servername) {
  const client = new WebSocket(`wss://127.0.0.1:${port}`, { servername, rejectUnauthorized: false });
  t.after(() => client.terminate());
  client.log = new EventLog();
  client.on('message', (message) => client.log.add('message', message));
  await deadline(
    new Promise((resolve, reject) => {
      client.on('open', resolve);
      client.on('error', reject);
    }),
    'open WebSocket',
  );
  return client;
}

async function nextMessage(client) {
  const [message] = await client.log.next('message');
  return message;
}
