// What earlier versions of uWebSockets.js had: it does not compile against the types of its later ones.

import { App, type WebSocketBehavior } from 'uWebSockets.js';

const behavior: WebSocketBehavior<unknown> = { closeOnBackpressureLimit: 1 };
const close = Number(process.env['CLOSE_SLOW'] ?? 0);

App()
  .ws('/*', behavior)
  .ws('/slow', { ...behavior, closeOnBackpressureLimit: close });
