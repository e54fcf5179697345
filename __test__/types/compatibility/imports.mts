// The ways in which ES modules import the module.

import { createRequire } from 'node:module';
import uWS, { App, us_socket_local_port } from 'uWebSockets.js';
import * as everything from 'uWebSockets.js';
import type { HttpRequest, HttpResponse, TemplatedApp } from 'uWebSockets.js';

const fromRequire = createRequire(import.meta.url)('uWebSockets.js') as typeof import('uWebSockets.js');
const { App: fromDefault, us_listen_socket_close } = uWS;

type App = TemplatedApp;
type Request = Parameters<Parameters<ReturnType<typeof uWS.App>['any']>[1]>[1];

export function serve(app: App, port: number): Promise<number> {
  app.any('/*', (res: HttpResponse, req: HttpRequest) => {
    const same: Request = req;
    res.end(same.getUrl());
  });
  return new Promise((resolve, reject) => {
    app.listen(port, (token) => {
      if (!token) return reject(new Error(`port ${port} is taken`));
      resolve(us_socket_local_port(token));
      us_listen_socket_close(token);
    });
  });
}

for (const make of [App, uWS.App, everything.App, fromRequire.App, fromDefault]) await serve(make(), 0);
const later = await import('uWebSockets.js');
await serve(later.App(), 0);
await serve(later.default.App(), 0);
