'use strict';

// Ways to route to a handler.

const express = require('ultimate-express');

module.exports = function routes(app) {
  const trail = (word) => (req, res, next) => {
    req.trail = [...(req.trail ?? []), word];
    next();
  };
  const tell = (req, res) => {
    const { trail: words, params, url, baseUrl, originalUrl, path } = req;
    res.json({ trail: words, params, url, baseUrl, originalUrl, path, route: req.route?.path });
  };

  app.use('/way', trail('first'));
  app.get('/way/exact', trail('second'), [trail('third'), trail('fourth')], tell);
  app.get('/way/user/:id', tell);
  app.get('/way/user/:id/post/:post', tell);
  app.get('/way/range/:from-:to', tell);
  app.get('/way/optional/:maybe?', tell);
  app.get('/way/number/:number(\\d+)', tell);
  app.get('/way/wild/*', tell);
  app.get(/^\/way\/reg(ular|exp)$/, tell);
  app.get(['/way/either', '/way/or'], tell);
  app.route('/way/table').get(tell).post(trail('posted'), tell).delete(tell);
  app.get('/way/skip', (req, res, next) => next('route'), trail('never'));
  app.get('/way/skip', trail('skipped'), tell);
  app.report('/way/report', express.text({ type: '*/*' }), (req, res) => res.send(`reported ${req.body}`));
  app.trace('/way/trace', (req, res) => res.send('traced'));
  app.options('/way/options', (req, res) => res.set('Allow', 'GET').send('few'));

  const books = express.Router({ mergeParams: true });
  books.param('book', async (req, res, next, book) => {
    await new Promise(setImmediate);
    if (book === 'lost') return next(Object.assign(new Error('no such book'), { status: 404 }));
    req.trail.push(`book ${book}`);
    return next();
  });
  books.use(trail('books'));
  books.get('/', tell);
  books.get('/:book', tell);
  books.get('/:book/pages', trail('pages'), tell);
  app.use('/way/shelf/:shelf', books);

  const inner = express();
  inner.get('/here', (req, res) => res.json([req.baseUrl, req.originalUrl, inner.path(), req.app === inner]));
  app.use('/way/inner', inner);

  app.get('/way/throws', () => {
    throw Object.assign(new Error('thrown'), { status: 503 });
  });
  app.get('/way/rejects', async () => {
    await null;
    throw new Error('rejected');
  });
  app.get('/way/passes', (req, res, next) => next(new Error('passed')));
  app.use('/way/passes', (error, req, res, next) => next(new Error(`${error.message} on`)));
  app.get('/way/unhandled', (req, res, next) => next(Object.assign(new Error('unhandled'), { unhandled: true })));
};
