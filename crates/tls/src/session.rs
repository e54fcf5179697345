//! TLS of one connection, from its first byte on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{Error, PeerIncompatible};

use crate::hello::Hidden;
use crate::record::{Alert, HEADER, length_of, plain_alert};
use crate::traffic::{End, Opened, Traffic};
use crate::{SealError, TlsConfig};

/// Bytes of handshake that are kept of a peer that has not finished it.
const MAX_HANDSHAKE: usize = 128 * 1024;

/// Room for a message of the handshake; there is more when one is longer.
const MESSAGE_ROOM: usize = 4 * 1024;

/// TLS of one connection, at the server's end.
pub struct Session {
    stage: Stage,
    /// The beginning of a record whose end has not come.
    partial: Vec<u8>,
    /// The peer's, as DER.
    certificate: Option<Box<[u8]>>,
    /// The peer has said that nothing more comes.
    peer_has_closed: bool,
    /// We have.
    has_closed: bool,
}

enum Stage {
    /// What the peer wants is not known yet.
    Hello(Box<Hello>),
    Handshake(Box<Handshake>),
    Open(Traffic),
    /// Nothing can be sent or received any more.
    Failed,
}

#[derive(Default)]
struct Hello {
    acceptor: Acceptor,
    /// What the peer has said, if rustls is not to know all of it.
    hidden: Option<Box<Hidden>>,
}

struct Handshake {
    connection: UnbufferedServerConnection,
    /// How much rustls has been shown of what is kept.
    shown: usize,
    hidden: Option<Box<Hidden>>,
}

/// What has come of bytes from the peer. What is to be sent has been appended to the output.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes of data are at the beginning of the buffer, maybe none.
    Data(usize),
    /// As before, and the peer has finished.
    Closed(usize),
    /// As before, and the connection is of no use any more.
    Failed(usize),
    /// A handshake has begun with a peer who asks for this name, or none: [`Session::choose`] is to be called.
    Hello(Option<String>),
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session of which nothing has come yet.
    pub fn new() -> Self {
        Self {
            stage: Stage::Hello(Box::default()),
            partial: Vec::new(),
            certificate: None,
            peer_has_closed: false,
            has_closed: false,
        }
    }

    /// Forgets what it can make again: the expanded keys.
    pub fn rest(&mut self) {
        if let Stage::Open(traffic) = &mut self.stage {
            traffic.rest();
        }
    }

    /// The peer's certificate, if it has shown one.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Whether the peer has said that nothing more comes. Its FIN need not have come.
    pub fn peer_has_closed(&self) -> bool {
        self.peer_has_closed
    }

    /// Whether the handshake is done and nothing has failed, so that data goes both ways.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Moves what was left of the last call to the beginning of the buffer; gives how much that is.
    pub fn take_partial(&mut self, buffer: &mut [u8]) -> usize {
        let partial = std::mem::take(&mut self.partial);
        buffer[..partial.len()].copy_from_slice(&partial);
        partial.len()
    }

    /// Undoes [`Session::take_partial`].
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.partial = bytes.to_vec();
    }

    /// Handles bytes from the peer, of which the first `known` have been there before.
    pub fn receive(&mut self, bytes: &mut [u8], known: usize, out: &mut Vec<u8>) -> Received {
        self.guarded(|session| session.handle(bytes, known, out))
    }

    /// A panic about what a peer has sent is the end of its connection, and of nothing else.
    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Received) -> Received {
        catch_unwind(AssertUnwindSafe(|| step(self))).unwrap_or_else(|_| self.fail(0))
    }

    fn handle(&mut self, bytes: &mut [u8], known: usize, out: &mut Vec<u8>) -> Received {
        match &mut self.stage {
            Stage::Hello(hello) => match hello.hear(bytes, known) {
                Ok(heard) => self.keep(bytes, heard),
                Err(alert) => {
                    out.extend_from_slice(&alert);
                    self.fail(0)
                }
            },
            Stage::Handshake(_) => self.shake(bytes, out),
            Stage::Open(_) => self.open(bytes, out),
            Stage::Failed => Received::Failed(0),
        }
    }

    /// Goes on with a handshake by what its app has for the name, with the bytes that have come until now.
    pub fn choose(&mut self, config: &TlsConfig, buffer: &mut [u8], out: &mut Vec<u8>) -> Received {
        let hidden = if let Stage::Hello(hello) = &mut self.stage { hello.hidden.take() } else { None };
        match UnbufferedServerConnection::new(config.server()) {
            Ok(connection) => self.stage = Stage::Handshake(Box::new(Handshake { connection, shown: 0, hidden })),
            Err(_) => return self.fail(0),
        }
        let length = self.take_partial(buffer);
        self.guarded(|session| session.shake(&mut buffer[..length], out))
    }

    /// Has rustls take the next steps. It is shown one record more at a time, and none behind the end of the handshake.
    fn shake(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Received {
        let Stage::Handshake(handshake) = &mut self.stage else { return self.fail(0) };
        let Handshake { connection, shown, hidden } = &mut **handshake;
        let mut end = *shown;
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                Hidden::during(hidden, || connection.process_tls_records(&mut bytes[used..end]));
            used += discard;
            match state {
                Ok(ConnectionState::EncodeTlsData(mut message)) => encode(out, |room| message.encode(room)),
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::BlockedHandshake) => match length_of(&bytes[end..]) {
                    Ok(Some(length)) if end + HEADER + length <= bytes.len() => {
                        let next = end + HEADER + length;
                        // A second ClientHello, with a share of the key that we can do with, asks for the same name.
                        if hidden.is_some()
                            && let Some(second) = Hidden::hide(&mut bytes[end..next])
                        {
                            *hidden = Some(second);
                        }
                        end = next;
                    }
                    Ok(_) => {
                        // Parts of a message that is not complete are shown again.
                        *shown = end - used;
                        return self.keep(&bytes[used..], Received::Data(0));
                    }
                    Err(alert) => {
                        out.extend_from_slice(&plain_alert(alert));
                        return self.fail(0);
                    }
                },
                // A message behind the last one of the handshake, in the same record, would have another key.
                Ok(ConnectionState::WriteTraffic(_)) if used == end => break,
                Ok(_) => return self.fail(0),
                Err(_) => {
                    // The alert that tells the peer why. With nothing to send, rustls would look for records.
                    while connection.wants_write()
                        && let Ok(ConnectionState::EncodeTlsData(mut message)) =
                            connection.process_tls_records(&mut []).state
                    {
                        encode(out, |room| message.encode(room));
                    }
                    return self.fail(0);
                }
            }
        }
        self.certificate = connection
            .peer_certificates()
            .and_then(|certificates| certificates.first())
            .map(|certificate| certificate.as_ref().into());
        let Stage::Handshake(handshake) = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return self.fail(0);
        };
        let Ok(traffic) = Traffic::new(handshake.connection) else { return self.fail(0) };
        self.stage = Stage::Open(traffic);
        bytes.copy_within(used.., 0);
        let rest = bytes.len() - used;
        self.open(&mut bytes[..rest], out)
    }

    fn open(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Received {
        let Stage::Open(traffic) = &mut self.stage else { return self.fail(0) };
        let Opened { data: length, rest, end } = traffic.open(bytes);
        match end {
            None => self.keep(&bytes[rest..], Received::Data(length)),
            Some(End::PeerClosed) => {
                self.peer_has_closed = true;
                Received::Closed(length)
            }
            Some(End::PeerFailed) => self.fail(length),
            Some(End::Failed(alert)) => {
                let _ = traffic.seal_alert(alert, out);
                self.fail(length)
            }
        }
    }

    /// Keeps what is not complete; gives `received`, unless that is too much.
    fn keep(&mut self, bytes: &[u8], received: Received) -> Received {
        debug_assert!(self.partial.is_empty());
        if bytes.len() > MAX_HANDSHAKE {
            return self.fail(0);
        }
        self.partial = bytes.to_vec();
        received
    }

    fn fail(&mut self, length: usize) -> Received {
        self.stage = Stage::Failed;
        Received::Failed(length)
    }

    /// Appends records with `first` and then `second`.
    pub fn seal(&mut self, first: &[u8], second: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        match &mut self.stage {
            Stage::Open(traffic) if !self.has_closed => traffic.seal(first, second, out).map_err(|_| SealError),
            _ => Err(SealError),
        }
    }

    /// Appends what tells the peer that nothing more comes (RFC 8446 section 6.1), unless that was said before.
    pub fn seal_close(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_closed, true) {
            return;
        }
        match &mut self.stage {
            Stage::Open(traffic) => _ = traffic.seal_alert(Alert::CloseNotify, out),
            Stage::Hello(_) => out.extend_from_slice(&plain_alert(Alert::CloseNotify)),
            Stage::Handshake(_) | Stage::Failed => {}
        }
    }
}

impl Hello {
    /// Listens to the first message of a handshake, of which the first `known` bytes have been heard before.
    fn hear(&mut self, bytes: &mut [u8], known: usize) -> Result<Received, Vec<u8>> {
        hear(&mut self.acceptor, &bytes[known..]).or_else(|alert| {
            // Of a name that is no host name it is better not to know.
            self.hidden = Hidden::hide(bytes);
            if self.hidden.is_none() {
                return Err(alert);
            }
            self.acceptor = Acceptor::default();
            hear(&mut self.acceptor, bytes)
        })
    }
}

/// Listens to the first message of a handshake: which name is asked for is known once all of it is there. If it is no good,
/// gives the alert that says so.
fn hear(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Result<Received, Vec<u8>> {
    loop {
        // Reading from memory fails when there is too much of it.
        let length = acceptor.read_tls(&mut bytes).map_err(|_| plain_alert(Alert::RecordOverflow))?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok(Received::Hello(accepted.client_hello().server_name().map(str::to_owned)));
            }
            Ok(None) if length > 0 && !bytes.is_empty() => {}
            Ok(None) => return Ok(Received::Data(0)),
            // Only those send none of them who know nothing newer than TLS 1.1.
            Err((Error::PeerIncompatible(PeerIncompatible::SignatureAlgorithmsExtensionRequired), _)) => {
                return Err(plain_alert(Alert::ProtocolVersion));
            }
            Err((_, mut alert)) => {
                let mut record = Vec::new();
                let _ = alert.write_all(&mut record);
                // There is none for what is no record at all.
                return Err(if record.is_empty() { plain_alert(Alert::DecodeError) } else { record });
            }
        }
    }
}

/// Appends a message that says how much room it needs if there is not enough.
fn encode(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, rustls::unbuffered::EncodeError>) {
    use rustls::unbuffered::{EncodeError, InsufficientSizeError};

    let start = out.len();
    let mut room = MESSAGE_ROOM;
    loop {
        out.resize(start + room, 0);
        match encode(&mut out[start..]) {
            Ok(length) => return out.truncate(start + length),
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => room = required_size,
            Err(EncodeError::AlreadyEncoded) => return out.truncate(start),
        }
    }
}
