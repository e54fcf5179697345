//! What is kept of a connection above the transport: 24 bytes while it is idle.

use milliways_proto::closing::Closing;
use milliways_proto::http::{self, Draft, Responder};
use milliways_proto::timer::Tick;
use milliways_proto::ws::{self, Contexts, Sender};

use super::flags::flags;
use super::http::Upload;
use super::sides::SideKey;
use crate::ids::{AppId, BehaviorId, Generation};

pub(crate) struct Conversation {
    pub(crate) generation: Generation,
    /// WebSocket: the last time anything was received. HTTP: the last time a request, a response or a body moved on.
    /// Closing: when that began. Rounded up, so that no timeout is early.
    pub(crate) last_active: Tick,
    /// The app of an HTTP connection, the behavior of a WebSocket, which knows its app.
    owner: u32,
    /// What only a busy connection has.
    pub(crate) side: Option<SideKey>,
    pub(crate) talk: Talk,
}

/// Where a connection is in its life. The variants' fields stand here, and not in types of their own, so that this takes
/// 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Talk {
    /// Nobody is connected.
    Vacant,
    /// HTTP.
    Http {
        /// The response to the request that is with its handler; `None` between two requests, or in the middle of a
        /// request's head.
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
    /// Nobody above knows the connection any more, and it ends in order.
    Closing {
        closing: Closing,
        /// There may be bytes in the socket that nobody has been woken for.
        is_unread: bool,
    },
    /// Nobody above knows the connection any more, and its socket closes at the end of the event or turn.
    Gone,
}

flags! {
    /// Facts about an HTTP connection.
    pub(crate) struct HttpFlags(u16) of HttpFlag {
        /// There may be bytes in the socket that nobody has been woken for: reading was put off.
        Unread,
        /// The kernel has said that the peer has finished, while nothing was to be read. It may still read what it is
        /// answered, or be gone.
        HalfClosed,
        /// The kernel looks after the peer; see [`crate::transport::sys::look_after`].
        LookedAfter,
        /// The peer has finished while it waited for the response, and nothing has been written to it since; see
        /// [`super::timeouts`].
        Leaving,
        /// The handler wants to answer later and to hear when it can't.
        Awaited,
        /// The handler has asked to hear of the request's body, or when it can go on writing, and hears of the end as
        /// well.
        Attached,
        /// The handler wants to hear when it can go on writing.
        WantsWritable,
        /// The socket did not take all of a piece of the body, and nothing is kept of what is left.
        Stalled,
        /// The handler does not want the request's body now.
        Paused,
        /// All of the request's body has been told.
        BodyTold,
        /// A part of the body that came before anybody asked for it, or its end, is to be told.
        OwesBody,
        /// Nobody has asked for the request's body in time, and it is being thrown away.
        BodyAbandoned,
        /// The client asks for a WebSocket, and offers a compression that it cannot do.
        BreaksOnDeflate,
    }
}

impl HttpFlags {
    /// Forgets what is about one response alone.
    pub(crate) fn forget_response(&mut self) {
        self.keep(&[HttpFlag::Unread, HttpFlag::HalfClosed, HttpFlag::LookedAfter]);
    }

    /// Whether a handler has asked to hear of the end of the response.
    pub(crate) fn is_heard(self) -> bool {
        self.has(HttpFlag::Awaited) || self.has(HttpFlag::Attached)
    }
}

flags! {
    /// Facts about a WebSocket.
    pub(crate) struct WebSocketFlags(u8) of WebSocketFlag {
        /// There may be bytes in the socket that nobody has been woken for: reading was put off.
        Unread,
        /// An automatic ping is out and nothing has been received since.
        Pinged,
        /// The handler does not want messages now.
        Paused,
        /// The WebSocket has subscribed to a topic.
        Subscribed,
        /// It stands in the list of WebSockets that are to be closed for their back pressure.
        Doomed,
    }
}

/// What only a busy connection has.
#[derive(Default)]
pub(crate) struct Side {
    /// WebSocket: an incomplete message.
    pub(crate) frames: ws::Receiver,
    /// WebSocket: what it compresses with, unless that is what all share.
    pub(crate) contexts: Option<Box<Contexts>>,
    /// WebSocket: frames that were published while a message is being sent in fragments.
    pub(crate) held: Vec<u8>,
    /// What was received while nothing was to be read.
    pub(crate) input: Vec<u8>,
    /// HTTP: where the client is in its requests.
    pub(crate) requests: http::Receiver,
    /// HTTP: the body of a request, on its way to whoever gets it.
    pub(crate) upload: Option<Upload>,
    /// HTTP: what has been written of a response.
    pub(crate) draft: Draft,
}

impl Side {
    /// Whether it equals a new one, but for the memory that it has.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_idle()
            && self.contexts.is_none()
            && self.held.is_empty()
            && self.input.is_empty()
            && self.requests.is_idle()
            && self.upload.is_none()
            && self.draft.is_empty()
    }

    /// Makes it equal to a new one, and keeps the memory of the draft.
    pub(crate) fn clear(&mut self) {
        let mut draft = std::mem::take(&mut self.draft);
        draft.clear();
        *self = Self { draft, ..Self::default() };
    }
}

impl Conversation {
    pub(crate) fn vacant() -> Self {
        Self { generation: Generation::default(), last_active: 0, owner: 0, side: None, talk: Talk::Vacant }
    }

    /// Begins: a connection of an app has come.
    pub(crate) fn begin(&mut self, app: AppId, now: Tick) {
        self.last_active = now;
        self.owner = app.0;
        self.talk = Talk::Http { responder: None, flags: HttpFlags::default() };
    }

    /// The app; not for a WebSocket, whose behavior has it.
    pub(crate) fn app(&self) -> AppId {
        debug_assert!(!self.is_websocket());
        AppId(self.owner)
    }

    pub(crate) fn behavior(&self) -> BehaviorId {
        debug_assert!(self.is_websocket());
        BehaviorId(self.owner)
    }

    /// The behavior of a WebSocket; `None` for any other connection.
    pub(crate) fn open_behavior(&self) -> Option<BehaviorId> {
        self.is_websocket().then_some(BehaviorId(self.owner))
    }

    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.talk, Talk::WebSocket { .. })
    }

    /// Whether a request is with its handler.
    pub(crate) fn is_answering(&self) -> bool {
        matches!(self.talk, Talk::Http { responder: Some(_), .. })
    }

    /// Whether it is HTTP, and a request is awaited.
    pub(crate) fn awaits_request(&self) -> bool {
        matches!(self.talk, Talk::Http { responder: None, .. })
    }

    /// Whether nobody is connected any more, or will not be at the end of the event or turn.
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

    /// Whether there may be bytes in the socket that nobody has been woken for.
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

    /// The flags of an HTTP connection.
    pub(crate) fn http(&mut self) -> &mut HttpFlags {
        match &mut self.talk {
            Talk::Http { flags, .. } => flags,
            other => unreachable!("an HTTP connection, not {other:?}"),
        }
    }

    /// The flags of a WebSocket.
    pub(crate) fn websocket(&mut self) -> &mut WebSocketFlags {
        match &mut self.talk {
            Talk::WebSocket { flags, .. } => flags,
            other => unreachable!("a WebSocket, not {other:?}"),
        }
    }

    /// What sends a WebSocket's frames.
    pub(crate) fn sender(&mut self) -> &mut Sender {
        match &mut self.talk {
            Talk::WebSocket { sender, .. } => sender,
            other => unreachable!("a WebSocket, not {other:?}"),
        }
    }

    /// HTTP: something of a response has been written. If the peer has finished and is gone, a reset will answer it.
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

    /// The memory of an idle connection is what the project exists for.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Conversation>() <= 24, "{}", size_of::<Conversation>());
    }
}
