//! Sockets, what waits to be written to them, and TLS. No HTTP and no WebSocket.
//!
//! The contract:
//!
//! - A connection is named by its [`Slot`], which whoever uses the transport chooses, from [`Transport::insert`] to
//!   [`Transport::remove`]. In between every function may be called with it; outside, none.
//! - What is written is gathered and goes out with [`Transport::flush`]. Until then it costs no system call, unless it is
//!   much. What the socket refuses waits, and [`Transport::flush_writable`] offers it again.
//! - **Writing removes nobody and calls nobody.** It notes facts, which [`Transport::settle`] returns: that the socket has
//!   failed, that what waits has moved. The slots with new facts are in [`Transport::next_touched`].
//! - Bytes are those of the protocol above, in and out, whether the connection speaks TLS or not. So is what is told of
//!   the end: a TLS peer that has closed has finished like one whose FIN has come.
//! - Output may be divided into units, which another unit may go out between, ahead of what waits.
//! - Nothing here waits, reads a clock, or knows another thread.

mod origin;
pub(crate) mod output;
mod reading;
mod socket;
pub(crate) mod sys;
pub(crate) mod tls;

use std::io;
use std::net::{Shutdown, SocketAddr};

use milliways_proto::chunks::Chunks;
use milliways_proto::timer::Tick;
use mio::net::TcpStream;
use mio::{Interest, Registry};

use crate::ids::{DomainId, Slot};
use crate::token::Named;
use origin::Origins;
use output::{DIRECT_FROM, Lane, Output, UnitLength, Wire};
pub(crate) use socket::Facts;
use socket::{Layer, Link, SPARE};
use tls::Sessions;

/// A connection's link is there from its insertion to its removal.
const LINKED: &str = "a connection that has been inserted and not removed";

/// The bytes of a TLS record with a `close_notify` alert (RFC 8446 section 6.1), at most: what a peer that has finished may
/// have sent ahead of its FIN.
const CLOSE_NOTIFY: usize = 31;

pub(crate) struct Transport {
    links: Chunks<Option<Link>>,
    sessions: Sessions,
    origins: Origins,
    #[expect(clippy::vec_box, reason = "a connection holds the box, so that the box is what is worth keeping")]
    spare: Vec<Box<Output>>,
    /// The connection whose output is being gathered: whoever gathers it flushes it.
    corked: Option<Slot>,
    /// Connections with something to flush or to settle, each once.
    touched: Vec<Slot>,
    registry: Registry,
    unit_length: UnitLength,
    /// Whole seconds since the epoch.
    now: Tick,
}

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes of data are at the beginning of the buffer, maybe none.
    Data {
        length: usize,
        /// The socket had no more.
        is_drained: bool,
        /// The peer has said that nothing more comes.
        is_last: bool,
    },
    /// A TLS handshake has begun with a peer that asks for this name, or none. [`Transport::choose`] goes on with it.
    Hello {
        name: Option<String>,
        /// The socket had no more.
        is_drained: bool,
    },
    /// Nothing is there to be read.
    Nothing,
    /// The peer has finished.
    Finished,
    /// The connection is gone.
    Failed,
    /// So many bytes of data are at the beginning of the buffer, and then comes what cannot be understood. The peer is
    /// told by what [`Transport::flush`] sends.
    Garbled {
        length: usize,
        /// The socket had no more.
        is_drained: bool,
    },
    /// What stands where a proxy may say who the peer is cannot be understood.
    InvalidPreface {
        /// The socket had no more.
        is_drained: bool,
    },
}

impl Transport {
    /// Without connections. Output is divided into units by `unit_length`, where it is.
    pub(crate) fn new(registry: Registry, unit_length: UnitLength) -> Self {
        Self {
            links: Chunks::default(),
            sessions: Sessions::default(),
            origins: Origins::default(),
            spare: Vec::new(),
            corked: None,
            touched: Vec::new(),
            registry,
            unit_length,
            now: 0,
        }
    }

    pub(crate) fn set_now(&mut self, now: Tick) {
        self.now = now;
    }

    /// Takes a connection's socket. `has_preface`: a proxy may say who the peer is before anything else.
    pub(crate) fn insert(
        &mut self,
        slot: Slot,
        mut stream: TcpStream,
        has_preface: bool,
        is_secure: bool,
    ) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut stream, Named::Connection(slot).token(), interest)?;
        while self.links.len() <= slot.index() {
            self.links.push(None);
        }
        if is_secure {
            self.sessions.insert(slot);
        }
        self.links[slot.index()] = Some(Link::new(stream, Layer::new(has_preface, is_secure)));
        Ok(())
    }

    /// Closes a connection's socket and forgets what was to be written to it.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let Some(link) = self.links[slot.index()].take() else { return };
        if let Some(mut output) = link.output {
            output.reset();
            self.recycle(output);
        }
        if link.layer.is_secure() {
            self.sessions.remove(slot);
        }
        self.origins.remove(slot);
    }

    /// Forgets what is to be written, and takes nothing more of it: the connection is to be removed.
    pub(crate) fn abandon(&mut self, slot: Slot) {
        let link = self.link_mut(slot);
        link.is_broken = true;
        if let Some(output) = &mut link.output {
            output.reset();
        }
        self.touch(slot);
    }

    // Writing.

    /// Appends to the output of a connection; returns what `append` returns. What is written to one that has failed is lost.
    #[inline]
    pub(crate) fn write<R>(&mut self, slot: Slot, append: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        let output = link.output.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        let result = append(output.bytes());
        if link.is_broken {
            output.lose();
        } else if output.is_full() {
            self.flush(slot);
        } else {
            self.touch(slot);
        }
        result
    }

    /// Appends what `append_head` appends, `payload` and `tail`. A large payload is not copied as far as the socket takes
    /// it from where it lies.
    pub(crate) fn write_payload(
        &mut self,
        slot: Slot,
        payload: &[u8],
        append_head: impl FnOnce(&mut Vec<u8>),
        tail: &[u8],
    ) {
        if payload.len() < DIRECT_FROM || !self.keeps_up(slot) {
            return self.write(slot, |output| {
                append_head(output);
                output.extend_from_slice(payload);
                output.extend_from_slice(tail);
            });
        }
        append_head(self.output_of(slot).bytes());
        self.push(slot, |output, wire| output.flush_with(wire, payload));
        if !tail.is_empty() {
            self.write(slot, |output| output.extend_from_slice(tail));
        }
    }

    /// Writes a piece of a payload as far as the socket takes it, and keeps none that is long; returns how much that is.
    pub(crate) fn offer(&mut self, slot: Slot, piece: &[u8]) -> usize {
        if !self.keeps_up(slot) {
            return 0;
        }
        if piece.len() < DIRECT_FROM {
            self.write(slot, |output| output.extend_from_slice(piece));
            return piece.len();
        }
        self.offer_now(slot, piece)
    }

    /// Writes what is there and as much of `piece` as the socket takes, and keeps none of it; returns how much it took.
    pub(crate) fn offer_now(&mut self, slot: Slot, piece: &[u8]) -> usize {
        let mut taken = 0;
        self.output_of(slot);
        self.push(slot, |output, wire| output.offer(wire, piece).map(|count| taken = count));
        taken
    }

    /// Keeps what the socket has just refused. `is_begun`: it is the rest of a unit.
    pub(crate) fn hold(&mut self, slot: Slot, refused: &[u8], is_begun: bool) {
        let is_broken = self.is_broken(slot);
        let output = self.output_of(slot);
        output.hold(refused, is_begun);
        if is_broken {
            output.lose();
        }
    }

    /// What is written from now on is whole units.
    pub(crate) fn begin_units(&mut self, slot: Slot) {
        let link = self.link_mut(slot);
        link.has_units = true;
        if let Some(output) = &mut link.output {
            output.begin_units();
        }
    }

    /// The unit that has just been written is the last. `supersedes`: those that wait are dropped for it, but for one that
    /// has begun to go out.
    pub(crate) fn write_last_unit(&mut self, slot: Slot, supersedes: bool, append: impl FnOnce(&mut Vec<u8>)) {
        let unit_length = self.unit_length;
        if supersedes && let Some(output) = self.blocked_output(slot) {
            output.drop_units(unit_length);
        }
        self.write(slot, append);
        if let Some(output) = &mut self.link_mut(slot).output {
            output.end_units();
        }
    }

    /// Has a unit go out ahead of those that wait. Where none does, it is written.
    pub(crate) fn expedite(&mut self, slot: Slot, lane: Lane, append: impl FnOnce(&mut Vec<u8>)) {
        match self.blocked_output(slot) {
            Some(output) => {
                let mut unit = Vec::new();
                append(&mut unit);
                output.expedite(lane, unit);
            }
            None => self.write(slot, append),
        }
    }

    /// As [`Transport::expedite`] where something waits; nothing otherwise.
    pub(crate) fn expedite_if_blocked(&mut self, slot: Slot, lane: Lane, append: impl FnOnce(&mut Vec<u8>)) {
        if self.backpressure(slot) > 0 {
            self.expedite(slot, lane, append);
        }
    }

    /// Writes output, unless the socket has refused some and has not said since that it takes more.
    pub(crate) fn flush(&mut self, slot: Slot) {
        if self.backpressure(slot) == 0 {
            self.flush_writable(slot);
        }
    }

    /// Writes as much output as the socket takes.
    pub(crate) fn flush_writable(&mut self, slot: Slot) {
        if self.has_output(slot) {
            self.push(slot, Output::flush);
        }
    }

    fn push(&mut self, slot: Slot, push: impl FnOnce(&mut Output, Wire<'_>) -> io::Result<()>) {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        let Some(output) = &mut link.output else { return };
        let session = if link.layer.is_secure() { self.sessions.used(slot, self.now) } else { None };
        let wire = Wire { stream: &link.stream, session, units: link.has_units.then_some(self.unit_length) };
        if output.push(|output| push(output, wire)).is_err() {
            link.is_broken = true;
        } else if output.has_settled() {
            // A broadcast goes through one box after the other.
            let output = link.output.take();
            return output.into_iter().for_each(|output| self.recycle(output));
        }
        self.touch(slot);
    }

    /// Sends our FIN, and a TLS peer before it that nothing more comes. Once all output is out.
    pub(crate) fn finish(&mut self, slot: Slot) {
        self.say_goodbye(slot);
        // An error means that the connection is gone, which reading it will tell.
        let _ = self.link(slot).stream.shutdown(Shutdown::Write);
    }

    /// Tells a TLS peer that nothing more comes, once all output is out.
    pub(crate) fn say_goodbye(&mut self, slot: Slot) {
        let link = self.links[slot.index()].as_ref().expect(LINKED);
        if link.layer.is_secure()
            && !link.is_broken
            && let Some(session) = self.sessions.at(slot)
        {
            let mut last = Vec::new();
            session.seal_close(&mut last);
            let _ = sys::send(&link.stream, &last);
        }
    }

    /// Gathers what is written to a connection until [`Transport::uncork`]; returns what that is to be called with.
    pub(crate) fn cork(&mut self, slot: Slot) -> Option<Slot> {
        self.corked.replace(slot)
    }

    /// Sends what has been gathered, unless there is an outer cork that goes on gathering.
    pub(crate) fn uncork(&mut self, slot: Slot, outer: Option<Slot>) {
        if outer != Some(slot) && self.has(slot) {
            self.flush(slot);
        }
        self.corked = outer;
    }

    /// Whether what is written to a connection is being gathered.
    #[inline]
    pub(crate) fn is_corked(&self, slot: Slot) -> bool {
        self.corked == Some(slot)
    }

    /// Has a connection be flushed and settled at the end of the turn, unless it is corked.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot) {
        if self.corked == Some(slot) {
            return;
        }
        let link = self.link_mut(slot);
        if !link.is_touched {
            link.is_touched = true;
            self.touched.push(slot);
        }
    }

    /// Whether [`Transport::next_touched`] may return one.
    pub(crate) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The next connection to be flushed and settled.
    pub(crate) fn next_touched(&mut self) -> Option<Slot> {
        loop {
            let slot = self.touched.pop()?;
            // It may have been settled meanwhile.
            if self.links[slot.index()].as_ref().is_some_and(|link| link.is_touched) {
                return Some(slot);
            }
        }
    }

    /// What has become of a connection's output since the last call. Memory that is not needed any more is given back.
    pub(crate) fn settle(&mut self, slot: Slot) -> Facts {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        link.is_touched = false;
        let Some(output) = &mut link.output else { return Facts::none(link.is_broken) };
        let facts = Facts {
            has_moved: output.take_moved(),
            backpressure: output.backpressure(),
            has_output: !output.is_empty(),
            is_broken: link.is_broken,
        };
        if output.is_empty()
            && output.lost() == 0
            && let Some(output) = link.output.take()
        {
            self.recycle(output);
        }
        facts
    }

    // What is known of a connection.

    /// Whether the slot has a connection.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.links.get(slot.index()).is_some_and(Option::is_some)
    }

    /// Bytes that the socket has refused and that wait for it to be writable.
    #[inline]
    pub(crate) fn backpressure(&self, slot: Slot) -> usize {
        self.link(slot).output.as_ref().map_or(0, |output| output.backpressure())
    }

    /// Bytes that the socket has not taken, whether it still may or has failed.
    #[inline]
    pub(crate) fn unsent(&self, slot: Slot) -> usize {
        self.link(slot).output.as_ref().map_or(0, |output| output.backpressure() + output.lost())
    }

    /// Whether something is still to be written, or waits.
    #[inline]
    pub(crate) fn has_output(&self, slot: Slot) -> bool {
        self.link(slot).output.as_ref().is_some_and(|output| !output.is_empty())
    }

    /// Whether the peer keeps up, as far as is known: nothing waits for its socket, and nothing has been lost with it.
    #[inline]
    pub(crate) fn keeps_up(&self, slot: Slot) -> bool {
        let link = self.link(slot);
        !link.is_broken && link.output.as_ref().is_none_or(|output| output.backpressure() == 0)
    }

    /// A write has failed, which has used up the socket's error: reading it looks like a FIN.
    #[inline]
    pub(crate) fn is_broken(&self, slot: Slot) -> bool {
        self.link(slot).is_broken
    }

    /// Whether the protocol above has not begun yet, because a TLS handshake goes on.
    pub(crate) fn is_handshaking(&self, slot: Slot) -> bool {
        self.link(slot).layer.is_handshaking()
    }

    /// Where a connection comes from: its peer's address, `None` for a Unix socket.
    pub(crate) fn peer_address(&self, slot: Slot) -> Option<SocketAddr> {
        self.link(slot).stream.peer_addr().ok()
    }

    /// Where it comes from as the proxy in between says; `None` if none says anything.
    pub(crate) fn proxied_address(&self, slot: Slot) -> Option<SocketAddr> {
        self.origins.address(slot)
    }

    /// The router that the server name of a TLS connection has chosen.
    pub(crate) fn domain(&self, slot: Slot) -> DomainId {
        self.sessions.domain(slot)
    }

    /// The certificate that a TLS peer has shown, as DER.
    pub(crate) fn certificate(&mut self, slot: Slot) -> Option<&[u8]> {
        self.sessions.at(slot)?.certificate()
    }

    /// Has the kernel look whether the peer is still there; see [`sys::look_after`].
    pub(crate) fn look_after(&self, slot: Slot, idle_timeout: Tick) {
        sys::look_after(&self.link(slot).stream, idle_timeout);
    }

    /// Undoes [`Transport::look_after`].
    pub(crate) fn leave_alone(&self, slot: Slot) {
        sys::leave_alone(&self.link(slot).stream);
    }

    /// When [`Transport::rest_silent`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.sessions.next_deadline()
    }

    /// Has TLS sessions that have been silent forget what they can make again.
    pub(crate) fn rest_silent(&mut self) {
        self.sessions.rest_silent(self.now);
    }

    #[inline]
    fn link(&self, slot: Slot) -> &Link {
        self.links[slot.index()].as_ref().expect(LINKED)
    }

    #[inline]
    fn link_mut(&mut self, slot: Slot) -> &mut Link {
        self.links[slot.index()].as_mut().expect(LINKED)
    }

    fn output_of(&mut self, slot: Slot) -> &mut Output {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        link.output.get_or_insert_with(|| self.spare.pop().unwrap_or_default())
    }

    /// The output of a connection whose socket has refused some of it.
    fn blocked_output(&mut self, slot: Slot) -> Option<&mut Output> {
        let output = self.link_mut(slot).output.as_deref_mut()?;
        (output.backpressure() > 0).then_some(output)
    }

    /// Keeps a box for the next connection that is busy.
    fn recycle(&mut self, mut output: Box<Output>) {
        if self.spare.len() < SPARE {
            output.shrink();
            self.spare.push(output);
        }
    }
}
