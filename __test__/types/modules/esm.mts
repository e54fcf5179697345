// The three forms of import from an ES module, which all provide the same exports.

import uWS from 'milliways';
import * as everything from 'milliways';
import { App, DISABLED, LIBUS_LISTEN_EXCLUSIVE_PORT, us_listen_socket_close, us_socket_local_port } from 'milliways';
import type { HttpRequest, HttpResponse, TemplatedApp, WebSocket, WebSocketBehavior } from 'milliways';

const behavior: WebSocketBehavior<unknown> = {
  compression: DISABLED,
  open: (ws: WebSocket<unknown>, req: HttpRequest) => ws.send(req.getUrl()),
};

const apps: TemplatedApp[] = [uWS.App(), everything.App(), App(), new uWS.App(), new everything.App(), new App()];
for (const app of apps) {
  app
    .ws('/*', behavior)
    .any('/*', (res: HttpResponse) => res.end('ok'))
    .listen(0, LIBUS_LISTEN_EXCLUSIVE_PORT, (token) => {
      if (!token) return;
      const port: number = us_socket_local_port(token);
      us_listen_socket_close(token);
      everything.us_listen_socket_close(port > 0 ? token : {});
    });
}

// Files in dist/ that code written for uWebSockets.js imports.
import file from 'milliways/dist/uws.js';
import index from 'milliways/dist/index.js';
const fromFiles: TemplatedApp[] = [file.App(), index.App()];
export { fromFiles };
