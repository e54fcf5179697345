// Options of apps and routes, and the constants for them.

import * as uWS from 'uWebSockets.js';

interface ServerOptions extends uWS.AppOptions {
  host: string;
  port: number;
  isSecure?: boolean;
  maxMessageSize: number;
  maxBackpressure?: number;
}
interface RouteOptions extends Pick<uWS.WebSocketBehavior<unknown>, 'idleTimeout' | 'maxLifetime'> {
  compression?: uWS.CompressOptions;
}
type Both = Partial<ServerOptions> & RouteOptions;

const compressors: Record<string, uWS.CompressOptions> = {
  none: uWS.DISABLED,
  shared: uWS.SHARED_COMPRESSOR,
  '3KB': uWS.DEDICATED_COMPRESSOR_3KB,
  '4KB': uWS.DEDICATED_COMPRESSOR_4KB,
  '8KB': uWS.DEDICATED_COMPRESSOR_8KB,
  '16KB': uWS.DEDICATED_COMPRESSOR_16KB,
  '32KB': uWS.DEDICATED_COMPRESSOR_32KB,
  '64KB': uWS.DEDICATED_COMPRESSOR_64KB,
  '128KB': uWS.DEDICATED_COMPRESSOR_128KB,
  '256KB': uWS.DEDICATED_COMPRESSOR_256KB,
};
const decompressors: number[] = [
  uWS.SHARED_DECOMPRESSOR,
  uWS.DEDICATED_DECOMPRESSOR,
  uWS.DEDICATED_DECOMPRESSOR_512B,
  uWS.DEDICATED_DECOMPRESSOR_1KB,
  uWS.DEDICATED_DECOMPRESSOR_2KB,
  uWS.DEDICATED_DECOMPRESSOR_4KB,
  uWS.DEDICATED_DECOMPRESSOR_8KB,
  uWS.DEDICATED_DECOMPRESSOR_16KB,
  uWS.DEDICATED_DECOMPRESSOR_32KB,
];

export function start(options: ServerOptions, route: RouteOptions = {}): uWS.TemplatedApp {
  const { host, port, isSecure, maxMessageSize, maxBackpressure, ...appOptions } = options;
  const app = uWS.App(isSecure ? appOptions : {});
  const defined = maxBackpressure === undefined ? {} : { maxBackpressure };
  return app
    .ws('/*', { ...route, ...defined, maxPayloadLength: maxMessageSize })
    .ws('/small', { compression: uWS.SHARED_COMPRESSOR | uWS.DEDICATED_DECOMPRESSOR_4KB })
    .ws('/chosen', { compression: (compressors['shared'] ?? 0) | (decompressors[0] ?? 0) })
    .listen(host, port, () => {});
}

export const both: Both = { key_file_name: 'key.pem', cert_file_name: Buffer.from('cert.pem'), idleTimeout: 30 };
export const apps: uWS.TemplatedApp[] = [uWS.App(), uWS.App(both), uWS.App({ passphrase: '1234', ssl_ciphers: '' })];
export const make: (options?: uWS.AppOptions) => uWS.TemplatedApp = uWS.App;
apps[0]
  ?.addServerName('example.com', { ca_file_name: 'ca.pem', dh_params_file_name: 'dh.pem' })
  .domain('example.com')
  .missingServerName((hostname) => console.log(hostname.toLowerCase()))
  .removeServerName('example.com');
