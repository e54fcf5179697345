//! Handshakes in memory, and what they leave behind.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{MessageDecrypter, MessageEncrypter};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::ConnectionState;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, DigitallySignedStruct, Error, ServerConfig,
    SignatureScheme, SupportedProtocolVersion, version,
};

use crate::records;

#[derive(Clone, Copy)]
pub(crate) struct Kind {
    is_13: bool,
    is_resumed: bool,
}

pub(crate) const KINDS: [Kind; 4] = [
    Kind { is_13: true, is_resumed: false },
    Kind { is_13: true, is_resumed: true },
    Kind { is_13: false, is_resumed: false },
    Kind { is_13: false, is_resumed: true },
];

impl Kind {
    pub(crate) fn name(self) -> String {
        let version = if self.is_13 { "TLS 1.3" } else { "TLS 1.2" };
        format!("{version}, {}", if self.is_resumed { "resumed by a ticket" } else { "P-256" })
    }

    fn version(self) -> &'static SupportedProtocolVersion {
        if self.is_13 { &version::TLS13 } else { &version::TLS12 }
    }
}

/// What a connection keeps.
#[derive(Clone, Copy)]
pub(crate) enum Kept {
    /// All that rustls has of it.
    Unbuffered,
    /// The two keys, expanded, and what computes new ones.
    Keys,
    /// The two keys as they were agreed on, and what computes new ones.
    Secrets,
}

pub(crate) const KEPT: [Kept; 3] = [Kept::Unbuffered, Kept::Keys, Kept::Secrets];

impl Kept {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unbuffered => "rustls's unbuffered connection",
            Self::Keys => "keys ready for use, and rustls's kernel connection",
            Self::Secrets => "traffic secrets, and rustls's kernel connection",
        }
    }
}

struct Server {
    connection: UnbufferedServerConnection,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    is_done: bool,
}

impl Server {
    fn run(&mut self) {
        loop {
            let status = self.connection.process_tls_records(&mut self.incoming);
            let discard = status.discard;
            match status.state.expect("a good peer") {
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = self.outgoing.len();
                    self.outgoing.resize(start + 16 * 1024, 0);
                    let length = data.encode(&mut self.outgoing[start..]).expect("room");
                    self.outgoing.truncate(start + length);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(_) => {
                    self.is_done = true;
                    self.incoming.drain(..discard);
                    return;
                }
                ConnectionState::BlockedHandshake => {
                    self.incoming.drain(..discard);
                    return;
                }
                state => unreachable!("{state:?}"),
            }
            self.incoming.drain(..discard);
        }
    }
}

pub(crate) struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Configs {
    fn new(provider: &Arc<CryptoProvider>, kind: Kind) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
        let builder = builder.with_protocol_versions(&[kind.version()]).expect("a version that there is");
        let mut server =
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).expect("a pair");
        server.enable_secret_extraction = true;
        if kind.is_resumed {
            server.ticketer = rustls::crypto::ring::Ticketer::new().expect("a ticketer");
        }
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
        let builder = builder.with_protocol_versions(&[kind.version()]).expect("a version that there is");
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(Arc::clone(provider))));
        let mut client = builder.with_no_client_auth();
        if !kind.is_resumed {
            client.resumption = rustls::client::Resumption::disabled();
        }
        Self { server: Arc::new(server), client: Arc::new(client) }
    }

    /// Makes a connection; gives it, its client, and how long the server took.
    fn connect(&self) -> (Server, ClientConnection, Duration) {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        let mut server = None;
        let mut time = Duration::ZERO;
        loop {
            let mut sent = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut sent).expect("memory");
            }
            let start = Instant::now();
            let server = server.get_or_insert_with(|| Server {
                connection: UnbufferedServerConnection::new(Arc::clone(&self.server)).expect("a server"),
                incoming: Vec::new(),
                outgoing: Vec::new(),
                is_done: false,
            });
            server.incoming.extend_from_slice(&sent);
            server.run();
            time += start.elapsed();
            let mut received = &std::mem::take(&mut server.outgoing)[..];
            while !received.is_empty() {
                client.read_tls(&mut received).expect("memory");
                client.process_new_packets().expect("a good server");
            }
            if server.is_done && !client.wants_write() {
                break;
            }
        }
        (server.expect("a server"), client, time)
    }
}

/// Microseconds.
pub(crate) fn server_time(provider: &Arc<CryptoProvider>, kind: Kind, count: u32) -> f64 {
    let configs = Configs::new(provider, kind);
    // The first gets the tickets.
    drop(configs.connect());
    let time: Duration = (0..count).map(|_| configs.connect().2).sum();
    time.as_secs_f64() * 1e6 / f64::from(count)
}

#[expect(dead_code, reason = "it is kept for the memory that it takes")]
enum Remains {
    Unbuffered(Box<Server>),
    Keys(Box<dyn MessageEncrypter>, Box<dyn MessageDecrypter>, Box<KernelConnection<ServerConnectionData>>),
    Secrets(Box<(ConnectionTrafficSecrets, ConnectionTrafficSecrets)>, Box<KernelConnection<ServerConnectionData>>),
}

/// For each connection.
pub(crate) fn kept_bytes(provider: &Arc<CryptoProvider>, kept: Kept, count: usize) -> usize {
    let configs = Configs::new(provider, KINDS[0]);
    let remains = || {
        let (mut server, mut client, _) = configs.connect();
        // Both are past the handshake when something has come back.
        client.writer().write_all(b"x").expect("memory");
        client.write_tls(&mut server.incoming).expect("memory");
        let ConnectionState::ReadTraffic(mut traffic) =
            server.connection.process_tls_records(&mut server.incoming).state.expect("a good peer")
        else {
            panic!("no traffic")
        };
        traffic.next_record().expect("a record").expect("a good one");
        drop(traffic);
        server.incoming = Vec::new();
        drop(client.reader().read(&mut []));
        if let Kept::Unbuffered = kept {
            return Remains::Unbuffered(Box::new(server));
        }
        let suite = server.connection.negotiated_cipher_suite().expect("a suite");
        let (secrets, kernel) = server.connection.dangerous_into_kernel_connection().expect("a state to leave");
        let (sent, received, kernel) = (secrets.tx.1, secrets.rx.1, Box::new(kernel));
        match kept {
            Kept::Secrets => Remains::Secrets(Box::new((sent, received)), kernel),
            _ => Remains::Keys(records::encrypter(suite, sent), records::decrypter(suite, received), kernel),
        }
    };
    // What is allocated once is allocated now.
    let first = remains();
    let mut all = Vec::with_capacity(count);
    let before = allocated();
    all.extend((0..count).map(|_| remains()));
    let bytes = (allocated() - before) / count;
    drop((first, all));
    bytes
}

/// By Rust and by C.
fn allocated() -> usize {
    // SAFETY: it has no preconditions.
    unsafe { libc::mallinfo2() }.uordblks
}

/// Trusts everyone.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
