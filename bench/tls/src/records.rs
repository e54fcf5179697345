//! Records of TLS 1.3.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundPlainMessage,
};
use rustls::{CipherSuite, ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

/// Those with keys of 32 bytes, which rustls lets others make.
pub(crate) const SUITES: [CipherSuite; 2] =
    [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256];

const HEADER: usize = 5;

fn parts(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => unreachable!("no such suite"),
    }
}

pub(crate) fn encrypter(suite: SupportedCipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageEncrypter> {
    let (key, iv) = parts(secrets);
    suite.tls13().expect("TLS 1.3").aead_alg.encrypter(key, iv)
}

pub(crate) fn decrypter(suite: SupportedCipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageDecrypter> {
    let (key, iv) = parts(secrets);
    suite.tls13().expect("TLS 1.3").aead_alg.decrypter(key, iv)
}

fn find(provider: &CryptoProvider, suite: CipherSuite) -> SupportedCipherSuite {
    *provider.cipher_suites.iter().find(|supported| supported.suite() == suite).expect("a suite that both have")
}

fn pair(provider: &CryptoProvider, suite: CipherSuite) -> (Box<dyn MessageEncrypter>, Box<dyn MessageDecrypter>) {
    let aead = find(provider, suite).tls13().expect("TLS 1.3").aead_alg;
    let key = || (AeadKey::from([7; 32]), Iv::new([9; 12]));
    let (encrypter_key, decrypter_key) = (key(), key());
    (aead.encrypter(encrypter_key.0, encrypter_key.1), aead.decrypter(decrypter_key.0, decrypter_key.1))
}

fn seal(encrypter: &mut dyn MessageEncrypter, plaintext: &[u8], sequence: u64) -> Vec<u8> {
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_2,
        payload: plaintext.into(),
    };
    encrypter.encrypt(message, sequence).expect("a key").encode()
}

/// Nanoseconds a record.
pub(crate) fn seal_time(provider: &Arc<CryptoProvider>, suite: CipherSuite, size: usize, count: usize) -> f64 {
    let (mut encrypter, _) = pair(provider, suite);
    let plaintext = vec![1; size];
    let start = Instant::now();
    for sequence in 0..count as u64 {
        black_box(seal(&mut *encrypter, &plaintext, sequence));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// Nanoseconds a record.
pub(crate) fn open_time(provider: &Arc<CryptoProvider>, suite: CipherSuite, size: usize, count: usize) -> f64 {
    let (mut encrypter, mut decrypter) = pair(provider, suite);
    let plaintext = vec![1; size];
    let mut records: Vec<_> = (0..count as u64).map(|sequence| seal(&mut *encrypter, &plaintext, sequence)).collect();
    let start = Instant::now();
    for (sequence, record) in records.iter_mut().enumerate() {
        let record =
            InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut record[HEADER..]);
        black_box(decrypter.decrypt(record, sequence as u64).expect("what was sealed"));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// Nanoseconds for two keys.
pub(crate) fn key_time(provider: &Arc<CryptoProvider>, count: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        black_box(pair(provider, SUITES[0]));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}
