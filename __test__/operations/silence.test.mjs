// Clients that say nothing, behind every configuration of docs/OPERATIONS.md. These tests wait for the same pings, so they
// run at the same time.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { deadline } from '../support/wait.js';
import { skip } from './Proxy.mjs';
import * as haproxy from './haproxy.mjs';
import * as nginx from './nginx.mjs';
import { IDLE_TIMEOUT, inFull, openWebSocket } from './scenarios.mjs';

/** The seconds after which a silent client gets a ping; see `ping_margin` in crates/net. */
const PING_AFTER = IDLE_TIMEOUT - (inFull ? 16 : 8);
/**
 * The seconds of silence after which a proxy drops a client here; the documented ones if undefined. A ping may be late
 * by the difference from PING_AFTER.
 */
const PROXY_TIMEOUT = inFull ? undefined : 20;
/** One that expires before the first ping. The handshake, for which some proxies wait no longer either, has to fit. */
const TOO_SHORT = 3;
/** Pings after which a client has been silent for longer than it could have been without them. */
const PINGS = inFull ? 2 : 3;
/** For the pings, in milliseconds. */
const PATIENCE = (PING_AFTER * PINGS + 30) * 1000;

const PROXIES = {
  'nginx that ends TLS': nginx.startWeb,
  'nginx that passes TLS on': nginx.startPassing,
  'HAProxy that ends TLS': haproxy.startWeb,
  'HAProxy that passes TLS on': haproxy.startPassing,
};

describe('a silent client', { skip, concurrency: true }, () => {
  for (const [name, start] of Object.entries(PROXIES)) {
    it(`of ${name} is kept because of the pings`, async (t) => {
      const { origin } = await start(t, { seconds: PROXY_TIMEOUT });
      const { webSocket } = await openWebSocket(t, origin.replace('http', 'ws'));
      const closed = once(webSocket, 'close').then(([code]) => assert.fail(`closed with ${code}`));
      for (let count = 0; count < PINGS; count += 1) {
        await deadline(Promise.race([once(webSocket, 'ping'), closed]), `ping, of ${IDLE_TIMEOUT} s`, PATIENCE);
      }
    });

    it(`of ${name} is dropped if a ping takes longer than the proxy waits`, async (t) => {
      const { origin } = await start(t, { seconds: TOO_SHORT });
      const { webSocket } = await openWebSocket(t, origin.replace('http', 'ws'));
      webSocket.on('ping', () => assert.fail('a ping came first'));
      assert.equal((await deadline(once(webSocket, 'close'), 'end'))[0], 1006);
    });
  }
});
