//! Certificates, keys and ciphers: what is decided before a handshake.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{CipherSuite, RootCertStore, ServerConfig};

use super::key;

const KEY: &str = "a private key (key_file_name or key)";
const CERT: &str = "a certificate (cert_file_name or cert)";

/// The names that OpenSSL has for the cipher suites that there are.
pub const CIPHERS: [(&str, CipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Certificates or a key in the PEM form (RFC 7468).
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file, which is read when an app or a name is made, and again when it is reloaded.
    File(PathBuf),
    /// As it is. The text is what errors call it.
    Content(Vec<u8>, &'static str),
}

/// How an app, or a server name of it, speaks TLS.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: Option<Pem>,
    /// The certificate, and after it those between it and one that peers know.
    pub cert: Option<Pem>,
    /// Who signs the certificates of peers. If it is there they are asked for one; they may have none.
    pub ca: Option<Pem>,
    /// Of the key, if that is encrypted.
    pub passphrase: Option<String>,
    /// The suites that may be used, by the names of OpenSSL, separated by colons. If none of TLS 1.3 is among them, all of
    /// those may be used, which is how OpenSSL understands it; if there are only such, TLS 1.2 is not spoken.
    pub ciphers: Option<String>,
}

/// Settings that have been found good, and what has come of them.
#[derive(Clone)]
pub struct TlsConfig {
    settings: TlsSettings,
    server: Arc<ServerConfig>,
}

/// What is wrong with settings, with the name of the file or the option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(pub(super) String);

impl TlsConfig {
    /// Reads the files.
    pub fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        let (key, cert) = match (&settings.key, &settings.cert) {
            (Some(key), Some(cert)) => (key, cert),
            (key, cert) => {
                let missing = [(KEY, key.is_none()), (CERT, cert.is_none())];
                let missing: Vec<_> = missing.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect();
                return Err(TlsError(format!("there must be {}", missing.join(", and "))));
            }
        };
        let chain = certificates(cert)?;
        let key_der = key::read(&key.read()?, settings.passphrase.as_deref()).map_err(|reason| key.error(&reason))?;
        let provider = Arc::new(provider(settings.ciphers.as_deref())?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder =
            builder.with_safe_default_protocol_versions().map_err(|error| TlsError(format!("ssl_ciphers: {error}")))?;
        let mut authorities = Vec::new();
        let builder = match &settings.ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(ca)? {
                    authorities.extend_from_slice(&authority);
                    roots.add(authority).map_err(|error| ca.error(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                // Without a certificate a peer is served too.
                let verifier = verifier.allow_unauthenticated().build().map_err(|error| ca.error(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut server = builder.with_single_cert(chain, key_der).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                key.error(&format!("it does not belong to the certificate in {}", cert.name()))
            }
            rustls::Error::InvalidCertificate(_) => cert.error(&error),
            _ => key.error(&error),
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.enable_secret_extraction = true;
        server.ticketer = ticketer(authorities)?;
        Ok(Self { settings, server: Arc::new(server) })
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    pub(super) fn reloaded(&self) -> Result<Self, TlsError> {
        Self::new(self.settings.clone())
    }
}

impl Pem {
    fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::File(path) => std::fs::read(path).map_err(|error| self.error(&error)),
            Self::Content(content, _) => Ok(content.clone()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Content(_, name) => (*name).to_owned(),
        }
    }

    fn error(&self, reason: &dyn fmt::Display) -> TlsError {
        TlsError(format!("{}: {reason}", self.name()))
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = pem.read()?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    let certificates = certificates.map_err(|error| pem.error(&key::describe(&error, "certificate")))?;
    if certificates.is_empty() {
        Err(pem.error(&"there is no certificate in PEM form in it"))
    } else {
        Ok(certificates)
    }
}

/// What rustls uses of ring, with the suites that are asked for. Why it is ring, docs/ARCHITECTURE.md says.
fn provider(ciphers: Option<&str>) -> Result<CryptoProvider, TlsError> {
    let mut provider = default_provider();
    let Some(ciphers) = ciphers else { return Ok(provider) };
    let mut wanted = Vec::new();
    for name in ciphers.split(':').filter(|name| !name.is_empty()) {
        let known = CIPHERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((_, suite)) = known else {
            let all = CIPHERS.map(|(name, _)| name).join(":");
            return Err(TlsError(format!("ssl_ciphers: {name:?} is not supported; there are {all}")));
        };
        wanted.push(*suite);
    }
    if wanted.is_empty() {
        return Err(TlsError("ssl_ciphers names no cipher".to_owned()));
    }
    let is_of_13 = |suite: CipherSuite| provider_has_13(suite);
    let any_13 = wanted.iter().copied().any(is_of_13);
    provider.cipher_suites.retain(|suite| wanted.contains(&suite.suite()) || (!any_13 && is_of_13(suite.suite())));
    Ok(provider)
}

fn provider_has_13(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    )
}

type Ticketers = Mutex<HashMap<Vec<u8>, Arc<dyn ProducesTickets>>>;

/// What encrypts the tickets by which sessions are resumed (RFC 8446 section 4.6.1, RFC 5077), shared by all threads. A
/// ticket says who its peer was, so that it is good only where the same authorities say who somebody is.
fn ticketer(authorities: Vec<u8>) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    static TICKETERS: LazyLock<Ticketers> = LazyLock::new(Mutex::default);

    let mut ticketers = TICKETERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ticketer) = ticketers.get(&authorities) {
        return Ok(Arc::clone(ticketer));
    }
    let ticketer = Ticketer::new().map_err(|error| TlsError(format!("no keys for session tickets: {error}")))?;
    ticketers.insert(authorities, Arc::clone(&ticketer));
    Ok(ticketer)
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}
