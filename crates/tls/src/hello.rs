//! Clients that ask for a server name that is not a host name (RFC 6066 section 3): with a misplaced underscore, with
//! bytes that are not ASCII, or empty.
//!
//! rustls ends such a handshake. OpenSSL continues, and the client gets the default certificate, like clients that send
//! an address or no name. So do we: one byte of the ClientHello is changed before rustls sees it, which turns the
//! server name into an unknown extension. Both sides hash and sign the message as it was sent, so that the byte is
//! restored on its way into the hash, and before the signature of a client's certificate is verified.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CipherSuiteCommon, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, SupportedCipherSuite,
    Tls12CipherSuite, Tls13CipherSuite,
};

use crate::record::HEADER;

// RFC 8446 appendix B.1 and B.3.
pub(crate) const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// The type of the server name extension, and that of a host name in it (RFC 6066 sections 1.1 and 3).
const SERVER_NAME: [u8; 2] = [0, 0];
const HOST_NAME: u8 = 0;

/// Bytes of the type and length of a handshake message (RFC 8446 section 4).
const MESSAGE_HEADER: usize = 4;

/// A ClientHello whose server name is hidden from rustls.
pub(crate) struct Hidden {
    /// The message as rustls sees it.
    message: Vec<u8>,
    /// The position of the changed byte, which was 0.
    at: usize,
}

thread_local! {
    /// The hidden name of the session whose handshake rustls is processing.
    static CURRENT: RefCell<Option<Box<Hidden>>> = const { RefCell::new(None) };
}

impl Hidden {
    /// Hides the server name of the ClientHello at the beginning of `records`, if the message is complete and rustls
    /// would not accept the name.
    pub(crate) fn hide(records: &mut [u8]) -> Option<Box<Self>> {
        let mut message = payload(records)?;
        let at = find_odd_name(&message)?;
        let other = (1..=u8::MAX).rev().find(|first| !has_extension(&message, [*first, 0]))?;
        message[at] = other;
        // The message may be split into several records.
        let (mut position, mut left) = (0, at);
        loop {
            let length = length_at(records, position)?;
            if left < length {
                records[position + HEADER + left] = other;
                return Some(Box::new(Self { message, at }));
            }
            left -= length;
            position += HEADER + length;
        }
    }

    /// Runs rustls so that what it hashes and verifies is the message as it was sent.
    pub(crate) fn during<T>(hidden: &mut Option<Box<Self>>, run: impl FnOnce() -> T) -> T {
        /// Returns the loan, also after a panic.
        struct Lent<'h>(&'h mut Option<Box<Hidden>>);

        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                *self.0 = CURRENT.take();
            }
        }

        let Some(lent) = hidden.take() else { return run() };
        CURRENT.set(Some(lent));
        let _lent = Lent(hidden);
        run()
    }

    /// Restores the byte in a part of the transcript, if that begins with the message.
    fn restore<'d>(&self, data: &'d [u8]) -> Cow<'d, [u8]> {
        let common = data.len().min(self.message.len());
        if common <= self.at || data[..common] != self.message[..common] {
            return Cow::Borrowed(data);
        }
        let mut data = data.to_vec();
        data[self.at] = SERVER_NAME[0];
        Cow::Owned(data)
    }
}

fn as_sent<T>(data: &[u8], use_it: impl FnOnce(&[u8]) -> T) -> T {
    CURRENT.with_borrow(|current| match current {
        Some(hidden) => use_it(&hidden.restore(data)),
        None => use_it(data),
    })
}

/// The length of the handshake record at `position`, if it is complete.
fn length_at(records: &[u8], position: usize) -> Option<usize> {
    let record = records.get(position..)?;
    let (header, payload) = record.split_at_checked(HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    (header[0] == HANDSHAKE && payload.len() >= length).then_some(length)
}

/// Assembles the ClientHello from its records.
fn payload(records: &[u8]) -> Option<Vec<u8>> {
    let (mut message, mut position) = (Vec::new(), 0);
    loop {
        let length = length_at(records, position)?;
        message.extend_from_slice(&records[position + HEADER..][..length]);
        position += HEADER + length;
        if let [CLIENT_HELLO, length @ ..] = &message[..] {
            if length.len() >= 3 {
                let whole = MESSAGE_HEADER + number(&length[..3]);
                if message.len() >= whole {
                    message.truncate(whole);
                    return Some(message);
                }
            }
        } else if !message.is_empty() {
            return None;
        }
    }
}

/// The position of the type of the server name extension, if the name is neither a host name nor an address.
fn find_odd_name(message: &[u8]) -> Option<usize> {
    let mut extensions = extensions(message)?.filter(|(at, _)| message[*at..].starts_with(&SERVER_NAME));
    let (at, mut list) = extensions.next()?;
    // Two extensions of the same type are forbidden (RFC 8446 section 4.2), which rustls would not notice if one of
    // them were hidden.
    if extensions.next().is_some() {
        return None;
    }
    // A list of a single struct { NameType name_type; opaque HostName<1..2^16-1>; }.
    let mut names = take_vector(&mut list, 2)?;
    let (&HOST_NAME, rest) = names.split_first()? else { return None };
    names = rest;
    let name = take_vector(&mut names, 2)?;
    (list.is_empty() && names.is_empty() && ServerName::try_from(name).is_err()).then_some(at)
}

fn has_extension(message: &[u8], kind: [u8; 2]) -> bool {
    extensions(message).is_some_and(|mut extensions| extensions.any(|(at, _)| message[at..].starts_with(&kind)))
}

/// The position and the content of each extension of a ClientHello (RFC 8446 section 4.1.2).
fn extensions(message: &[u8]) -> Option<impl Iterator<Item = (usize, &[u8])>> {
    const VERSION_AND_RANDOM: usize = 2 + 32;

    let mut rest = message.get(MESSAGE_HEADER + VERSION_AND_RANDOM..)?;
    take_vector(&mut rest, 1)?; // legacy_session_id
    take_vector(&mut rest, 2)?; // cipher_suites
    take_vector(&mut rest, 1)?; // legacy_compression_methods
    let mut list = take_vector(&mut rest, 2)?;
    let end = message.len() - rest.len();
    Some(std::iter::from_fn(move || {
        let at = end - list.len();
        list = list.get(2..)?;
        take_vector(&mut list, 2).map(|content| (at, content))
    }))
}

/// Takes a vector off `bytes` that is preceded by its length in `width` bytes (RFC 8446 section 3.4).
fn take_vector<'b>(bytes: &mut &'b [u8], width: usize) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let (vector, rest) = rest.split_at_checked(number(length))?;
    *bytes = rest;
    Some(vector)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The cipher suites of ring, with hashes that restore what [`Hidden`] has changed.
pub(crate) fn cipher_suites() -> Vec<SupportedCipherSuite> {
    static SUITES: LazyLock<Vec<SupportedCipherSuite>> =
        LazyLock::new(|| rustls::crypto::ring::ALL_CIPHER_SUITES.iter().map(|suite| with_hash(*suite)).collect());

    SUITES.clone()
}

/// The suite lives as long as the process, because rustls requires a static one.
fn with_hash(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let wrap = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: Box::leak(Box::new(TranscriptHash(common.hash_provider))),
        confidentiality_limit: common.confidentiality_limit,
    };
    match suite {
        SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
            common: wrap(&suite.common),
            hkdf_provider: suite.hkdf_provider,
            aead_alg: suite.aead_alg,
            quic: suite.quic,
        }))),
        SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
            common: wrap(&suite.common),
            prf_provider: suite.prf_provider,
            kx: suite.kx,
            sign: suite.sign,
            aead_alg: suite.aead_alg,
        }))),
    }
}

struct TranscriptHash(&'static dyn Hash);

struct TranscriptContext(Box<dyn Context>);

impl Hash for TranscriptHash {
    fn start(&self) -> Box<dyn Context> {
        Box::new(TranscriptContext(self.0.start()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        as_sent(data, |data| self.0.hash(data))
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

impl Context for TranscriptContext {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    fn update(&mut self, data: &[u8]) {
        as_sent(data, |data| self.0.update(data));
    }
}

/// A verifier that restores the transcript: in TLS 1.2 a client signs all messages, and not their hash (RFC 5246
/// section 7.4.8).
#[derive(Debug)]
pub(crate) struct TranscriptVerifier(pub(crate) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for TranscriptVerifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        as_sent(message, |message| self.0.verify_tls12_signature(message, cert, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// The first record of a client, with `name` in place of the name `placeholder`.
    fn hello(name: &[u8; 11]) -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("a version");
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let host = ServerName::try_from("placeholder").expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), host).expect("a client");
        let mut record = Vec::new();
        client.write_tls(&mut record).expect("memory");
        let at = record.windows(name.len()).position(|part| part == b"placeholder").expect("its name");
        record[at..at + name.len()].copy_from_slice(name);
        record
    }

    fn record_of(part: &[u8]) -> Vec<u8> {
        [&[HANDSHAKE, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat()
    }

    #[test]
    fn the_byte_is_changed_in_whichever_record_it_is_and_restored() {
        let message = hello(b"place older").split_off(HEADER);
        for cut in 0..=message.len() {
            let mut records = [record_of(&message[..cut]), record_of(&message[cut..])].concat();
            let hidden = Hidden::hide(&mut records).expect("an invalid name");
            assert_eq!(payload(&records).expect("a message"), hidden.message, "{cut}");
            assert_ne!(hidden.message, message);
            // The part may end within the message or go beyond it.
            for end in 0..=message.len() {
                let expected = if end > hidden.at { &message[..end] } else { &hidden.message[..end] };
                assert_eq!(hidden.restore(&hidden.message[..end]), expected);
            }
            let more = [&hidden.message[..], b"more"].concat();
            assert_eq!(hidden.restore(&more), [&message[..], b"more"].concat());
            assert_eq!(hidden.restore(b"anything else"), &b"anything else"[..]);
            assert!(Hidden::hide(&mut records).is_none(), "once");
        }
    }

    #[test]
    fn a_message_that_is_incomplete_or_has_a_valid_name_is_left_alone() {
        let mut good = hello(b"placeholder");
        assert!(Hidden::hide(&mut good).is_none());
        let odd = hello(b"place older");
        for end in 0..odd.len() {
            assert!(Hidden::hide(&mut odd.clone()[..end]).is_none(), "{end}");
        }
        for at in 0..odd.len() {
            let mut damaged = odd.clone();
            damaged[at] ^= 0xFF;
            let _ = Hidden::hide(&mut damaged);
        }
    }
}
