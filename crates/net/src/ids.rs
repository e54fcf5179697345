//! Identifiers for what a reactor manages: small numbers, each kind with a type of its own.

use std::fmt;

/// The index of a connection in every table. Slots are small, dense, and reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

impl Slot {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Distinguishes the successive connections and requests of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Generation(pub u32);

/// The number of different generations. JavaScript engines can store each in a small integer. A stale handle would have
/// to outlive a billion successors to refer to one of them.
const GENERATIONS: u32 = 1 << 30;

impl Generation {
    pub(crate) fn next(self) -> Self {
        Self((self.0 + 1) % GENERATIONS)
    }
}

/// Identifies an open WebSocket, or a request whose response is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// The slot of the connection.
    pub slot: Slot,
    /// The generation of the slot.
    pub generation: Generation,
}

impl ConnectionId {
    /// Creates an id from its two numbers.
    pub fn new(slot: u32, generation: u32) -> Self {
        Self { slot: Slot(slot), generation: Generation(generation) }
    }
}

/// An id is stale: its WebSocket has closed, or its request has been answered or aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the WebSocket has closed, or the request has been answered or aborted")
    }
}

impl std::error::Error for Stale {}

/// Identifies an app: its routers and settings, with its listening sockets and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppId(pub u32);

/// Identifies a handler of HTTP requests. The owner of the reactor chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteId(pub u32);

/// Identifies the settings of a WebSocket route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehaviorId(pub u32);

/// Identifies a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// Identifies a router of an app. The default is the app's own router; each server name has another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DomainId(pub u32);
