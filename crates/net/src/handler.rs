//! What the reactor tells, one event at a time.

use milliways_proto::http::Request;
use milliways_proto::topics::Change;
use milliways_proto::ws::Payload;

use crate::{AppId, BehaviorId, ConnectionId, Reactor, RouteId, RoutedRequest};

/// Receives events. No borrow of the reactor's state is alive during a call, so that every method of the reactor may be
/// called from inside; a call that causes another event (closing a WebSocket) delivers it before it returns.
#[expect(unused_variables, reason = "the names document the parameters of events that a handler may ignore")]
pub trait Handler {
    /// A request for a route. It is answered now, or later if [`Reactor::await_response`] has been called; one that is
    /// neither is answered with 500 and becomes [`Handler::unanswered`], unless it yields to another route.
    fn request(&self, reactor: &Reactor, route: RouteId, id: ConnectionId, request: &RoutedRequest<'_>);

    /// A request for a WebSocket route that asks: it is upgraded with [`Reactor::upgrade`], or treated like any other.
    fn upgrade(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, request: &RoutedRequest<'_>) {}

    /// The next piece of a request's body, for which [`Reactor::receive_body`] has asked. `remaining` bytes are to come;
    /// 0: this was the last, and it may be empty; `None`: nobody knows.
    fn data(&self, reactor: &Reactor, id: ConnectionId, data: &[u8], remaining: Option<u64>) {}

    /// The whole body of a request, for which [`Reactor::collect_body`] has asked, or `None` as soon as it is too long.
    fn collected(&self, reactor: &Reactor, id: ConnectionId, body: Option<Vec<u8>>) {}

    /// The socket of a response, for which [`Reactor::want_writable`] has asked, has taken what was waiting, and takes
    /// more. `offset` bytes of the body have been written.
    fn writable(&self, reactor: &Reactor, id: ConnectionId, offset: u64) {}

    /// A request that was still to be answered has lost its connection, and its handler had asked to hear of that, of its
    /// body, or when it could go on writing. A client that has sent its FIN and is then written nothing for a while is taken for
    /// gone. `id` is stale already; its slot is not used for another connection before this returns.
    fn aborted(&self, reactor: &Reactor, id: ConnectionId) {}

    /// A request has been answered without a handler, after others that yielded had asked to hear of it as for
    /// [`Handler::aborted`]. Nothing of that is told any more; `id` is stale already.
    fn answered(&self, reactor: &Reactor, id: ConnectionId) {}

    /// The handler of a request returned without an answer and without awaiting one.
    fn unanswered(&self, reactor: &Reactor, request: &Request<'_>) {}

    /// A WebSocket is open; `request` is the one that asked for it.
    fn open(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, request: &RoutedRequest<'_>) {}

    /// A message has arrived. Text is valid UTF-8.
    fn message(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>, binary: bool) {}

    /// A ping has arrived; the pong is on its way, or will be with the next frame that the socket takes.
    fn ping(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>) {}

    /// A pong has arrived.
    fn pong(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, payload: Payload<'_>) {}

    /// The socket has taken some of the data that was waiting for it.
    fn drain(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId) {}

    /// A message that was published has not been sent to this subscriber, because too much waits already. (Of a message that
    /// is sent to one, [`SendStatus::Dropped`](crate::SendStatus) tells.)
    fn dropped(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, message: &[u8], binary: bool) {}

    /// A subscription has ended with its WebSocket; `change` is how the number of the topic's subscribers has changed.
    /// `id` is stale already, and [`Handler::close`] follows.
    fn unsubscribed(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, topic: &[u8], change: Change) {}

    /// A WebSocket has ended. `id` is stale already; its slot is not used for another connection before this returns.
    fn close(&self, reactor: &Reactor, behavior: BehaviorId, id: ConnectionId, code: u16, reason: &[u8]) {}

    /// Somebody asks for a server name that an app does not have, and for which [`Reactor::ask_for_names`] has asked. If it
    /// is added now, it is what they get.
    fn missing_server_name(&self, reactor: &Reactor, app: AppId, name: &str) {}

    /// A connection has come, of an app for which [`Reactor::count_connections`] has asked.
    fn connected(&self, reactor: &Reactor, app: AppId, id: ConnectionId) {}

    /// A connection has gone, whatever has become of it. `id` is stale.
    fn disconnected(&self, reactor: &Reactor, app: AppId, id: ConnectionId) {}

    /// A bug of ours: an event ended in a panic. Its connection has been closed.
    fn panicked(&self, reactor: &Reactor, message: &str) {}
}
