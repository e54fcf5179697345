'use strict';

// Not more than a client is entitled to: each address has a bucket of tokens that fills steadily. A request takes one
// out, a WebSocket message one out of another bucket, and who finds the bucket empty has to wait.
//
//   for i in $(seq 30); do curl -s -o /dev/null -w '%{http_code} ' localhost:9001; done

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Requests a second, and so many messages. */
const RATE = Number(process.env.RATE || 10);
/** What a bucket holds: so many may come at once. */
const BURST = Number(process.env.BURST || 20);
/** Addresses that are remembered, some 150 bytes each. */
const MAX_ADDRESSES = Number(process.env.MAX_ADDRESSES || 100_000);
/** Messages in excess, one after the other, after which a WebSocket is closed. */
const PATIENCE = 10;

class Limiter {
  /**
   * The one that was not used for longest comes first.
   *
   * @type {Map<string, { tokens: number, time: number }>}
   */
  #buckets = new Map();

  get size() {
    return this.#buckets.size;
  }

  /**
   * Takes a token.
   *
   * @param {string} address
   * @returns {number} the seconds to wait for one if there is none, else 0
   */
  take(address) {
    // Not Date: a clock that is set back would stop the buckets from filling.
    const now = performance.now() / 1000;
    const bucket = this.#buckets.get(address) ?? { tokens: BURST, time: now };
    bucket.tokens = Math.min(bucket.tokens + (now - bucket.time) * RATE, BURST);
    bucket.time = now;
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    this.#forget(now);

    if (bucket.tokens < 1) return (1 - bucket.tokens) / RATE;
    bucket.tokens -= 1;
    return 0;
  }

  /**
   * Lets go of buckets that are full again, since no bucket counts as a full one; and of the oldest if there are too
   * many, or somebody with many addresses could fill memory.
   *
   * @param {number} now
   */
  #forget(now) {
    for (const [address, { time }] of this.#buckets) {
      const isFull = (now - time) * RATE >= BURST;
      if (!isFull && this.#buckets.size <= MAX_ADDRESSES) break;
      this.#buckets.delete(address);
    }
  }
}

const requests = new Limiter();
// By address as well: by connection, a client would only need more of them.
const messages = new Limiter();

/** @typedef {{ address: string, excess: number }} UserData */

uWS
  .App()
  .ws(
    '/*',
    /** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */ ({
      upgrade: (res, req, context) => {
        if (isRefused(res)) return;
        res.upgrade(
          { address: addressOf(res), excess: 0 },
          req.getHeader('sec-websocket-key'),
          req.getHeader('sec-websocket-protocol'),
          req.getHeader('sec-websocket-extensions'),
          context,
        );
      },
      message: (ws, message, isBinary) => {
        const user = ws.getUserData();
        const wait = messages.take(user.address);
        if (wait === 0) {
          user.excess = 0;
          ws.send(message, isBinary);
          return;
        }
        user.excess += 1;
        // Told once. To answer every one would be twice the work for a message that was to make none.
        if (user.excess === 1) ws.send(JSON.stringify({ error: 'too many messages', retryAfter: wait }));
        // 1008 says that it has broken a rule.
        else if (user.excess > PATIENCE) ws.end(1008, 'too many messages');
      },
    }),
  )
  // Not limited, for it is for us.
  .get('/status', (res) => {
    res.end(JSON.stringify({ requests: requests.size, messages: messages.size }));
  })
  .any('/*', (res) => {
    if (!isRefused(res)) res.end('Here you are.\n');
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

/**
 * Answers a request if there are too many, and tells whether it did.
 *
 * @param {import('../dist/uws.js').HttpResponse} res
 */
function isRefused(res) {
  const wait = requests.take(addressOf(res));
  if (wait === 0) return false;
  res
    .writeStatus('429 Too Many Requests')
    // Whole seconds (RFC 9110 section 10.2.3).
    .writeHeader('Retry-After', String(Math.ceil(wait)))
    .end('Not so fast.\n');
  return true;
}

/**
 * Whom a connection counts for. Behind a proxy all come from the same address; ProxyProtocol.js has the true one. A
 * header such as X-Forwarded-For would do only if the proxy sets it, for anybody can send one.
 *
 * @param {import('../dist/uws.js').HttpResponse} res
 */
function addressOf(res) {
  const address = Buffer.from(res.getRemoteAddress()).toString('hex');
  // An IPv4 address comes with this in front (RFC 4291 section 2.5.5.2), when listening is for both.
  const isIpv4 = address.length === 8 || address.startsWith('00000000000000000000ffff');
  // A subscriber of IPv6 has 2^64 addresses or more, which begin alike.
  return isIpv4 ? address.slice(-8) : address.slice(0, 16);
}
