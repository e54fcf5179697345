//! TLS of one connection, from its first byte on.

use std::sync::Arc;

use milliways_proto::timer::Tick;
use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{Error, PeerIncompatible, ServerConfig};

use super::record::{Alert, plain_alert};
use super::traffic::{End, Opened, Traffic};
use super::{DomainId, SILENCE, SealError};

/// Bytes of handshake that are kept of a peer that has not finished it.
const MAX_HANDSHAKE: usize = 128 * 1024;

/// Room for a message of the handshake; there is more when one is longer.
const MESSAGE_ROOM: usize = 4 * 1024;

pub(crate) struct Session {
    stage: Stage,
    /// The beginning of a record whose end has not come.
    partial: Vec<u8>,
    domain: DomainId,
    /// The peer's, as DER.
    certificate: Option<Box<[u8]>>,
    /// Tells it from others that have had its slot.
    serial: u32,
    /// When it was last used, if it stands among those that have something to forget.
    used: Option<Tick>,
}

enum Stage {
    /// What the peer wants is not known yet.
    Hello(Box<Acceptor>),
    Handshake(Box<UnbufferedServerConnection>),
    Open(Traffic),
    /// Nothing can be sent or received any more.
    Failed,
}

/// What has come of bytes from the peer. What is to be sent has been appended to the output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes of data are at the beginning of the buffer, maybe none.
    Data(usize),
    /// As before, and the peer has finished.
    Closed(usize),
    /// As before, and the connection is of no use any more.
    Failed(usize),
    /// A handshake has begun with a peer who asks for this name, or none: [`Session::choose`] is to be called.
    Hello(Option<String>),
}

impl Session {
    pub(crate) fn new(serial: u32) -> Self {
        Self {
            stage: Stage::Hello(Box::default()),
            partial: Vec::new(),
            domain: DomainId::default(),
            certificate: None,
            serial,
            used: None,
        }
    }

    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// Notes that it is in use; gives whether it was not listed among those that are.
    pub(super) fn note_use(&mut self, now: Tick) -> bool {
        self.used.replace(now).is_none()
    }

    /// If it has been silent, forgets what it can make again, and is not listed any more.
    pub(super) fn rest_if_silent(&mut self, now: Tick) -> bool {
        let is_silent = self.used.is_none_or(|used| used + SILENCE <= now);
        if is_silent {
            self.rest();
        }
        is_silent
    }

    /// Forgets what it can make again, and is not listed any more.
    pub(super) fn rest(&mut self) {
        self.used = None;
        if let Stage::Open(traffic) = &mut self.stage {
            traffic.rest();
        }
    }

    /// Who the peer believes to talk to.
    pub(crate) fn domain(&self) -> DomainId {
        self.domain
    }

    /// The peer's certificate, if it has shown one.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Moves what was left of the last call to the beginning of the buffer; gives how much that is.
    pub(crate) fn take_partial(&mut self, buffer: &mut [u8]) -> usize {
        let partial = std::mem::take(&mut self.partial);
        buffer[..partial.len()].copy_from_slice(&partial);
        partial.len()
    }

    /// Undoes [`Session::take_partial`].
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.partial = bytes.to_vec();
    }

    /// Handles bytes from the peer, of which the first `known` have been there before.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], known: usize, out: &mut Vec<u8>) -> Received {
        match &mut self.stage {
            Stage::Hello(acceptor) => match hear(acceptor, &bytes[known..]) {
                Ok(heard) => {
                    self.keep(bytes);
                    heard
                }
                Err(alert) => {
                    out.extend_from_slice(&alert);
                    self.fail(0)
                }
            },
            Stage::Handshake(_) => self.shake(bytes, out),
            Stage::Open(_) => self.open(bytes, 0, out),
            Stage::Failed => Received::Failed(0),
        }
    }

    /// Goes on with a handshake by what its app has for the name, with the bytes that have come until now.
    pub(crate) fn choose(
        &mut self,
        config: Arc<ServerConfig>,
        domain: DomainId,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Received {
        self.domain = domain;
        match UnbufferedServerConnection::new(config) {
            Ok(connection) => self.stage = Stage::Handshake(Box::new(connection)),
            Err(_) => return self.fail(0),
        }
        let length = self.take_partial(buffer);
        self.shake(&mut buffer[..length], out)
    }

    /// Has rustls take the next steps.
    fn shake(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Received {
        let Stage::Handshake(connection) = &mut self.stage else { return self.fail(0) };
        // Data that came with the end of the handshake.
        let mut data = Vec::new();
        let mut has_closed = false;
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = connection.process_tls_records(&mut bytes[used..]);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut message)) => encode(out, |room| message.encode(room)),
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        data.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::BlockedHandshake) => {
                    self.keep(&bytes[used + discard..]);
                    return Received::Data(0);
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    used += discard;
                    break;
                }
                // Behind its data, with the end of the handshake.
                Ok(ConnectionState::PeerClosed) => has_closed = true,
                // The peer has finished before it began.
                Ok(_) => return self.fail(0),
                Err(_) => {
                    // The alert that tells the peer why is to be sent next.
                    while let Ok(ConnectionState::EncodeTlsData(mut message)) =
                        connection.process_tls_records(&mut []).state
                    {
                        encode(out, |room| message.encode(room));
                    }
                    return self.fail(0);
                }
            }
            used += discard;
        }
        self.certificate = connection
            .peer_certificates()
            .and_then(|certificates| certificates.first())
            .map(|certificate| certificate.as_ref().into());
        let Stage::Handshake(connection) = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return self.fail(0);
        };
        let Ok(traffic) = Traffic::new(*connection) else { return self.fail(0) };
        self.stage = Stage::Open(traffic);
        // What is behind the data moves up to it. There was more of its records than of itself.
        let rest = bytes.len() - used;
        bytes.copy_within(used.., data.len());
        bytes[..data.len()].copy_from_slice(&data);
        if has_closed {
            return Received::Closed(data.len());
        }
        self.open(&mut bytes[..data.len() + rest], data.len(), out)
    }

    /// Opens records, which begin behind `start` bytes of data.
    fn open(&mut self, bytes: &mut [u8], start: usize, out: &mut Vec<u8>) -> Received {
        let Stage::Open(traffic) = &mut self.stage else { return self.fail(0) };
        let Opened { data, rest, end } = traffic.open(&mut bytes[start..], out);
        let length = start + data;
        match end {
            None => {
                self.keep(&bytes[start + rest..]);
                Received::Data(length)
            }
            Some(End::PeerClosed) => Received::Closed(length),
            Some(End::PeerFailed) => self.fail(length),
            Some(End::Failed(alert)) => {
                let _ = traffic.seal_alert(alert, out);
                self.fail(length)
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        debug_assert!(self.partial.is_empty());
        if bytes.len() > MAX_HANDSHAKE {
            self.stage = Stage::Failed;
            return;
        }
        self.partial = bytes.to_vec();
    }

    fn fail(&mut self, length: usize) -> Received {
        self.stage = Stage::Failed;
        Received::Failed(length)
    }

    /// Appends records with `first` and then `second`.
    pub(crate) fn seal(&mut self, first: &[u8], second: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        match &mut self.stage {
            Stage::Open(traffic) => traffic.seal(first, second, out).map_err(|_| SealError),
            _ => Err(SealError),
        }
    }

    /// Appends what tells the peer that nothing more comes (RFC 8446 section 6.1).
    pub(crate) fn seal_close(&mut self, out: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(traffic) => _ = traffic.seal_alert(Alert::CloseNotify, out),
            Stage::Hello(_) => out.extend_from_slice(&plain_alert(Alert::CloseNotify)),
            Stage::Handshake(_) | Stage::Failed => {}
        }
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
