// nginx with the configurations of docs/OPERATIONS.md, in front of two servers.

import { Nginx } from './Proxy.mjs';
import { certificate, startUpstreams } from './scenarios.mjs';
import { snippet } from './snippets.mjs';

export const WEB = snippet('nginx.conf');
const PASSING = snippet('nginx.conf with PROXY');
export const STICKY = snippet('nginx upstream with ip_hash');

const CERTIFICATE = {
  '/etc/ssl/example.com/fullchain.pem': certificate.cert,
  '/etc/ssl/example.com/privkey.pem': certificate.key,
};
/** Starts two servers, and nginx as the document has it for them. */
export async function startWeb(t, { code = WEB, seconds, more = {}, ...options } = {}) {
  const upstreams = await startUpstreams(t, options);
  const replacements = (nginx) => webReplacements(nginx, upstreams, { seconds, more });
  const proxy = await Nginx.start(t, code, replacements);
  return { proxy, upstreams, origin: `https://127.0.0.1:${proxy.ports.https}` };
}

export async function webReplacements(nginx, upstreams, { seconds, more = {} } = {}) {
  const [https, http] = await nginx.allot('https', 'http');
  return {
    'listen 443 ssl': `listen ${https} ssl`,
    'listen [::]:443 ssl http2;\n': '\n',
    'listen 80;': `listen ${http};`,
    'listen [::]:80;\n': '\n',
    '127.0.0.1:9001': `127.0.0.1:${upstreams[0].port}`,
    '127.0.0.1:9002': `127.0.0.1:${upstreams[1].port}`,
    ...CERTIFICATE,
    ...(seconds && { 'proxy_read_timeout 150s': `proxy_read_timeout ${seconds}s` }),
    ...more,
  };
}

/** Starts two servers with TLS of their own, and nginx that passes TLS on. */
export async function startPassing(t, { seconds, ...options } = {}) {
  const upstreams = await startUpstreams(t, { ...options, isSecure: true, proxyProtocol: true });
  const proxy = await Nginx.start(t, PASSING, async (nginx) => ({
    'listen 443;': `listen ${(await nginx.allot('https'))[0]};`,
    'listen [::]:443;\n': '\n',
    'include /etc/nginx/modules-enabled/*.conf;': Nginx.streamModule,
    '127.0.0.1:9001': `127.0.0.1:${upstreams[0].port}`,
    '127.0.0.1:9002': `127.0.0.1:${upstreams[1].port}`,
    ...(seconds && { 'proxy_timeout 150s': `proxy_timeout ${seconds}s` }),
  }));
  return { proxy, upstreams, origin: `https://127.0.0.1:${proxy.ports.https}` };
}
