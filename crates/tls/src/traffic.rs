//! A connection after its handshake: sealing, opening, alerts and new keys.

use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{ConnectionTrafficSecrets, Error, ProtocolVersion};

use crate::record::{Alert, ContentType, Direction, HEADER, Layout, MAX_PLAINTEXT, length_of};

/// The handshake message that replaces a key in TLS 1.3 (RFC 8446 section 4.6.3).
const KEY_UPDATE: u8 = 24;
/// The handshake message that requests renegotiation in TLS 1.2.
const CLIENT_HELLO: u8 = 1;

/// The most consecutive records without data that a peer may send: each of them costs us more than the peer.
const MAX_EMPTY: u8 = 32;

pub(crate) struct Traffic {
    layout: Layout,
    sent: Direction,
    received: Direction,
    /// The most records that a key may protect.
    limit: u64,
    /// The peer has requested that the next record be under a new key.
    owes_update: bool,
    /// Records without data since the last one with data.
    empty: u8,
    /// Computes the keys that follow a KeyUpdate.
    kernel: Box<KernelConnection<ServerConnectionData>>,
}

/// The result of opening records.
pub(crate) struct Opened {
    /// Bytes of data, which are now where the records began.
    pub(crate) data: usize,
    /// The position of the first record that is incomplete.
    pub(crate) rest: usize,
    pub(crate) end: Option<End>,
}

/// Why no more records are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer has sent a `close_notify`.
    PeerClosed,
    /// The peer has sent a fatal alert with this description, which is not answered.
    PeerFailed(u8),
    Failed(Alert),
}

impl Traffic {
    /// Takes over from rustls when the handshake is complete and rustls has nothing more to send.
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

    /// Appends records that carry `first` and then `second`.
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

    /// Appends a KeyUpdate and replaces our key (RFC 8446 section 4.6.3). Fails in TLS 1.2, which has no KeyUpdate.
    fn update_sent(&mut self, out: &mut Vec<u8>) -> Result<(), Alert> {
        self.owes_update = false;
        let next = self.kernel.update_tx_secret().map_err(|_| Alert::InternalError)?;
        // It does not request one in return.
        self.sent.seal(self.layout, ContentType::Handshake, &[KEY_UPDATE, 0, 0, 1, 0], &[], out)?;
        self.sent = Direction::new(next);
        Ok(())
    }

    pub(crate) fn seal_alert(&mut self, alert: Alert, out: &mut Vec<u8>) -> Result<(), Alert> {
        self.sent.seal(self.layout, ContentType::Alert, &alert.content(), &[], out)
    }

    /// Opens the records in `bytes`, and moves their data to the beginning.
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
            // In TLS 1.3 the level has no meaning, and this is the only other alert that is not fatal (RFC 8446 section
            // 6.1).
            [WARNING, USER_CANCELED] => Ok(()),
            [_, alert] => Err(End::PeerFailed(alert)),
            _ => Err(End::Failed(Alert::DecodeError)),
        }
    }

    fn handle_handshake(&mut self, content: &[u8]) -> Result<(), End> {
        match (self.layout, content) {
            // A KeyUpdate is the last message in its record, because keys change between records (RFC 8446 section
            // 5.1).
            (Layout::Tls13, &[KEY_UPDATE, 0, 0, 1, request @ (0 | 1)]) => {
                let next = self.kernel.update_rx_secret().map_err(|_| End::Failed(Alert::InternalError))?;
                self.received = Direction::new(next);
                // A single KeyUpdate answers several requests.
                self.owes_update |= request == 1;
                Ok(())
            }
            // Renegotiation is refused. The connection ends, because its peer needs what it can't have.
            (Layout::Tls12Explicit | Layout::Tls12Implicit, &[CLIENT_HELLO, ..]) => {
                Err(End::Failed(Alert::NoRenegotiation))
            }
            _ => Err(End::Failed(Alert::UnexpectedMessage)),
        }
    }

    /// Drops the expanded keys, which the next records make again.
    pub(crate) fn rest(&mut self) {
        self.sent.rest();
        self.received.rest();
    }
}
