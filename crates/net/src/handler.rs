//! What the reactor tells, one event at a time.

use milliways_proto::http::Request;
use milliways_proto::ws::Payload;

use crate::{BehaviorId, ConnectionId, Reactor, RouteId};

/// Receives events. No borrow of the reactor's state is alive during a call, so that every method of the reactor may be
/// called from inside; a call that causes another event (closing a WebSocket) delivers it before it returns.
#[expect(unused_variables, reason = "the names document the parameters of events that a handler may ignore")]
pub trait Handler {
    /// A request for a route. It is answered now, or later if [`Reactor::await_response`] has been called; one that is
    /// neither is answered with 500 and becomes [`Handler::unanswered`].
    fn request(&self, reactor: &Reactor, route: RouteId, id: ConnectionId, request: &Request<'_>);

    /// A request that was still to be answered has lost its connection. `id` is stale already; its slot is not used for
    /// another connection before this returns.
    fn aborted(&self, reactor: &Reactor, id: ConnectionId) {}

    /// The handler of a request returned without an answer and without awaiting one.
    fn unanswered(&self, reactor: &Reactor, request: &Request<'_>) {}

    /// A WebSocket is open; `request` is the one that asked for it.
    fn open(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, request: &Request<'_>) {}

    /// A message has arrived. Text is valid UTF-8.
    fn message(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>, binary: bool) {}

    /// A ping has arrived; the pong is on its way.
    fn ping(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>) {}

    /// A pong has arrived.
    fn pong(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>) {}

    /// The socket has taken some of the data that was waiting for it.
    fn drain(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId) {}

    /// A WebSocket has ended. `id` is stale already; its slot is not used for another connection before this returns.
    fn close(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, code: u16, reason: &[u8]) {}

    /// A bug of ours: an event ended in a panic. Its connection has been closed.
    fn panicked(&self, reactor: &Reactor, message: &str) {}
}
