'use strict';

// Behind a load balancer: all connections come from it, and the PROXY protocol (version 1 or 2) tells whose they really are.
// In HAProxy that is `server app 127.0.0.1:9001 send-proxy-v2`.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

uWS
  .App({ proxyProtocol: true })
  .get('/*', (res) => {
    // Addresses come as bytes; AsText means bytes of text.
    const proxied = Buffer.from(res.getProxiedRemoteAddressAsText()).toString();
    const direct = Buffer.from(res.getRemoteAddressAsText()).toString();
    res.writeHeader('Content-Type', 'application/json').end(
      JSON.stringify({
        // Empty when the connection did not begin with a header of the protocol, as that of a health check.
        client: proxied === '' ? null : { address: proxied, port: res.getProxiedRemotePort() },
        connection: { address: direct, port: res.getRemotePort() },
      }),
    );
  })
  // Whoever can connect can claim to be anybody. Listen where only the load balancer gets to.
  .listen('127.0.0.1', wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });
