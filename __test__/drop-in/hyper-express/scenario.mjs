// What clients of hyper-express see.

import { bodies } from './steps/bodies.mjs';
import { others } from './steps/others.mjs';
import { pages } from './steps/pages.mjs';
import { sockets } from './steps/sockets.mjs';
import { streams } from './steps/streams.mjs';
import { threads } from './steps/threads.mjs';

export const steps = { ...pages, ...bodies, ...streams, ...sockets, ...threads, ...others };

/** Reasons for different results with milliways (docs/COMPATIBILITY.md). */
export const differences = {
  'requests that make no sense': 'HTTP/1.0 is served, and a request line that is malformed is a bad request',
  'a close code that libraries may use': 'uWebSockets.js takes close codes 3000 to 3999 of a client for invalid',
};
