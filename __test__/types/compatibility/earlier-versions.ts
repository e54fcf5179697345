// The members that only earlier versions of uWebSockets.js have, including the one on npm as `uwebsockets`.

import { App, type WebSocketBehavior } from 'uWebSockets.js';

const behavior: WebSocketBehavior<unknown> = { closeOnBackpressureLimit: 1 };
const close = Number(process.env['CLOSE_SLOW'] ?? 0);

App()
  .ws('/*', behavior)
  .ws('/slow', { ...behavior, closeOnBackpressureLimit: close });
