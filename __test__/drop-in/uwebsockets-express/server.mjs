// A small shop on express, which uwebsockets-express runs on an app of uWebSockets.js, with a WebSocket on the same
// app.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import cookieParser from 'cookie-parser';
import cors from 'cors';
import ejs from 'ejs';
import express from 'express';
import session from 'express-session';
import serveIndex from 'serve-index';
import uWS from 'uWebSockets.js';
import expressify from 'uwebsockets-express';
import serving from './serving.cjs';

const { port, note, listening } = serving;
const here = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.join(here, 'public');

// Errors that express does not pass to the program are logged there.
console.error = (error) => note('logged', String(error).split('\n')[0]);

class Sessions extends session.Store {
  #all = new Map();

  get(id, done) {
    done(null, this.#all.get(id));
  }

  set(id, value, done) {
    this.#all.set(id, JSON.parse(JSON.stringify(value)));
    done(null);
  }
}

const uwsApp = uWS.App();
const app = expressify(uwsApp, { readBodyMaxTime: 1500 });
app.engine('ejs', ejs.renderFile);
app.set('view engine', 'ejs');
app.set('views', path.join(here, 'views'));
app.locals.shop = 'the shop';

app.get('/', (req, res) => res.send('<p>welcome</p>'));
app.get('/request', (req, res) => {
  const { method, url, originalUrl, baseUrl, path: its, query, headers, ip } = req;
  const said = [req.get('Referrer'), req.get('x-none') ?? 'none', req.accepts('html', 'json')];
  res.json({ method, url, originalUrl, baseUrl, path: its, query, headers, ip, said });
});
app.all('/method', (req, res) => res.set('x-method', req.method).send(`you said ${req.method}`));

// Every kind of response.
app.get('/send/string', (req, res) => res.send(String(req.query.text ?? '')));
app.get('/send/json', (req, res) => res.json({ text: 'Grüße', list: [1, null] }));
app.get('/send/object', (req, res) => res.status(201).send({ a: 1 }));
app.get('/send/buffer', (req, res) => res.type('application/octet-stream').send(Buffer.from([0, 1, 254, 255])));
app.get('/send/nothing', (req, res) => res.end());
app.get('/jsonp', (req, res) => res.jsonp({ text: '\u2028 <b>' }));
app.get('/status/:code', (req, res) => res.sendStatus(Number(req.params.code)));
app.get('/redirect', (req, res) => res.redirect(Number(req.query.code ?? 302), req.query.to ?? '/über uns'));
app.get('/headers', (req, res) => {
  res
    .set({ 'X-One': '1', 'X-Two': ['a', 'b'] })
    .append('x-one', '2')
    .vary('Accept')
    .location('/there')
    .type('csv');
  res.removeHeader('x-gone');
  res.send(`${res.get('X-One')} ${res.hasHeader('x-two')} ${res.headersSent}`);
});
app.get('/written', (req, res) => {
  res.writeHead(202, { 'x-written': 'yes', 'content-type': 'text/plain' });
  for (const word of ['one ', 'two ', Buffer.from('three ')]) res.write(word);
  res.end('four');
});
app.get('/page', (req, res) => res.render('page', { title: 'A & B', items: ['<1>', 'zwei'] }));
app.get('/no-page', (req, res) => res.render('missing'));
app.get('/file/:name', (req, res) => res.sendFile(req.params.name, { root: ROOT }));
app.get('/late', async (req, res) => {
  await new Promise(setImmediate);
  res.json(res.locals);
});

// Third-party middlewares.
app.use('/shared', cors({ origin: 'http://site.example', credentials: true, maxAge: 600 }));
app.get('/shared', (req, res) => res.send('shared'));
app.use('/cookies', cookieParser('the secret'));
app.get('/cookies', (req, res) => res.json([req.cookies, req.signedCookies]));
app.get('/cookies/set', (req, res) => {
  res.cookie('signed', 'yes', { signed: true, httpOnly: true }).clearCookie('old').send('set');
});
app.use(
  '/session',
  session({ store: new Sessions(), name: 'id', secret: 's', resave: false, saveUninitialized: false }),
);
app.get('/session', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1;
  res.json({ visits: req.session.visits });
});
app.use('/files', express.static(ROOT, { dotfiles: 'deny' }));
app.use('/list', serveIndex(ROOT, { icons: false }));

// Request bodies, raw and parsed.
app.post('/body/as-it-came', (req, res) => res.json({ body: req.body }));
app.post('/body/digest', (req, res) => res.send(digest(Buffer.from(req.body))));
app.post('/body/json', express.json({ limit: '100kb' }), (req, res) => res.json({ body: req.body }));
app.post('/body/form', express.urlencoded({ extended: true }), (req, res) => res.json({ body: req.body }));
app.post('/body/text', express.text({ limit: '30mb' }), (req, res) => res.send(digest(Buffer.from(req.body ?? ''))));
app.post('/body/raw', express.raw({ limit: '30mb' }), (req, res) => res.send(digest(req.body)));
app.post('/body/events', (req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => res.headersSent || res.send(digest(Buffer.concat(chunks))));
});

// Ways to route to a handler.
const trail = (word) => (req, res, next) => {
  res.locals.trail = [...(res.locals.trail ?? []), word];
  next();
};
const tell = (req, res) => {
  const { params, url, baseUrl, originalUrl, path: its } = req;
  res.json({ trail: res.locals.trail, params, url, baseUrl, originalUrl, path: its });
};
const items = express.Router({ mergeParams: true });
items.param('item', (req, res, next, item) => {
  if (item === 'lost') return next(Object.assign(new Error('no such item'), { status: 404 }));
  return trail(`item ${item}`)(req, res, next);
});
items.use(trail('items'));
items.route('/').get(tell).post(trail('posted'), tell).delete(trail('deleted'), tell);
items.get('/:item', tell);
items.put('/:item', tell);
app.use('/shelf/:shelf', trail('shelf'), items);
app.get('/way/skip', (req, res, next) => next('route'), trail('never'));
app.get('/way/skip', trail('skipped'), tell);
app.get(['/way/either', '/way/or'], [trail('a'), trail('b')], tell);
app.get('/way/wild/*rest', tell);
app.get('/way{/:maybe}/optional', tell);
app.get('/error/thrown', () => {
  throw Object.assign(new Error('thrown'), { status: 503 });
});
app.get('/error/rejected', async () => {
  await null;
  throw new Error('rejected');
});
app.get('/error/passed', (req, res, next) => next(new Error('passed')));
app.get('/error/unhandled', (req, res, next) => next(Object.assign(new Error('unhandled'), { unhandled: true })));

// Responses that never come or are large.
app.get('/never', (req, res) => {
  note('waiting');
  const look = () => (res.aborted ? note('aborted', req.socket.readable) : setImmediate(look));
  look();
});
app.get('/large', (req, res) => res.type('application/octet-stream').send(pattern(Number(req.query.size))));
app.get('/large/pieces', (req, res) => {
  const bytes = pattern(Number(req.query.size));
  for (let start = 0; start < bytes.length; start += 50_000) res.write(bytes.subarray(start, start + 50_000));
  res.end();
});

// Routes and a WebSocket on the same app.
uwsApp.get('/native/:name', (res, req) => res.writeHeader('x-native', 'yes').end(`native ${req.getParameter(0)}`));
uwsApp.delete('/native/:name', (res, req) => res.end(`deleted ${req.getParameter('name')}`));
uwsApp.ws('/live', {
  upgrade: (res, req, context) => {
    const [key, protocol, extensions] = ['key', 'protocol', 'extensions'].map((name) =>
      req.getHeader(`sec-websocket-${name}`),
    );
    res.upgrade({ name: req.getQuery('name') }, key, protocol, extensions, context);
  },
  open: (ws) => ws.subscribe('all'),
  message: (ws, message) => uwsApp.publish('all', `${ws.getUserData().name}: ${Buffer.from(message)}`),
  close: (ws, code) => note('left', ws.name, code),
});
app.post('/live', (req, res) => {
  uwsApp.publish('all', req.body);
  res.json({ listening: uwsApp.numSubscribers('all') });
});

app.use((error, req, res, next) => {
  if (error.unhandled || res.headersSent) return next(error);
  return res.status(error.status ?? 500).json({ error: error.message.replaceAll(here, '.'), type: error.type });
});

/** Returns bytes in which no two stretches are alike. */
function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index + 4 <= length; index += 4) bytes.writeUInt32LE(Math.imul(index, 2654435761) >>> 0, index);
  return bytes;
}

function digest(bytes) {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`;
}

// The modification times are fixed, so that entity tags and listings are always the same.
const MODIFIED = new Date('2024-02-03T04:05:06Z');
const FILES = {
  'index.html': '<p>home</p>\n',
  'hello.txt': 'hello, world\n',
  'empty.txt': '',
  '.secret': 'hidden\n',
  'docs/index.html': '<p>docs</p>\n',
  'docs/data.json': '{"deep":true}\n',
  'big.bin': pattern(6_000_000),
};
for (const [name, content] of Object.entries(FILES)) {
  const file = path.join(ROOT, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  fs.utimesSync(file, MODIFIED, MODIFIED);
}
for (const folder of [ROOT, path.join(ROOT, 'docs')]) fs.utimesSync(folder, MODIFIED, MODIFIED);

const server = app.listen(port, () => {
  listening(true, () => {
    server.close();
    uwsApp.close();
  });
});
