//! What waits to be written to a socket.

use std::io;

use mio::net::TcpStream;

use crate::sys;
use crate::tls::Session;

/// Output of one connection is gathered while its events are handled and goes out in one system call. From this many
/// bytes on it doesn't wait, so that memory stays bounded and the kernel has something to do meanwhile.
pub(crate) const FLUSH_AT: usize = 64 * 1024;

/// From this many bytes on a payload is handed to the kernel where it lies instead of being copied here first.
pub(crate) const DIRECT_FROM: usize = 32 * 1024;

/// How much is sealed at once, to be handed to the kernel with one system call: what it does not take has to be kept.
const SEAL_AT_ONCE: usize = 64 * 1024;

/// A buffer larger than this is not kept for use by another connection.
const KEEP_CAPACITY: usize = 128 * 1024;

#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` the socket has taken. Less than all of them, or else both are none.
    sent: usize,
    /// The socket has refused bytes; it is asked again when it says it is writable.
    blocked: bool,
    /// Bytes that can't be sent any more, because the socket has failed.
    lost: usize,
    /// TLS: records that go out before `bytes` do.
    sealed: Vec<u8>,
    /// How many of `sealed` the socket has taken, as with `sent`.
    sealed_sent: usize,
}

/// Where output goes: to a socket, and if there is a session by way of that.
pub(crate) struct Wire<'c> {
    pub(crate) stream: &'c TcpStream,
    pub(crate) session: Option<&'c mut Session>,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.sealed.is_empty()
    }

    pub(crate) fn backpressure(&self) -> usize {
        if self.blocked { self.waiting() } else { 0 }
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    /// Where output is appended.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// TLS: where records are appended that go out before the output that is there.
    pub(crate) fn sealed(&mut self) -> &mut Vec<u8> {
        &mut self.sealed
    }

    /// Whether there is so much that it should not wait for the end of the turn.
    pub(crate) fn is_full(&self) -> bool {
        !self.blocked && self.waiting() >= FLUSH_AT
    }

    /// Writes what is there until the socket refuses.
    pub(crate) fn flush(&mut self, wire: Wire<'_>) -> io::Result<()> {
        if let Some(session) = wire.session {
            return self.offer_sealed(wire.stream, session, &[]).map(|_| ());
        }
        while self.sent < self.bytes.len() {
            match sys::send(wire.stream, &self.bytes[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) => return self.refused(error),
            }
        }
        self.clear();
        Ok(())
    }

    /// Writes what is there and then `payload`; what the socket refuses of it is copied.
    pub(crate) fn flush_with(&mut self, wire: Wire<'_>, payload: &[u8]) -> io::Result<()> {
        // Of one that fails now, nothing arrives, also if the socket had taken some.
        let taken = self.offer(wire, payload).inspect_err(|_| self.lost += payload.len())?;
        if taken < payload.len() {
            self.hold(&payload[taken..]);
        }
        Ok(())
    }

    /// Keeps what the socket has just refused.
    pub(crate) fn hold(&mut self, refused: &[u8]) {
        self.bytes.extend_from_slice(refused);
        self.blocked = true;
    }

    /// Writes what is there and then as much of `payload` as the socket takes; gives how much that is.
    pub(crate) fn offer(&mut self, wire: Wire<'_>, payload: &[u8]) -> io::Result<usize> {
        debug_assert!(!self.blocked);
        if let Some(session) = wire.session {
            return self.offer_sealed(wire.stream, session, payload);
        }
        if payload.is_empty() {
            return self.flush(wire).map(|()| 0);
        }
        let mut taken = 0;
        while taken < payload.len() {
            match sys::send_both(wire.stream, &self.bytes[self.sent..], &payload[taken..]) {
                Ok(count) => {
                    let ours = count.min(self.waiting());
                    self.sent += ours;
                    taken += count - ours;
                }
                Err(error) => {
                    self.refused(error)?;
                    // Blocked is who has something that waits.
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
    }

    /// Seals what is there and then as much of `payload` as the socket may take; gives how much that is.
    fn offer_sealed(&mut self, stream: &TcpStream, session: &mut Session, payload: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            while self.sealed_sent < self.sealed.len() {
                match sys::send(stream, &self.sealed[self.sealed_sent..]) {
                    Ok(count) => self.sealed_sent += count,
                    Err(error) => return self.refused(error).map(|()| taken),
                }
            }
            self.sealed.clear();
            self.sealed_sent = 0;
            let first = &self.bytes[self.sent..];
            let first = &first[..first.len().min(SEAL_AT_ONCE)];
            let second = &payload[taken..];
            let second = &second[..second.len().min(SEAL_AT_ONCE - first.len())];
            if first.is_empty() && second.is_empty() {
                self.clear();
                return Ok(taken);
            }
            if let Err(error) = session.seal(first, second, &mut self.sealed) {
                // The socket is in order, and whoever waits for what it says is to hear that this is the end.
                session.seal_close(&mut self.sealed);
                let _ = sys::send(stream, &self.sealed);
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return self.refused(error.into()).map(|()| taken);
            }
            self.sent += first.len();
            taken += second.len();
            if self.sent == self.bytes.len() {
                self.bytes.clear();
                self.sent = 0;
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

    fn waiting(&self) -> usize {
        self.bytes.len() - self.sent + self.sealed.len() - self.sealed_sent
    }

    fn refused(&mut self, error: io::Error) -> io::Result<()> {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.blocked = true;
            self.compact();
            Ok(())
        } else {
            self.lose();
            Err(error)
        }
    }

    /// Drops what has been sent once it is the larger part, so that a slow reader's buffer does not grow by it.
    fn compact(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
            if self.bytes.capacity() > 4 * self.bytes.len().max(4096) {
                self.bytes.shrink_to_fit();
            }
        }
    }
}
