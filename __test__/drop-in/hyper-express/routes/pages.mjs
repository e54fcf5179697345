// Routes, routers, middlewares, and the parts of a response.

import { fileURLToPath } from 'node:url';
import HyperExpress from 'hyper-express';

const SECRET = 'a secret';

export function addPages(server) {
  server.use((request, response, next) => {
    response.header('x-order', 'global');
    next();
  });
  server.use(async (request, response) => {
    await null;
    response.header('x-order', 'later');
    if (request.headers['x-refuse'] === 'early') throw new Error('refused early');
  });
  server.use('/api', (request, response, next) => {
    response.header('x-order', 'api');
    next(request.headers['x-refuse'] === 'api' ? new Error('refused by the api') : undefined);
  });
  server.set_error_handler((request, response, error) => {
    response.status(500).json({ error: error.code ?? error.message, at: request.path });
  });
  server.set_not_found_handler((request, response) => {
    response.status(404).json({ missing: request.path, method: request.method });
  });

  const api = new HyperExpress.Router();
  api.get('/users/:id', (request, response) => response.json(request.path_parameters));
  api.get('/users/:id/books/:book', (request, response) => response.json(request.params));
  api.get('/files/*', (request, response) => response.json({ path: request.path, query: request.query_parameters }));
  api
    .route('/item')
    .get((request, response) => response.send('read'))
    .post((request, response) => response.send('made'))
    .put((request, response) => response.send('put'))
    .patch((request, response) => response.send('patched'))
    .delete((request, response) => response.send('deleted'))
    .options((request, response) => response.header('allow', 'GET, POST').send())
    .head((request, response) => response.header('x-head', 'yes').send('12345'));
  api.any('/any', (request, response) => response.send(request.method));
  const own = (request, response, next) => {
    response.header('x-order', 'route');
    next();
  };
  const later = async (_request, response) => {
    await new Promise(setImmediate);
    response.header('x-order', 'later route');
  };
  api.get('/wrapped', { middlewares: [own] }, later, (request, response) => response.send('wrapped'));
  api.get('/stopped', (request, response) => response.status(403).send('not you'), own);

  const inner = new HyperExpress.Router();
  inner.set_error_handler((request, response, error) => response.status(418).send(`inner: ${error.message}`));
  inner.set_not_found_handler((request, response) => response.status(404).send('not in here'));
  inner.get('/fails', () => {
    throw new Error('inside');
  });
  api.use('/inner', inner);
  server.use('/api', api);

  const failures = {
    now: () => {
      throw new Error('now');
    },
    later: async () => {
      await new Promise(setImmediate);
      throw new Error('later');
    },
    returned: async () => new Error('returned'),
    other: () => {
      // eslint-disable-next-line no-throw-literal -- a careless program does this
      throw 'no error';
    },
  };
  server.get('/fail/:how', (request, response) => failures[request.params.how](request, response));

  server.get('/who', (request, response) => {
    const { method, url, path, query, hostname, protocol, ip, proxy_ip, proxy_port, cookies } = request;
    const known = { method, url, path, query, hostname, protocol, ip, proxy_ip, proxy_port, cookies };
    response.json({
      ...known,
      hasPort: request.port > 0,
      motto: request.app.locals.motto,
      all: { ...request.headers },
    });
  });

  server.get('/made/:what', (request, response) => {
    const { what } = request.params;
    const make = {
      json: () => response.json({ text: 'Grüße, 世界' }),
      jsonp: () => response.jsonp({ tag: '<b>' }, 'given'),
      html: () => response.html('<p>Grüße</p>'),
      redirect: () => response.redirect('/who?from=there'),
      status: () => response.status(299, 'Quite Fine').send('fine'),
      unknown: () => response.status(799).send('what'),
      teapot: () => response.status(418).type('txt').send(Buffer.from('tea')),
      empty: () => response.status(204).send(),
      unmodified: () => response.status(304).header('etag', '"1"').send('not sent'),
      buffer: () => response.type('.png').send(new Uint8Array([0x89, 0x50, 0, 0xff]).buffer),
      view: () => response.send(new Uint8Array([1, 2, 3, 4]).subarray(1, 3)),
      many: () =>
        response
          .header('x-many', ['a', 'b'])
          .header('x-many', 'c')
          .header('x-one', '1')
          .header('x-one', '2', true)
          .send(),
      attachment: () => response.attachment('a/b/re"port.csv').send('1,2'),
      prepared: () => response.once('prepare', () => response.header('x-prepared', 'yes')).send('prepared'),
      length: () => response.header('content-length', '5').send(),
      closing: () => response.send('the last', true),
      nothing: () => response.close(),
      atomic: () =>
        setImmediate(() => response.atomic(() => response.status(201).header('x-atomic', 'yes').send('all'))),
      express: () =>
        response
          .set({ 'x-a': '1', 'x-b': '2' })
          .vary('accept')
          .append('x-a', '3')
          .links({ next: '/2' })
          .end('as there'),
      bad: () => response.header('x-bad', 'a\r\nb: c').send(),
      twice: () => {
        response.send('once');
        response.send('twice').json({}).status(500).send();
      },
    };
    return make[what]();
  });

  server.get('/cookies', (request, response) => {
    const { name } = request.query_parameters;
    response.cookie('plain', 'a b', undefined, { path: '/', httpOnly: true });
    response.cookie('name', name ?? 'nobody', undefined, { path: '/', secret: SECRET, sameSite: 'lax' });
    response.cookie('secure', '1').cookie('gone', null);
    response.json({ seen: request.cookies, signed: request.unsign(request.cookies.name ?? '', SECRET) ?? null });
  });

  const here = fileURLToPath(new URL('.', import.meta.url));
  server.get('/file/:name', (request, response) => response.file(`${here}${request.params.name}`));
  server.get('/download', (request, response) => response.download(`${here}pages.mjs`, 'source.txt'));
}
