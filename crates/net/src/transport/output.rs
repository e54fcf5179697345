//! What waits to be written to a socket.

use std::io;

use milliways_proto::ws::{Opcode, frame_len, write_frame};
use mio::net::TcpStream;

use crate::tls::Session;
use crate::transport::sys;

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
    /// WebSocket: where in `bytes` a frame begins, or the last one ends. What follows is whole frames, whose headers tell
    /// where the others begin; that is looked up when somebody has to know, and before what leads there is dropped.
    boundary: usize,
    /// WebSocket: the last frame is a Close frame, which no other may follow.
    ends_with_close: bool,
    /// WebSocket: what goes out between two frames, ahead of what waits. Only while the socket is blocked.
    urgent: Option<Box<Urgent>>,
}

/// Control frames that do not wait behind messages (RFC 6455 section 5.4 allows them between any two frames). One of each
/// kind, so that a peer that reads nothing costs no more memory for asking again and again.
#[derive(Default)]
struct Urgent {
    ping: bool,
    /// The newest Ping's payload, to be answered.
    pong: Option<Vec<u8>>,
}

impl Urgent {
    fn frames(&self) -> Vec<u8> {
        let mut frames = Vec::new();
        if self.ping {
            write_frame(&mut frames, Opcode::Ping, true, &[]);
        }
        if let Some(payload) = &self.pong {
            write_frame(&mut frames, Opcode::Pong, true, payload);
        }
        frames
    }

    fn len(&self) -> usize {
        /// Both frames have a short payload.
        const HEADER: usize = 2;

        usize::from(self.ping) * HEADER + self.pong.as_ref().map_or(0, |payload| HEADER + payload.len())
    }
}

/// Where output goes: to a socket, and if there is a session by way of that.
pub(crate) struct Wire<'c> {
    pub(crate) stream: &'c TcpStream,
    pub(crate) session: Option<&'c mut Session>,
    /// Whether the output is frames of a WebSocket.
    pub(crate) has_frames: bool,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.sealed.is_empty()
    }

    pub(crate) fn backpressure(&self) -> usize {
        if self.blocked { self.waiting() + self.urgent.as_ref().map_or(0, |urgent| urgent.len()) } else { 0 }
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

    /// WebSocket: what is appended from now on is whole frames.
    pub(crate) fn begin_frames(&mut self) {
        self.boundary = self.bytes.len();
    }

    /// WebSocket: a Close frame has been appended.
    pub(crate) fn end_frames(&mut self) {
        self.ends_with_close = !self.is_empty();
    }

    /// WebSocket, blocked: has a Pong go out as the next frame, in place of one that has not gone yet (RFC 6455 section 5.5.3).
    pub(crate) fn push_pong(&mut self, payload: &[u8]) {
        debug_assert!(self.blocked);
        self.urgent.get_or_insert_default().pong = Some(payload.to_vec());
    }

    /// WebSocket, blocked: has a Ping go out as the next frame.
    pub(crate) fn push_ping(&mut self) {
        debug_assert!(self.blocked);
        self.urgent.get_or_insert_default().ping = true;
    }

    /// WebSocket, blocked: drops all frames of which nothing has gone out.
    pub(crate) fn drop_frames(&mut self) {
        self.find_boundary();
        self.bytes.truncate(self.boundary);
        self.urgent = None;
    }

    /// Writes what is there until the socket refuses.
    pub(crate) fn flush(&mut self, wire: Wire<'_>) -> io::Result<()> {
        let Wire { stream, session, has_frames } = wire;
        if let Some(session) = session {
            return self.offer_sealed(stream, session, &[], has_frames).map(|_| ());
        }
        loop {
            let end = self.next_stop();
            if self.sent == end {
                break;
            }
            match sys::send(stream, &self.bytes[self.sent..end]) {
                Ok(count) => self.sent += count,
                Err(error) => return self.refused(error, has_frames),
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
            self.hold(&payload[taken..], true);
        }
        Ok(())
    }

    /// Keeps what the socket has just refused. `is_begun`: it is the rest of a frame; what leads to it is there, or has gone.
    pub(crate) fn hold(&mut self, refused: &[u8], is_begun: bool) {
        if is_begun && self.bytes.is_empty() {
            self.boundary = refused.len();
        }
        self.bytes.extend_from_slice(refused);
        self.blocked = true;
    }

    /// Writes what is there and then as much of `payload` as the socket takes; gives how much that is.
    pub(crate) fn offer(&mut self, wire: Wire<'_>, payload: &[u8]) -> io::Result<usize> {
        debug_assert!(!self.blocked && self.urgent.is_none());
        if payload.is_empty() {
            return self.flush(wire).map(|()| 0);
        }
        let Wire { stream, session, has_frames } = wire;
        if let Some(session) = session {
            return self.offer_sealed(stream, session, payload, has_frames);
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
                    self.refused(error, has_frames)?;
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
        self.boundary = 0;
        self.ends_with_close = false;
        self.urgent = None;
    }

    /// Up to where `bytes` go out as they are. What is urgent is put between two frames when all before it is out.
    fn next_stop(&mut self) -> usize {
        if self.urgent.is_some() {
            self.find_boundary();
            if self.sent < self.boundary {
                return self.boundary;
            }
            self.insert_urgent();
        }
        self.bytes.len()
    }

    /// Puts what is urgent before what is to be sent next, which begins a frame.
    fn insert_urgent(&mut self) {
        let Some(urgent) = self.urgent.take() else { return };
        if self.ends_with_close && self.sent == self.bytes.len() {
            return;
        }
        let frames = urgent.frames();
        // There is room where something has been sent from.
        if let Some(start) = self.sent.checked_sub(frames.len()) {
            self.bytes[start..self.sent].copy_from_slice(&frames);
            self.sent = start;
        } else {
            self.bytes.splice(..self.sent, frames.iter().copied());
            self.sent = 0;
        }
        self.boundary = self.sent + frames.len();
    }

    /// Moves the boundary to the first one of which nothing before is still to be sent.
    fn find_boundary(&mut self) {
        while self.boundary < self.sent {
            self.boundary += frame_len(&self.bytes[self.boundary..]);
        }
    }

    /// Seals what is there and then as much of `payload` as the socket may take; gives how much that is.
    fn offer_sealed(
        &mut self,
        stream: &TcpStream,
        session: &mut Session,
        payload: &[u8],
        has_frames: bool,
    ) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            while self.sealed_sent < self.sealed.len() {
                match sys::send(stream, &self.sealed[self.sealed_sent..]) {
                    Ok(count) => self.sealed_sent += count,
                    Err(error) => return self.refused(error, has_frames).map(|()| taken),
                }
            }
            self.sealed.clear();
            self.sealed_sent = 0;
            let end = self.next_stop();
            let first = &self.bytes[self.sent..end];
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
                return self.refused(error.into(), has_frames).map(|()| taken);
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

    fn refused(&mut self, error: io::Error, has_frames: bool) -> io::Result<()> {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.blocked = true;
            self.compact(has_frames);
            Ok(())
        } else {
            self.lose();
            Err(error)
        }
    }

    /// Drops what has been sent once it is the larger part, so that a slow reader's buffer does not grow by it.
    fn compact(&mut self, has_frames: bool) {
        if self.sent > self.bytes.len() / 2 {
            if has_frames || self.ends_with_close {
                self.find_boundary();
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
