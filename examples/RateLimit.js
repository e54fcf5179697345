'use strict';

// Limits the rate of requests and messages. Each address has a bucket of tokens that is filled steadily. A request
// takes one token, and a WebSocket message takes one from a second bucket. A client whose bucket is empty has to wait.
//
//   for i in $(seq 30); do curl -s -o /dev/null -w '%{http_code} ' localhost:9001; done

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Requests per second, and messages per second. */
const RATE = Number(process.env.RATE || 10);
/** The capacity of a bucket, which is the maximum burst. */
const BURST = Number(process.env.BURST || 20);
/** The number of addresses that are remembered, at some 150 bytes each. */
const MAX_ADDRESSES = Number(process.env.MAX_ADDRESSES || 100_000);
/** The number of consecutive excess messages after which a WebSocket is closed. */
const PATIENCE = 10;

class Limiter {
  /**
   * The least recently used bucket comes first.
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
   * @returns {number} the seconds to wait for a token if there is none, else 0
   */
  take(address) {
    // Not Date: if the clock were set back, the buckets would not fill.
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
   * Removes buckets that are full again, because a missing bucket counts as full. If there are still too many, removes
   * the oldest; otherwise a client with many addresses could fill memory.
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
// Messages are also limited by address. If they were limited by connection, a client would only need more connections.
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
        // The client is told only once. Answering every excess message would double the work that the limit is to
        // prevent.
        if (user.excess === 1) ws.send(JSON.stringify({ error: 'too many messages', retryAfter: wait }));
        // 1008 means that the client has violated a policy.
        else if (user.excess > PATIENCE) ws.end(1008, 'too many messages');
      },
    }),
  )
  // This route is for the operator, so it is not limited.
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
 * Answers a request if there are too many. Returns whether it did.
 *
 * @param {import('../dist/uws.js').HttpResponse} res
 */
function isRefused(res) {
  const wait = requests.take(addressOf(res));
  if (wait === 0) return false;
  res
    .writeStatus('429 Too Many Requests')
    // In whole seconds (RFC 9110 section 10.2.3).
    .writeHeader('Retry-After', String(Math.ceil(wait)))
    .end('Not so fast.\n');
  return true;
}

/**
 * Returns the address that a connection is counted under. Behind a proxy, all connections have the same address;
 * ProxyProtocol.js shows how to find the client's. Use a header such as X-Forwarded-For only if the proxy sets it,
 * because any client can send one.
 *
 * @param {import('../dist/uws.js').HttpResponse} res
 */
function addressOf(res) {
  const address = Buffer.from(res.getRemoteAddress()).toString('hex');
  // An IPv4 address has this prefix if the server listens for both versions (RFC 4291 section 2.5.5.2).
  const isIpv4 = address.length === 8 || address.startsWith('00000000000000000000ffff');
  // An IPv6 subscriber has 2^64 or more addresses, all with the same prefix.
  return isIpv4 ? address.slice(-8) : address.slice(0, 16);
}
