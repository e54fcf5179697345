//! Certificates, keys and ciphers: the configuration of handshakes.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::{CertificateError, CipherSuite, RootCertStore, ServerConfig};

use crate::pem::{self, Sections};
use crate::{der, hello, key};

const KEY: &str = "a private key (key_file_name or key)";
const CERT: &str = "a certificate (cert_file_name or cert)";

const CIPHER_OPTION: &str = "ssl_ciphers";

/// Length of the longest cipher name that errors show, in characters. The longest one of OpenSSL has 36.
const LONGEST_NAME: usize = 40;

/// The supported cipher suites, by the names that OpenSSL has for them.
pub(crate) const CIPHERS: [(&str, CipherSuite); 9] = [
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

/// Certificates or a private key in PEM form (RFC 7468).
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The path of a file, and the name of the option that contains it, for errors. The file is read by
    /// [`TlsConfig::new`], and again by [`crate::Names::reload`].
    File(PathBuf, &'static str),
    /// The text itself, and the name of the option that contains it, for errors.
    Content(Vec<u8>, &'static str),
}

/// The TLS settings of a server, or of one of its server names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The private key, in PKCS #8, PKCS #1 or SEC 1. Required.
    pub key: Option<Pem>,
    /// The certificate, followed by the intermediate certificates up to a root that clients trust. Required.
    pub cert: Option<Pem>,
    /// The authorities that sign the certificates of clients. With authorities, clients are asked for a certificate,
    /// but may connect without one.
    pub ca: Option<Pem>,
    /// The passphrase of the private key. Has no effect if the key is not encrypted.
    pub passphrase: Option<Vec<u8>>,
    /// The cipher suites that may be used, by the names of OpenSSL, separated by colons; all supported ones by default.
    /// A list without any suite of TLS 1.3 allows all of these, as in OpenSSL. A list of these alone disables TLS 1.2.
    pub ciphers: Option<String>,
}

/// Settings that have been checked, ready for handshakes. A clone shares them.
#[derive(Clone)]
pub struct TlsConfig {
    settings: Arc<TlsSettings>,
    server: Arc<ServerConfig>,
}

/// Why settings are invalid. The API's user is at fault, or a file. It contains no part of a key or a passphrase,
/// whichever option that was passed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The option at fault, if it is a single one.
    option: Option<&'static str>,
    /// The value of the option, if it may be shown: a path, or the name of a cipher.
    value: Option<String>,
    reason: String,
}

impl TlsConfig {
    /// Checks settings, and reads the files in them.
    pub fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        match server(&settings) {
            Ok(server) => Ok(Self { settings: Arc::new(settings), server: Arc::new(server) }),
            // The passphrase may also have been passed as another option by mistake.
            Err(error) => Err(error.without(settings.passphrase.as_deref())),
        }
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    pub(crate) fn reloaded(&self) -> Result<Self, TlsError> {
        Self::new(TlsSettings::clone(&self.settings))
    }
}

impl Pem {
    #[expect(clippy::disallowed_methods, reason = "certificates and keys are the only files that TLS has to do with")]
    fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::File(path, _) if path.as_os_str().is_empty() => Err(self.error("it is empty")),
            Self::File(path, _) => std::fs::read(path).map_err(|error| {
                let is_pem = path.to_str().is_none_or(pem::may_be_secret_path);
                let contents = self.option().trim_end_matches("_file_name");
                if is_pem {
                    let hint = "the path is not shown because it may be a key; the text of PEM itself is given as";
                    self.error(format!("{error}; {hint} {contents}"))
                } else {
                    self.error(error.to_string())
                }
            }),
            Self::Content(content, _) => Ok(content.clone()),
        }
    }

    fn option(&self) -> &'static str {
        match self {
            Self::File(_, option) | Self::Content(_, option) => option,
        }
    }

    fn error(&self, reason: impl Into<String>) -> TlsError {
        let value = match self {
            Self::File(path, _) => {
                path.to_str().filter(|path| !path.is_empty() && !pem::may_be_secret_path(path)).map(str::to_owned)
            }
            Self::Content(..) => None,
        };
        TlsError { option: Some(self.option()), value, reason: reason.into() }
    }

    /// The likely reason why the content is not what it should be, and what to do.
    fn mistake(&self, content: &[u8]) -> Option<String> {
        match self {
            Self::Content(_, option) if is_path(content) => {
                Some(format!("it looks like the path of a file, which is passed as {option}_file_name"))
            }
            _ => pem::mistake(content).map(str::to_owned),
        }
    }
}

/// Whether what should be the contents of a file looks like a path.
fn is_path(content: &[u8]) -> bool {
    const LONGEST: usize = 4096;

    content.len() < LONGEST
        && std::str::from_utf8(content).is_ok_and(|text| {
            let has_suffix = [".pem", ".crt", ".cer", ".key"].iter().any(|suffix| text.ends_with(suffix));
            !text.contains(char::is_control) && (has_suffix || text.starts_with(['/', '.']))
        })
}

/// Makes the configuration of rustls.
fn server(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let (key, cert) = match (&settings.key, &settings.cert) {
        (Some(key), Some(cert)) => (key, cert),
        (key, cert) => {
            let missing = [(KEY, key.is_none()), (CERT, cert.is_none())];
            let missing: Vec<_> = missing.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect();
            let verb = if missing.len() == 1 { "is" } else { "are" };
            return Err(TlsError::general(format!("{} {verb} missing", missing.join(" and "))));
        }
    };
    let chain = certificates(cert)?;
    let content = key.read()?;
    let key_der = key::read(&content, settings.passphrase.as_deref())
        .map_err(|reason| key.error(key.mistake(&content).unwrap_or(reason)))?;
    let provider = Arc::new(provider(settings.ciphers.as_deref())?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::of(CIPHER_OPTION, None, error.to_string()))?;
    let mut authorities = Vec::new();
    let builder = match &settings.ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(ca)? {
                authorities.extend_from_slice(&authority);
                roots.add(authority).map_err(|error| ca.error(describe(&error)))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            // Clients without a certificate are served, too.
            let verifier = verifier.allow_unauthenticated().build().map_err(|error| ca.error(error.to_string()))?;
            builder.with_client_cert_verifier(Arc::new(hello::TranscriptVerifier(verifier)))
        }
    };
    let mut server = builder.with_single_cert(chain, key_der.clone_key()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            key.error(format!("it does not belong to the first certificate ({})", cert.option()))
        }
        rustls::Error::InvalidCertificate(_) => cert.error(describe(&error)),
        _ => key.error(key::refusal(&key_der)),
    })?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    server.enable_secret_extraction = true;
    server.ticketer = ticketer(authorities)?;
    Ok(server)
}

/// Why a certificate that was read from PEM is refused.
fn describe(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => {
            "it contains a damaged certificate".to_owned()
        }
        error if format!("{error:?}").contains("UnsupportedCertVersion") => {
            "it contains a certificate of X.509 version 1, which is not supported: issue it again with openssl x509 \
             -extfile or openssl req -x509"
                .to_owned()
        }
        error => format!("it contains a certificate that cannot be used: {error}"),
    }
}

/// Reads all certificates. Sections that usually stand beside certificates are skipped. Anything else is an error: a
/// chain with a missing link works with some clients and not with others, which is noticed late.
fn certificates(source: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const NONE: &str = "it contains no certificate in PEM form";

    let content = source.read()?;
    let text = pem::text(&content);
    let failed = |reason: String| source.error(reason);
    let mut certificates = Vec::new();
    let mut other = None;
    let mut sections = Sections::new(&text);
    for section in &mut sections {
        let section = section.map_err(failed)?;
        section.check_before().map_err(failed)?;
        match section.label {
            Some("CERTIFICATE" | "X509 CERTIFICATE") => {
                certificates.push((section.line, section.decode().map_err(failed)?));
            }
            Some("TRUSTED CERTIFICATE") => {
                // The certificate is followed by what OpenSSL trusts it for.
                let both = section.decode().map_err(failed)?;
                let certificate = der::take(&mut &both[..]).map_or_else(Vec::new, |element| element.whole.to_vec());
                certificates.push((section.line, certificate));
            }
            Some(label) if is_of_key(label) => other = other.or(Some(section)),
            _ => {
                let (name, line) = (section.name(), section.line);
                return Err(failed(format!(
                    "{name}, which begins in line {line}, is not a certificate: remove it{}",
                    hint(section.label)
                )));
            }
        }
    }
    if certificates.is_empty() {
        return Err(failed(match (other, source.mistake(&content)) {
            (Some(section), _) => format!("{NONE}, but {}", section.name()),
            (None, Some(mistake)) => format!("{NONE}: {mistake}"),
            (None, None) => sections.check_rest().map_or_else(|what| format!("{NONE}: {what}"), |()| NONE.to_owned()),
        }));
    }
    sections.check_rest().map_err(failed)?;
    if let Some((line, _)) = certificates.iter().find(|(_, der)| !der::is_certificate(der)) {
        return Err(failed(format!("the certificate that begins in line {line} is damaged")));
    }
    Ok(certificates.into_iter().map(|(_, der)| CertificateDer::from(der)).collect())
}

/// Whether a section has to do with a key. Files with everything that a server needs have such sections beside
/// certificates.
fn is_of_key(label: &str) -> bool {
    ["PRIVATE KEY", "PUBLIC KEY", "PARAMETERS", "CERTIFICATE REQUEST"].iter().any(|end| label.ends_with(end))
}

fn hint(label: Option<&str>) -> &'static str {
    match label {
        Some("PKCS7" | "PKCS #7 SIGNED DATA" | "CMS") => ", and insert the output of openssl pkcs7 -print_certs",
        Some("X509 CRL") => "; lists of revoked certificates are not supported",
        _ => "",
    }
}

/// The cryptography of ring with the given cipher suites. docs/ARCHITECTURE.md says why it is that of ring.
fn provider(ciphers: Option<&str>) -> Result<CryptoProvider, TlsError> {
    let mut provider = CryptoProvider { cipher_suites: hello::cipher_suites(), ..default_provider() };
    let Some(ciphers) = ciphers else { return Ok(provider) };
    let mut wanted = Vec::new();
    for name in ciphers.split(':').filter(|name| !name.is_empty()) {
        let known = CIPHERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((_, suite)) = known else {
            let all = CIPHERS.map(|(name, _)| name).join(":");
            // The text may be something else that was passed by mistake.
            let is_name =
                name.len() <= LONGEST_NAME && ciphers.chars().all(is_of_ciphers) && !pem::may_be_secret_name(name);
            let name = is_name.then(|| name.to_owned());
            return Err(TlsError::of(
                CIPHER_OPTION,
                name,
                format!("this cipher is not supported; the supported ciphers are {all}"),
            ));
        };
        wanted.push(*suite);
    }
    if wanted.is_empty() {
        return Err(TlsError::of(CIPHER_OPTION, None, "it names no cipher".to_owned()));
    }
    let any_13 = wanted.iter().copied().any(is_of_13);
    provider.cipher_suites.retain(|suite| wanted.contains(&suite.suite()) || (!any_13 && is_of_13(suite.suite())));
    Ok(provider)
}

fn is_of_13(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    )
}

/// Whether a character may occur in a list of ciphers of OpenSSL.
fn is_of_ciphers(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '+' | '!' | '@' | '=' | ':' | ',' | '.' | ' ')
}

type Ticketers = Mutex<HashMap<Vec<u8>, Arc<dyn ProducesTickets>>>;

/// How many ticketers are kept before unused ones are dropped. They are not dropped at once, because the next thread
/// may be about to start.
const MAX_TICKETERS: usize = 64;

/// Returns the encryption of tickets, by which sessions are resumed (RFC 8446 section 4.6.1, RFC 5077). All threads
/// share it.
///
/// A ticket vouches for the identity of a client, so that only servers with the same authorities may share its keys.
fn ticketer(authorities: Vec<u8>) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    static TICKETERS: LazyLock<Ticketers> = LazyLock::new(Mutex::default);

    let mut ticketers = TICKETERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ticketer) = ticketers.get(&authorities) {
        return Ok(Arc::clone(ticketer));
    }
    let ticketer = Ticketer::new()
        .map_err(|error| TlsError::general(format!("the keys of session tickets cannot be generated: {error}")))?;
    if ticketers.len() >= MAX_TICKETERS {
        ticketers.retain(|_, ticketer| Arc::strong_count(ticketer) > 1);
    }
    ticketers.insert(authorities, Arc::clone(&ticketer));
    Ok(ticketer)
}

impl TlsError {
    fn general(reason: String) -> Self {
        Self { option: None, value: None, reason }
    }

    fn of(option: &'static str, value: Option<String>, reason: String) -> Self {
        Self { option: Some(option), value, reason }
    }

    /// Removes the value if it contains the passphrase.
    fn without(mut self, passphrase: Option<&[u8]>) -> Self {
        let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
        if let Some(passphrase) = passphrase {
            self.value.take_if(|value| value.as_bytes().windows(passphrase.len()).any(|part| part == passphrase));
        }
        self
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.option, &self.value) {
            (Some(option), Some(value)) => write!(formatter, "{option} ({value}): ")?,
            (Some(option), None) => write!(formatter, "{option}: ")?,
            (None, _) => {}
        }
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for TlsError {}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}
