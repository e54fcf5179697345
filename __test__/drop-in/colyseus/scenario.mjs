// What players of a game on Colyseus and other clients of its server see.

import { connectionSteps, lastSteps } from './connection-steps.mjs';
import { requestSteps } from './request-steps.mjs';
import { roomSteps } from './room-steps.mjs';

export const steps = { ...requestSteps, ...roomSteps, ...connectionSteps, ...lastSteps };

export const differences = {
  'requests that are none': 'HTTP/1.0 is served, and a request line that is malformed is a bad request',
  'a message of more than is allowed ends the connection':
    'who sent it gets a close frame with 1009 before the end (COMPATIBILITY.md, WebSockets), which the SDK takes for good',
  'a close frame of one byte': 'RFC 6455 section 5.5.1 has none; uWebSockets.js takes it for one without a code',
};
