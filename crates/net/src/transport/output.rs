//! Output that is waiting for a socket.

use std::io;
use std::net::Shutdown;

use super::sys::{self, TcpStream};
use super::tls::Session;
use crate::counters::{Cell, Meter};

/// The number of bytes from which on output is written at once. Less output is gathered while the events of its
/// connection are handled, and written with one system call. The limit bounds the memory and keeps the kernel busy
/// meanwhile.
const FLUSH_AT: usize = 64 * 1024;

/// The length in bytes from which on a payload is passed to the kernel directly, without being copied into the output
/// first.
pub(crate) const DIRECT_FROM: usize = 32 * 1024;

/// The number of bytes that are sealed at once, to be written with one system call. It is limited because sealed
/// records that the kernel does not take have to be kept.
const SEAL_AT_ONCE: usize = 64 * 1024;

/// The capacity in bytes above which a buffer is not kept for another connection.
const KEEP_CAPACITY: usize = 128 * 1024;

/// A function that returns the length of the unit at the beginning of a slice. Units must not be interleaved: they are
/// the frames of a WebSocket.
pub(crate) type UnitLength = fn(&[u8]) -> usize;

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` the socket has taken, or with TLS how many have been sealed. Less than all of them, unless
    /// both are 0.
    sent: usize,
    /// The socket has refused bytes, and has not taken all of the output since.
    blocked: bool,
    /// The number of bytes that were lost when the socket failed.
    lost: usize,
    /// Since the last [`Output::take_moved`], the socket has begun to refuse bytes or has taken some of those that were
    /// waiting.
    has_moved: bool,
    /// TLS: records that go out before `bytes`.
    sealed: Vec<u8>,
    /// How many bytes of `sealed` the socket has taken. Like `sent`, less than all of them unless both are 0.
    sealed_sent: usize,
    /// A position in `bytes` at which a unit begins or the last one ends. Only whole units follow. Later boundaries are
    /// found from the lengths of the units: when they are needed, and before the bytes that lead there are dropped.
    boundary: usize,
    /// The last unit has been appended. None may follow it.
    is_complete: bool,
    /// Our FIN follows the output.
    is_last: bool,
    /// Units that are to be inserted between two others, ahead of waiting output. Only while the socket is blocked.
    expedited: Option<Box<Expedited>>,
    noted: Noted,
}

/// What the sums of all outputs include of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Bytes of back pressure.
    pub(crate) waiting: usize,
    /// Bytes that have been allocated.
    pub(crate) allocated: usize,
}

/// A way for a unit to get ahead of waiting output. Each lane holds one unit, so that a peer that pings and never reads
/// costs no more memory each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Ahead of the other lane.
    First,
    /// Behind the other lane.
    Second,
}

#[derive(Default)]
struct Expedited([Vec<u8>; 2]);

impl Expedited {
    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// Where output is written: to a socket, through a TLS session if there is one.
pub(crate) struct Wire<'c> {
    pub(crate) socket: Socket<'c>,
    pub(crate) session: Option<&'c mut Session>,
    /// How output is divided into units; `None` if it is not.
    pub(crate) units: Option<UnitLength>,
}

/// A socket, and who counts the bytes that it takes.
#[derive(Clone, Copy)]
pub(crate) struct Socket<'c> {
    pub(crate) stream: &'c TcpStream,
    pub(crate) meter: &'c Meter,
}

impl Socket<'_> {
    /// Sends the beginning of `bytes`. Returns the number of bytes that the socket has taken.
    pub(crate) fn send(self, bytes: &[u8]) -> io::Result<usize> {
        self.count(sys::send(self.stream, bytes))
    }

    /// Sends the beginning of `first` followed by `second`. Returns the number of bytes that the socket has taken.
    fn send_both(self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.count(sys::send_both(self.stream, first, second))
    }

    fn count(self, sent: io::Result<usize>) -> io::Result<usize> {
        sent.inspect(|count| self.meter.add(Cell::SocketSent, *count as u64))
    }
}

impl Output {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.sealed.is_empty()
    }

    /// Returns the number of bytes that are waiting because the socket has refused bytes; 0 if it has not.
    #[inline]
    pub(crate) fn backpressure(&self) -> usize {
        if self.blocked { self.waiting() + self.expedited.as_ref().map_or(0, |units| units.len()) } else { 0 }
    }

    #[inline]
    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    /// Returns the buffer to which output is appended.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// TLS: returns the buffer to which records are appended that go out before the rest of the output.
    pub(crate) fn sealed(&mut self) -> &mut Vec<u8> {
        &mut self.sealed
    }

    /// Returns whether enough output has been gathered to write it at once.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        !self.blocked && self.waiting() >= FLUSH_AT
    }

    /// Returns whether all output has been written and there is nothing to report about it.
    pub(crate) fn has_settled(&self) -> bool {
        self.is_empty() && self.lost == 0 && !self.has_moved
    }

    /// Returns whether, since the last call, the socket has begun to refuse bytes or has taken some of those that were
    /// waiting.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Marks the position from which on only whole units are appended.
    pub(crate) fn begin_units(&mut self) {
        self.boundary = self.bytes.len();
    }

    /// Marks the unit that has been appended as the last one.
    pub(crate) fn end_units(&mut self) {
        self.is_complete = !self.is_empty();
    }

    /// TLS: has our FIN sent when all output has been.
    pub(crate) fn finish(&mut self) {
        self.is_last = true;
    }

    /// Has a unit sent at the next boundary, in place of one in the same lane that has not been inserted yet. Only
    /// while the socket is blocked.
    pub(crate) fn expedite(&mut self, lane: Lane, unit: Vec<u8>) {
        debug_assert!(self.blocked);
        self.expedited.get_or_insert_default().0[lane as usize] = unit;
    }

    /// Drops all units that have not been sent in part. Only while the socket is blocked.
    pub(crate) fn drop_units(&mut self, units: UnitLength) {
        self.find_boundary(units);
        self.bytes.truncate(self.boundary);
        self.expedited = None;
    }

    /// Calls a function that writes to the socket, and notes whether waiting output has moved.
    pub(crate) fn push<R>(&mut self, push: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.backpressure();
        let result = push(self);
        let after = self.backpressure();
        self.has_moved |= if before == 0 { after > 0 } else { after < before };
        result
    }

    /// Writes all output, or as much as the socket takes.
    pub(crate) fn flush(&mut self, wire: Wire<'_>) -> io::Result<()> {
        let Wire { socket, session, units } = wire;
        if let Some(session) = session {
            return self.offer_sealed(socket, session, &[], units).map(|_| ());
        }
        loop {
            let end = self.next_stop(units);
            if self.sent == end {
                break;
            }
            match socket.send(&self.bytes[self.sent..end]) {
                Ok(count) => self.sent += count,
                Err(error) => return self.refused(error, units),
            }
        }
        self.clear();
        Ok(())
    }

    /// Writes all output and then `payload`. Copies what the socket refuses of the payload.
    pub(crate) fn flush_with(&mut self, wire: Wire<'_>, payload: &[u8]) -> io::Result<()> {
        // If the socket fails, all of the payload counts as lost, even what the socket had taken.
        let taken = self.offer(wire, payload).inspect_err(|_| self.lost += payload.len())?;
        if taken < payload.len() {
            self.hold(&payload[taken..], true);
        }
        Ok(())
    }

    /// Appends bytes that the socket has just refused. `is_begun`: they are the rest of a unit whose beginning is
    /// waiting or has been sent.
    pub(crate) fn hold(&mut self, refused: &[u8], is_begun: bool) {
        if is_begun && self.bytes.is_empty() {
            self.boundary = refused.len();
        }
        self.bytes.extend_from_slice(refused);
        self.blocked = true;
    }

    /// Writes all output and then as much of `payload` as the socket takes. Returns how many bytes of the payload that
    /// is.
    pub(crate) fn offer(&mut self, wire: Wire<'_>, payload: &[u8]) -> io::Result<usize> {
        debug_assert!(!self.blocked && self.expedited.is_none());
        if payload.is_empty() {
            return self.flush(wire).map(|()| 0);
        }
        let Wire { socket, session, units } = wire;
        if let Some(session) = session {
            return self.offer_sealed(socket, session, payload, units);
        }
        let mut taken = 0;
        while taken < payload.len() {
            match socket.send_both(&self.bytes[self.sent..], &payload[taken..]) {
                Ok(count) => {
                    let ours = count.min(self.waiting());
                    self.sent += ours;
                    taken += count - ours;
                }
                Err(error) => {
                    self.refused(error, units)?;
                    // Only waiting output blocks a connection. The rest of the payload is the caller's.
                    self.blocked = !self.bytes.is_empty();
                    return Ok(taken);
                }
            }
        }
        self.clear();
        Ok(taken)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.sealed.clear();
        self.sealed_sent = 0;
        self.blocked = false;
        self.boundary = 0;
        self.is_complete = false;
        self.is_last = false;
        self.expedited = None;
    }

    /// Returns how far `bytes` can be sent without a break. Expedited units are inserted at the first boundary, once
    /// all bytes before it have been sent.
    fn next_stop(&mut self, units: Option<UnitLength>) -> usize {
        if self.expedited.is_some()
            && let Some(units) = units
        {
            self.find_boundary(units);
            if self.sent < self.boundary {
                return self.boundary;
            }
            self.insert_expedited();
        }
        self.bytes.len()
    }

    /// Inserts the expedited units before the next byte to be sent, which begins a unit.
    fn insert_expedited(&mut self) {
        let Some(expedited) = self.expedited.take() else { return };
        if self.is_complete && self.sent == self.bytes.len() {
            return;
        }
        let units = expedited.0.concat();
        // Use the space of bytes that have been sent, if it suffices.
        if let Some(start) = self.sent.checked_sub(units.len()) {
            self.bytes[start..self.sent].copy_from_slice(&units);
            self.sent = start;
        } else {
            self.bytes.splice(..self.sent, units.iter().copied());
            self.sent = 0;
        }
        self.boundary = self.sent + units.len();
    }

    /// Moves the boundary to the first one at or behind the next byte to be sent.
    fn find_boundary(&mut self, units: UnitLength) {
        while self.boundary < self.sent {
            self.boundary += units(&self.bytes[self.boundary..]);
        }
    }

    /// Seals and writes all output, and then as much of `payload` as the socket may take. Returns how many bytes of the
    /// payload have been sealed.
    fn offer_sealed(
        &mut self,
        socket: Socket<'_>,
        session: &mut Session,
        payload: &[u8],
        units: Option<UnitLength>,
    ) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            while self.sealed_sent < self.sealed.len() {
                match socket.send(&self.sealed[self.sealed_sent..]) {
                    Ok(count) => self.sealed_sent += count,
                    Err(error) => return self.refused(error, units).map(|()| taken),
                }
            }
            self.sealed.clear();
            self.sealed_sent = 0;
            let end = self.next_stop(units);
            let first = &self.bytes[self.sent..end];
            let first = &first[..first.len().min(SEAL_AT_ONCE)];
            let second = &payload[taken..];
            let second = &second[..second.len().min(SEAL_AT_ONCE - first.len())];
            if first.is_empty() && second.is_empty() {
                if self.is_last {
                    // An error means that the connection is gone, which the next read will report.
                    let _ = socket.stream.shutdown(Shutdown::Write);
                }
                self.clear();
                return Ok(taken);
            }
            if let Err(error) = session.seal(first, second, &mut self.sealed) {
                // The socket still works, so tell the peer that nothing more follows.
                session.seal_close(&mut self.sealed);
                let _ = socket.send(&self.sealed);
                let _ = socket.stream.shutdown(Shutdown::Both);
                return self.refused(error.into(), units).map(|()| taken);
            }
            self.sent += first.len();
            taken += second.len();
            if self.sent == self.bytes.len() {
                self.bytes.clear();
                self.sent = 0;
                self.boundary = 0;
            }
        }
    }

    /// Drops all output and counts it as lost.
    pub(crate) fn lose(&mut self) {
        self.lost += self.waiting();
        self.clear();
    }

    /// Drops all output, and forgets what was lost.
    pub(crate) fn reset(&mut self) {
        self.clear();
        self.lost = 0;
        self.has_moved = false;
    }

    /// Returns what the sums of all outputs are to include of this one, after what they have included until now.
    #[inline]
    pub(crate) fn note(&mut self) -> (Noted, Noted) {
        let now = Noted { waiting: self.backpressure(), allocated: self.allocated() };
        (std::mem::replace(&mut self.noted, now), now)
    }

    /// Returns what the sums of all outputs have included of this one, and are not to include any more.
    pub(crate) fn forget(&mut self) -> Noted {
        std::mem::take(&mut self.noted)
    }

    /// Returns the number of bytes that have been allocated.
    #[inline]
    pub(crate) fn allocated(&self) -> usize {
        self.bytes.capacity() + self.sealed.capacity()
    }

    /// Releases all memory. The output must be empty.
    pub(crate) fn release(&mut self) {
        debug_assert!(self.is_empty());
        self.bytes = Vec::new();
        self.sealed = Vec::new();
    }

    /// Releases memory if there is more than another connection is likely to need. The output must be empty.
    pub(crate) fn shrink(&mut self) {
        debug_assert!(self.is_empty());
        if self.bytes.capacity().max(self.sealed.capacity()) > KEEP_CAPACITY {
            self.release();
        }
    }

    #[inline]
    fn waiting(&self) -> usize {
        self.bytes.len() - self.sent + self.sealed.len() - self.sealed_sent
    }

    fn refused(&mut self, error: io::Error, units: Option<UnitLength>) -> io::Result<()> {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.blocked = true;
            self.compact(units);
            Ok(())
        } else {
            self.lose();
            Err(error)
        }
    }

    /// Drops sent bytes once they are the larger part, so that the buffer of a slow reader does not grow by them.
    fn compact(&mut self, units: Option<UnitLength>) {
        if self.sent > self.bytes.len() / 2 {
            if let Some(units) = units {
                self.find_boundary(units);
                self.boundary -= self.sent;
            }
            self.bytes.drain(..self.sent);
            self.sent = 0;
            if self.bytes.capacity() > 4 * self.bytes.len().max(4096) {
                self.bytes.shrink_to_fit();
            }
        }
    }
}
