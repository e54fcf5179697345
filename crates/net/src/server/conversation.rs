//! The state of a connection above the transport: 24 bytes while it is idle.

use milliways_proto::closing::Closing;
use milliways_proto::http::Responder;
use milliways_proto::timer::Tick;
use milliways_proto::ws::Sender;

use super::sides::SideKey;
use crate::flags::flags;
use crate::ids::{AppId, BehaviorId, ConnectionId, Generation, Slot};

pub(crate) struct Conversation {
    pub(crate) generation: Generation,
    /// WebSocket: when something was last received. HTTP: when a request, a response or a body last made progress.
    /// Closing: when that began, or when the peer last took output. Rounded up, so that no timeout is early.
    pub(crate) last_active: Tick,
    /// The behavior of a WebSocket, which knows its app. For any other connection, its app.
    owner: u32,
    /// Where the [`Side`](super::sides::Side) is, which only a busy connection has.
    pub(crate) side: Option<SideKey>,
    pub(crate) talk: Talk,
}

/// The phase of a connection. The fields are in the variants, not in types of their own, so that this takes 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Talk {
    /// Nobody is connected.
    Vacant,
    /// HTTP.
    Http {
        /// The response to the request in progress; `None` between two requests, and while a request's head is
        /// incomplete.
        responder: Option<Responder>,
        flags: HttpFlags,
    },
    /// An open WebSocket.
    WebSocket {
        sender: Sender,
        flags: WebSocketFlags,
        /// When it was opened.
        opened: Tick,
    },
    /// The connection is closing in order. Handles to it are stale.
    Closing {
        closing: Closing,
        /// The socket, which is edge-triggered, may hold bytes that the kernel will not report again.
        is_unread: bool,
    },
    /// The connection has been cut. Its socket is closed at the end of the activity or turn.
    Gone,
}

flags! {
    /// Facts about an HTTP connection.
    pub(crate) struct HttpFlags(u16) of HttpFlag {
        /// Reading was put off: the socket, which is edge-triggered, may hold bytes that the kernel will not report
        /// again.
        Unread,
        /// The kernel has reported the peer's FIN while the connection was not being read. The peer may still read the
        /// response, or be gone.
        HalfClosed,
        /// Keep-alive probes are enabled; see [`crate::transport::sys::look_after`].
        LookedAfter,
        /// The peer's FIN arrived while it waited for the response, and nothing has been written to it since; see
        /// [`super::timeouts`].
        Leaving,
        /// The handler will respond later, and gets [`Event::Aborted`](crate::Event::Aborted) if that becomes
        /// impossible.
        Awaited,
        /// The handler has asked for the request's body or for [`Event::Writable`](crate::Event::Writable), so it gets
        /// [`Event::Aborted`](crate::Event::Aborted) as well.
        Attached,
        /// The handler wants [`Event::Writable`](crate::Event::Writable).
        WantsWritable,
        /// The socket did not take all of a piece passed to `try_end`, and the rest has not been kept.
        Stalled,
        /// The handler has paused the request's body.
        Paused,
        /// The request's body has been delivered or discarded completely.
        BodyTold,
        /// Body data that arrived before the handler asked for it, or the end of the body, is still to be delivered.
        OwesBody,
        /// The handler has not asked for the request's body in time, so the body is being discarded.
        BodyAbandoned,
        /// The connection has had a response.
        Served,
        /// The client is a browser that offers permessage-deflate and yet breaks on compressed messages.
        BreaksOnDeflate,
        /// Nothing followed the request when it was read, so no pipelined request is known to come after it.
        Last,
    }
}

impl HttpFlags {
    /// Removes the facts that concern only the current response.
    pub(crate) fn forget_response(&mut self) {
        self.keep(&[HttpFlag::Unread, HttpFlag::HalfClosed, HttpFlag::LookedAfter, HttpFlag::Served]);
    }

    /// Returns whether a handler waits for the end of the response.
    pub(crate) fn is_heard(self) -> bool {
        self.has(HttpFlag::Awaited) || self.has(HttpFlag::Attached)
    }
}

flags! {
    /// Facts about a WebSocket.
    pub(crate) struct WebSocketFlags(u8) of WebSocketFlag {
        /// Reading was put off: the socket, which is edge-triggered, may hold bytes that the kernel will not report
        /// again.
        Unread,
        /// An automatic Ping has been sent, and nothing has been received since.
        Pinged,
        /// The program has paused the WebSocket.
        Paused,
        /// The WebSocket has a subscription.
        Subscribed,
        /// The WebSocket is in the list of those to be closed for exceeding their back pressure limit.
        Doomed,
    }
}

impl Default for Conversation {
    /// A vacant one.
    fn default() -> Self {
        Self { generation: Generation::default(), last_active: 0, owner: 0, side: None, talk: Talk::Vacant }
    }
}

impl Conversation {
    /// Begins a new connection of an app.
    pub(crate) fn begin(&mut self, app: AppId, now: Tick) {
        self.last_active = now;
        self.owner = app.0;
        self.talk = Talk::Http { responder: None, flags: HttpFlags::default() };
    }

    /// Returns the app. Must not be called for a WebSocket, whose behavior has it.
    pub(crate) fn app(&self) -> AppId {
        debug_assert!(!self.is_websocket());
        AppId(self.owner)
    }

    pub(crate) fn behavior(&self) -> BehaviorId {
        debug_assert!(self.is_websocket());
        BehaviorId(self.owner)
    }

    /// Returns the behavior of a WebSocket; `None` for any other connection.
    pub(crate) fn open_behavior(&self) -> Option<BehaviorId> {
        self.is_websocket().then_some(BehaviorId(self.owner))
    }

    /// Returns the handle to the conversation, which has this slot.
    pub(crate) fn id(&self, slot: Slot) -> ConnectionId {
        ConnectionId { slot, generation: self.generation }
    }

    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.talk, Talk::WebSocket { .. })
    }

    /// Returns whether a request is in progress: its head is complete, and its response is not.
    pub(crate) fn is_answering(&self) -> bool {
        matches!(self.talk, Talk::Http { responder: Some(_), .. })
    }

    /// Returns whether this is HTTP and no request is in progress.
    pub(crate) fn awaits_request(&self) -> bool {
        matches!(self.talk, Talk::Http { responder: None, .. })
    }

    /// Returns whether the connection has been cut or removed.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.talk, Talk::Vacant | Talk::Gone)
    }

    pub(crate) fn become_websocket(&mut self, behavior: BehaviorId, sender: Sender, now: Tick) {
        let flags = WebSocketFlags::default().with(WebSocketFlag::Unread, self.is_unread());
        self.talk = Talk::WebSocket { sender, flags, opened: now };
        self.owner = behavior.0;
        self.last_active = now;
    }

    pub(crate) fn become_closing(&mut self, app: AppId, closing: Closing, now: Tick) {
        self.talk = Talk::Closing { closing, is_unread: self.is_unread() };
        self.owner = app.0;
        self.last_active = now;
    }

    pub(crate) fn become_gone(&mut self, app: AppId) {
        self.talk = Talk::Gone;
        self.owner = app.0;
    }

    /// Returns whether the socket may hold bytes that the kernel will not report again.
    pub(crate) fn is_unread(&self) -> bool {
        match self.talk {
            Talk::Http { flags, .. } => flags.has(HttpFlag::Unread),
            Talk::WebSocket { flags, .. } => flags.has(WebSocketFlag::Unread),
            Talk::Closing { is_unread, .. } => is_unread,
            Talk::Vacant | Talk::Gone => false,
        }
    }

    pub(crate) fn set_unread(&mut self, is: bool) {
        match &mut self.talk {
            Talk::Http { flags, .. } => flags.set(HttpFlag::Unread, is),
            Talk::WebSocket { flags, .. } => flags.set(WebSocketFlag::Unread, is),
            Talk::Closing { is_unread, .. } => *is_unread = is,
            Talk::Vacant | Talk::Gone => {}
        }
    }

    /// Returns the flags of an HTTP connection.
    pub(crate) fn http(&mut self) -> &mut HttpFlags {
        match &mut self.talk {
            Talk::Http { flags, .. } => flags,
            other => unreachable!("an HTTP connection, not {other:?}"),
        }
    }

    /// Returns the flags of a WebSocket.
    pub(crate) fn websocket(&mut self) -> &mut WebSocketFlags {
        match &mut self.talk {
            Talk::WebSocket { flags, .. } => flags,
            other => unreachable!("a WebSocket, not {other:?}"),
        }
    }

    /// Returns the sending machine of a WebSocket.
    pub(crate) fn sender(&mut self) -> &mut Sender {
        match &mut self.talk {
            Talk::WebSocket { sender, .. } => sender,
            other => unreachable!("a WebSocket, not {other:?}"),
        }
    }

    /// HTTP: notes that a part of the response has been written. A half-closed peer gets more time: if it is gone, it
    /// answers with a reset.
    pub(crate) fn note_progress(&mut self, now: Tick) {
        if let Talk::Http { flags, .. } = &mut self.talk
            && flags.has(HttpFlag::HalfClosed)
        {
            flags.take(HttpFlag::Leaving);
            self.last_active = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The project exists to keep this small.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Conversation>() <= 24, "{}", size_of::<Conversation>());
    }
}
