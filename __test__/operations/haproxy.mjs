// HAProxy with the configurations of docs/OPERATIONS.md, in front of two servers.

import { HAProxy } from './Proxy.mjs';
import { combinedCertificate, startUpstreams } from './scenarios.mjs';
import { snippet } from './snippets.mjs';

const WEB = snippet('haproxy.cfg');
/** Everything before the first frontend: what all configurations share. */
const BASE = WEB.slice(0, WEB.indexOf('frontend '));
const PASSING = BASE + snippet('haproxy.cfg that passes TLS on');
export const STICKY = WEB.slice(0, WEB.indexOf('\nbackend app') + 1) + snippet('haproxy backend with a cookie');

/** Starts two servers, and HAProxy as the document has it for them. */
export async function startWeb(t, { code = WEB, seconds, more = {}, ...options } = {}) {
  const upstreams = await startUpstreams(t, { ...options, proxyProtocol: true });
  const proxy = await HAProxy.start(t, code, async (haproxy) => {
    const [https, http] = await haproxy.allot('https', 'http');
    return {
      'bind :443 ssl': `bind ${https} ssl`,
      'bind :80\n': `bind ${http}\n`,
      '/etc/haproxy/example.com.pem': combinedCertificate(haproxy.folder),
      ...servers(upstreams),
      ...tunnel(seconds),
      ...more,
    };
  });
  return { proxy, upstreams, origin: `https://127.0.0.1:${proxy.ports.https}` };
}

/** Starts two servers with TLS of their own, and HAProxy that passes TLS on. */
export async function startPassing(t, { seconds, ...options } = {}) {
  const upstreams = await startUpstreams(t, { ...options, proxyProtocol: true, isSecure: true });
  const proxy = await HAProxy.start(t, PASSING, async (haproxy) => ({
    'bind :443': `bind ${(await haproxy.allot('https'))[0]}`,
    ...servers(upstreams),
    ...tunnel(seconds),
  }));
  return { proxy, upstreams, origin: `https://127.0.0.1:${proxy.ports.https}` };
}

const servers = ([one, two]) => ({
  '127.0.0.1:9001': `127.0.0.1:${one.port}`,
  '127.0.0.1:9002': `127.0.0.1:${two.port}`,
  // Tests wait for the results of checks. This is also the time that a check has to connect, and that TLS has.
  'inter 2s': 'inter 1s',
});
const tunnel = (seconds) => (seconds ? { 'timeout tunnel 150s': `timeout tunnel ${seconds}s` } : {});
