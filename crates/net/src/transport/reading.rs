//! Reading from sockets, through the PROXY protocol and TLS.

use std::io::{self, Read as _};

use milliways_tls::TlsConfig;

use super::origin::Beginning;
use super::socket::LinkFlag;
use super::sys::Interest;
use super::tls::{Input, Then};
use super::{CLOSE_NOTIFY, LINKED, Transport, sys};
use crate::counters::Cell;
use crate::ids::{DomainId, Slot};
use crate::token::Named;

/// The result of reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Data of this length is at the beginning of the buffer. The length may be 0.
    Data {
        length: usize,
        /// The read has drained the socket.
        is_drained: bool,
        /// The peer's `close_notify` follows the data.
        is_last: bool,
    },
    /// The `ClientHello` of a TLS peer is complete and asks for this server name, or for none. [`Transport::choose`]
    /// continues the handshake.
    Hello {
        name: Option<String>,
        /// The read has drained the socket.
        is_drained: bool,
    },
    /// The socket has nothing to read.
    Nothing,
    /// The peer has sent its FIN or, before this read, its `close_notify`.
    Finished,
    /// The socket has failed.
    Failed,
    /// Data of this length is at the beginning of the buffer, and then the TLS session has failed, or the PROXY header
    /// before it is invalid. If there is an alert for the peer, [`Transport::flush`] sends it.
    Garbled {
        length: usize,
        /// The read has drained the socket.
        is_drained: bool,
    },
    /// The PROXY header of a connection without TLS is invalid.
    InvalidPreface {
        /// The read has drained the socket.
        is_drained: bool,
    },
}

/// What a read has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Preface(Preface),
    /// A TLS handshake.
    Handshake,
}

/// What stands before the first bytes of the protocol, where there may be a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    Header,
    None,
}

impl Transport {
    /// Reads once.
    pub(crate) fn read(&mut self, slot: Slot, buffer: &mut [u8]) -> Read {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        let session = if link.layer.is_secure() { self.sessions.at(slot) } else { None };
        // RFC 8446 section 6.1: what follows a `close_notify` must be ignored.
        if session.as_ref().is_some_and(|session| session.peer_has_closed()) {
            return Read::Finished;
        }
        let known = match &session {
            _ if link.layer.has_preface() => self.origins.take_partial(slot, buffer),
            Some(session) => session.copy_partial(buffer),
            None => 0,
        };
        match sys::retry(|| link.stream.read(&mut buffer[known..])) {
            Ok(0) => Read::Finished,
            Ok(length) => {
                self.meters.of(link.meter).add(Cell::SocketReceived, length as u64);
                let is_drained = known + length < buffer.len();
                self.receive(slot, buffer, known + length, is_drained)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if link.layer.has_preface() {
                    self.origins.keep(slot, &buffer[..known]);
                }
                Read::Nothing
            }
            Err(_) => Read::Failed,
        }
    }

    /// Passes the first `length` bytes of the buffer through the PROXY protocol and TLS.
    fn receive(&mut self, slot: Slot, buffer: &mut [u8], mut length: usize, is_drained: bool) -> Read {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        if link.layer.has_preface() {
            match self.origins.receive(slot, &buffer[..length]) {
                Beginning::Incomplete => return Read::Data { length: 0, is_drained, is_last: false },
                Beginning::Invalid if link.layer.is_secure() => return Read::Garbled { length: 0, is_drained },
                Beginning::Invalid => {
                    link.layer.end_preface();
                    return Read::InvalidPreface { is_drained };
                }
                Beginning::Complete(header) => {
                    self.news = Some(News::Preface(if header > 0 { Preface::Header } else { Preface::None }));
                    buffer.copy_within(header..length, 0);
                    length -= header;
                    link.layer.end_preface();
                }
            }
        }
        if !link.layer.is_secure() {
            return Read::Data { length, is_drained, is_last: false };
        }
        let Some(session) = self.sessions.used(slot, self.now) else { return Read::Failed };
        let output = self.spare.output_in(&mut link.output);
        let input = session.receive(&mut buffer[..length], output.sealed());
        self.after_records(slot, input, is_drained)
    }

    /// Continues a TLS handshake with the certificate and the router for the server name that the peer has asked for.
    pub(crate) fn choose(
        &mut self,
        slot: Slot,
        config: &TlsConfig,
        domain: DomainId,
        buffer: &mut [u8],
        is_drained: bool,
    ) -> Read {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        let Some(session) = self.sessions.used(slot, self.now) else { return Read::Failed };
        let output = self.spare.output_in(&mut link.output);
        let input = session.choose(config, buffer, output.sealed());
        self.sessions.set_domain(slot, domain);
        self.after_records(slot, input, is_drained)
    }

    fn after_records(&mut self, slot: Slot, Input { data: length, then }: Input, is_drained: bool) -> Read {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        if link.layer.is_handshaking() && self.sessions.at(slot).is_some_and(|session| session.is_open()) {
            link.layer.end_handshake();
            self.news = Some(News::Handshake);
        }
        self.touch(slot);
        match then {
            Then::More => Read::Data { length, is_drained, is_last: false },
            Then::Closed => Read::Data { length, is_drained, is_last: true },
            Then::Failed => Read::Garbled { length, is_drained },
            Then::Hello(name) => Read::Hello { name, is_drained },
        }
    }

    /// Returns what the last read has completed, which is one thing at most: a handshake takes more than one read.
    #[inline]
    pub(crate) fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// Returns whether a TLS peer has sent its `close_notify`, for which the kernel reports nothing.
    pub(crate) fn peer_has_closed(&mut self, slot: Slot) -> bool {
        self.link(slot).layer.is_secure() && self.sessions.at(slot).is_some_and(|session| session.peer_has_closed())
    }

    /// Returns whether the socket has something to read; with TLS, more than a `close_notify`.
    pub(crate) fn has_unread(&self, slot: Slot) -> bool {
        let link = self.link(slot);
        let most = if link.layer.is_secure() { CLOSE_NOTIFY } else { 0 };
        sys::retry(|| link.stream.peek(&mut [0; CLOSE_NOTIFY + 1])).is_ok_and(|length| length > most)
    }

    /// Registers a connection with the kernel again, so that the kernel reports readiness that it has reported before.
    pub(crate) fn rearm(&mut self, slot: Slot) {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.registry.reregister(&mut link.stream, Named::Connection(slot).token(), interest).is_err() {
            // The kernel has no memory for it. The connection ends at its next deadline.
            link.flags.add(LinkFlag::Broken);
        }
    }
}
