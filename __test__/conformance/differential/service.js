'use strict';

// The program that both implementations run. It responds at once or with the last chunk of the body, so that its output
// depends only on its input.

const ECHOED_HEADERS = ['host', 'x', 'a', 'content-length', 'transfer-encoding', 'connection', 'expect', ''];
const QUERY_KEYS = ['a', 'b', 'key', 'é', ''];
/** How much of a body an echo repeats. */
const BODY_SHOWN = 64;
const TEXT_HANDLERS = { maxPayloadLength: 1024, message: (ws, message, isBinary) => ws.send(message, isBinary) };

/** Adds every route to an app of the given implementation, and returns the app. */
function service(uWS) {
  const app = uWS.App();

  app.get('/sentinel', (res) => res.end('SENTINEL'));

  // Every kind of match.
  app.get('/hello', (res) => res.end('hello'));
  app.head('/hello', (res) => res.writeHeader('X-From', 'head').end('hello'));
  for (const method of ['get', 'post', 'put', 'del', 'patch', 'options', 'trace', 'connect', 'head']) {
    app[method]('/only', (res, req) => {
      res.writeHeader('X-Method', method).end(`${req.getCaseSensitiveMethod()} ${req.getMethod()}`);
    });
  }
  app.post('/only-post', (res) => res.end('post'));
  app.get('/p/:a/:b', (res, req) => {
    const parameters = [0, 1, 2, 'a', 'b', 'c'].map((key) => req.getParameter(key) ?? null);
    res.end(JSON.stringify(parameters));
  });
  app.get('/static/*', (res, req) => res.end(`static ${req.getUrl().length} ${(req.getQuery() ?? '').length}`));
  app.get('/yield/:first', (res, req) => {
    if (req.getParameter(0) === 'stays') res.end('first');
    else req.setYield(true);
  });
  app.get('/yield/*', (res, req) => {
    if (req.getUrl().endsWith('/second')) res.end('second');
    else req.setYield(true);
  });
  app.any('/yield/*', (res, req) => {
    if (req.getUrl().endsWith('/any')) res.end('any');
    else req.setYield(true);
  });

  // The parts of a request.
  app.any('/echo', echo);
  app.any('/echo/*', echo);
  app.get('/headers', (res, req) => {
    const all = [];
    req.forEach((name, value) => all.push([name, value]));
    res.end(JSON.stringify(all));
  });
  app.get('/query', (res, req) => {
    // The whole query comes first, because uWebSockets.js decodes values in place.
    const query = req.getQuery() ?? null;
    res.end(JSON.stringify([query, ...QUERY_KEYS.map((key) => req.getQuery(key) ?? null)]));
  });

  // The handling of bodies.
  app.post('/upload', (res) => collect(res, (body) => res.end(`uploaded ${body.length}`)));
  app.any('/early', (res) => res.end('early'));
  app.any('/early-close', (res) => res.end('early', true));
  app.post('/collect', (res) => {
    res.onAborted(() => {});
    res.collectBody(8, (body) => {
      res.cork(() => res.end(body === null ? 'too much' : `collected ${body.byteLength}`));
    });
  });
  app.post('/v2', (res) => {
    let length = 0;
    res.onAborted(() => {});
    res.onDataV2((chunk, remaining) => {
      length += chunk.byteLength;
      if (remaining === 0n) res.cork(() => res.end(`v2 ${length}`));
    });
  });

  // Every way to respond.
  app.any('/write', (res) => {
    res.write('one');
    res.write('');
    res.write('three');
    res.end('last');
  });
  app.any('/write-only', (res) => {
    res.write('one');
    res.end();
  });
  app.any('/status', (res) => {
    res
      .writeStatus('202 Accepted')
      .writeStatus('500 Ignored')
      .writeHeader('X-One', '1')
      .writeHeader('X-Two', '')
      .end('s');
  });
  app.any('/no-content', (res) => res.writeStatus('204 No Content').end());
  app.any('/no-content-body', (res) => res.writeStatus('204 No Content').end('body'));
  app.any('/not-modified', (res) => res.writeStatus('304 Not Modified').endWithoutBody());
  app.any('/not-modified-body', (res) => res.writeStatus('304 Not Modified').end('body'));
  app.any('/reset-content', (res) => res.writeStatus('205 Reset Content').end('body'));
  app.any('/without-body', (res) => res.endWithoutBody());
  app.any('/without-body-length', (res) => res.endWithoutBody(0));
  app.head('/without-body-length', (res) => res.endWithoutBody(7));
  app.any('/without-body-close', (res) => res.endWithoutBody(0, true));
  app.any('/end-nothing', (res) => res.end());
  app.any('/end-empty', (res) => res.end(''));
  app.any('/end-close', (res) => res.end('closed', true));
  app.any('/end-bytes', (res) => res.end(Uint8Array.of(0, 1, 254, 255)));
  app.any('/end-unicode', (res) => res.end('é€😀'));
  app.any('/write-close', (res) => {
    res.write('one');
    res.end('two', true);
  });
  app.any('/try-end', (res) => {
    res.onAborted(() => {});
    res.tryEnd('try', 3);
  });
  app.any('/own-length', (res) => res.writeHeader('Content-Length', '5').end('hello'));
  app.any('/own-date', (res) => res.writeHeader('X-Date', 'never').writeHeader('Connection', 'close').end('hello'));
  app.any('/close', (res) => {
    res.onAborted(() => {});
    res.close();
  });
  app.any('/microtask', async (res) => {
    res.onAborted(() => {});
    await undefined;
    res.cork(() => res.end('microtask'));
  });

  // Upgrades.
  app.ws('/ws', {
    ...TEXT_HANDLERS,
    upgrade: (res, req, context) => {
      const [key, protocol, extensions] = ['key', 'protocol', 'extensions'].map((name) =>
        req.getHeader(`sec-websocket-${name}`),
      );
      res.upgrade({}, key, protocol, extensions, context);
    },
  });
  app.ws('/ws-header', {
    ...TEXT_HANDLERS,
    upgrade: (res, req, context) => {
      res.writeStatus('101 Switching Protocols').writeHeader('X-Upgraded', 'yes');
      res.upgrade({}, req.getHeader('sec-websocket-key'), '', '', context);
    },
  });
  app.ws('/ws-refuse', {
    ...TEXT_HANDLERS,
    upgrade: (res) => res.writeStatus('403 Forbidden').end('refused'),
  });
  app.ws('/ws-plain', TEXT_HANDLERS);
  app.ws('/ws-deflate', { ...TEXT_HANDLERS, compression: uWS.SHARED_COMPRESSOR });
  app.get('/ws', (res) => res.end('ws as plain request'));

  return app;
}

/** Responds with everything about the request, including its body, as JSON. */
function echo(res, req) {
  const request = {
    // The order matters: in uWebSockets.js, getMethod() also changes getCaseSensitiveMethod() to lower case.
    caseSensitive: req.getCaseSensitiveMethod(),
    method: req.getMethod(),
    url: req.getUrl(),
    query: req.getQuery() ?? null,
    headers: Object.fromEntries(ECHOED_HEADERS.map((name) => [name, req.getHeader(name)])),
  };
  for (const [name, value] of Object.entries(request.headers)) if (value === '') delete request.headers[name];
  collect(res, (body) => {
    const text = body.subarray(0, BODY_SHOWN).toString('latin1');
    res.end(JSON.stringify({ ...request, length: body.length, text }));
  });
}

/** Calls back, corked, with the whole body. */
function collect(res, done) {
  const chunks = [];
  res.onAborted(() => {});
  res.onData((chunk, isLast) => {
    // The chunk is only valid in this handler.
    chunks.push(Buffer.from(new Uint8Array(chunk)));
    if (isLast) res.cork(() => done(Buffer.concat(chunks)));
  });
}

module.exports = { service };
