//! The events that a reactor returns, one at a time.

mod routed;

use std::borrow::Cow;
use std::sync::Arc;

use milliways_proto::topics::Change;
use milliways_proto::ws::Payload;

pub use self::routed::RoutedRequest;
use crate::ids::{AppId, BehaviorId, ConnectionId, RouteId};

/// What has happened. While an event is handled, every method of the reactor may be called.
///
/// Calls cause events, too. For example, closing a WebSocket ends its subscriptions.
/// [`Reactor::run_caused`](crate::Reactor::run_caused) handles them.
#[derive(Debug)]
pub enum Event<'b> {
    /// A request has arrived for a route. Respond while handling the event, or call
    /// [`Reactor::await_response`](crate::Reactor::await_response) and respond later, or yield to the next route.
    /// Otherwise, the request is answered with 500, and [`Event::Unanswered`] follows.
    Request {
        /// The matching route.
        route: RouteId,
        /// The id of the request until it is answered or aborted.
        id: ConnectionId,
        /// The request, valid while the event is handled.
        request: RoutedRequest<'b>,
    },
    /// A request has arrived for a WebSocket route whose behavior asks. Call
    /// [`Reactor::upgrade`](crate::Reactor::upgrade), or treat the request like [`Event::Request`].
    Upgrade {
        /// The settings of the route.
        behavior: BehaviorId,
        /// The id of the request until it is answered or aborted.
        id: ConnectionId,
        /// The request, valid while the event is handled.
        request: RoutedRequest<'b>,
    },
    /// A piece of a request's body has arrived, after [`Reactor::receive_body`](crate::Reactor::receive_body).
    Data {
        /// The request.
        id: ConnectionId,
        /// The piece. The last one may be empty.
        data: Cow<'b, [u8]>,
        /// The number of bytes still to come: 0 for the last piece, `None` if it is unknown.
        remaining: Option<u64>,
    },
    /// The whole body of a request has arrived, after [`Reactor::collect_body`](crate::Reactor::collect_body).
    Collected {
        /// The request.
        id: ConnectionId,
        /// The body; `None` as soon as it exceeds the maximum.
        body: Option<Vec<u8>>,
    },
    /// A response can be continued, after [`Reactor::want_writable`](crate::Reactor::want_writable): the socket has
    /// taken all waiting output, or it is offered more once again before the connection times out.
    Writable {
        /// The request.
        id: ConnectionId,
        /// The number of bytes of the body that have been written.
        offset: u64,
    },
    /// The connection of a pending request has ended, or is ending with an error response. Only for requests whose
    /// handler has called [`Reactor::await_response`](crate::Reactor::await_response), asked for the body, or called
    /// [`Reactor::want_writable`](crate::Reactor::want_writable). A client that has sent its FIN is considered gone
    /// when nothing has been written to it for a while.
    Aborted {
        /// The id, which is stale. Its slot is not reused while the event is handled.
        id: ConnectionId,
    },
    /// A request has been answered without a handler, after a handler has yielded. Follows instead of
    /// [`Event::Aborted`], under the same conditions. No other event follows for the request.
    Answered {
        /// The id, which is stale.
        id: ConnectionId,
    },
    /// A request has gone unanswered: its handler has returned without a response and without awaiting one. The client
    /// has got 500, unless a response had begun.
    Unanswered {
        /// The method of the request.
        method: Box<str>,
        /// The path of the request.
        path: Box<str>,
        /// The query of the request, if it has one.
        query: Option<Box<str>>,
    },
    /// A request has become a WebSocket, because the behavior of its route does not ask.
    Open {
        /// The settings of the route.
        behavior: BehaviorId,
        /// The id of the WebSocket until it closes.
        id: ConnectionId,
        /// The request, valid while the event is handled.
        request: RoutedRequest<'b>,
    },
    /// A message has arrived. Text is valid UTF-8.
    Message {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
        /// The message.
        payload: Payload<'b>,
        /// Whether the message is binary; otherwise it is text.
        binary: bool,
    },
    /// A Ping has arrived. The Pong has been written, ahead of waiting output if there is any.
    Ping {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
        /// The payload of the Ping.
        payload: Payload<'b>,
    },
    /// A Pong has arrived.
    Pong {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
        /// The payload of the Pong.
        payload: Payload<'b>,
    },
    /// The socket of a WebSocket has taken some of the waiting output.
    Drain {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
    },
    /// A message to a WebSocket has been dropped, because too much was waiting already. Only with
    /// [`WebSocketSettings::tells_dropped`](crate::WebSocketSettings::tells_dropped).
    Dropped {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
        /// The message, or a fragment of one.
        message: Arc<[u8]>,
        /// Whether the message is binary; otherwise it is text.
        binary: bool,
    },
    /// A WebSocket has subscribed to a topic, or a subscription has ended. Only with
    /// [`WebSocketSettings::tells_subscriptions`](crate::WebSocketSettings::tells_subscriptions).
    Subscription {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket. The id is stale if the WebSocket has ended as well; then [`Event::Close`] follows.
        id: ConnectionId,
        /// The topic.
        topic: Box<[u8]>,
        /// How the number of the topic's subscribers has changed.
        change: Change,
    },
    /// A WebSocket has closed.
    Close {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The id, which is stale. Its slot is not reused while the event is handled.
        id: ConnectionId,
        /// The close code (RFC 6455 section 7.1.5), or 0 if the program has closed the WebSocket without one.
        code: u16,
        /// The reason; may be empty.
        reason: Box<[u8]>,
    },
    /// A client has asked for a server name that the app does not have, after
    /// [`Reactor::ask_for_names`](crate::Reactor::ask_for_names). If the name is added while the event is handled, the
    /// client gets its certificate.
    MissingServerName {
        /// The app.
        app: AppId,
        /// The server name.
        name: Box<str>,
    },
    /// An app has a new connection, after [`Reactor::count_connections`](crate::Reactor::count_connections).
    Connected {
        /// The app.
        app: AppId,
        /// The connection.
        id: ConnectionId,
    },
    /// The socket of a connection has been closed, after
    /// [`Reactor::count_connections`](crate::Reactor::count_connections).
    Disconnected {
        /// The app.
        app: AppId,
        /// The id, which is stale.
        id: ConnectionId,
    },
    /// An app has been shut down, after [`Reactor::shut_down`](crate::Reactor::shut_down): it has no connection any
    /// more.
    ShutDown {
        /// The app.
        app: AppId,
        /// The number of connections that have ended in order since the call.
        closed: u64,
        /// The number of connections that have been cut, at the deadline or by
        /// [`Reactor::close_app`](crate::Reactor::close_app).
        forced: u64,
    },
    /// Handling an event has panicked, which is a bug of ours. The event's connection has been closed.
    Panicked {
        /// The message of the panic.
        message: String,
    },
}

impl Event<'_> {
    /// Returns the id of the connection that the event is about, if there is one.
    pub fn id(&self) -> Option<ConnectionId> {
        match self {
            Self::Request { id, .. }
            | Self::Upgrade { id, .. }
            | Self::Data { id, .. }
            | Self::Collected { id, .. }
            | Self::Writable { id, .. }
            | Self::Aborted { id }
            | Self::Answered { id }
            | Self::Open { id, .. }
            | Self::Message { id, .. }
            | Self::Ping { id, .. }
            | Self::Pong { id, .. }
            | Self::Drain { id, .. }
            | Self::Dropped { id, .. }
            | Self::Subscription { id, .. }
            | Self::Close { id, .. }
            | Self::Connected { id, .. }
            | Self::Disconnected { id, .. } => Some(*id),
            Self::Unanswered { .. }
            | Self::MissingServerName { .. }
            | Self::ShutDown { .. }
            | Self::Panicked { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events are moved several times on their way, and there may be millions a second.
    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event<'_>>() <= 64, "{}", size_of::<Event<'_>>());
    }

    #[test]
    fn an_event_may_go_to_another_thread() {
        fn check<T: Send>() {}
        check::<Event<'_>>();
    }
}
