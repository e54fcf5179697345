//! The state of a network: connections, listening sockets, and what polls have to report.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::{Interest, Token};

use crate::connection::{Connection, Edges, Readiness, Side};
use crate::network::Fault;

/// What a poll can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    Connection(u64),
    Listener(u64),
    Waker(u64),
}

#[derive(Debug)]
struct Watch {
    poll: u64,
    token: Token,
    interest: Interest,
    /// It is in the queue of its poll.
    is_queued: bool,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Local(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Listener {
    address: Address,
    /// Connections that have not been accepted.
    pub(crate) waiting: VecDeque<u64>,
    backlog: usize,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) connection: Connection,
    /// The address of the client; `None` if it has connected to a Unix socket.
    client: Option<SocketAddr>,
    pub(crate) is_accepted: bool,
    /// A fault has hit it.
    pub(crate) has_suffered: bool,
}

/// An event, as a poll returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) token: Token,
    pub(crate) readiness: Readiness,
}

/// The ports that sockets get which do not choose one.
const FIRST_PORT: u16 = 40_000;

/// The state of a network.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) connections: BTreeMap<u64, Entry>,
    pub(crate) listeners: BTreeMap<u64, Listener>,
    /// What polls have to report, in the order in which it has happened.
    pub(crate) polls: BTreeMap<u64, VecDeque<Watched>>,
    watches: BTreeMap<Watched, Watch>,
    pub(crate) wakers: usize,
    last: u64,
    /// How often the system is still to fail, by the way.
    pub(crate) faults: BTreeMap<Fault, u32>,
    /// A reset destroys what is under way.
    pub(crate) loses: bool,
    /// The time since the network was created.
    pub(crate) now: Duration,
}

impl World {
    fn new() -> Self {
        Self {
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            polls: BTreeMap::new(),
            watches: BTreeMap::new(),
            wakers: 0,
            last: 0,
            faults: BTreeMap::new(),
            loses: true,
            now: Duration::ZERO,
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Fails if a fault is due.
    pub(crate) fn suffer(&mut self, fault: Fault) -> io::Result<()> {
        match self.faults.get_mut(&fault) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err(fault.error())
            }
            _ => Ok(()),
        }
    }

    /// Fails if a fault is due, and notes whom it has hit.
    fn suffer_at(&mut self, what: Watched, fault: Fault) -> io::Result<()> {
        let result = self.suffer(fault);
        if result.is_err()
            && let Watched::Connection(key) = what
            && let Some(entry) = self.connections.get_mut(&key)
        {
            entry.has_suffered = true;
        }
        result
    }

    // Polls.

    pub(crate) fn add_poll(&mut self) -> u64 {
        let key = self.next();
        self.polls.insert(key, VecDeque::new());
        key
    }

    pub(crate) fn remove_poll(&mut self, poll: u64) {
        self.polls.remove(&poll);
        self.watches.retain(|_, watch| watch.poll != poll);
    }

    pub(crate) fn watch(&mut self, poll: u64, what: Watched, token: Token, interest: Interest) -> io::Result<()> {
        if self.watches.contains_key(&what) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.suffer_at(what, Fault::Register)?;
        self.watches.insert(what, Watch { poll, token, interest, is_queued: false });
        self.queue_if_ready(what);
        Ok(())
    }

    pub(crate) fn watch_again(&mut self, poll: u64, what: Watched, token: Token, interest: Interest) -> io::Result<()> {
        let watch = self.watches.get_mut(&what).filter(|watch| watch.poll == poll).ok_or(ErrorKind::NotFound)?;
        watch.token = token;
        watch.interest = interest;
        self.suffer_at(what, Fault::Reregister)?;
        self.queue_if_ready(what);
        Ok(())
    }

    pub(crate) fn unwatch(&mut self, what: Watched) -> io::Result<()> {
        let watch = self.watches.remove(&what).ok_or(ErrorKind::NotFound)?;
        if let Some(queue) = self.polls.get_mut(&watch.poll) {
            queue.retain(|other| *other != what);
        }
        Ok(())
    }

    fn queue_if_ready(&mut self, what: Watched) {
        if self.reportable(what).is_some() {
            self.queue(what);
        }
    }

    /// Notes that something has happened.
    pub(crate) fn queue(&mut self, what: Watched) {
        let Some(watch) = self.watches.get_mut(&what) else { return };
        if !watch.is_queued
            && let Some(queue) = self.polls.get_mut(&watch.poll)
        {
            watch.is_queued = true;
            queue.push_back(what);
        }
    }

    /// Takes the events of a poll.
    pub(crate) fn take_events(&mut self, poll: u64, events: &mut Vec<Reported>, capacity: usize) -> io::Result<()> {
        events.clear();
        self.suffer(Fault::Interrupt)?;
        while events.len() < capacity
            && let Some(what) = self.polls.get_mut(&poll).and_then(VecDeque::pop_front)
        {
            let reported = self.reportable(what);
            if let Some(watch) = self.watches.get_mut(&what) {
                watch.is_queued = false;
            }
            events.extend(reported);
        }
        Ok(())
    }

    /// Returns what a poll would report now; `None` if there is nothing to report.
    pub(crate) fn reportable(&mut self, what: Watched) -> Option<Reported> {
        let watch = self.watches.get(&what)?;
        let (token, interest) = (watch.token, watch.interest);
        let is = match what {
            Watched::Connection(key) => self.connections.get_mut(&key)?.connection.end_mut(Side::Server).readiness(),
            Watched::Listener(key) => {
                Readiness { is_readable: !self.listeners.get(&key)?.waiting.is_empty(), ..Readiness::default() }
            }
            Watched::Waker(_) => Readiness { is_readable: true, ..Readiness::default() },
        };
        let readiness = Readiness {
            is_readable: is.is_readable && interest.is_readable(),
            is_writable: is.is_writable && interest.is_writable(),
            has_read_end: is.has_read_end && interest.is_readable(),
            ..is
        };
        (readiness != Readiness::default()).then_some(Reported { token, readiness })
    }

    pub(crate) fn add_waker(&mut self, poll: u64, token: Token) -> io::Result<u64> {
        let key = self.next();
        self.suffer(Fault::Register)?;
        // An event at once would be allowed, but mio has none.
        self.watches.insert(Watched::Waker(key), Watch { poll, token, interest: Interest::READABLE, is_queued: false });
        self.wakers += 1;
        Ok(key)
    }

    pub(crate) fn remove_waker(&mut self, key: u64) {
        self.wakers -= 1;
        let _ = self.unwatch(Watched::Waker(key));
    }

    // Listening sockets.

    pub(crate) fn listen(&mut self, mut address: Address, shares: bool, backlog: usize) -> io::Result<u64> {
        if let Address::Tcp(address) = &mut address
            && address.port() == 0
        {
            address.set_port(FIRST_PORT + u16::try_from(self.listeners.len()).unwrap_or_default());
        }
        if !shares && self.listeners.values().any(|listener| listener.address == address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let key = self.next();
        self.listeners.insert(key, Listener { address, waiting: VecDeque::new(), backlog });
        Ok(key)
    }

    pub(crate) fn listening_address(&self, key: u64) -> Option<Address> {
        self.listeners.get(&key).map(|listener| listener.address.clone())
    }

    pub(crate) fn accept(&mut self, key: u64) -> io::Result<u64> {
        self.suffer(Fault::AcceptStarved)?;
        let listener = self.listeners.get_mut(&key).ok_or(ErrorKind::NotFound)?;
        let connection = listener.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        if let Err(error) = self.suffer(Fault::AcceptAborted) {
            self.abort(connection);
            return Err(error);
        }
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.is_accepted = true;
        }
        Ok(connection)
    }

    pub(crate) fn stop_listening(&mut self, key: u64) {
        let _ = self.unwatch(Watched::Listener(key));
        let Some(listener) = self.listeners.remove(&key) else { return };
        for connection in listener.waiting {
            self.abort(connection);
        }
    }

    /// Resets a connection that has not been accepted.
    fn abort(&mut self, key: u64) {
        let Some(entry) = self.connections.get_mut(&key) else { return };
        entry.has_suffered = true;
        let server = entry.connection.end_mut(Side::Server);
        server.is_open = false;
        server.is_dead = true;
        server.resets = true;
        self.forget_if_over(key);
    }

    // Connections.

    pub(crate) fn connect(&mut self, to: &Address) -> io::Result<(u64, SocketAddr)> {
        let refused = io::Error::from(ErrorKind::ConnectionRefused);
        let Some((listener, it)) = self.listeners.iter_mut().find(|(_, it)| it.address == *to) else {
            return Err(refused);
        };
        if it.waiting.len() >= it.backlog {
            return Err(refused);
        }
        self.last += 1;
        let (key, listener) = (self.last, *listener);
        // Every client has an address of its own.
        let host = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + (key / 50_000) as u32);
        let client = SocketAddr::from((host, 10_000 + (key % 50_000) as u16));
        it.waiting.push_back(key);
        let is_tcp = matches!(to, Address::Tcp(_));
        let connection = Connection::new(self.now);
        self.connections.insert(
            key,
            Entry { connection, client: is_tcp.then_some(client), is_accepted: false, has_suffered: false },
        );
        self.queue(Watched::Listener(listener));
        Ok((key, client))
    }

    pub(crate) fn connection(&mut self, key: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&key).map(|entry| &mut entry.connection)
    }

    pub(crate) fn client_address(&self, key: u64) -> Option<SocketAddr> {
        self.connections.get(&key)?.client
    }

    pub(crate) fn close(&mut self, key: u64, side: Side) {
        let loses = self.loses;
        if side == Side::Server {
            let _ = self.unwatch(Watched::Connection(key));
        }
        if let Some(connection) = self.connection(key) {
            connection.close(side, loses);
        }
        self.forget_if_over(key);
    }

    /// Reports that something has happened to the ends of a connection.
    pub(crate) fn report(&mut self, key: u64, edges: Edges) {
        if edges.server {
            self.queue(Watched::Connection(key));
        }
    }

    fn forget_if_over(&mut self, key: u64) {
        if self.connections.get(&key).is_some_and(|entry| entry.connection.is_over()) {
            self.connections.remove(&key);
        }
    }
}

/// A handle to the state of a network.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(World::new())))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        // A panic in a test must not hide behind another one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether both are of the same network.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Makes this the network that this thread has entered, until [`Shared::leave`].
    pub(crate) fn enter(&self) {
        CURRENT.with_borrow_mut(|current| current.push(self.clone()));
    }

    /// Makes the network that this thread has entered before this one the current one again.
    pub(crate) fn leave() {
        CURRENT.with_borrow_mut(Vec::pop);
    }

    /// Returns the network that this thread has entered.
    pub(crate) fn current() -> Self {
        CURRENT.with_borrow(|current| current.last().cloned()).expect("a network that this thread has entered")
    }
}

thread_local! {
    static CURRENT: RefCell<Vec<Shared>> = const { RefCell::new(Vec::new()) };
}
