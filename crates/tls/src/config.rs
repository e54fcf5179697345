//! Certificates, keys and ciphers: what is decided before a handshake.

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

/// Characters of the longest name of a cipher that is shown. OpenSSL has none of more than 36.
const LONGEST_NAME: usize = 40;

/// The names that OpenSSL has for the cipher suites that there are.
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

/// Certificates or a key in the PEM form (RFC 7468).
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file, which is read when an app or a name is made, and again when it is reloaded; and what errors call the
    /// option that names it.
    File(PathBuf, &'static str),
    /// As it is, and what errors call it.
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
    pub passphrase: Option<Vec<u8>>,
    /// The suites that may be used, by the names of OpenSSL, separated by colons. If none of TLS 1.3 is among them, all of
    /// those may be used, which is how OpenSSL understands it; if there are only such, TLS 1.2 is not spoken.
    pub ciphers: Option<String>,
}

/// Settings that have been found good, and what has come of them.
#[derive(Clone)]
pub struct TlsConfig {
    settings: Arc<TlsSettings>,
    server: Arc<ServerConfig>,
}

/// What is wrong with settings. There is nothing of a key or a passphrase in it, wherever one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The option that is at fault, if it is one.
    option: Option<&'static str>,
    /// What stands there, if that is to be shown: a path, or the name of a cipher.
    value: Option<String>,
    reason: String,
}

impl TlsConfig {
    /// Reads the files.
    pub fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        match server(&settings) {
            Ok(server) => Ok(Self { settings: Arc::new(settings), server: Arc::new(server) }),
            // A passphrase may have been given in the wrong place, or in two.
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
                    let hint = "the name is not shown, as it may be a key; the text of PEM itself is given as";
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

    /// Why there is nothing in it of what was to be there.
    fn mistake(&self, content: &[u8]) -> Option<String> {
        match self {
            Self::Content(_, option) if is_path(content) => {
                Some(format!("it looks like the path of a file, which is given as {option}_file_name"))
            }
            _ => pem::mistake(content).map(str::to_owned),
        }
    }
}

/// Whether what was to be the contents of a file is rather its path.
fn is_path(content: &[u8]) -> bool {
    const LONGEST: usize = 4096;

    content.len() < LONGEST
        && std::str::from_utf8(content).is_ok_and(|text| {
            let has_suffix = [".pem", ".crt", ".cer", ".key"].iter().any(|suffix| text.ends_with(suffix));
            !text.contains(char::is_control) && (has_suffix || text.starts_with(['/', '.']))
        })
}

/// What rustls needs of the settings.
fn server(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let (key, cert) = match (&settings.key, &settings.cert) {
        (Some(key), Some(cert)) => (key, cert),
        (key, cert) => {
            let missing = [(KEY, key.is_none()), (CERT, cert.is_none())];
            let missing: Vec<_> = missing.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect();
            return Err(TlsError::general(format!("there must be {}", missing.join(", and "))));
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
            // Without a certificate a peer is served too.
            let verifier = verifier.allow_unauthenticated().build().map_err(|error| ca.error(error.to_string()))?;
            builder.with_client_cert_verifier(Arc::new(hello::TranscriptVerifier(verifier)))
        }
    };
    let mut server = builder.with_single_cert(chain, key_der.clone_key()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            key.error(format!("it is not the key of the first certificate ({})", cert.option()))
        }
        rustls::Error::InvalidCertificate(_) => cert.error(describe(&error)),
        _ => key.error(key::refusal(&key_der)),
    })?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    server.enable_secret_extraction = true;
    server.ticketer = ticketer(authorities)?;
    Ok(server)
}

/// What is wrong with a certificate that could be taken out of its PEM.
fn describe(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => "a certificate in it is damaged".to_owned(),
        error if format!("{error:?}").contains("UnsupportedCertVersion") => {
            "a certificate in it is of X.509 version 1, which is not supported: make it with openssl x509 -extfile, or \
             openssl req -x509"
                .to_owned()
        }
        error => format!("a certificate in it is not accepted: {error}"),
    }
}

/// All certificates there are. What may stand beside them is skipped, and what else is there is an error: a chain with a
/// link missing works with some clients alone, which is noticed late.
fn certificates(source: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const NONE: &str = "there is no certificate in PEM form in it";

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
                // Behind it stands what OpenSSL trusts it for.
                let both = section.decode().map_err(failed)?;
                let certificate = der::take(&mut &both[..]).map_or_else(Vec::new, |element| element.whole.to_vec());
                certificates.push((section.line, certificate));
            }
            Some(label) if is_of_key(label) => other = other.or(Some(section)),
            _ => {
                let (name, line) = (section.name(), section.line);
                return Err(failed(format!(
                    "{name}, which begins in line {line}, is no certificate: take it out{}",
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

/// What stands beside certificates in files that have all of a server, and says nothing about them.
fn is_of_key(label: &str) -> bool {
    ["PRIVATE KEY", "PUBLIC KEY", "PARAMETERS", "CERTIFICATE REQUEST"].iter().any(|end| label.ends_with(end))
}

fn hint(label: Option<&str>) -> &'static str {
    match label {
        Some("PKCS7" | "PKCS #7 SIGNED DATA" | "CMS") => ", and put in what openssl pkcs7 -print_certs makes of it",
        Some("X509 CRL") => ". Lists of revoked certificates are not supported",
        _ => "",
    }
}

/// What rustls uses of ring, with the suites that are asked for. Why it is ring, docs/ARCHITECTURE.md says.
fn provider(ciphers: Option<&str>) -> Result<CryptoProvider, TlsError> {
    let mut provider = CryptoProvider { cipher_suites: hello::cipher_suites(), ..default_provider() };
    let Some(ciphers) = ciphers else { return Ok(provider) };
    let mut wanted = Vec::new();
    for name in ciphers.split(':').filter(|name| !name.is_empty()) {
        let known = CIPHERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((_, suite)) = known else {
            let all = CIPHERS.map(|(name, _)| name).join(":");
            // Something else may have been given by mistake.
            let is_name = name.len() <= LONGEST_NAME && ciphers.chars().all(is_of_ciphers) && !pem::may_be_secret(name);
            let name = is_name.then(|| name.to_owned());
            return Err(TlsError::of(CIPHER_OPTION, name, format!("this cipher is not supported; there are {all}")));
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

/// Whether a character may be in a list of ciphers, as OpenSSL has them.
fn is_of_ciphers(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '+' | '!' | '@' | '=' | ':' | ',' | '.' | ' ')
}

type Ticketers = Mutex<HashMap<Vec<u8>, Arc<dyn ProducesTickets>>>;

/// From how many on those are dropped that nobody uses any more. Until then they stay: the next thread may be about to
/// begin.
const MAX_TICKETERS: usize = 64;

/// What encrypts the tickets by which sessions are resumed (RFC 8446 section 4.6.1, RFC 5077), shared by all threads. A
/// ticket says who its peer was, so that it is good only where the same authorities say who somebody is.
fn ticketer(authorities: Vec<u8>) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    static TICKETERS: LazyLock<Ticketers> = LazyLock::new(Mutex::default);

    let mut ticketers = TICKETERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ticketer) = ticketers.get(&authorities) {
        return Ok(Arc::clone(ticketer));
    }
    let ticketer =
        Ticketer::new().map_err(|error| TlsError::general(format!("no keys for session tickets: {error}")))?;
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

    /// Does not show what has the passphrase in it.
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
