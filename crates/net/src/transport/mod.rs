//! The transport: sockets, the output that is waiting for them, and TLS. It knows no HTTP and no WebSocket.
//!
//! The contract:
//!
//! - A connection has a [`Slot`], which the caller chooses, from [`Transport::insert`] to [`Transport::remove`]. In
//!   between, every function may be called with the slot; at other times, none, except where stated.
//! - Output is gathered and sent by [`Transport::flush`]. Until then it costs no system call, unless there is much of
//!   it. What the socket refuses waits, and [`Transport::flush_writable`] offers it again.
//! - **Writing removes nobody and calls nobody.** It notes facts, which [`Transport::settle`] returns: that the socket
//!   has failed, that waiting output has moved. [`Transport::next_touched`] returns the slots with new facts.
//! - Bytes in and out are those of the protocol above, with or without TLS. A TLS peer's `close_notify` counts as its
//!   FIN.
//! - Output may be divided into units. An expedited unit is sent between two others, ahead of waiting output.
//! - Nothing here waits, reads a clock, or knows another thread.

mod meters;
mod origin;
pub(crate) mod output;
mod reading;
mod socket;
pub(crate) mod sys;
pub(crate) mod tls;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use milliways_proto::chunks::Chunks;
use milliways_proto::timer::Tick;
use milliways_tls::Failure;

use crate::counters::{Cell, Meter};
use crate::ids::{AppId, DomainId, Slot};
use crate::token::Named;
use meters::{MeterKey, Meters};
use origin::Origins;
use output::{DIRECT_FROM, Lane, Noted, Output, Socket, UnitLength, Wire};
pub(crate) use reading::{News, Preface, Read};
pub(crate) use socket::Facts;
use socket::{Layer, Link, LinkFlag, SpareOutputs};
use sys::{Interest, Registry, TcpStream};
use tls::Sessions;

/// Every connection has a link from its insertion to its removal.
const LINKED: &str = "a connection that has been inserted and not removed";

/// The maximum length in bytes of a TLS record with a `close_notify` alert (RFC 8446 section 6.1), which a peer may
/// have sent right before its FIN.
const CLOSE_NOTIFY: usize = 31;

pub(crate) struct Transport {
    links: Chunks<Option<Link>>,
    sessions: Sessions,
    origins: Origins,
    spare: SpareOutputs,
    meters: Meters,
    /// The number of bytes that the outputs of connections have allocated, as far as it has been noted.
    allocated: usize,
    /// The connection that is corked. Uncorking it flushes it, so it is not added to `touched`.
    corked: Option<Slot>,
    /// Connections that are to be flushed and settled, each once.
    touched: Vec<Slot>,
    /// What the last read has completed.
    news: Option<News>,
    registry: Arc<Registry>,
    unit_length: UnitLength,
    /// Whole seconds since the epoch.
    now: Tick,
}

impl Transport {
    /// Creates a transport without connections. `unit_length` divides output into units, after
    /// [`Transport::begin_units`]. `meter` counts for apps that have no meter of their own.
    pub(crate) fn new(registry: Arc<Registry>, unit_length: UnitLength, meter: Meter) -> Self {
        Self {
            links: Chunks::default(),
            sessions: Sessions::default(),
            origins: Origins::default(),
            spare: SpareOutputs::default(),
            meters: Meters::new(meter),
            allocated: 0,
            corked: None,
            touched: Vec::new(),
            news: None,
            registry,
            unit_length,
            now: 0,
        }
    }

    pub(crate) fn set_now(&mut self, now: Tick) {
        self.now = now;
    }

    /// Sets the meter that counts the bytes of an app's connections, or removes it.
    pub(crate) fn set_meter(&mut self, app: AppId, meter: Option<Meter>) {
        self.meters.set(app, meter);
    }

    /// Makes a connection one of another app.
    pub(crate) fn set_app(&mut self, slot: Slot, app: AppId) {
        let link = self.link_mut(slot);
        let before = std::mem::replace(&mut link.meter, MeterKey::of(app));
        let noted = link.output.as_mut().map_or_else(Noted::default, |output| output.forget());
        self.note(before, noted, Noted::default());
    }

    /// Adds a connection of an app. `has_preface`: it may begin with a PROXY header. Returns the error and the socket if
    /// the kernel cannot watch it.
    pub(crate) fn insert(
        &mut self,
        slot: Slot,
        app: AppId,
        mut stream: TcpStream,
        has_preface: bool,
        is_secure: bool,
    ) -> Result<(), (io::Error, TcpStream)> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut stream, Named::Connection(slot).token(), interest) {
            return Err((error, stream));
        }
        while self.links.len() <= slot.index() {
            self.links.push(None);
        }
        if is_secure {
            self.sessions.insert(slot);
        }
        self.links[slot.index()] = Some(Link::new(stream, MeterKey::of(app), Layer::new(has_preface, is_secure)));
        Ok(())
    }

    /// Closes the socket of a connection and drops its output.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let Some(link) = self.links[slot.index()].take() else { return };
        if let Some(mut output) = link.output {
            output.reset();
            self.keep(link.meter, output);
        }
        if link.layer.is_secure() {
            self.sessions.remove(slot);
        }
        self.origins.remove(slot);
    }

    /// Drops all output of a connection that is about to be removed, and what is written to it from now on.
    pub(crate) fn abandon(&mut self, slot: Slot) {
        let link = self.link_mut(slot);
        link.flags.add(LinkFlag::Broken);
        if let Some(output) = &mut link.output {
            output.reset();
        }
        self.touch(slot);
    }

    // Writing.

    /// Appends to the output of a connection, and returns the result of `append`. If the socket has failed, the output
    /// is lost.
    #[inline]
    pub(crate) fn write<R>(&mut self, slot: Slot, append: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        let output = self.spare.output_in(&mut link.output);
        let result = append(output.bytes());
        if link.flags.has(LinkFlag::Broken) {
            output.lose();
        } else if output.is_full() {
            self.flush(slot);
        } else {
            self.touch(slot);
        }
        result
    }

    /// Appends what `append_head` appends, then `payload` and `tail`. A large payload is passed to the socket directly,
    /// and only what the socket refuses is copied.
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

    /// Writes as much of `piece` as the socket takes. Returns the number of bytes. A short piece is gathered as a
    /// whole, unless output is waiting already.
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

    /// Writes all output and then as much of `piece` as the socket takes. Returns how many bytes of `piece` that is;
    /// the rest is not kept. The socket must not have refused output.
    pub(crate) fn offer_now(&mut self, slot: Slot, piece: &[u8]) -> usize {
        let mut taken = 0;
        self.output_of(slot);
        self.push(slot, |output, wire| output.offer(wire, piece).map(|count| taken = count));
        taken
    }

    /// Appends bytes that the socket has just refused. `is_begun`: they are the rest of a unit whose beginning is
    /// waiting or has been sent.
    pub(crate) fn hold(&mut self, slot: Slot, refused: &[u8], is_begun: bool) {
        let is_broken = self.is_broken(slot);
        let output = self.output_of(slot);
        output.hold(refused, is_begun);
        if is_broken {
            output.lose();
        }
    }

    /// Divides output into units: from now on, only whole units are written.
    pub(crate) fn begin_units(&mut self, slot: Slot) {
        let link = self.link_mut(slot);
        link.flags.add(LinkFlag::Units);
        if let Some(output) = &mut link.output {
            output.begin_units();
        }
    }

    /// Writes the last unit. `supersedes`: units that are waiting are dropped, except one that has been sent in part.
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

    /// Sends a unit ahead of those that are waiting. If none is waiting, writes it.
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

    /// Does what [`Transport::expedite`] does, but only if output is waiting because the socket has refused it.
    pub(crate) fn expedite_if_blocked(&mut self, slot: Slot, lane: Lane, append: impl FnOnce(&mut Vec<u8>)) {
        if self.backpressure(slot) > 0 {
            self.expedite(slot, lane, append);
        }
    }

    /// Writes output, unless the socket has refused some and has not taken all of it since.
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
        let socket = Socket { stream: &link.stream, meter: self.meters.of(link.meter) };
        let units = link.flags.has(LinkFlag::Units).then_some(self.unit_length);
        if output.push(|output| push(output, Wire { socket, session, units })).is_err() {
            link.flags.add(LinkFlag::Broken);
        } else if output.has_settled() {
            // A broadcast goes through one box after the other.
            let (meter, output) = (link.meter, link.output.take());
            return output.into_iter().for_each(|output| self.keep(meter, output));
        }
        self.touch(slot);
    }

    /// Sends our FIN, after a `close_notify` if there is TLS. All output must have been sent. If the socket does not take the
    /// `close_notify`, that becomes output, and our FIN follows it.
    pub(crate) fn finish(&mut self, slot: Slot) {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        if link.layer.is_secure()
            && !link.is_broken()
            && let Some(session) = self.sessions.at(slot)
        {
            let output = self.spare.output_in(&mut link.output);
            session.seal_close(output.sealed());
            output.finish();
            return self.push(slot, Output::flush);
        }
        // An error means that the connection is gone, which the next read will report.
        let _ = link.stream.shutdown(Shutdown::Write);
    }

    /// Sends a `close_notify` if there is TLS (RFC 8446 section 6.1), unless the socket does not take it. All output must have
    /// been sent.
    pub(crate) fn say_goodbye(&mut self, slot: Slot) {
        let link = self.links[slot.index()].as_ref().expect(LINKED);
        if link.layer.is_secure()
            && !link.is_broken()
            && let Some(session) = self.sessions.at(slot)
        {
            let mut last = Vec::new();
            session.seal_close(&mut last);
            let socket = Socket { stream: &link.stream, meter: self.meters.of(link.meter) };
            let _ = socket.send(&last);
        }
    }

    /// Corks a connection: what is written to it is gathered until [`Transport::uncork`]. Returns the connection that
    /// was corked before, to be passed to [`Transport::uncork`] as `outer`.
    pub(crate) fn cork(&mut self, slot: Slot) -> Option<Slot> {
        self.corked.replace(slot)
    }

    /// Uncorks a connection, which may have been removed, and sends what has been gathered. If `outer` is the same
    /// connection, the outer cork continues to gather.
    pub(crate) fn uncork(&mut self, slot: Slot, outer: Option<Slot>) {
        if outer != Some(slot) && self.has(slot) {
            self.flush(slot);
        }
        self.corked = outer;
    }

    /// Returns whether a connection is corked.
    #[inline]
    pub(crate) fn is_corked(&self, slot: Slot) -> bool {
        self.corked == Some(slot)
    }

    /// Has a connection flushed and settled at the end of the turn, unless it is corked.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot) {
        if self.corked == Some(slot) {
            return;
        }
        let link = self.link_mut(slot);
        if !link.flags.has(LinkFlag::Touched) {
            link.flags.add(LinkFlag::Touched);
            self.touched.push(slot);
        }
    }

    /// Returns whether [`Transport::next_touched`] may return a slot.
    pub(crate) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Returns the next connection to be flushed and settled.
    pub(crate) fn next_touched(&mut self) -> Option<Slot> {
        loop {
            let slot = self.touched.pop()?;
            // It may have been settled meanwhile.
            if self.links[slot.index()].as_ref().is_some_and(|link| link.flags.has(LinkFlag::Touched)) {
                return Some(slot);
            }
        }
    }

    /// Returns what has happened to the output of a connection since the last call. Frees memory that is no longer
    /// needed.
    pub(crate) fn settle(&mut self, slot: Slot) -> Facts {
        let link = self.links[slot.index()].as_mut().expect(LINKED);
        link.flags.take(LinkFlag::Touched);
        let Some(output) = &mut link.output else { return Facts::none(link.is_broken()) };
        let facts = Facts {
            has_moved: output.take_moved(),
            backpressure: output.backpressure(),
            has_output: !output.is_empty(),
            is_broken: link.flags.has(LinkFlag::Broken),
        };
        let meter = link.meter;
        if !output.is_empty() || output.lost() > 0 {
            let (before, after) = output.note();
            self.note(meter, before, after);
        } else if let Some(output) = link.output.take() {
            self.keep(meter, output);
        }
        facts
    }

    /// Keeps the box of an output that a connection no longer needs.
    fn keep(&mut self, meter: MeterKey, mut output: Box<Output>) {
        let before = output.forget();
        self.note(meter, before, Noted::default());
        self.spare.keep(output);
    }

    /// Corrects the sums of all outputs by the difference between what they have included of one and are to include.
    fn note(&mut self, meter: MeterKey, before: Noted, after: Noted) {
        if before != after {
            self.meters.of(meter).change(Cell::Waiting, before.waiting, after.waiting);
            self.allocated = self.allocated - before.allocated + after.allocated;
        }
    }

    // Facts about a connection.

    /// Returns whether a slot has a connection. May be called with any slot.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.links.get(slot.index()).is_some_and(Option::is_some)
    }

    /// Returns the number of bytes that are waiting because the socket has refused some; 0 if it has not.
    #[inline]
    pub(crate) fn backpressure(&self, slot: Slot) -> usize {
        self.link(slot).output.as_ref().map_or(0, |output| output.backpressure())
    }

    /// Returns the number of bytes that are waiting because the socket has refused some, or that were lost when it
    /// failed.
    #[inline]
    pub(crate) fn unsent(&self, slot: Slot) -> usize {
        self.link(slot).output.as_ref().map_or(0, |output| output.backpressure() + output.lost())
    }

    /// Returns whether there is output that has not been sent.
    #[inline]
    pub(crate) fn has_output(&self, slot: Slot) -> bool {
        self.link(slot).output.as_ref().is_some_and(|output| !output.is_empty())
    }

    /// Returns whether the peer keeps up, as far as is known: the socket has neither refused output nor failed.
    #[inline]
    pub(crate) fn keeps_up(&self, slot: Slot) -> bool {
        let link = self.link(slot);
        !link.is_broken() && link.output.as_ref().is_none_or(|output| output.backpressure() == 0)
    }

    /// Returns whether output is lost, usually because a write has failed. That clears the socket's error, so that a
    /// read looks like a FIN.
    #[inline]
    pub(crate) fn is_broken(&self, slot: Slot) -> bool {
        self.link(slot).is_broken()
    }

    /// Returns whether the TLS handshake, before which the protocol above cannot begin, is not complete.
    pub(crate) fn is_handshaking(&self, slot: Slot) -> bool {
        self.link(slot).layer.is_handshaking()
    }

    /// Sets the address of the peer, which only the caller knows.
    pub(crate) fn set_peer_address(&mut self, slot: Slot, address: SocketAddr) {
        self.origins.set_peer(slot, address);
    }

    /// Returns whether a connection uses TLS.
    pub(crate) fn is_secure(&self, slot: Slot) -> bool {
        self.link(slot).layer.is_secure()
    }

    /// Returns whether the TLS handshake, which is complete, has resumed an earlier session.
    pub(crate) fn is_resumed(&mut self, slot: Slot) -> bool {
        self.sessions.at(slot).is_some_and(|session| session.is_resumed())
    }

    /// Returns why the TLS session has failed; `None` if it has not, or if there is none.
    pub(crate) fn tls_failure(&mut self, slot: Slot) -> Option<Failure> {
        self.sessions.at(slot)?.failure()
    }

    /// Returns the number of bytes that the entries of connections take.
    pub(crate) fn table_memory(&self) -> usize {
        self.links.memory()
    }

    /// Returns the number of bytes that output and the boxes for it take.
    pub(crate) fn output_memory(&self) -> usize {
        self.spare.memory() + self.allocated
    }

    /// Returns the number of bytes that TLS sessions take.
    pub(crate) fn tls_memory(&self) -> usize {
        self.sessions.memory()
    }

    /// Returns the address of the peer; `None` for a Unix socket, or if the connection has failed.
    pub(crate) fn peer_address(&self, slot: Slot) -> Option<SocketAddr> {
        self.origins.peer(slot).or_else(|| self.link(slot).stream.peer_addr().ok())
    }

    /// Returns the address of the client according to the PROXY header; `None` if there is no header or it has no
    /// address.
    pub(crate) fn proxied_address(&self, slot: Slot) -> Option<SocketAddr> {
        self.origins.address(slot)
    }

    /// Returns the router of the server name that a TLS peer has asked for; the default one if there is none.
    pub(crate) fn domain(&self, slot: Slot) -> DomainId {
        self.sessions.domain(slot)
    }

    /// Returns the certificate of a TLS peer in DER form; `None` if it has sent none.
    pub(crate) fn certificate(&mut self, slot: Slot) -> Option<&[u8]> {
        self.sessions.at(slot)?.certificate()
    }

    /// Has the kernel probe whether the peer is still there; see [`sys::look_after`].
    pub(crate) fn look_after(&self, slot: Slot, idle_timeout: Tick) {
        sys::look_after(&self.link(slot).stream, idle_timeout);
    }

    /// Undoes [`Transport::look_after`].
    pub(crate) fn leave_alone(&self, slot: Slot) {
        sys::leave_alone(&self.link(slot).stream);
    }

    /// Returns when [`Transport::rest_silent`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.sessions.next_deadline()
    }

    /// Drops the expanded keys of TLS sessions that have been silent.
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
        self.spare.output_in(&mut link.output)
    }

    /// Returns the output of a connection if the socket has refused some.
    fn blocked_output(&mut self, slot: Slot) -> Option<&mut Output> {
        let output = self.link_mut(slot).output.as_deref_mut()?;
        (output.backpressure() > 0).then_some(output)
    }
}
