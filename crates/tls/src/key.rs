//! Private keys in PEM form, also those that a passphrase protects.
//!
//! No reason why a key is refused contains a byte of it.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::{Des, TdesEde3};
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use crate::der::{self, CONTEXT_0, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};
use crate::pem::{self, Section, Sections};

const WRONG_OR_DAMAGED: &str = "the passphrase is wrong, or the key is damaged";
const NO_PASSPHRASE: &str = "the key is encrypted, and the passphrase is missing";
const NONE: &str = "it contains no private key in PEM form";
const DAMAGED: &str = "the private key is damaged";
const DAMAGED_HEADER: &str = "the header of the encrypted key is damaged";

/// The command that encrypts a key in a supported way, whatever it is encrypted with.
const ENCRYPT_AGAIN: &str = "encrypt it again with openssl pkey -in old.pem -aes256 -out new.pem";

/// Bytes of the initialization vector that serve as salt.
const SALT: usize = 8;

/// Reads the first private key in `content`.
pub(crate) fn read(content: &[u8], passphrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
    let text = pem::text(content);
    let mut other: Option<Section<'_>> = None;
    for section in Sections::new(&text) {
        let section = section?;
        match section.label {
            Some("ENCRYPTED PRIVATE KEY") => {
                return decrypt_pkcs8(&section.decode()?, passphrase.ok_or(NO_PASSPHRASE)?);
            }
            Some("PRIVATE KEY") => return Ok(PrivatePkcs8KeyDer::from(plain(&section, passphrase)?).into()),
            Some("RSA PRIVATE KEY") => return Ok(PrivatePkcs1KeyDer::from(plain(&section, passphrase)?).into()),
            Some("EC PRIVATE KEY") => return Ok(PrivateSec1KeyDer::from(plain(&section, passphrase)?).into()),
            Some(label) if label.contains("PRIVATE KEY") => other = Some(section),
            _ => other = other.or(Some(section)),
        }
    }
    Err(match other {
        Some(Section { label: Some("OPENSSH PRIVATE KEY"), .. }) => {
            "the key is in the format of OpenSSH: convert a copy with ssh-keygen -p -m PKCS8 -f copy.pem".to_owned()
        }
        Some(Section { label: Some("DSA PRIVATE KEY"), .. }) => {
            format!("it is a DSA key, which TLS 1.3 does not support: {SUPPORTED}")
        }
        Some(section) => format!("{NONE}, but {}", section.name()),
        None => pem::mistake(content).map_or_else(|| NONE.to_owned(), |mistake| format!("{NONE}: {mistake}")),
    })
}

const SUPPORTED: &str = "use ECDSA with P-256 or P-384, RSA with 2048, 3072 or 4096 bits, or Ed25519. Create such a \
                         key, for example with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256, and \
                         have a certificate issued for it";

/// Why rustls refuses a key that was read.
pub(crate) fn refusal(key: &PrivateKeyDer<'_>) -> String {
    let kind = match key {
        PrivateKeyDer::Pkcs1(key) => rsa(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => sec1(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
        _ => None,
    };
    kind.map_or_else(|| DAMAGED.to_owned(), |kind| format!("it is {kind}, which is not supported: {SUPPORTED}"))
}

/// RFC 8017 appendix A.1.2.
fn rsa(mut der: &[u8]) -> Option<String> {
    let mut key = der::take_content(&mut der, SEQUENCE)?;
    if unsigned(der::take_content(&mut key, INTEGER)?) == [1] {
        return Some("an RSA key of more than two primes".to_owned());
    }
    let modulus = unsigned(der::take_content(&mut key, INTEGER)?);
    let exponent = unsigned(der::take_content(&mut key, INTEGER)?);
    let bits = (modulus.len() * 8).checked_sub(modulus.first()?.leading_zeros() as usize)?;
    Some(match bits {
        2048 | 3072 | 4096 if exponent.len() < 3 => "an RSA key with a public exponent below 65537".to_owned(),
        2048 | 3072 | 4096 => return None,
        _ => format!("an RSA key of {bits} bits"),
    })
}

fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// RFC 5915 section 3. A key without its curve is of unknown kind.
fn sec1(mut der: &[u8]) -> Option<String> {
    let mut key = der::take_content(&mut der, SEQUENCE)?;
    der::take_content(&mut key, INTEGER)?;
    der::take_content(&mut key, OCTET_STRING)?;
    curve(der::take_content(&mut key, CONTEXT_0)?)
}

/// RFC 5208 section 5.
fn pkcs8(mut der: &[u8]) -> Option<String> {
    let mut key = der::take_content(&mut der, SEQUENCE)?;
    der::take_content(&mut key, INTEGER)?;
    let mut algorithm = der::take_content(&mut key, SEQUENCE)?;
    let kind = der::take_content(&mut algorithm, OBJECT_IDENTIFIER)?;
    let name = match kind {
        // 1.2.840.113549.1.1.1
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01] => {
            return rsa(der::take_content(&mut key, OCTET_STRING)?);
        }
        // 1.2.840.113549.1.1.10
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A] => "an RSA key restricted to RSASSA-PSS",
        // 1.2.840.10045.2.1
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01] => return curve(algorithm),
        // 1.2.840.10040.4.1
        [0x2A, 0x86, 0x48, 0xCE, 0x38, 0x04, 0x01] => "a DSA key",
        // 1.3.101.112 is Ed25519.
        [0x2B, 0x65, 0x70] => return None,
        [0x2B, 0x65, 0x71] => "an Ed448 key",
        [0x2B, 0x65, 0x6E | 0x6F] => "a key for key agreement (X25519 or X448), which cannot sign",
        _ => "a key of unknown kind",
    };
    Some(name.to_owned())
}

/// RFC 5480 section 2.1.1.
fn curve(mut parameters: &[u8]) -> Option<String> {
    let curve = der::take(&mut parameters)?;
    let name = match curve.content {
        _ if curve.tag != OBJECT_IDENTIFIER => {
            return Some("an ECDSA key with explicit curve parameters".to_owned());
        }
        // 1.2.840.10045.3.1.7 is P-256, 1.3.132.0.34 P-384.
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07] | [0x2B, 0x81, 0x04, 0x00, 0x22] => return None,
        [0x2B, 0x81, 0x04, 0x00, 0x23] => "P-521",
        [0x2B, 0x81, 0x04, 0x00, 0x21] => "P-224",
        [0x2B, 0x81, 0x04, 0x00, 0x0A] => "secp256k1",
        [0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, ..] => "a Brainpool curve",
        _ => "an unknown curve",
    };
    Some(format!("an ECDSA key with {name}"))
}

/// Decodes a section whose label does not say whether it is encrypted: in the traditional format of OpenSSL it may be.
fn plain(section: &Section<'_>, passphrase: Option<&[u8]>) -> Result<Vec<u8>, String> {
    match section.body().trim_start().strip_prefix("Proc-Type: 4,ENCRYPTED") {
        Some(encrypted) => decrypt_traditional(encrypted, passphrase.ok_or(NO_PASSPHRASE)?),
        None => section.decode(),
    }
}

fn decrypt_pkcs8(der: &[u8], passphrase: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if is_pbes1(der) {
        return Err(format!("the key is encrypted with PBES1, which is too weak to be supported: {ENCRYPT_AGAIN}"));
    }
    let unsupported = || format!("the key is encrypted in a way that is not supported: {ENCRYPT_AGAIN}");
    let key = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unsupported())?;
    let key = key.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. },
        ) => unsupported(),
        _ => WRONG_OR_DAMAGED.to_owned(),
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// Whether a key is encrypted with PBES1 (RFC 8018 section 6.1) or its relatives in PKCS #12 (RFC 7292 appendix C).
fn is_pbes1(mut der: &[u8]) -> bool {
    const PKCS5: [u8; 8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05];
    const PBES2: u8 = 13;
    const PKCS12: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x01];

    let kind = der::take_content(&mut der, SEQUENCE)
        .and_then(|mut key| der::take_content(&mut key, SEQUENCE))
        .and_then(|mut algorithm| der::take_content(&mut algorithm, OBJECT_IDENTIFIER));
    kind.is_some_and(|kind| kind.starts_with(&PKCS12) || kind.strip_prefix(&PKCS5).is_some_and(|last| *last != [PBES2]))
}

/// Decrypts a key in the traditional format of OpenSSL, whose header says how it is encrypted (RFC 1421 section 4.6).
/// The cipher's key is derived from the passphrase with MD5, and the beginning of the initialization vector is the
/// salt.
fn decrypt_traditional(encrypted: &str, passphrase: &[u8]) -> Result<Vec<u8>, String> {
    let (_, info) = encrypted.split_once("DEK-Info:").ok_or(DAMAGED_HEADER)?;
    // Line breaks may have become spaces.
    let (info, body) = info.trim_start().split_once(|it: char| it.is_ascii_whitespace()).ok_or(DAMAGED_HEADER)?;
    let (cipher, vector) = info.split_once(',').ok_or(DAMAGED_HEADER)?;
    let vector = unhex(vector).filter(|vector| vector.len() >= SALT).ok_or(DAMAGED_HEADER)?;
    let body = pem::decode(body).ok_or("the base64 of the key is damaged")?;
    let key = |length| derive(passphrase, &vector[..SALT], length);
    let plain = match cipher {
        "AES-128-CBC" => decrypt::<Decryptor<Aes128>>(&key(16), &vector, &body),
        "AES-192-CBC" => decrypt::<Decryptor<Aes192>>(&key(24), &vector, &body),
        "AES-256-CBC" => decrypt::<Decryptor<Aes256>>(&key(32), &vector, &body),
        "DES-EDE3-CBC" => decrypt::<Decryptor<TdesEde3>>(&key(24), &vector, &body),
        "DES-CBC" => decrypt::<Decryptor<Des>>(&key(8), &vector, &body),
        _ => return Err(format!("the key is encrypted with a cipher that is not supported: {ENCRYPT_AGAIN}")),
    };
    plain.ok_or_else(|| WRONG_OR_DAMAGED.to_owned())
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
