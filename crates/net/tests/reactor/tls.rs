//! TLS, as far as it depends on the socket. All else is tested in `crates/tls`, and with Node's clients.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use milliways_net::{Command, Pem, TlsConfig, TlsSettings};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::support::{Event, GET, Server};

/// Returns the settings of a server, and those of a client that trusts it.
fn configs() -> (TlsConfig, Arc<ClientConfig>) {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("ring has this algorithm");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a good name");
    let certificate = params.self_signed(&key).expect("a good certificate");
    let pem = |text: String| Some(Pem::Content(text.into_bytes(), "a test"));
    let settings =
        TlsSettings { key: pem(key.serialize_pem()), cert: pem(certificate.pem()), ..TlsSettings::default() };
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a good certificate");
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsConfig::new(settings).expect("a good certificate"), Arc::new(client))
}

/// Sends a request, and reads up to the end of its response.
fn ask(server: &Server, session: &mut ClientConnection, client: &mut TcpStream) {
    session.writer().write_all(GET.as_bytes()).expect("room in memory");
    let mut response = Vec::new();
    server.until("a response", || {
        while session.wants_write() {
            session.write_tls(client).expect("room in the socket");
        }
        match session.read_tls(client) {
            Ok(_) => {
                let length = session.process_new_packets().expect("good records").plaintext_bytes_to_read();
                let start = response.len();
                response.resize(start + length, 0);
                session.reader().read_exact(&mut response[start..]).expect("as many as there are");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        response.ends_with(b"\r\n\r\nx")
    });
}

/// Writes to a socket until it takes no more. Returns how much it has taken.
fn fill(socket: &mut TcpStream) -> usize {
    let mut filled = 0;
    for piece in [&[0; 4096][..], &[0]] {
        loop {
            match socket.write(piece) {
                Ok(count) => filled += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
    }
    filled
}

/// RFC 8446 section 6.1: without a `close_notify`, the end of a connection looks like a truncation.
#[test]
fn a_close_notify_waits_until_a_full_socket_has_room() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.respond(*id, "x");
        }
    });
    let (config, client_config) = configs();
    server.reactor.secure(server.app, config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut client = TcpStream::connect(listener.local_addr().expect("it listens")).expect("a listening socket");
    client.set_nonblocking(true).expect("a socket");
    let (stream, _) = listener.accept().expect("a connection");
    // Only somebody else can fill the socket without the reactor's knowing.
    let mut other = stream.try_clone().expect("a descriptor");
    let remote = server.reactor.remote(server.app).expect("a descriptor");
    remote.send(Command::Adopt { stream }).expect("an app");
    let name = "localhost".try_into().expect("a name");
    let mut session = ClientConnection::new(client_config, name).expect("good settings");
    ask(&server, &mut session, &mut client);
    server.settle();
    let filled = fill(&mut other);
    server.causing(|reactor| reactor.shut_down(server.app, 1001, b"", None)).expect("a code that may be sent");
    server.settle();
    let mut read = 0;
    server.until("the end of the stream", || {
        loop {
            match client.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(count) => read += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return false;
                }
            }
        }
    });
    assert!(read > filled, "{filled} bytes were in the way, and {read} have been read");
}
