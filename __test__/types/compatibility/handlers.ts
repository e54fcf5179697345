// Request handlers: with types derived from the app's, asynchronous, wrapping others, and as methods of classes.

import { App, type HttpRequest, type HttpResponse, type TemplatedApp } from 'uWebSockets.js';

type Handler = Parameters<TemplatedApp['get']>[1];
type Response = Parameters<Handler>[0];
type Request = Parameters<Parameters<TemplatedApp['any']>[1]>[1];
type Both = Parameters<Parameters<ReturnType<typeof App>['post']>[1]>;
type Method = Extract<keyof TemplatedApp, 'get' | 'post' | 'put' | 'del'>;
type Next = () => void | Promise<void>;
type Middleware = (res: HttpResponse, req: HttpRequest, next: Next) => void | Promise<void>;

export default ((res) => {
  res.end('hello');
}) satisfies Parameters<TemplatedApp['get']>[1];

export const hello: Handler = (res, req) => {
  res.end(`hello ${req.getParameter(0)}`);
};

export const later = async (res: Response, req: Request): Promise<void> => {
  const url = req.getUrl();
  let isAborted = false;
  res.onAborted(() => {
    isAborted = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  if (!isAborted) res.cork(() => res.writeHeader('x-url', url).end());
};

function logged(handler: Handler): Handler {
  return (res, req) => {
    console.log(req.getMethod(), req.getUrl(), req.getCaseSensitiveMethod());
    return handler(res, req);
  };
}

function guarded(handler: (...both: Both) => void | Promise<void>): (...both: Both) => Promise<void> {
  return async (...both) => {
    const [res, req] = both;
    if (req.getHeader('authorization') === '') res.writeStatus('401 Unauthorized').end();
    else await handler(...both);
  };
}

function chain(middlewares: Middleware[], last: Handler): Handler {
  return (res, req) => {
    const run = (index: number): void | Promise<void> => {
      const middleware = middlewares[index];
      return middleware ? middleware(res, req, () => run(index + 1)) : last(res, req);
    };
    return run(0);
  };
}

export const fromFactory =
  (text: string): Parameters<TemplatedApp['any']>[1] =>
  (res, req) => {
    req.forEach((key, value) => res.writeHeader(`x-${key}`, value));
    res.end(text);
  };

class Controller {
  static prefix = '/things';
  constructor(
    app: TemplatedApp,
    private readonly things = new Map<string, string>(),
  ) {
    app.get(`${Controller.prefix}/:id`, this.show.bind(this));
    app.post(`${Controller.prefix}/:id`, this.save);
    app.del(`${Controller.prefix}/:id`, (res, req) => void this.remove(res, req));
  }
  show(res: HttpResponse, req: HttpRequest): void {
    res.end(this.things.get(String(req.getParameter(0))) ?? '');
  }
  save = async (res: HttpResponse, req: HttpRequest): Promise<void> => {
    this.things.set(`${req.getParameter(0)}`, req.getQuery('value') ?? req.getQuery());
    res.endWithoutBody(0);
  };
  private remove(res: HttpResponse, req: HttpRequest): HttpResponse | undefined {
    if (this.things.delete(`${req.getParameter(0)}`)) return res.end();
    req.setYield(true);
    return undefined;
  }
}

const routes: Record<string, Handler> = { '/hello/:name': hello, '/later': later, '/factory': fromFactory('made') };
const table: [Method, string, Handler][] = [
  ['get', '/', hello],
  ['put', '/', later],
];
const methods: readonly Method[] = ['get', 'post', 'put', 'del'];

const app = App();
for (const [pattern, handler] of Object.entries(routes)) app.get(pattern, logged(handler));
for (const [method, pattern, handler] of table) app[method](pattern, handler);
for (const method of methods) {
  const register = app[method].bind(app);
  register(`/${method}`, guarded(later));
}
export const controller = new Controller(app);

app
  .options('/*', (res) => {
    res.writeHeader('access-control-allow-origin', '*').end();
  })
  .any('/*', chain([(_res, _req, next) => next(), async (_res, _req, next) => await next()], hello))
  .get('/promise', (res) => Promise.resolve().then(() => void res.end()))
  .head('/', (res) => void res.endWithoutBody(5))
  .patch('/', () => Promise.reject(new Error('never')))
  .connect('/', (res) => void res.close())
  .trace('/', hello);
