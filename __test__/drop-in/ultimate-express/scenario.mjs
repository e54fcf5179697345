// What browsers and other clients see of a site on ultimate-express.

import { answers } from './steps/answers.mjs';
import { bodies } from './steps/bodies.mjs';
import { connections } from './steps/connections.mjs';
import { files } from './steps/files.mjs';

export const steps = { ...answers, ...files, ...bodies, ...connections };

/** The reason for steps that compare raw bytes. */
const CONNECTION = 'what becomes of the connection is said once, behind the headers of the program, and as it is';

export const differences = {
  'what is asked for': CONNECTION,
  methods: CONNECTION,
  'answers as they are on the wire': CONNECTION,
  'nobody gets out of the folder': CONNECTION,
  'requests that come together': CONNECTION,
  'slow readers of what has a length get everything':
    'uWebSockets.js forgets a handler of onWritable that is attached by the one before it, and writes no more',
  'simple handlers are declarative responses': 'uwebsockets 3.0.6 has no DeclarativeResponse',
  'answers that have no body': 'responses to HEAD and those of 204 and 304 have none',
};
