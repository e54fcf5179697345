//! A connection: two ends, and what is on its way between them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that has connected, a [`Peer`](crate::Peer).
    Client,
    /// The end that was accepted, a [`TcpStream`](crate::TcpStream).
    Server,
}

impl Side {
    /// Returns the other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// How long the kernel goes on sending to a peer that does not answer, without an option that says otherwise: about as
/// long as Linux does (`tcp_retries2`).
const RETRANSMISSION_TIMEOUT: Duration = Duration::from_secs(924);

/// The bytes that an end sends ahead of the other's acknowledgements, and that it receives ahead of being read.
const DEFAULT_ROOM: usize = 256 * 1024;

/// How long an end goes on without a sign of the other end (`SO_KEEPALIVE`, `TCP_USER_TIMEOUT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// As long as everything that was sent has arrived.
    pub silence: Duration,
    /// As long as something has not; `None` for as long as the kernel tries.
    pub unacknowledged: Option<Duration>,
}

/// The state of one end.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(crate) struct End {
    /// Bytes that have arrived and have not been read.
    pub(crate) arrived: VecDeque<u8>,
    /// The greatest length of `arrived`.
    receive_room: usize,
    /// The other end's FIN has arrived.
    pub(crate) has_fin: bool,
    /// A read has returned 0.
    pub(crate) has_read_fin: bool,
    /// Bytes that were written and have not arrived at the other end.
    pub(crate) sent: VecDeque<u8>,
    /// The greatest length of `sent`.
    send_room: usize,
    /// A write was refused, or not taken as a whole, and no event has reported room since.
    lacks_room: bool,
    /// No more is written: our FIN follows `sent`.
    pub(crate) is_finished: bool,
    /// No more is to be read, by this end's own wish.
    is_deaf: bool,
    /// A reset of this end's is on its way.
    pub(crate) resets: bool,
    /// The connection has failed, as far as this end knows.
    pub(crate) is_dead: bool,
    /// The failure, until a call has returned it.
    pub(crate) error: Option<ErrorKind>,
    /// There is a handle to it.
    pub(crate) is_open: bool,
    /// What the program has asked for in case the other end vanishes, and when.
    patience: Option<(Patience, Duration)>,
    /// The number of bytes that have been written to it.
    pub(crate) taken: u64,
    /// When bytes were last taken from its writer.
    pub(crate) last_taken: Duration,
    /// When bytes last arrived at it.
    pub(crate) last_arrival: Duration,
    /// When bytes were last read from it.
    pub(crate) last_read: Duration,
    /// When the other end's FIN arrived, or the connection failed.
    pub(crate) ended: Option<Duration>,
}

impl End {
    fn new(now: Duration) -> Self {
        Self {
            arrived: VecDeque::new(),
            receive_room: DEFAULT_ROOM,
            has_fin: false,
            has_read_fin: false,
            sent: VecDeque::new(),
            send_room: DEFAULT_ROOM,
            lacks_room: false,
            is_finished: false,
            is_deaf: false,
            resets: false,
            is_dead: false,
            error: None,
            is_open: true,
            patience: None,
            taken: 0,
            last_taken: now,
            last_arrival: now,
            last_read: now,
            ended: None,
        }
    }

    /// Reads as `recv` does.
    pub(crate) fn read(&mut self, buffer: &mut [u8], now: Duration) -> io::Result<usize> {
        let length = self.peek(buffer)?;
        if length > 0 {
            self.last_read = now;
        }
        self.arrived.drain(..length);
        self.has_read_fin |= length == 0 && !buffer.is_empty();
        Ok(length)
    }

    /// Reads as `recv` with `MSG_PEEK` does.
    pub(crate) fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.arrived.is_empty() {
            return Ok(copy_front(&self.arrived, buffer));
        }
        // The end of the stream stays the end, whatever has happened since.
        if self.has_fin {
            return Ok(0);
        }
        if let Some(error) = self.error.take() {
            return Err(error.into());
        }
        if self.is_dead || self.is_deaf || buffer.is_empty() {
            return Ok(0);
        }
        Err(ErrorKind::WouldBlock.into())
    }

    /// Writes as `send` does.
    pub(crate) fn write(&mut self, pieces: &[&[u8]], now: Duration) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error.into());
        }
        if self.is_dead || self.is_finished {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let offered: usize = pieces.iter().map(|piece| piece.len()).sum();
        let taken = offered.min(self.free());
        self.lacks_room |= taken < offered;
        if taken == 0 && offered > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut left = taken;
        for piece in pieces {
            let length = left.min(piece.len());
            self.sent.extend(&piece[..length]);
            left -= length;
        }
        self.taken += taken as u64;
        if taken > 0 {
            self.last_taken = now;
        }
        Ok(taken)
    }

    /// Returns the number of bytes that a write would take.
    pub(crate) fn free(&self) -> usize {
        self.send_room.saturating_sub(self.sent.len())
    }

    /// Returns whether an event reports room: only once a third of the buffer is free, as on Linux.
    fn has_room(&self) -> bool {
        self.free() > 0 && self.free() >= self.send_room / 3
    }

    /// Stops writing, and reading as well if `both`.
    pub(crate) fn shut_down(&mut self, both: bool) -> io::Result<()> {
        // After both FINs, there is no connection any more.
        let is_over = self.has_fin && self.is_finished && self.sent.is_empty();
        if self.is_dead || is_over {
            return Err(ErrorKind::NotConnected.into());
        }
        self.is_finished = true;
        self.is_deaf |= both;
        Ok(())
    }

    /// Sets how long the other end may be gone before the connection fails; `None` for as long as the kernel tries.
    pub(crate) fn set_patience(&mut self, patience: Option<Patience>, now: Duration) {
        self.patience = patience.map(|patience| (patience, now));
    }

    /// Fails. What has arrived can still be read, unless it is `lost`.
    pub(crate) fn fail(&mut self, error: ErrorKind, lost: bool, now: Duration) {
        if self.is_dead {
            return;
        }
        self.ended.get_or_insert(now);
        self.is_dead = true;
        self.error = Some(error);
        self.sent.clear();
        if lost {
            self.arrived.clear();
        }
    }

    /// Returns what a poll that watches this end reports.
    pub(crate) fn readiness(&mut self) -> Readiness {
        let is_hung_up = self.is_dead || (self.has_fin || self.is_deaf) && self.is_finished;
        let has_read_end = self.has_fin || self.is_dead || self.is_deaf;
        let is_writable = self.is_dead || self.is_finished || self.has_room();
        // Asking arms the next event.
        self.lacks_room |= !is_writable;
        Readiness {
            is_readable: !self.arrived.is_empty() || has_read_end,
            is_writable,
            has_read_end,
            is_hung_up,
            is_failed: self.error.is_some(),
        }
    }

    /// Returns whether an event that reports room is due, and notes that it was reported.
    fn takes_room_edge(&mut self) -> bool {
        let is_due = self.lacks_room && self.has_room();
        self.lacks_room &= !is_due;
        is_due
    }
}

/// Copies the first bytes of a queue. Returns how many.
fn copy_front(bytes: &VecDeque<u8>, buffer: &mut [u8]) -> usize {
    let (first, second) = bytes.as_slices();
    let length = buffer.len().min(first.len());
    buffer[..length].copy_from_slice(&first[..length]);
    let rest = (buffer.len() - length).min(second.len());
    buffer[length..length + rest].copy_from_slice(&second[..rest]);
    length + rest
}

/// The state of an end, as bits of epoll.
#[expect(clippy::struct_excessive_bools, reason = "each is a bit of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// `EPOLLIN`
    pub(crate) is_readable: bool,
    /// `EPOLLOUT`
    pub(crate) is_writable: bool,
    /// `EPOLLRDHUP`
    pub(crate) has_read_end: bool,
    /// `EPOLLHUP`
    pub(crate) is_hung_up: bool,
    /// `EPOLLERR`
    pub(crate) is_failed: bool,
}

/// What has happened to the ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Edges {
    pub(crate) client: bool,
    pub(crate) server: bool,
}

impl Edges {
    fn at(side: Side) -> Self {
        let mut edges = Self::default();
        edges.add(side);
        edges
    }

    fn add(&mut self, side: Side) {
        match side {
            Side::Client => self.client = true,
            Side::Server => self.server = true,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    ends: [End; 2],
    /// When the client vanished.
    vanished: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(now: Duration) -> Self {
        Self { ends: [End::new(now), End::new(now)], vanished: None }
    }

    pub(crate) fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// Moves up to `most` bytes that an end has written to the other end. A FIN counts as a byte behind the last one.
    pub(crate) fn deliver(&mut self, from: Side, most: usize, loses: bool, now: Duration) -> Edges {
        let [client, server] = &mut self.ends;
        let (sender, receiver) = match from {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        if self.vanished.is_some() || most == 0 {
            return Edges::default();
        }
        if receiver.is_dead {
            sender.sent.clear();
            sender.resets = false;
            return Edges::default();
        }
        let mut edges = Edges::default();
        let free = receiver.receive_room.saturating_sub(receiver.arrived.len());
        let count = most.min(sender.sent.len()).min(if receiver.is_open { free } else { usize::MAX });
        if count > 0 {
            let bytes = sender.sent.drain(..count);
            if receiver.is_open {
                receiver.arrived.extend(bytes);
                receiver.last_arrival = now;
                edges.add(from.other());
            } else {
                drop(bytes);
                // Nobody will read them: the kernel answers with a reset.
                receiver.resets = true;
                if loses {
                    receiver.sent.clear();
                }
            }
        }
        // A reset does not wait for room, and a FIN needs none.
        let is_last = count < most && (sender.sent.is_empty() || sender.resets);
        if is_last && sender.resets {
            sender.resets = false;
            sender.sent.clear();
            // Behind a FIN, Linux calls a reset EPIPE.
            let error = if receiver.has_fin { ErrorKind::BrokenPipe } else { ErrorKind::ConnectionReset };
            receiver.fail(error, loses, now);
            return Edges::at(from.other());
        }
        if is_last && sender.is_finished && !receiver.has_fin {
            receiver.has_fin = true;
            receiver.ended.get_or_insert(now);
            edges.add(from.other());
        }
        if sender.takes_room_edge() {
            edges.add(from);
        }
        edges
    }

    /// Returns whether [`Connection::deliver`] has something to move.
    pub(crate) fn has_deliverable(&self, from: Side) -> bool {
        let (sender, receiver) = (self.end(from), self.end(from.other()));
        if self.vanished.is_some() {
            return false;
        }
        if receiver.is_dead || sender.resets {
            return !receiver.is_dead;
        }
        if sender.sent.is_empty() {
            return sender.is_finished && !receiver.has_fin;
        }
        !receiver.is_open || receiver.arrived.len() < receiver.receive_room
    }

    /// Sets how many bytes an end takes ahead of acknowledgements. 0 stops it from taking any.
    pub(crate) fn set_send_room(&mut self, side: Side, room: usize) -> Edges {
        let end = self.end_mut(side);
        end.send_room = room;
        if end.takes_room_edge() { Edges::at(side) } else { Edges::default() }
    }

    /// Sets how many bytes an end receives ahead of being read.
    pub(crate) fn set_receive_room(&mut self, side: Side, room: usize) {
        self.end_mut(side).receive_room = room;
    }

    /// Returns whether both FINs have arrived, after which no reset is sent.
    fn has_ended(&self) -> bool {
        self.ends.iter().all(|end| end.has_fin)
    }

    /// Closes an end as `close` does: with a FIN behind what was written, or with a reset if something is unread.
    pub(crate) fn close(&mut self, side: Side, loses: bool) {
        let has_ended = self.has_ended();
        let end = self.end_mut(side);
        end.is_open = false;
        if end.is_dead || has_ended {
            return;
        }
        if end.arrived.is_empty() {
            end.is_finished = true;
        } else {
            end.resets = true;
            end.is_dead = true;
            if loses {
                end.sent.clear();
            }
        }
    }

    /// Closes the client's end with a reset, and loses what it has written if `loses`.
    pub(crate) fn reset(&mut self, loses: bool) {
        let has_ended = self.has_ended();
        let client = self.end_mut(Side::Client);
        client.is_open = false;
        if has_ended {
            return;
        }
        client.is_dead = true;
        client.resets = true;
        if loses {
            client.sent.clear();
        }
    }

    /// Takes the client off the network without a trace.
    pub(crate) fn vanish(&mut self, now: Duration) {
        self.vanished.get_or_insert(now);
    }

    pub(crate) fn has_vanished(&self) -> bool {
        self.vanished.is_some()
    }

    /// Fails the server's end if its client has been gone for too long.
    pub(crate) fn pass(&mut self, now: Duration) -> Edges {
        let Some(vanished) = self.vanished else { return Edges::default() };
        let server = self.end_mut(Side::Server);
        let deadline = match server.patience {
            Some((patience, since)) if server.sent.is_empty() => since.max(vanished) + patience.silence,
            None if server.sent.is_empty() => return Edges::default(),
            patience => {
                let timeout = patience.and_then(|(patience, _)| patience.unacknowledged);
                vanished.max(server.last_taken) + timeout.unwrap_or(RETRANSMISSION_TIMEOUT)
            }
        };
        if server.is_dead || now < deadline {
            return Edges::default();
        }
        server.fail(ErrorKind::TimedOut, false, now);
        Edges::at(Side::Server)
    }

    /// Returns whether nobody can see anything of it any more.
    pub(crate) fn is_over(&self) -> bool {
        let [client, server] = &self.ends;
        !server.is_open && (!client.is_open || self.vanished.is_some())
    }
}
