// Replacing an app's methods with others of the same type.

import {
  App,
  type HttpRequest,
  type HttpResponse,
  type RecognizedString,
  type TemplatedApp,
  type WebSocketBehavior,
} from 'uWebSockets.js';

/** Omits `any` routes while another function registers its routes. */
export function without<T>(app: TemplatedApp, register: (app: TemplatedApp) => T): T {
  const any = app.any;
  app.any = () => app;
  try {
    return register(app);
  } finally {
    app.any = any;
  }
}

/** Prefixes each pattern. */
export function prefixed(app: TemplatedApp, prefix: string): TemplatedApp {
  const get = app.get.bind(app);
  const any = app.any.bind(app);
  const ws = app.ws.bind(app);
  app.get = (pattern, handler) => get(`${prefix}${String(pattern)}`, handler);
  app.any = function (this: TemplatedApp, pattern, handler) {
    any(`${prefix}${String(pattern)}`, handler);
    return this;
  };
  app.ws = (pattern, behavior) => ws(`${prefix}${String(pattern)}`, behavior);
  return app;
}

/** Wraps every handler. */
export function timed(app: TemplatedApp, tell: (milliseconds: number) => void): TemplatedApp {
  const post = app.post.bind(app);
  app.post = (
    pattern: RecognizedString,
    handler: (res: HttpResponse, req: HttpRequest) => void | Promise<void>,
  ): TemplatedApp =>
    post(pattern, async (res, req) => {
      const start = performance.now();
      await handler(res, req);
      tell(performance.now() - start);
    });

  const ws = app.ws;
  app.ws = function <UserData>(pattern: RecognizedString, behavior: WebSocketBehavior<UserData>): TemplatedApp {
    return ws.call(app, pattern, { ...behavior, idleTimeout: 60 } as WebSocketBehavior<unknown>);
  };

  const publish = app.publish;
  app.publish = (topic, message, isBinary, compress) => {
    console.log(String(topic));
    return publish.call(app, topic, message, isBinary ?? false, compress ?? false);
  };
  return app;
}

without(timed(prefixed(App(), '/v1'), console.log), (app) => app.any('/*', (res) => void res.end()));
