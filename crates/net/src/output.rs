//! What waits to be written to a socket.

use std::io;

use mio::net::TcpStream;

use crate::sys;

/// Output of one connection is gathered while its events are handled and goes out in one system call. From this many
/// bytes on it doesn't wait, so that memory stays bounded and the kernel has something to do meanwhile.
pub(crate) const FLUSH_AT: usize = 64 * 1024;

/// From this many bytes on a payload is handed to the kernel where it lies instead of being copied here first.
pub(crate) const DIRECT_FROM: usize = 32 * 1024;

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
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
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

    /// Whether there is so much that it should not wait for the end of the turn.
    pub(crate) fn is_full(&self) -> bool {
        !self.blocked && self.waiting() >= FLUSH_AT
    }

    /// Writes what is there until the socket refuses.
    pub(crate) fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            match sys::send(stream, &self.bytes[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) => return self.refused(error),
            }
        }
        self.clear();
        Ok(())
    }

    /// Writes what is there and then `payload`; what the socket refuses of it is copied.
    pub(crate) fn flush_with(&mut self, stream: &TcpStream, payload: &[u8]) -> io::Result<()> {
        // Of one that fails now, nothing arrives, also if the socket had taken some.
        let taken = self.offer(stream, payload).inspect_err(|_| self.lost += payload.len())?;
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
    pub(crate) fn offer(&mut self, stream: &TcpStream, payload: &[u8]) -> io::Result<usize> {
        debug_assert!(!self.blocked);
        if payload.is_empty() {
            return self.flush(stream).map(|()| 0);
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
        self.blocked = false;
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
    }

    /// Gives memory back that another connection would hardly need.
    pub(crate) fn shrink(&mut self) {
        debug_assert!(self.is_empty());
        if self.bytes.capacity() > KEEP_CAPACITY {
            self.release();
        }
    }

    fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
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
