//! Private keys in PEM form, also such that a passphrase protects.

use aes::{Aes128, Aes192, Aes256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::{Des, TdesEde3};
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

const NOT_GOOD: &str = "the passphrase is wrong, or the key is damaged";
const NO_PASSPHRASE: &str = "the key is encrypted, and there is no passphrase";

/// Bytes of the initialization vector that are the salt of the key.
const SALT: usize = 8;

/// The first key in `content`.
pub(super) fn read(content: &[u8], passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(content);
    if let Some((_, body)) = section(&text, |label| label == "ENCRYPTED PRIVATE KEY") {
        let passphrase = passphrase.ok_or(NO_PASSPHRASE)?;
        return decrypt_pkcs8(&decode(body)?, passphrase);
    }
    if let Some((label, body)) = section(&text, |label| label.ends_with("PRIVATE KEY"))
        && let Some(encrypted) = body.trim_start().strip_prefix("Proc-Type: 4,ENCRYPTED")
    {
        let passphrase = passphrase.ok_or(NO_PASSPHRASE)?;
        let der = decrypt_traditional(encrypted, passphrase)?;
        return match label {
            "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(der).into()),
            "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(der).into()),
            _ => Err(format!("it is a {label}, which is not supported")),
        };
    }
    PrivateKeyDer::from_pem_slice(content).map_err(|error| describe(&error, "private key"))
}

/// Why something can't be read from PEM.
pub(super) fn describe(error: &PemError, what: &str) -> String {
    match error {
        PemError::NoItemsFound => format!("there is no {what} in PEM form in it"),
        PemError::MissingSectionEnd { .. } => format!("the PEM form of the {what} has no end"),
        error => format!("the {what} can't be read: {error}"),
    }
}

/// The label and the body of the first section whose label is wanted (RFC 7468 section 2).
fn section(text: &str, is_wanted: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    text.split("-----BEGIN ").skip(1).find_map(|part| {
        let (label, rest) = part.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        is_wanted(label).then_some((label, body))
    })
}

fn decode(body: &str) -> Result<Vec<u8>, String> {
    let dense: String = body.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(dense).map_err(|error| format!("the key is no base64: {error}"))
}

fn decrypt_pkcs8(der: &[u8], passphrase: &str) -> Result<PrivateKeyDer<'static>, String> {
    let key = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|error| format!("the key is encrypted in a way that is not supported: {error}"))?;
    let key = key.decrypt(passphrase).map_err(|_| NOT_GOOD)?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// A key whose header says how it is encrypted (RFC 1421 section 4.6), as OpenSSL does it: the key is made of the passphrase
/// by MD5, with the beginning of the initialization vector as the salt.
fn decrypt_traditional(encrypted: &str, passphrase: &str) -> Result<Vec<u8>, String> {
    let damaged = || "the header of the encrypted key is damaged".to_owned();
    let (_, info) = encrypted.split_once("DEK-Info:").ok_or_else(damaged)?;
    let (info, body) = info.trim_start().split_once('\n').ok_or_else(damaged)?;
    let (cipher, vector) = info.trim_end().split_once(',').ok_or_else(damaged)?;
    let vector = unhex(vector).filter(|vector| vector.len() >= SALT).ok_or_else(damaged)?;
    let body = decode(body)?;
    let key = |length| derive(passphrase.as_bytes(), &vector[..SALT], length);
    let plain = match cipher {
        "AES-128-CBC" => decrypt::<Decryptor<Aes128>>(&key(16), &vector, &body),
        "AES-192-CBC" => decrypt::<Decryptor<Aes192>>(&key(24), &vector, &body),
        "AES-256-CBC" => decrypt::<Decryptor<Aes256>>(&key(32), &vector, &body),
        "DES-EDE3-CBC" => decrypt::<Decryptor<TdesEde3>>(&key(24), &vector, &body),
        "DES-CBC" => decrypt::<Decryptor<Des>>(&key(8), &vector, &body),
        _ => return Err(format!("the key is encrypted by {cipher}, which is not supported")),
    };
    plain.ok_or_else(|| NOT_GOOD.to_owned())
}

fn decrypt<D: KeyIvInit + BlockModeDecrypt>(key: &[u8], vector: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    D::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(body).ok()
}

fn derive(passphrase: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let mut block = Vec::new();
    while key.len() < length {
        let mut hash = Md5::new();
        hash.update(&block);
        hash.update(passphrase);
        hash.update(salt);
        block = hash.finalize().to_vec();
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().as_bytes();
    text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
