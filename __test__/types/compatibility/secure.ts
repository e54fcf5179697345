// An app with TLS or without, as the configuration says.

import uWS, { type AppOptions, type TemplatedApp } from 'uWebSockets.js';

export interface Configuration {
  port: number;
  tls?: Pick<AppOptions, 'cert_file_name' | 'key_file_name' | 'passphrase'>;
}

export function start({ port, tls }: Configuration): TemplatedApp {
  const app = tls ? uWS.SSLApp(tls) : uWS.App();
  return app.listen(port, (token) => {
    console.log(token ? `${tls ? 'https' : 'http'}://localhost:${port}` : 'the port is taken');
  });
}

/** Chosen before there are options. */
export const makers: Record<'http' | 'https', (options: AppOptions) => TemplatedApp> = {
  http: uWS.App,
  https: uWS.SSLApp,
};
