'use strict';

// Behind a load balancer, all connections come from the load balancer. The PROXY protocol (version 1 or 2) names the
// client of each. In HAProxy, enable it with `server app 127.0.0.1:9001 send-proxy-v2`.

const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

uWS
  .App({ proxyProtocol: true })
  .get('/*', (res) => {
    // Addresses are bytes; the methods that end in AsText return the bytes of a text.
    const proxied = Buffer.from(res.getProxiedRemoteAddressAsText()).toString();
    const direct = Buffer.from(res.getRemoteAddressAsText()).toString();
    res.writeHeader('Content-Type', 'application/json').end(
      JSON.stringify({
        // Empty if the connection did not begin with a PROXY header, such as that of a health check.
        client: proxied === '' ? null : { address: proxied, port: res.getProxiedRemotePort() },
        connection: { address: direct, port: res.getRemotePort() },
      }),
    );
  })
  // Anyone who can connect can claim any address. Listen where only the load balancer can connect.
  .listen('127.0.0.1', wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });
