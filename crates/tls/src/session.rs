//! TLS of one connection, from its first byte on.
//!
//! ```text
//!            ClientHello        choose()          Finished
//!   Hello ───────────────▶ Named ─────▶ Handshake ───────▶ Open
//!     │                      │              │                │
//!     └──────────────────────┴──────┬───────┴────────────────┘
//!                                   ▼   a violation, an alert, a limit
//!                                 Failed
//! ```

use std::fmt;

use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::{Error, HandshakeKind, PeerIncompatible};

use crate::TlsConfig;
use crate::failure::Failure;
use crate::hello::{HANDSHAKE, Hidden};
use crate::record::{Alert, Direction, HEADER, length_of, plain_alert};
use crate::traffic::{End, Opened, Traffic};

/// Room for a message of the handshake, in bytes. A longer one gets what it asks for.
const MESSAGE_ROOM: usize = 4 * 1024;

/// TLS of one connection, at the server's end.
///
/// What the peer sends goes to [`Session::receive`], behind what [`Session::copy_partial`] copies; what is to be sent
/// to it is appended to a buffer of the caller's. Each method says what it does when it is called out of turn.
pub struct Session {
    stage: Stage,
    /// Bytes received that can't be handled before more come: the beginning of a record, or of a handshake message.
    partial: Vec<u8>,
    /// The peer's certificate in DER.
    certificate: Option<Box<[u8]>>,
    /// The peer has sent its `close_notify`.
    peer_has_closed: bool,
    /// Ours has been sealed.
    has_closed: bool,
    /// The handshake has resumed an earlier session.
    is_resumed: bool,
}

enum Stage {
    /// The ClientHello is not complete.
    Hello(Box<Hello>),
    /// The ClientHello is complete, and [`Session::choose`] is due.
    Named(Option<Box<Hidden>>),
    Handshake(Box<Handshake>),
    Open(Traffic),
    /// Nothing can be sent or received any more.
    Failed(Failure),
}

#[derive(Default)]
struct Hello {
    acceptor: Acceptor,
    /// How many bytes of the ClientHello the acceptor has read.
    read: usize,
    /// Set if the server name has to be hidden from rustls.
    hidden: Option<Box<Hidden>>,
}

struct Handshake {
    connection: UnbufferedServerConnection,
    /// How many bytes of the partial message rustls has seen.
    shown: usize,
    hidden: Option<Box<Hidden>>,
}

/// What came of reading from a connection, in the shape that fits one without TLS, too: data, and then what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Bytes of data, possibly none, which are now at the beginning of the buffer.
    pub data: usize,
    /// What is to be expected of the peer after this data.
    pub then: Then,
}

/// What is to be expected of a peer after the data that it has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// More may come.
    More,
    /// The peer sends nothing more. It may still read what is sent to it.
    Closed,
    /// The connection can't go on. An alert that says why has been appended to the output, unless the peer knows.
    Failed,
    /// The ClientHello is complete and asks for this server name, or for none (RFC 6066 section 3); [`Session::choose`]
    /// continues the handshake.
    Hello(Option<String>),
}

/// Nothing can be sealed: the handshake is not complete, the session has failed, or it has sealed its `close_notify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealError;

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the TLS session is not open")
    }
}

impl std::error::Error for SealError {}

impl From<SealError> for std::io::Error {
    fn from(SealError: SealError) -> Self {
        std::io::ErrorKind::ConnectionAborted.into()
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// The most bytes that [`Session::copy_partial`] copies. A peer that needs more than that for its handshake has
    /// failed.
    pub const MAX_PARTIAL: usize = 128 * 1024;

    /// Bytes that an idle session takes, most of them for rustls: what an idle WebSocket with TLS takes more than one
    /// without, as `npm run bench` measures it.
    pub const IDLE_MEMORY: usize = 1200;

    /// Bytes that the expanded keys of a session take, which [`Session::rest`] drops.
    pub const KEY_MEMORY: usize = 2 * Direction::KEY_MEMORY;

    /// A session that has received nothing yet.
    pub fn new() -> Self {
        Self {
            stage: Stage::Hello(Box::default()),
            partial: Vec::new(),
            certificate: None,
            peer_has_closed: false,
            has_closed: false,
            is_resumed: false,
        }
    }

    /// Whether the handshake is complete and the session has not failed since, so that data can be received.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Whether the handshake has resumed an earlier session of the peer. False before the handshake is complete.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Why the session has failed, if it has.
    pub fn failure(&self) -> Option<Failure> {
        match self.stage {
            Stage::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether the peer has sent its `close_notify`. Its FIN may not have come yet.
    pub fn peer_has_closed(&self) -> bool {
        self.peer_has_closed
    }

    /// The peer's certificate in DER, if it has sent one. It has none before the handshake is complete.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Drops the expanded keys. The next record that is sealed or opened expands its key again, which takes some 0.3
    /// µs.
    pub fn rest(&mut self) {
        if let Stage::Open(traffic) = &mut self.stage {
            traffic.rest();
        }
    }

    /// Copies the bytes that wait for more to come to the beginning of `buffer`, and returns how many there are. What
    /// is read next belongs behind them.
    ///
    /// # Panics
    ///
    /// Panics if `buffer` is too short. One of more than [`Session::MAX_PARTIAL`] bytes never is.
    pub fn copy_partial(&self, buffer: &mut [u8]) -> usize {
        buffer[..self.partial.len()].copy_from_slice(&self.partial);
        self.partial.len()
    }

    /// Keeps bytes that precede the handshake and are not part of it, such as the incomplete header of a proxy, for the
    /// next [`Session::copy_partial`]. Only valid before the first [`Session::receive`], which drops them.
    pub fn hold(&mut self, bytes: &[u8]) {
        debug_assert!(matches!(&self.stage, Stage::Hello(hello) if hello.read == 0), "the handshake has begun");
        self.partial = bytes.to_vec();
    }

    /// Handles what the peer has sent: the bytes of [`Session::copy_partial`], and those read since. Answers are
    /// appended to `out`.
    ///
    /// Before [`Session::choose`] is called for a [`Then::Hello`], bytes are only kept. After the peer has closed or
    /// the session has failed, they are dropped.
    pub fn receive(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Input {
        let partial = std::mem::take(&mut self.partial);
        match &mut self.stage {
            Stage::Hello(hello) => {
                debug_assert!(hello.read == 0 || bytes.starts_with(&partial), "partial bytes come first");
                match hello.handle(bytes) {
                    Ok(None) => self.keep(bytes, 0, Then::More),
                    Ok(Some(Asked(name))) => {
                        self.stage = Stage::Named(hello.hidden.take());
                        self.keep(bytes, 0, Then::Hello(name))
                    }
                    Err(Refused { alert, failure }) => {
                        out.extend_from_slice(&alert);
                        self.fail(0, failure)
                    }
                }
            }
            Stage::Named(_) => self.keep(bytes, 0, Then::More),
            Stage::Failed(_) => Input { data: 0, then: Then::Failed },
            _ if self.peer_has_closed => Input { data: 0, then: Then::Closed },
            stage => {
                debug_assert!(bytes.starts_with(&partial), "partial bytes come first");
                let is_open = matches!(stage, Stage::Open(_));
                if is_open { self.open(bytes, out) } else { self.shake_hands(bytes, out) }
            }
        }
    }

    /// Continues the handshake after a [`Then::Hello`], with the certificate for the name in it. `buffer` is as for
    /// [`Session::copy_partial`], and gets the data.
    ///
    /// At any other time the session fails.
    pub fn choose(&mut self, config: &TlsConfig, buffer: &mut [u8], out: &mut Vec<u8>) -> Input {
        let Stage::Named(hidden) = &mut self.stage else { return self.fail(0, Failure::Internal) };
        let hidden = hidden.take();
        let Ok(connection) = UnbufferedServerConnection::new(config.server()) else {
            return self.fail(0, Failure::Internal);
        };
        self.stage = Stage::Handshake(Box::new(Handshake { connection, shown: 0, hidden }));
        let length = self.copy_partial(buffer);
        self.receive(&mut buffer[..length], out)
    }

    /// Appends the records that carry `first` and then `second`. What is sealed has to be sent, and in order.
    pub fn seal(&mut self, first: &[u8], second: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        match &mut self.stage {
            Stage::Open(traffic) if !self.has_closed => traffic.seal(first, second, out).map_err(|_| SealError),
            _ => Err(SealError),
        }
    }

    /// Appends a `close_notify` (RFC 8446 section 6.1), after which nothing can be sealed. Appends nothing the second
    /// time, in the middle of a handshake, and after a failure.
    pub fn seal_close(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_closed, true) {
            return;
        }
        match &mut self.stage {
            Stage::Open(traffic) => _ = traffic.seal_alert(Alert::CloseNotify, out),
            Stage::Hello(_) | Stage::Named(_) => out.extend_from_slice(&plain_alert(Alert::CloseNotify)),
            Stage::Handshake(_) | Stage::Failed(_) => {}
        }
    }

    /// Lets rustls take the next steps. It is shown one more record at a time, and none behind the end of the
    /// handshake.
    fn shake_hands(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Input {
        let Stage::Handshake(handshake) = &mut self.stage else { return self.fail(0, Failure::Internal) };
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
                        // After a HelloRetryRequest the client asks for the same name again.
                        if hidden.is_some()
                            && let Some(second) = Hidden::hide(&mut bytes[end..next])
                        {
                            *hidden = Some(second);
                        }
                        end = next;
                    }
                    Ok(_) => {
                        // rustls is shown an incomplete message again from its beginning.
                        *shown = end - used;
                        return self.keep(&bytes[used..], 0, Then::More);
                    }
                    Err(alert) => {
                        out.extend_from_slice(&plain_alert(alert));
                        return self.fail(0, Failure::of_alert(alert));
                    }
                },
                // A message that followed the last one in the same record would be under another key.
                Ok(ConnectionState::WriteTraffic(_)) if used == end => break,
                Ok(_) => return self.fail(0, Failure::UnexpectedMessage),
                Err(error) => {
                    // The alert that says why. With nothing to send, rustls would look for records.
                    while connection.wants_write()
                        && let Ok(ConnectionState::EncodeTlsData(mut message)) =
                            connection.process_tls_records(&mut []).state
                    {
                        encode(out, |room| message.encode(room));
                    }
                    return self.fail(0, Failure::of_error(&error));
                }
            }
        }
        self.certificate = connection
            .peer_certificates()
            .and_then(|certificates| certificates.first())
            .map(|certificate| certificate.as_ref().into());
        self.is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let Stage::Handshake(handshake) = std::mem::replace(&mut self.stage, Stage::Failed(Failure::Internal)) else {
            return self.fail(0, Failure::Internal);
        };
        let Ok(traffic) = Traffic::new(handshake.connection) else { return self.fail(0, Failure::Internal) };
        self.stage = Stage::Open(traffic);
        bytes.copy_within(used.., 0);
        let rest = bytes.len() - used;
        self.open(&mut bytes[..rest], out)
    }

    fn open(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Input {
        let Stage::Open(traffic) = &mut self.stage else { return self.fail(0, Failure::Internal) };
        let Opened { data, rest, end } = traffic.open(bytes);
        match end {
            None => self.keep(&bytes[rest..], data, Then::More),
            Some(End::PeerClosed) => {
                self.peer_has_closed = true;
                Input { data, then: Then::Closed }
            }
            Some(End::PeerFailed(alert)) => self.fail(data, Failure::of_peer_alert(alert)),
            Some(End::Failed(alert)) => {
                let _ = traffic.seal_alert(alert, out);
                self.fail(data, Failure::of_alert(alert))
            }
        }
    }

    /// Keeps bytes that wait for more to come, unless there are too many of them.
    fn keep(&mut self, bytes: &[u8], data: usize, then: Then) -> Input {
        if bytes.len() > Self::MAX_PARTIAL {
            return self.fail(data, Failure::HandshakeTooLong);
        }
        self.partial = bytes.to_vec();
        Input { data, then }
    }

    fn fail(&mut self, data: usize, failure: Failure) -> Input {
        self.partial = Vec::new();
        self.stage = Stage::Failed(failure);
        Input { data, then: Then::Failed }
    }
}

/// The server name in a ClientHello, if there is one.
struct Asked(Option<String>);

/// An invalid ClientHello.
struct Refused {
    /// The record of the alert that answers it.
    alert: Vec<u8>,
    failure: Failure,
}

impl Refused {
    fn with(alert: Alert) -> Self {
        Self { alert: plain_alert(alert), failure: Failure::of_alert(alert) }
    }
}

impl Hello {
    /// Reads on in a ClientHello, of which `bytes` is everything so far. Returns the name once it is complete.
    fn handle(&mut self, bytes: &mut [u8]) -> Result<Option<Asked>, Refused> {
        let unread = std::mem::replace(&mut self.read, bytes.len());
        let result = read_hello(&mut self.acceptor, &bytes[unread..]).or_else(|refused| {
            // A server name that is not a host name is ignored.
            self.hidden = Hidden::hide(bytes);
            if self.hidden.is_none() {
                return Err(refused);
            }
            self.acceptor = Acceptor::default();
            read_hello(&mut self.acceptor, bytes)
        });
        let is_tls = bytes.first() == Some(&HANDSHAKE);
        result.map_err(|refused| if is_tls { refused } else { Refused { failure: Failure::NotTls, ..refused } })
    }
}

fn read_hello(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Result<Option<Asked>, Refused> {
    loop {
        // It fails if there is more than a ClientHello may have.
        let length = acceptor
            .read_tls(&mut bytes)
            .map_err(|_| Refused { failure: Failure::HandshakeTooLong, ..Refused::with(Alert::RecordOverflow) })?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok(Some(Asked(accepted.client_hello().server_name().map(str::to_owned))));
            }
            Ok(None) if length > 0 && !bytes.is_empty() => {}
            Ok(None) => return Ok(None),
            // Only clients that know nothing newer than TLS 1.1 omit this extension.
            Err((Error::PeerIncompatible(PeerIncompatible::SignatureAlgorithmsExtensionRequired), _)) => {
                return Err(Refused::with(Alert::ProtocolVersion));
            }
            Err((error, mut alert)) => {
                let mut record = Vec::new();
                let _ = alert.write_all(&mut record);
                // rustls has no alert for bytes that are not a record.
                let alert = if record.is_empty() { plain_alert(Alert::DecodeError) } else { record };
                return Err(Refused { alert, failure: Failure::of_error(&error) });
            }
        }
    }
}

/// Appends a message, which says how much room it needs if there is not enough.
fn encode(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
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
