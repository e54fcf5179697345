"""Makes one request over TLS with Python's ssl module. Takes its task and prints its result as JSON."""

import json
import socket
import ssl
import sys


def request(task):
    context = ssl.create_default_context(cafile=task["ca"])
    version = ssl.TLSVersion[task["version"]]
    context.minimum_version = context.maximum_version = version
    if task["alpn"]:
        context.set_alpn_protocols(task["alpn"])
    if task["client"]:
        context.load_cert_chain(task["client"]["cert"], task["client"]["key"])
    with socket.create_connection(("127.0.0.1", task["port"]), timeout=60) as tcp:
        # A connection that ends without close_notify raises an error.
        with context.wrap_socket(tcp, server_hostname=task["name"], suppress_ragged_eofs=False) as tls:
            tls.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % task["path"].encode())
            received = b""
            while chunk := tls.recv(65536):
                received += chunk
            head, _, body = received.partition(b"\r\n\r\n")
            return {
                "version": tls.version(),
                "alpn": tls.selected_alpn_protocol(),
                "status": head.split()[1].decode(),
                "length": len(body),
                "body": body[:5000].decode(),
            }


print(json.dumps(request(json.loads(sys.argv[1]))))
