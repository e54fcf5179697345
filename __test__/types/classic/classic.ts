import uWS, { App, SHARED_COMPRESSOR, us_listen_socket_close } from 'milliways';
import * as everything from 'milliways';

const options: uWS.AppOptions = {};
const app: uWS.TemplatedApp = uWS.App(options);
const behavior: uWS.WebSocketBehavior<{ id: number }> = {
  compression: SHARED_COMPRESSOR,
  message: (ws: uWS.WebSocket<{ id: number }>, message: ArrayBuffer, isBinary: boolean) => {
    ws.send(message, isBinary, true);
  },
};

app
  .ws('/*', behavior)
  .any('/*', (res: everything.HttpResponse, req: everything.HttpRequest) => {
    res.end(req.getUrl());
  })
  .listen(9001, uWS.ListenOptions.LIBUS_LISTEN_EXCLUSIVE_PORT, (token: uWS.us_listen_socket | false) => {
    if (token) us_listen_socket_close(token);
  });

export const others: everything.TemplatedApp[] = [App(), new App(), new everything.App()];
