//! The network as its owner sees it, who decides when bytes arrive.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::connection::{Edges, Side};
use crate::peer::Peer;
use crate::world::{Address, Entry, Shared, Watched};

/// Identifies a connection. Keys are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// A failure of the system that [`Network::fail`] causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Accepting fails because descriptors have run out (`EMFILE`).
    AcceptStarved,
    /// Accepting fails because the connection has (`ECONNABORTED`).
    AcceptAborted,
    /// A socket cannot be registered with a poll (`ENOMEM`).
    Register,
    /// A socket cannot be registered again (`ENOMEM`).
    Reregister,
    /// A signal interrupts a call (`EINTR`): reading, writing, or polling.
    Interrupt,
}

impl Fault {
    pub(crate) fn error(self) -> io::Error {
        match self {
            Self::AcceptStarved => io::Error::from_raw_os_error(crate::socket::EMFILE),
            Self::AcceptAborted => ErrorKind::ConnectionAborted.into(),
            Self::Register | Self::Reregister => ErrorKind::OutOfMemory.into(),
            Self::Interrupt => ErrorKind::Interrupted.into(),
        }
    }
}

/// The state of one end of a connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndState {
    /// The number of bytes that have arrived and have not been read.
    pub unread: usize,
    /// The other end's FIN has arrived, or the connection has failed, and no call has returned that.
    pub has_unread_end: bool,
    /// The number of bytes that have been written and have not arrived at the other end.
    pub in_flight: usize,
    /// The number of bytes that a write would take.
    pub free: usize,
    /// Its program has finished writing, or has closed it.
    pub is_finished: bool,
    /// The connection has failed, as far as this end knows.
    pub has_failed: bool,
    /// Its program has not closed it. False for a server's end that has not been accepted.
    pub is_open: bool,
    /// The number of bytes that have ever been written to it.
    pub taken: u64,
    /// The time at which it last took bytes from its program; at first, when the connection began.
    pub last_taken: Duration,
    /// The time at which bytes last arrived at it; at first, when the connection began.
    pub last_arrival: Duration,
    /// The time at which its program last read bytes; at first, when the connection began.
    pub last_read: Duration,
    /// The time at which the other end's FIN arrived, or the connection failed.
    pub ended: Option<Duration>,
}

/// A network, which moves only by the calls of its owner.
#[derive(Debug)]
pub struct Network {
    world: Shared,
}

/// As long as this exists, new polls and listening sockets of this thread belong to a network.
#[derive(Debug)]
pub struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        Shared::leave();
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Network {
    /// Creates a network without sockets, at the time 0.
    pub fn new() -> Self {
        Self { world: Shared::new() }
    }

    /// Makes this the network of this thread's new polls and listening sockets.
    #[must_use]
    pub fn enter(&self) -> Entered {
        self.world.enter();
        Entered(())
    }

    /// Sets the time since the network was created. A connection whose client has vanished may fail by it.
    pub fn set_now(&self, now: Duration) {
        let mut world = self.world.lock();
        world.now = now;
        let edges: Vec<(u64, Edges)> =
            world.connections.iter_mut().map(|(key, entry)| (*key, entry.connection.pass(now))).collect();
        for (key, edges) in edges {
            world.report(key, edges);
        }
    }

    /// Connects to a listening socket. Fails with [`ErrorKind::ConnectionRefused`] if there is none or its queue is full.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Peer> {
        self.connect_to(&Address::Tcp(address))
    }

    /// Connects to a listening Unix socket. Fails as [`Network::connect`] does.
    pub fn connect_local(&self, path: impl Into<PathBuf>) -> io::Result<Peer> {
        self.connect_to(&Address::Local(path.into()))
    }

    fn connect_to(&self, address: &Address) -> io::Result<Peer> {
        let (key, address) = self.world.lock().connect(address)?;
        Ok(Peer::new(self.world.clone(), key, address))
    }

    /// Moves up to `most` bytes that one end has written to the other end. A FIN counts as a byte behind the last one, and
    /// so does a reset.
    pub fn deliver(&self, key: ConnectionKey, from: Side, most: usize) {
        let mut world = self.world.lock();
        let (loses, now) = (world.loses, world.now);
        let edges = world.connection(key.0).map(|connection| connection.deliver(from, most, loses, now));
        world.report(key.0, edges.unwrap_or_default());
    }

    /// Returns whether [`Network::deliver`] has something to move.
    pub fn has_deliverable(&self, key: ConnectionKey, from: Side) -> bool {
        self.world.lock().connection(key.0).is_some_and(|connection| connection.has_deliverable(from))
    }

    /// Sets how many bytes an end takes from its program before they arrive at the other end: 0 for none, 256 KiB at
    /// first.
    pub fn set_send_room(&self, key: ConnectionKey, side: Side, room: usize) {
        let mut world = self.world.lock();
        let edges = world.connection(key.0).map(|connection| connection.set_send_room(side, room));
        world.report(key.0, edges.unwrap_or_default());
    }

    /// Sets how many bytes arrive at an end before its program reads them: 256 KiB at first.
    pub fn set_receive_room(&self, key: ConnectionKey, side: Side, room: usize) {
        if let Some(connection) = self.world.lock().connection(key.0) {
            connection.set_receive_room(side, room);
        }
    }

    /// Sets whether a reset destroys what is on its way, and what has arrived and not been read, as it may. It does at
    /// first.
    pub fn set_loses(&self, loses: bool) {
        self.world.lock().loses = loses;
    }

    /// Has the poll of a server's end report what is true of it, although nothing has happened.
    pub fn report_spuriously(&self, key: ConnectionKey) {
        self.world.lock().queue(Watched::Connection(key.0));
    }

    /// Has the system fail the next `times` times in a way.
    pub fn fail(&self, fault: Fault, times: u32) {
        self.world.lock().faults.insert(fault, times);
    }

    /// Returns the state of one end of a connection; `None` once both ends have been closed.
    pub fn state(&self, key: ConnectionKey, side: Side) -> Option<EndState> {
        let world = self.world.lock();
        let entry = world.connections.get(&key.0)?;
        let end = entry.connection.end(side);
        Some(EndState {
            unread: end.arrived.len(),
            has_unread_end: (end.has_fin || end.is_dead) && !end.has_read_fin && (end.error.is_some() || !end.is_dead),
            in_flight: end.sent.len(),
            free: end.free(),
            is_finished: end.is_finished,
            has_failed: end.is_dead,
            is_open: end.is_open && (side == Side::Client || entry.is_accepted),
            taken: end.taken,
            last_taken: end.last_taken,
            last_arrival: end.last_arrival,
            last_read: end.last_read,
            ended: end.ended,
        })
    }

    /// Returns whether a [`Fault`] has hit a connection.
    pub fn has_suffered(&self, key: ConnectionKey) -> bool {
        self.world.lock().connections.get(&key.0).is_some_and(|entry| entry.has_suffered)
    }

    /// Returns whether the client of a connection has vanished.
    pub fn has_vanished(&self, key: ConnectionKey) -> bool {
        self.world.lock().connections.get(&key.0).is_some_and(|entry| entry.connection.has_vanished())
    }

    /// Returns the connections that are not closed at both ends.
    pub fn connections(&self) -> Vec<ConnectionKey> {
        self.world.lock().connections.keys().copied().map(ConnectionKey).collect()
    }

    /// Returns the number of connections that have been accepted and not been closed since.
    pub fn accepted(&self) -> usize {
        let world = self.world.lock();
        let is_open = |entry: &&Entry| entry.is_accepted && entry.connection.end(Side::Server).is_open;
        world.connections.values().filter(is_open).count()
    }

    /// Returns the number of connections that wait to be accepted.
    pub fn waiting(&self) -> usize {
        self.world.lock().listeners.values().map(|listener| listener.waiting.len()).sum()
    }

    /// Returns the number of descriptors that the server's side has: for connections, listening sockets, polls and wakers.
    pub fn descriptors(&self) -> usize {
        let accepted = self.accepted();
        let world = self.world.lock();
        accepted + world.listeners.len() + world.polls.len() + world.wakers
    }

    /// Returns whether a poll of this network has something to report, as a poll that watches its descriptor would know.
    pub fn has_events(&self) -> bool {
        let mut world = self.world.lock();
        let queued: Vec<Watched> = world.polls.values().flatten().copied().collect();
        queued.into_iter().any(|what| world.reportable(what).is_some())
    }
}
