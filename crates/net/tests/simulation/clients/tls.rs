//! TLS of clients. Its bytes differ from run to run, but their number does not: the certificate has a key whose signatures
//! all have the same length.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use milliways_net::{Pem, TlsConfig, TlsSettings};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

/// Returns the settings of the server.
pub(crate) fn server_config() -> TlsConfig {
    static CONFIG: LazyLock<TlsConfig> = LazyLock::new(|| {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("ring has this algorithm");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a good name");
        params.serial_number = Some(SerialNumber::from(1));
        let certificate = params.self_signed(&key).expect("a good certificate");
        let pem = |text: String| Some(Pem::Content(text.into_bytes(), "a test"));
        let settings =
            TlsSettings { key: pem(key.serialize_pem()), cert: pem(certificate.pem()), ..TlsSettings::default() };
        TlsConfig::new(settings).expect("a good certificate")
    });
    CONFIG.clone()
}

/// Returns the settings of the clients of a run, which may resume each other's sessions.
pub(crate) fn client_config() -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has suites for them");
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
    Arc::new(builder.with_no_client_auth())
}

/// The session of a client.
pub(super) struct Tls(ClientConnection);

/// What has come out of records.
pub(super) struct Opened {
    pub(super) bytes: Vec<u8>,
    /// The server's `close_notify` has come.
    pub(super) is_closed: bool,
    /// The session has failed.
    pub(super) failure: Option<Error>,
}

impl Tls {
    pub(super) fn new(config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::clone(config), name).expect("a good configuration");
        session.set_buffer_limit(None);
        Self(session)
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Takes bytes to be sent. They are kept until the handshake is complete.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.0.writer().write_all(bytes).expect("a buffer without a limit");
    }

    /// Says that nothing more follows.
    pub(super) fn say_goodbye(&mut self) {
        self.0.send_close_notify();
    }

    /// Appends the records that are to be sent.
    pub(super) fn seal(&mut self, output: &mut Vec<u8>) {
        while self.0.wants_write() {
            self.0.write_tls(output).expect("room in memory");
        }
    }

    /// Opens records.
    pub(super) fn open(&mut self, mut records: &[u8]) -> Opened {
        let mut opened = Opened { bytes: Vec::new(), is_closed: false, failure: None };
        while !records.is_empty() {
            let read = self.0.read_tls(&mut records).unwrap_or_default();
            let state = match self.0.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    opened.failure = Some(error);
                    return opened;
                }
            };
            let length = opened.bytes.len();
            opened.bytes.resize(length + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut opened.bytes[length..]).expect("as many as there are");
            opened.is_closed = state.peer_has_closed();
            if read == 0 || opened.is_closed {
                break;
            }
        }
        opened
    }
}

/// Trusts everyone: what is tested is what comes after the handshake.
#[derive(Debug)]
struct Anyone;

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
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
