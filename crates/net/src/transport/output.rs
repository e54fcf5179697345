//! What waits to be written to a socket.

use std::io;

use mio::net::TcpStream;

use super::sys;
use super::tls::Session;

/// Output of one connection is gathered while its events are handled and goes out in one system call. From this many
/// bytes on it doesn't wait, so that memory stays bounded and the kernel has something to do meanwhile.
const FLUSH_AT: usize = 64 * 1024;

/// From this many bytes on a payload is handed to the kernel where it lies instead of being copied here first.
pub(crate) const DIRECT_FROM: usize = 32 * 1024;

/// How much is sealed at once, to be handed to the kernel with one system call: what it does not take has to be kept.
const SEAL_AT_ONCE: usize = 64 * 1024;

/// A buffer larger than this is not kept for use by another connection.
const KEEP_CAPACITY: usize = 128 * 1024;

/// Returns the length of the unit that `bytes` begin with. Units are what a protocol must not interleave: the frames of
/// a WebSocket.
pub(crate) type UnitLength = fn(&[u8]) -> usize;

#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` the socket has taken. Less than all of them, or else both are none.
    sent: usize,
    /// The socket has refused bytes; it is asked again when it says it is writable.
    blocked: bool,
    /// Bytes that can't be sent any more, because the socket has failed.
    lost: usize,
    /// The socket has begun to refuse, or has taken some of what waited, since the last [`Output::take_moved`].
    has_moved: bool,
    /// TLS: records that go out before `bytes` do.
    sealed: Vec<u8>,
    /// How many of `sealed` the socket has taken, as with `sent`.
    sealed_sent: usize,
    /// Where in `bytes` a unit begins, or the last one ends. What follows is whole units, which tell where the others
    /// begin; that is looked up when it is needed, and before what leads there is dropped.
    boundary: usize,
    /// No unit may follow the last one.
    is_complete: bool,
    /// Units that go out between two others, ahead of what waits. Only while the socket is blocked.
    expedited: Option<Box<Expedited>>,
}

/// The ways for units that don't wait behind the others. Each holds one unit, so that a peer that reads nothing costs no
/// more memory for asking again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Goes out first.
    First,
    /// Goes out behind the other.
    Second,
}

#[derive(Default)]
struct Expedited([Vec<u8>; 2]);

impl Expedited {
    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// Where output goes: to a socket, and if there is a session by way of that.
pub(crate) struct Wire<'c> {
    pub(crate) stream: &'c TcpStream,
    pub(crate) session: Option<&'c mut Session>,
    /// How output is divided into units, if it is.
    pub(crate) units: Option<UnitLength>,
}

impl Output {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.sealed.is_empty()
    }

    /// Bytes that the socket has refused and that wait for it to be writable.
    #[inline]
    pub(crate) fn backpressure(&self) -> usize {
        if self.blocked { self.waiting() + self.expedited.as_ref().map_or(0, |units| units.len()) } else { 0 }
    }

    #[inline]
    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    /// Where output is appended.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// TLS: where records are appended that go out before the output that is there.
    pub(crate) fn sealed(&mut self) -> &mut Vec<u8> {
        &mut self.sealed
    }

    /// Whether there is so much that it should not wait for the end of the turn.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        !self.blocked && self.waiting() >= FLUSH_AT
    }

    /// Whether nothing is left of what was written, and nothing is to be noted about it.
    pub(crate) fn has_settled(&self) -> bool {
        self.is_empty() && self.lost == 0 && !self.has_moved
    }

    /// Whether the socket has begun to refuse, or has taken some of what waited, since the last call.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// What is appended from now on is whole units.
    pub(crate) fn begin_units(&mut self) {
        self.boundary = self.bytes.len();
    }

    /// The unit that has been appended is the last.
    pub(crate) fn end_units(&mut self) {
        self.is_complete = !self.is_empty();
    }

    /// Has a unit go out as the next, in place of one in the same lane that has not gone yet. Only while the socket is
    /// blocked.
    pub(crate) fn expedite(&mut self, lane: Lane, unit: Vec<u8>) {
        debug_assert!(self.blocked);
        self.expedited.get_or_insert_default().0[lane as usize] = unit;
    }

    /// Drops all units of which nothing has gone out. Only while the socket is blocked.
    pub(crate) fn drop_units(&mut self, units: UnitLength) {
        self.find_boundary(units);
        self.bytes.truncate(self.boundary);
        self.expedited = None;
    }

    /// Runs what writes to the socket, and notes whether that has moved what waits.
    pub(crate) fn push<R>(&mut self, push: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.backpressure();
        let result = push(self);
        let after = self.backpressure();
        self.has_moved |= if before == 0 { after > 0 } else { after < before };
        result
    }

    /// Writes what is there until the socket refuses.
    pub(crate) fn flush(&mut self, wire: Wire<'_>) -> io::Result<()> {
        let Wire { stream, session, units } = wire;
        if let Some(session) = session {
            return self.offer_sealed(stream, session, &[], units).map(|_| ());
        }
        loop {
            let end = self.next_stop(units);
            if self.sent == end {
                break;
            }
            match sys::send(stream, &self.bytes[self.sent..end]) {
                Ok(count) => self.sent += count,
                Err(error) => return self.refused(error, units),
            }
        }
        self.clear();
        Ok(())
    }

    /// Writes what is there and then `payload`; what the socket refuses of it is copied.
    pub(crate) fn flush_with(&mut self, wire: Wire<'_>, payload: &[u8]) -> io::Result<()> {
        // Nothing of a payload that fails now arrives, even if the socket had taken some.
        let taken = self.offer(wire, payload).inspect_err(|_| self.lost += payload.len())?;
        if taken < payload.len() {
            self.hold(&payload[taken..], true);
        }
        Ok(())
    }

    /// Keeps what the socket has just refused. `is_begun`: it is the rest of a unit whose beginning is there, or has gone.
    pub(crate) fn hold(&mut self, refused: &[u8], is_begun: bool) {
        if is_begun && self.bytes.is_empty() {
            self.boundary = refused.len();
        }
        self.bytes.extend_from_slice(refused);
        self.blocked = true;
    }

    /// Writes what is there and then as much of `payload` as the socket takes; returns how much that is.
    pub(crate) fn offer(&mut self, wire: Wire<'_>, payload: &[u8]) -> io::Result<usize> {
        debug_assert!(!self.blocked && self.expedited.is_none());
        if payload.is_empty() {
            return self.flush(wire).map(|()| 0);
        }
        let Wire { stream, session, units } = wire;
        if let Some(session) = session {
            return self.offer_sealed(stream, session, payload, units);
        }
        let mut taken = 0;
        while taken < payload.len() {
            match sys::send_both(stream, &self.bytes[self.sent..], &payload[taken..]) {
                Ok(count) => {
                    let ours = count.min(self.waiting());
                    self.sent += ours;
                    taken += count - ours;
                }
                Err(error) => {
                    self.refused(error, units)?;
                    // Only output that waits makes a connection blocked.
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
        self.expedited = None;
    }

    /// Up to where `bytes` go out as they are. Expedited units are put between two others when all before them is out.
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

    /// Puts what is expedited before what is to be sent next, which begins a unit.
    fn insert_expedited(&mut self) {
        let Some(expedited) = self.expedited.take() else { return };
        if self.is_complete && self.sent == self.bytes.len() {
            return;
        }
        let units = expedited.0.concat();
        // There is room where something has been sent from.
        if let Some(start) = self.sent.checked_sub(units.len()) {
            self.bytes[start..self.sent].copy_from_slice(&units);
            self.sent = start;
        } else {
            self.bytes.splice(..self.sent, units.iter().copied());
            self.sent = 0;
        }
        self.boundary = self.sent + units.len();
    }

    /// Moves the boundary to the first one of which nothing before is still to be sent.
    fn find_boundary(&mut self, units: UnitLength) {
        while self.boundary < self.sent {
            self.boundary += units(&self.bytes[self.boundary..]);
        }
    }

    /// Seals what is there and then as much of `payload` as the socket may take; returns how much that is.
    fn offer_sealed(
        &mut self,
        stream: &TcpStream,
        session: &mut Session,
        payload: &[u8],
        units: Option<UnitLength>,
    ) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            while self.sealed_sent < self.sealed.len() {
                match sys::send(stream, &self.sealed[self.sealed_sent..]) {
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
                self.clear();
                return Ok(taken);
            }
            if let Err(error) = session.seal(first, second, &mut self.sealed) {
                // The socket still works, so the peer is told that nothing more comes.
                session.seal_close(&mut self.sealed);
                let _ = sys::send(stream, &self.sealed);
                let _ = stream.shutdown(std::net::Shutdown::Both);
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

    /// Counts what is there as lost.
    pub(crate) fn lose(&mut self) {
        self.lost += self.waiting();
        self.clear();
    }

    /// Forgets what is there and what was lost.
    pub(crate) fn reset(&mut self) {
        self.clear();
        self.lost = 0;
        self.has_moved = false;
    }

    /// Gives all memory back.
    pub(crate) fn release(&mut self) {
        debug_assert!(self.is_empty());
        self.bytes = Vec::new();
        self.sealed = Vec::new();
    }

    /// Gives memory back that another connection would hardly need.
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

    /// Drops what has been sent once it is the larger part, so that a slow reader's buffer does not grow by it.
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
