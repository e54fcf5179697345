//! The poll, as mio has it.

use std::io;
use std::time::Duration;

use mio::{Interest, Token};

use crate::world::{Reported, Shared, Watched};

/// Stands in for `mio::Poll`.
#[derive(Debug)]
pub struct Poll {
    registry: Registry,
}

impl Poll {
    /// Creates a poll of the network that this thread has entered.
    pub fn new() -> io::Result<Self> {
        let world = Shared::current();
        let key = world.lock().add_poll();
        Ok(Self { registry: Registry { world, poll: key } })
    }

    /// Returns the registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes events. It never waits, whatever `timeout` says: nothing can happen meanwhile.
    pub fn poll(&mut self, events: &mut Events, _timeout: Option<Duration>) -> io::Result<()> {
        let capacity = events.capacity;
        let mut reported = Vec::new();
        self.registry.world.lock().take_events(self.registry.poll, &mut reported, capacity)?;
        events.all.clear();
        events.all.extend(reported.into_iter().map(Event));
        Ok(())
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.registry.world.lock().remove_poll(self.registry.poll);
    }
}

/// Stands in for `mio::Registry`.
#[derive(Debug)]
pub struct Registry {
    pub(crate) world: Shared,
    pub(crate) poll: u64,
}

impl Registry {
    /// Registers a socket.
    pub fn register<S: Source + ?Sized>(&self, source: &mut S, token: Token, interests: Interest) -> io::Result<()> {
        source.register(self, token, interests)
    }

    /// Registers a socket again, after which it is reported if there is something to report.
    pub fn reregister<S: Source + ?Sized>(&self, source: &mut S, token: Token, interests: Interest) -> io::Result<()> {
        source.reregister(self, token, interests)
    }

    /// Ends the registration of a socket.
    pub fn deregister<S: Source + ?Sized>(&self, source: &mut S) -> io::Result<()> {
        source.deregister(self)
    }

    /// Returns another handle to the same registry.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { world: self.world.clone(), poll: self.poll })
    }
}

/// Stands in for `mio::event::Source`.
pub trait Source {
    /// Registers this with a poll. Fails if it is registered already.
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()>;

    /// Registers this again. Fails if it is not registered.
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()>;

    /// Ends the registration. Fails if there is none.
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
}

/// Stands in for `mio::Events`.
#[derive(Debug)]
pub struct Events {
    all: Vec<Event>,
    capacity: usize,
}

impl Events {
    /// Creates room for a number of events.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { all: Vec::new(), capacity }
    }

    /// Returns the events that the last poll has taken.
    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.all.iter()
    }
}

impl<'e> IntoIterator for &'e Events {
    type Item = &'e Event;
    type IntoIter = std::slice::Iter<'e, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Stands in for `mio::event::Event`. What its methods return follows from the bits of epoll as it does in mio.
#[derive(Clone, Debug)]
pub struct Event(Reported);

impl Event {
    /// Returns the token with which the socket was registered.
    pub fn token(&self) -> Token {
        self.0.token
    }

    /// Returns whether there is something to read, or an end to be noticed.
    pub fn is_readable(&self) -> bool {
        self.0.readiness.is_readable
    }

    /// Returns whether there is room for output.
    pub fn is_writable(&self) -> bool {
        self.0.readiness.is_writable
    }

    /// Returns whether the socket has failed.
    pub fn is_error(&self) -> bool {
        self.0.readiness.is_failed
    }

    /// Returns whether the peer has sent its FIN, or the socket has failed.
    pub fn is_read_closed(&self) -> bool {
        let is = self.0.readiness;
        is.is_hung_up || is.is_readable && is.has_read_end
    }

    /// Returns whether both directions have been closed, or the socket has failed.
    pub fn is_write_closed(&self) -> bool {
        let is = self.0.readiness;
        is.is_hung_up || is.is_failed && (is.is_writable || !is.is_readable && !is.has_read_end)
    }
}

/// Stands in for `mio::Waker`.
#[derive(Debug)]
pub struct Waker {
    world: Shared,
    key: u64,
}

impl Waker {
    /// Creates what wakes a poll.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let key = registry.world.lock().add_waker(registry.poll, token)?;
        Ok(Self { world: registry.world.clone(), key })
    }

    /// Has the poll report the token.
    pub fn wake(&self) -> io::Result<()> {
        self.world.lock().queue(Watched::Waker(self.key));
        Ok(())
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.world.lock().remove_waker(self.key);
    }
}
