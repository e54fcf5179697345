// An app with or without TLS, depending on the configuration.

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

/** The constructor is chosen before the options exist. */
export const makers: Record<'http' | 'https', (options: AppOptions) => TemplatedApp> = {
  http: uWS.App,
  https: uWS.SSLApp,
};
