// TypeScript's own syntax for require.

import uWS = require('milliways');

const app: uWS.TemplatedApp = uWS.App();
const sameApp: uWS.TemplatedApp = new uWS.App({ passphrase: '1234', ssl_prefer_low_memory_usage: true });

function open(ws: uWS.WebSocket<{ name: string }>): void {
  const name: string = ws.getUserData().name;
  ws.send(name);
}

app.ws<{ name: string }>('/*', { open });
sameApp.any('/*', (res: uWS.HttpResponse, req: uWS.HttpRequest) => res.end(req.getUrl()));
