//! What a reactor has to say, one value at a time.

use std::borrow::Cow;
use std::sync::Arc;

use milliways_proto::topics::Change;
use milliways_proto::ws::Payload;

use crate::ids::{AppId, BehaviorId, ConnectionId, RouteId};
use crate::server::http::RoutedRequest;

/// What has happened. Whoever takes it is free to call every method of the reactor while he handles it.
///
/// What a call causes (closing a WebSocket ends its subscriptions) makes events, too, which
/// [`Reactor::take_caused`](crate::Reactor::take_caused) returns.
#[derive(Debug)]
pub enum Event<'b> {
    /// A request has arrived for a route. It is answered now, or later if
    /// [`Reactor::await_response`](crate::Reactor::await_response) has been called; one that is neither is answered with
    /// 500 and becomes [`Event::Unanswered`], unless it yields to another route.
    Request {
        /// The route that was found.
        route: RouteId,
        /// Names the request until it is answered or aborted.
        id: ConnectionId,
        /// The request, valid as long as this event.
        request: RoutedRequest<'b>,
    },
    /// A request has arrived for a WebSocket route that asks: it is upgraded with
    /// [`Reactor::upgrade`](crate::Reactor::upgrade), or treated like any other.
    Upgrade {
        /// The settings of the route.
        behavior: BehaviorId,
        /// Names the request until it is answered or aborted.
        id: ConnectionId,
        /// The request, valid as long as this event.
        request: RoutedRequest<'b>,
    },
    /// The next piece of a request's body has arrived, for which
    /// [`Reactor::receive_body`](crate::Reactor::receive_body) has asked.
    Data {
        /// The request.
        id: ConnectionId,
        /// The piece; the last one may be empty.
        data: Cow<'b, [u8]>,
        /// How many bytes are to come: 0 behind the last piece, `None` where nobody knows.
        remaining: Option<u64>,
    },
    /// The whole body of a request has arrived, for which
    /// [`Reactor::collect_body`](crate::Reactor::collect_body) has asked.
    Collected {
        /// The request.
        id: ConnectionId,
        /// The body; `None` as soon as it is too long.
        body: Option<Vec<u8>>,
    },
    /// The socket of a response, for which [`Reactor::want_writable`](crate::Reactor::want_writable) has asked, has taken
    /// what was waiting, and takes more.
    Writable {
        /// The request.
        id: ConnectionId,
        /// Bytes of the body that have been written.
        offset: u64,
    },
    /// A request that was still to be answered has lost its connection, and its handler had asked to hear of that, of its
    /// body, or when it could go on writing. A client that has sent its FIN and is then written nothing for a while is
    /// taken for gone.
    Aborted {
        /// Stale already. Its slot is not used for another connection while this event is handled.
        id: ConnectionId,
    },
    /// A request has been answered without a handler, after others that yielded had asked to hear of it as for
    /// [`Event::Aborted`]. Nothing else is said of it any more.
    Answered {
        /// Stale already.
        id: ConnectionId,
    },
    /// The handler of a request returned without an answer and without awaiting one.
    Unanswered {
        /// The request's method.
        method: Box<str>,
        /// Its path.
        path: Box<str>,
        /// Its query, if it has one.
        query: Option<Box<str>>,
    },
    /// A WebSocket is open.
    Open {
        /// The settings of its route.
        behavior: BehaviorId,
        /// Names the WebSocket until it has closed.
        id: ConnectionId,
        /// The request that asked for it, valid as long as this event.
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
        /// Whether it is binary, or else text.
        binary: bool,
    },
    /// A ping has arrived; the pong is on its way, or will be with the next frame that the socket takes.
    Ping {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
        /// What the ping carries.
        payload: Payload<'b>,
    },
    /// A pong has arrived.
    Pong {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
        /// What the pong carries.
        payload: Payload<'b>,
    },
    /// The socket has taken some of the data that was waiting for it.
    Drain {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
    },
    /// A message has not been sent to a WebSocket, because too much waits already. Only where
    /// [`WebSocketSettings::tells_dropped`](crate::WebSocketSettings::tells_dropped).
    Dropped {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket.
        id: ConnectionId,
        /// The message, or the fragment of one.
        message: Arc<[u8]>,
        /// Whether it is binary, or else text.
        binary: bool,
    },
    /// A WebSocket has subscribed to a topic, or a subscription has ended. Only where
    /// [`WebSocketSettings::tells_subscriptions`](crate::WebSocketSettings::tells_subscriptions).
    Subscription {
        /// The settings of the WebSocket's route.
        behavior: BehaviorId,
        /// The WebSocket; stale already if the subscription has ended with it, and then [`Event::Close`] follows.
        id: ConnectionId,
        /// The topic.
        topic: Box<[u8]>,
        /// How the number of the topic's subscribers has changed.
        change: Change,
    },
    /// A WebSocket has ended.
    Close {
        /// The settings of its route.
        behavior: BehaviorId,
        /// Stale already. Its slot is not used for another connection while this event is handled.
        id: ConnectionId,
        /// The close code (RFC 6455 section 7.1.5), 0 for one that was closed without.
        code: u16,
        /// The reason.
        reason: Box<[u8]>,
    },
    /// Somebody asks for a server name that an app does not have, and for which
    /// [`Reactor::ask_for_names`](crate::Reactor::ask_for_names) has asked. If it is added now, it is what they get.
    MissingServerName {
        /// The app.
        app: AppId,
        /// The name.
        name: Box<str>,
    },
    /// A connection has come, of an app for which
    /// [`Reactor::count_connections`](crate::Reactor::count_connections) has asked.
    Connected {
        /// The app.
        app: AppId,
        /// The connection.
        id: ConnectionId,
    },
    /// A connection of such an app has gone, whatever has become of it.
    Disconnected {
        /// The app.
        app: AppId,
        /// Stale.
        id: ConnectionId,
    },
    /// A bug of ours: an event ended in a panic. Its connection has been closed.
    Panicked {
        /// What the panic says.
        message: String,
    },
}

impl Event<'_> {
    /// The connection that the event is about, if it is about one.
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
            Self::Unanswered { .. } | Self::MissingServerName { .. } | Self::Panicked { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events are moved several times on their way, some of them millions of times a second.
    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event<'_>>() <= 64, "{}", size_of::<Event<'_>>());
    }
}
