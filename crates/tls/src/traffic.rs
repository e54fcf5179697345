//! A connection whose handshake is done.

use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{ConnectionTrafficSecrets, Error, ProtocolVersion};

use crate::record::{Alert, ContentType, Direction, HEADER, Layout, MAX_PLAINTEXT, length_of};

/// The handshake message by which keys are replaced (RFC 8446 section 4.6.3).
const KEY_UPDATE: u8 = 24;
/// The one by which TLS 1.2 would negotiate anew.
const CLIENT_HELLO: u8 = 1;

/// Records without data that a peer may send in a row: each costs us more than it.
const MAX_EMPTY: u8 = 32;

pub(crate) struct Traffic {
    layout: Layout,
    sent: Direction,
    received: Direction,
    /// How many records a key may protect.
    limit: u64,
    /// The peer wants a new key before it gets more data.
    owes_update: bool,
    /// Records without data since the last with some.
    empty: u8,
    /// Computes the keys that follow.
    kernel: Box<KernelConnection<ServerConnectionData>>,
}

/// What has been opened.
pub(crate) struct Opened {
    /// How many bytes of data there are now where the records began.
    pub(crate) data: usize,
    /// Where the first record begins that is not complete.
    pub(crate) rest: usize,
    pub(crate) end: Option<End>,
}

/// Why nothing more is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer has said that it has finished.
    PeerClosed,
    /// The peer has given up, which needs no answer.
    PeerFailed,
    Failed(Alert),
}

impl Traffic {
    /// Takes over from rustls, when that has nothing more to send.
    pub(crate) fn new(connection: UnbufferedServerConnection) -> Result<Self, Error> {
        let suite = connection.negotiated_cipher_suite().ok_or(Error::HandshakeNotComplete)?;
        let version = connection.protocol_version().ok_or(Error::HandshakeNotComplete)?;
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let layout = match (version, &secrets.tx.1) {
            (ProtocolVersion::TLSv1_3, _) => Layout::Tls13,
            (_, ConnectionTrafficSecrets::Chacha20Poly1305 { .. }) => Layout::Tls12Implicit,
            _ => Layout::Tls12Explicit,
        };
        let common = match suite {
            rustls::SupportedCipherSuite::Tls13(suite) => &suite.common,
            rustls::SupportedCipherSuite::Tls12(suite) => &suite.common,
        };
        Ok(Self {
            layout,
            sent: Direction::new(secrets.tx),
            received: Direction::new(secrets.rx),
            limit: common.confidentiality_limit.min(u64::MAX - 1),
            owes_update: false,
            empty: 0,
            kernel: Box::new(kernel),
        })
    }

    /// Appends records with `first` and then `second`.
    pub(crate) fn seal(&mut self, first: &[u8], second: &[u8], out: &mut Vec<u8>) -> Result<(), Alert> {
        let (mut first, mut second) = (first, second);
        while !first.is_empty() || !second.is_empty() {
            let (head, first_rest) = first.split_at(first.len().min(MAX_PLAINTEXT));
            let (tail, second_rest) = second.split_at(second.len().min(MAX_PLAINTEXT - head.len()));
            self.seal_one(ContentType::ApplicationData, head, tail, out)?;
            (first, second) = (first_rest, second_rest);
        }
        Ok(())
    }

    fn seal_one(&mut self, kind: ContentType, first: &[u8], second: &[u8], out: &mut Vec<u8>) -> Result<(), Alert> {
        if self.owes_update || self.sent.sequence() >= self.limit {
            self.update_sent(out)?;
        }
        self.sent.seal(self.layout, kind, first, second, out)
    }

    /// Tells the peer that a new key follows, and takes it (RFC 8446 section 4.6.3). TLS 1.2 has none.
    fn update_sent(&mut self, out: &mut Vec<u8>) -> Result<(), Alert> {
        self.owes_update = false;
        let next = self.kernel.update_tx_secret().map_err(|_| Alert::InternalError)?;
        // Asks for nothing in return.
        self.sent.seal(self.layout, ContentType::Handshake, &[KEY_UPDATE, 0, 0, 1, 0], &[], out)?;
        self.sent = Direction::new(next);
        Ok(())
    }

    pub(crate) fn seal_alert(&mut self, alert: Alert, out: &mut Vec<u8>) -> Result<(), Alert> {
        self.sent.seal(self.layout, ContentType::Alert, &alert.content(), &[], out)
    }

    /// Opens the records in `bytes`, whose data is then at the beginning.
    pub(crate) fn open(&mut self, bytes: &mut [u8]) -> Opened {
        let mut opened = Opened { data: 0, rest: 0, end: None };
        while opened.end.is_none() {
            let length = match length_of(&bytes[opened.rest..]) {
                Ok(Some(length)) if opened.rest + HEADER + length <= bytes.len() => length,
                Ok(_) => break,
                Err(alert) => {
                    opened.end = Some(End::Failed(alert));
                    break;
                }
            };
            let (at, to) = (opened.rest, opened.data);
            opened.rest += HEADER + length;
            match self.received.open(self.layout, bytes, at, length, to) {
                Ok((ContentType::ApplicationData, 0)) => opened.end = self.count_empty(),
                Ok((ContentType::ApplicationData, length)) => {
                    self.empty = 0;
                    opened.data += length;
                }
                Ok((kind, length)) => {
                    let content = &bytes[to..to + length];
                    let handled = match kind {
                        ContentType::Alert => Self::handle_alert(content),
                        _ => self.handle_handshake(content),
                    };
                    opened.end = handled.err().or_else(|| self.count_empty());
                }
                Err(alert) => opened.end = Some(End::Failed(alert)),
            }
        }
        opened
    }

    fn count_empty(&mut self) -> Option<End> {
        self.empty += 1;
        (self.empty > MAX_EMPTY).then_some(End::Failed(Alert::UnexpectedMessage))
    }

    fn handle_alert(content: &[u8]) -> Result<(), End> {
        const WARNING: u8 = 1;
        const USER_CANCELED: u8 = 90;

        match *content {
            [_, 0] => Err(End::PeerClosed),
            // In TLS 1.3 the level says nothing, and this is the one other that is not fatal (RFC 8446 section 6.1).
            [WARNING, USER_CANCELED] => Ok(()),
            [_, _] => Err(End::PeerFailed),
            _ => Err(End::Failed(Alert::DecodeError)),
        }
    }

    fn handle_handshake(&mut self, content: &[u8]) -> Result<(), End> {
        match (self.layout, content) {
            // A key belongs to whole records, so that nothing else is in this one (RFC 8446 section 5.1).
            (Layout::Tls13, &[KEY_UPDATE, 0, 0, 1, request @ (0 | 1)]) => {
                let next = self.kernel.update_rx_secret().map_err(|_| End::Failed(Alert::InternalError))?;
                self.received = Direction::new(next);
                // One answer does for many requests.
                self.owes_update |= request == 1;
                Ok(())
            }
            // Renegotiation is refused, and the connection ends: who asks for it wants something that it can't have.
            (Layout::Tls12Explicit | Layout::Tls12Implicit, &[CLIENT_HELLO, ..]) => {
                Err(End::Failed(Alert::NoRenegotiation))
            }
            _ => Err(End::Failed(Alert::UnexpectedMessage)),
        }
    }

    /// Forgets what can be made again.
    pub(crate) fn rest(&mut self) {
        self.sent.rest();
        self.received.rest();
    }
}
