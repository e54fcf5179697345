//! Names of what there is in a reactor: small numbers, each kind a type of its own.

/// Names a router with its listening sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppId(pub u32);

/// Names a router of an app: that of a server name, or the app's own, which is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainId(pub u32);

/// Names a handler of HTTP requests; chosen by the owner of the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteId(pub u32);

/// Names a WebSocket route's settings and handlers; chosen by the owner of the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehaviorId(pub u32);

/// Names a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(pub u32);

/// Names a WebSocket, or a request that is being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Which entry of the table; small, dense, used again.
    pub slot: u32,
    /// Which of the slot's successive tenants.
    pub generation: u32,
}

/// The handle's WebSocket has closed, or its request has been answered or aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;
