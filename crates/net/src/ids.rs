//! The names of what a reactor holds. Each is a small number, and each kind is a type of its own.

use std::fmt;

/// An entry of the tables of connections: small, dense, and used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

impl Slot {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which of a slot's successive tenants is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Generation(pub u32);

/// Generations stay below this, so that JavaScript engines keep them in a small integer. A handle would have to survive
/// a billion successors in its slot to find one of them.
const GENERATIONS: u32 = 1 << 30;

impl Generation {
    pub(crate) fn next(self) -> Self {
        Self((self.0 + 1) % GENERATIONS)
    }
}

/// Names a WebSocket, or a request that is being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Where the connection is.
    pub slot: Slot,
    /// Tells it from those that have been there before.
    pub generation: Generation,
}

impl ConnectionId {
    /// The handle that these two numbers make.
    pub fn new(slot: u32, generation: u32) -> Self {
        Self { slot: Slot(slot), generation: Generation(generation) }
    }
}

/// The handle's WebSocket has closed, or its request has been answered or aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the WebSocket has closed, or the request has been answered or aborted")
    }
}

impl std::error::Error for Stale {}

/// Names an app: a router with its listening sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppId(pub u32);

/// Names a handler of HTTP requests; chosen by the owner of the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteId(pub u32);

/// Names the settings of a WebSocket route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehaviorId(pub u32);

/// Names a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// Names a router of an app: that of a server name, or the app's own, which is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DomainId(pub u32);
