'use strict';

// A site on ultimate-express: pages, files, forms, uploads and downloads, and a WebSocket.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { Readable, Writable, pipeline } = require('node:stream');
const compression = require('compression');
const cookieParser = require('cookie-parser');
const cors = require('cors');
const session = require('express-session');
const helmet = require('helmet');
const multer = require('multer');
const express = require('ultimate-express');
const uWS = require('uWebSockets.js');
const { ROOT, pattern } = require('./files.cjs');
const Store = require('./Store.cjs')(session);
const { port, note, listening } = require('./serving.cjs');

// Unhandled errors are logged there.
console.error = (error) => note('logged', error.message);

const app = express();
app.set('view engine', 'ejs');
app.set('views', path.join(__dirname, 'views'));
app.set('catch async errors', true);
app.set('body methods', ['DELETE', 'REPORT']);
app.set('trust proxy', (address, hop) => hop < 2);
app.locals.site = 'the site';

// Handlers simple enough for responses without JavaScript.
app.get('/simple', (req, res) => res.send('Hello, world'));
app.get('/simple/object', (req, res) => res.json({ hello: 'world', number: 1 }));
app.get('/simple/status', (req, res) => res.status(418).set('x-kind', 'teapot').send('short and stout'));
app.get('/simple/nothing', (req, res) => res.status(204).end());
app.post('/simple', (req, res) => res.send('posted'));

// Information about the client and the request.
app.get('/who', (req, res) => {
  const { ip, ips, protocol, secure, hostname, subdomains, xhr, method, httpVersion } = req;
  const { remoteAddress, remotePort, localPort, encrypted } = req.socket;
  res.json({
    request: { ip, ips, protocol, secure, hostname, subdomains, xhr, method, httpVersion },
    socket: { remoteAddress, remotePort, isOurs: localPort === port, encrypted },
  });
});
app.get('/what', (req, res) => {
  const { url, originalUrl, path: its, query, rawHeaders, headers } = req;
  const accepted = [req.accepts('html', 'json'), req.acceptsEncodings(), req.acceptsLanguages('de', 'en')];
  res.json({
    url,
    originalUrl,
    its,
    query,
    rawHeaders,
    headers,
    accepted,
    fields: [req.get('Referrer'), req.get('x-a')],
  });
});
app.all('/method', (req, res) => res.set('x-method', req.method).send(`you said ${req.method}`));

// Every kind of response.
app.get('/send/string', (req, res) => res.send(`${req.query.text ?? ''}`));
app.get('/send/buffer', (req, res) => res.type('png').send(Buffer.from([0, 1, 2, 253, 254, 255])));
app.get('/send/nothing', (req, res) => res.send(req.query.none));
app.get('/send/boolean', (req, res) => res.send(!req.query.no));
app.get('/send/length', (req, res) => res.set('Content-Length', '5').end());
app.get('/jsonp', (req, res) => res.jsonp({ text: '\u2028 & <b>' }));
app.get('/status/:code', (req, res) => res.sendStatus(Number(req.params.code)));
app.get('/reason', (req, res) => res.writeHead(299, 'Quite Fine', { 'x-one': '1', 'x-list': ['a', 'b'] }).end('so'));
app.get('/redirect', (req, res) => res.redirect(Number(req.query.code ?? 302), req.query.to ?? '/über uns'));
app.get('/links', (req, res) => {
  res.links({ next: '/2', last: '/9' }).vary('Accept').append('x-many', '1').append('x-many', ['2', '3']);
  res.location('/elsewhere').attachment('ä.csv').send('a;b');
});
app.get('/format', (req, res) => {
  res.format({ text: () => res.send('text'), html: () => res.send('<p>html</p>'), json: () => res.json({ json: 1 }) });
});
app.get('/stream', (req, res) => {
  for (const word of ['one ', 'two ', 'three']) res.write(word);
  res.end();
});
app.get('/page', (req, res) => {
  res.locals.title = 'Title & more';
  res.render('page', { items: ['<1>', 'zwei'] });
});
app.get('/no-page', (req, res) => res.render('missing'));
app.get('/file/:name', (req, res, next) => {
  const { name } = req.params;
  const done = (error) => error && next(Object.assign(error, { status: res.statusCode }));
  if (req.query.as) return res.download(path.join(ROOT, name), req.query.as, done);
  return res.sendFile(decodeURIComponent(name), { root: ROOT, maxAge: '1h', dotfiles: req.query.dotfiles }, done);
});
app.use('/files', express.static(ROOT, { dotfiles: 'deny', setHeaders: (res) => res.set('x-static', '1') }));
app.use('/strict', express.static(ROOT, { fallthrough: false, index: false, redirect: false, extensions: ['html'] }));

// Request bodies.
const bodies = express.Router();
const parsed = (req, res) => {
  const { body } = req;
  res.json({ kind: Buffer.isBuffer(body) ? 'buffer' : typeof body, body: Buffer.isBuffer(body) ? digest(body) : body });
};
bodies.use('/json', express.json({ limit: '200kb', verify: (req, res, buffer) => (req.size = buffer.length) }));
bodies.use('/form', express.urlencoded({ extended: true }));
bodies.use('/flat', express.urlencoded({ extended: false }));
bodies.use('/text', express.text({ type: '*/*', limit: '1mb' }));
bodies.use('/raw', express.raw({ limit: '20mb' }));
bodies.use('/tiny', express.json({ limit: '500b' }));
bodies.use('/plain', express.json({ inflate: false }));
bodies.all('/json', (req, res) => res.json({ body: req.body, size: req.size }));
bodies.all('/:kind', parsed);
app.use('/body', bodies);
app.post('/upload', (req, res) => {
  // Slower than the network, so that the client has to wait.
  const hash = createHash('sha256');
  const sink = new Writable({
    highWaterMark: 1000,
    write: (chunk, _encoding, done) => {
      hash.update(chunk);
      setImmediate(done);
    },
  });
  if (req.query.watched) {
    note('waiting');
    res.socket.once('close', () => note('aborted', 'upload'));
  }
  req.pipe(sink).on('finish', () => res.send(hash.digest('hex')));
});
app.post('/echo', (req, res) => {
  if (req.query.length) res.set('Content-Length', req.query.length);
  req.pipe(res);
});
app.post('/late', async (req, res) => {
  await new Promise(setImmediate);
  const chunks = await req.toArray();
  res.send(Buffer.concat(chunks));
});
app.post('/photos', multer({ limits: { fileSize: 1_000_000 } }).array('photo', 4), (req, res) => {
  const files = req.files.map(({ originalname, mimetype, buffer }) => [originalname, mimetype, digest(buffer)]);
  res.json({ files, fields: { ...req.body } });
});

// Downloads that the client may abort.
app.get('/download', (req, res) => {
  const [count, size] = [Number(req.query.count), 64 * 1024];
  if (req.query.length) res.set('Content-Length', String(count * size));
  const piece = pattern(size);
  const pieces = (function* pieces() {
    for (let number = 0; number < count; number += 1) {
      piece.writeUInt32LE(number);
      yield Buffer.from(piece);
    }
  })();
  res.socket.once('close', () => res.aborted && note('aborted', 'download'));
  Readable.from(pieces, { objectMode: false, highWaterMark: size }).pipe(res);
});
app.get('/broken', (req, res) => {
  const source = Readable.from(
    (function* source() {
      yield 'some of it';
      throw new Error('the source broke');
    })(),
  );
  pipeline(source, res, (error) => note('broken', error.message));
});
app.get('/hangup', (req, res) => res.socket.close());
app.get('/never', (req, res) => {
  res.socket.once('close', () => note('aborted', 'never'));
  note('waiting');
});

// Third-party middlewares.
app.use('/cors', cors({ origin: 'http://site.example', credentials: true, maxAge: 600 }));
app.get('/cors', (req, res) => res.send('shared'));
app.put('/cors', (req, res) => res.send('put'));
app.use('/safe', helmet());
app.get('/safe', (req, res) => res.send('with headers'));
app.use('/small', compression({ threshold: 100 }));
app.get('/small/text', (req, res) => res.type('text').send('many words '.repeat(Number(req.query.count))));
app.get('/small/stream', (req, res) => {
  res.type('text');
  for (let number = 0; number < 100; number += 1) res.write(`line ${number}\n`);
  res.end();
});
app.use('/small/files', express.static(ROOT));
app.use('/cookies', cookieParser('the secret'));
app.get('/cookies', (req, res) => res.json([req.cookies, req.signedCookies]));
app.get('/cookies/set', (req, res) => {
  res.cookie('plain', 'a b', { httpOnly: true, sameSite: 'lax', expires: new Date(0) });
  res
    .cookie('object', { a: [1] })
    .cookie('signed', 'yes', { signed: true })
    .clearCookie('old')
    .send('set');
});
app.use('/session', session({ store: new Store(), secret: 'the secret', resave: false, saveUninitialized: false }));
app.get('/session', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1;
  res.json({ visits: req.session.visits });
});

require('./routes.cjs')(app);

// A WebSocket on the same app.
app.uwsApp.ws('/live', {
  compression: uWS.SHARED_COMPRESSOR,
  open: (ws) => ws.subscribe('all'),
  message: (ws, message, isBinary) => {
    if (isBinary) ws.send(message, true);
    else app.uwsApp.publish('all', message);
  },
});
app.post('/live', express.text(), (req, res) => {
  app.uwsApp.publish('all', req.body);
  res.json({ listening: app.uwsApp.numSubscribers('all') });
});

app.use((error, req, res, next) => {
  if (error.unhandled) return next(error);
  // A body that is too large causes an error for each chunk.
  if (res.headersSent) return undefined;
  const status = error.status ?? (res.statusCode === 200 ? 500 : res.statusCode);
  return res.status(status).json({ error: String(error.message ?? error).replaceAll(__dirname, '.') });
});

// Without entity tags, responses that quote the target can also be sent without JavaScript.
const quoting = express({ uwsApp: uWS.App() });
quoting.disable('etag').disable('x-powered-by');
quoting.get('/hello/:name/:other', (req, res) => res.send(`<${req.params.name}> and <${req.params.other}>`));
quoting.get('/query', (req, res) =>
  res.set('content-type', 'text/plain').send('a=' + req.query.a + ';b=' + req.query.b),
);
quoting.get('/who', (req, res) => res.json({ ip: req.ip, port: req.socket.remotePort, local: req.socket.localPort }));

const local = express({ threads: 0 });
const SOCKET = path.join(__dirname, 'local.sock');
fs.rmSync(SOCKET, { force: true });
local.get('/where', (req, res) => res.json({ ip: req.ip, hostname: req.hostname }));
local.post('/echo', (req, res) => req.pipe(res));

function digest(bytes) {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`;
}

quoting.listen(0, '127.0.0.1', () => {
  local.listen(SOCKET, () => {
    app.listen(port, () => {
      note('quoting', quoting.address().port);
      note('local', SOCKET);
      listening(true, () => {
        for (const each of [app, quoting, local]) each.close(() => fs.rmSync(SOCKET, { force: true }));
      });
    });
  });
});
