//! The protection of records after the handshake: RFC 8446 section 5 for TLS 1.3, RFC 5246 section 6.2.3.3 with RFC
//! 5288 (AES-GCM) or RFC 7905 (ChaCha20-Poly1305) for TLS 1.2. The keys come from rustls and the AEADs from ring; the
//! framing, the nonces and the counting are done here.

use ring::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;

/// Bytes of a record's header: type, version and length.
pub(crate) const HEADER: usize = 5;

/// The most bytes of plaintext in a record (RFC 8446 section 5.1).
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;

/// The most bytes that protection adds to the plaintext (RFC 8446 section 5.2). RFC 5246 section 6.2.3 allows more,
/// which no supported suite makes use of.
const MAX_EXPANSION: usize = 256;

/// Bytes of the authentication tag, in every supported suite.
const TAG: usize = 16;
/// Bytes of the nonce that TLS 1.2 sends with each record of AES-GCM (RFC 5288 section 3).
const EXPLICIT_NONCE: usize = 8;
/// Bytes of the nonce that it does not send.
const SALT: usize = NONCE_LEN - EXPLICIT_NONCE;

/// The version in the headers of records: that of TLS 1.2, also in TLS 1.3.
const VERSION: [u8; 2] = [3, 3];

/// A type of record that occurs only in handshakes.
const CHANGE_CIPHER_SPEC: u8 = 20;

/// The type of a record's content (RFC 8446 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    Alert = 21,
    Handshake = 22,
    ApplicationData = 23,
}

impl ContentType {
    fn of(byte: u8) -> Option<Self> {
        [Self::Alert, Self::Handshake, Self::ApplicationData].into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// The alerts that are sent (RFC 8446 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alert {
    CloseNotify = 0,
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    DecodeError = 50,
    ProtocolVersion = 70,
    InternalError = 80,
    NoRenegotiation = 100,
}

/// The layout of records, which depends on the version and the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Tls13,
    /// TLS 1.2 with AES-GCM: part of the nonce is in each record.
    Tls12Explicit,
    /// TLS 1.2 with ChaCha20-Poly1305: the nonce is that of TLS 1.3.
    Tls12Implicit,
}

/// The keys of one direction of a connection.
pub(crate) struct Direction {
    secrets: ConnectionTrafficSecrets,
    /// How many records the key has protected, which is the number of the next one.
    sequence: u64,
    /// The expanded key. It is large, and can be made again from the secrets.
    key: Option<Box<LessSafeKey>>,
}

impl Direction {
    /// Bytes that the expanded key takes.
    pub(crate) const KEY_MEMORY: usize = size_of::<LessSafeKey>();

    pub(crate) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        Self { secrets, sequence, key: None }
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Drops the expanded key, which the next record makes again.
    pub(crate) fn rest(&mut self) {
        self.key = None;
    }

    /// Returns the key with the nonce (RFC 8446 section 5.3) and the number of the next record, and counts it: no other
    /// record gets this nonce. The last number is never reached, see `limit` of [`crate::traffic::Traffic`].
    fn next(&mut self) -> Result<(&LessSafeKey, [u8; NONCE_LEN], u64), Alert> {
        let (algorithm, key, iv) = match &self.secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
            _ => return Err(Alert::InternalError),
        };
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1).ok_or(Alert::InternalError)?;
        let mut nonce: [u8; NONCE_LEN] = iv.as_ref().try_into().map_err(|_| Alert::InternalError)?;
        for (byte, number) in nonce[NONCE_LEN - 8..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        if self.key.is_none() {
            let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Alert::InternalError)?;
            self.key = Some(Box::new(LessSafeKey::new(key)));
        }
        let key = self.key.as_deref().ok_or(Alert::InternalError)?;
        Ok((key, nonce, sequence))
    }

    /// Appends a record that carries `first` and then `second`, together at most [`MAX_PLAINTEXT`] bytes.
    pub(crate) fn seal(
        &mut self,
        layout: Layout,
        kind: ContentType,
        first: &[u8],
        second: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Alert> {
        let (key, nonce, sequence) = self.next()?;
        let length = first.len() + second.len();
        let (prefix, suffix): (&[u8], &[u8]) = match layout {
            Layout::Tls13 => (&[], &[kind as u8]),
            Layout::Tls12Explicit => (&nonce[SALT..], &[]),
            Layout::Tls12Implicit => (&[], &[]),
        };
        let body = prefix.len() + length + suffix.len() + TAG;
        let outer = if layout == Layout::Tls13 { ContentType::ApplicationData } else { kind };
        let header = header(outer, body);
        out.reserve(HEADER + body);
        out.extend_from_slice(&header);
        out.extend_from_slice(prefix);
        let start = out.len();
        out.extend_from_slice(first);
        out.extend_from_slice(second);
        out.extend_from_slice(suffix);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = match layout {
            Layout::Tls13 => key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start..]),
            Layout::Tls12Explicit | Layout::Tls12Implicit => {
                let aad = Aad::from(tls12_aad(sequence, header, length));
                key.seal_in_place_separate_tag(nonce, aad, &mut out[start..])
            }
        };
        out.extend_from_slice(sealed.map_err(|_| Alert::InternalError)?.as_ref());
        Ok(())
    }

    /// Opens the record that begins at `at` and has `length` bytes after its header. Its content is written to `to`,
    /// which is at most `at`. Returns the type and the length of the content.
    pub(crate) fn open(
        &mut self,
        layout: Layout,
        bytes: &mut [u8],
        at: usize,
        length: usize,
        to: usize,
    ) -> Result<(ContentType, usize), Alert> {
        let (key, mut nonce, sequence) = self.next()?;
        let header: [u8; HEADER] = bytes[at..at + HEADER].try_into().map_err(|_| Alert::InternalError)?;
        let mut start = at + HEADER;
        let end = start + length;
        let opened = if layout == Layout::Tls13 {
            if header[0] != ContentType::ApplicationData as u8 {
                return Err(Alert::UnexpectedMessage);
            }
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.open_within(nonce, Aad::from(header), &mut bytes[to..end], start - to..)
        } else {
            if layout == Layout::Tls12Explicit {
                let explicit = bytes[start..end].first_chunk::<EXPLICIT_NONCE>().ok_or(Alert::DecodeError)?;
                nonce[SALT..].copy_from_slice(explicit);
                start += EXPLICIT_NONCE;
            }
            let plaintext = (end - start).checked_sub(TAG).ok_or(Alert::BadRecordMac)?;
            let aad = Aad::from(tls12_aad(sequence, header, plaintext));
            key.open_within(Nonce::assume_unique_for_key(nonce), aad, &mut bytes[to..end], start - to..)
        };
        let content = opened.map_err(|_| Alert::BadRecordMac)?;
        let (kind, length) = match layout {
            // The type follows the content, and any number of zeros follow the type (RFC 8446 section 5.4).
            Layout::Tls13 => {
                let last = content.iter().rposition(|&byte| byte != 0).ok_or(Alert::UnexpectedMessage)?;
                (content[last], last)
            }
            _ => (header[0], content.len()),
        };
        if length > MAX_PLAINTEXT {
            return Err(Alert::RecordOverflow);
        }
        Ok((ContentType::of(kind).ok_or(Alert::UnexpectedMessage)?, length))
    }
}

/// The length of the first record after its header, or `None` if the header is incomplete.
pub(crate) fn length_of(bytes: &[u8]) -> Result<Option<usize>, Alert> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    // The rest of something that is not a record is not waited for.
    if !(CHANGE_CIPHER_SPEC..=ContentType::ApplicationData as u8).contains(&header[0]) || header[1] != VERSION[0] {
        return Err(Alert::UnexpectedMessage);
    }
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if length > MAX_PLAINTEXT + MAX_EXPANSION { Err(Alert::RecordOverflow) } else { Ok(Some(length)) }
}

/// The record of an alert without protection, before there are keys.
pub(crate) fn plain_alert(alert: Alert) -> Vec<u8> {
    let mut record = header(ContentType::Alert, 2).to_vec();
    record.extend_from_slice(&alert.content());
    record
}

impl Alert {
    /// The level and the description. All alerts but the first and the last are fatal.
    pub(crate) fn content(self) -> [u8; 2] {
        let level = if matches!(self, Self::CloseNotify | Self::NoRenegotiation) { 1 } else { 2 };
        [level, self as u8]
    }
}

fn header(kind: ContentType, length: usize) -> [u8; HEADER] {
    let [high, low] = (length as u16).to_be_bytes();
    [kind as u8, VERSION[0], VERSION[1], high, low]
}

/// The additional data of TLS 1.2 (RFC 5246 section 6.2.3.3).
fn tls12_aad(sequence: u64, header: [u8; HEADER], length: usize) -> [u8; 13] {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&sequence.to_be_bytes());
    // Type and version, then the length of the plaintext.
    aad[8..11].copy_from_slice(&header[..3]);
    aad[11..].copy_from_slice(&(length as u16).to_be_bytes());
    aad
}
