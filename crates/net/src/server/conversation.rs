//! What is kept of a connection. An idle one is 32 bytes of the table and 8 of the timer wheel, and nothing else.

use std::net::SocketAddr;

use milliways_proto::http::ResponseHead;
use milliways_proto::timer::Tick;
use milliways_proto::ws::{Contexts, Receiver};
use mio::net::TcpStream;

use crate::server::http::Upload;
use crate::transport::output::Output;
use crate::{AppId, BehaviorId};

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// What only a busy connection has; taken from a pool and given back.
    pub(crate) side: Option<Box<Side>>,
    /// WebSocket: the last time anything was received. HTTP: the last time a request, a response or a body moved on.
    /// Closing: when that began. Rounded up, so that no timeout is early.
    pub(crate) last_active: Tick,
    /// When the WebSocket was opened.
    pub(crate) opened: Tick,
    /// The app of an HTTP connection, the behavior of a WebSocket, which knows its app.
    owner: u32,
    pub(crate) flags: Flags,
    pub(crate) phase: Phase,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between two requests, or in the middle of a request's head.
    Request,
    /// A request is with its handler.
    Response,
    /// Open.
    WebSocket,
    /// Nobody above knows it any more. What is buffered goes out, then our FIN, for a WebSocket that we have closed not
    /// before the peer's Close frame; then the peer has some time for its own, and what it still sends is thrown away.
    /// Closing at once would make the kernel answer with a reset, which may destroy what the peer has not read yet.
    Closing,
}

/// Facts about a connection, as bits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    /// An automatic ping is out and nothing has been received since.
    pub(crate) const PINGED: u32 = 1;
    /// Stands in the list of connections that have something to flush.
    pub(crate) const DIRTY: u32 = 1 << 1;
    /// The peer's FIN has been read.
    pub(crate) const PEER_FINISHED: u32 = 1 << 2;
    /// Our FIN is out.
    pub(crate) const FINISHED: u32 = 1 << 3;
    /// There may be bytes in the socket that nobody has been woken for: reading was put off.
    pub(crate) const UNREAD: u32 = 1 << 4;
    /// A write failed, which has used up the socket's error: reading it looks like a FIN.
    pub(crate) const BROKEN: u32 = 1 << 5;
    /// Stands in the list of connections that are to be closed for their back pressure.
    pub(crate) const DOOMED: u32 = 1 << 6;
    /// Nothing has come yet, and the app takes what proxies put before a connection.
    pub(crate) const MAY_HAVE_PROXY_HEADER: u32 = 1 << 7;

    /// The request's method is HEAD: the response has no body.
    pub(crate) const HEAD: u32 = 1 << 8;
    /// The connection closes after the response, which says so.
    pub(crate) const CLOSE_AFTER: u32 = 1 << 9;
    /// The request is one of HTTP/1.0.
    pub(crate) const HTTP_1_0: u32 = 1 << 10;
    /// The peer has finished while it waited for the response, and has been written nothing since; see [`State::leaving`].
    ///
    /// [`State::leaving`]: crate::server::state::State::leaving
    pub(crate) const LEAVING: u32 = 1 << 11;
    /// The response's status allows no body.
    pub(crate) const BODILESS: u32 = 1 << 12;
    /// The handler wants to answer later and to hear when it can't.
    pub(crate) const AWAITED: u32 = 1 << 13;

    /// The response's head is complete.
    pub(crate) const HEAD_ENDED: u32 = 1 << 14;
    /// The handler wants to hear when it can go on writing.
    pub(crate) const WANTS_WRITABLE: u32 = 1 << 15;
    /// The socket did not take all of a piece of the body, and nothing is kept of what is left.
    pub(crate) const STALLED: u32 = 1 << 16;
    /// The handler does not want the request's body, or the WebSocket's messages, now.
    pub(crate) const PAUSED: u32 = 1 << 17;
    /// All of the request's body has been told.
    pub(crate) const BODY_TOLD: u32 = 1 << 18;
    /// Something of the body that came before anybody asked for it, or its end, is to be told.
    pub(crate) const OWES_BODY: u32 = 1 << 19;

    /// The WebSocket has subscribed to a topic.
    pub(crate) const SUBSCRIBED: u32 = 1 << 20;

    /// The last fragment of a message is still to be sent.
    pub(crate) const SENDING_FRAGMENTS: u32 = 1 << 21;
    /// The first one was dropped, and so the others will be.
    pub(crate) const DROPPING_FRAGMENTS: u32 = 1 << 22;

    /// The WebSocket's messages may be compressed.
    pub(crate) const DEFLATE: u32 = 1 << 23;

    /// Nobody has asked for the request's body in time, and it is being thrown away.
    pub(crate) const BODY_ABANDONED: u32 = 1 << 24;

    /// Our Close frame is out, and our FIN waits for the peer's.
    pub(crate) const AWAITS_CLOSE: u32 = 1 << 25;

    /// The client asks for a WebSocket, and offers a compression that it cannot do.
    pub(crate) const BREAKS_ON_DEFLATE: u32 = 1 << 26;

    /// The kernel has said that the peer has finished, while nothing was to be read. It may still read what it is answered, or be
    /// gone.
    pub(crate) const HALF_CLOSED: u32 = 1 << 27;
    /// The kernel looks after the peer; see [`crate::transport::sys::look_after`].
    pub(crate) const LOOKED_AFTER: u32 = 1 << 28;

    /// The handler has asked to hear of the request's body, or when it can go on writing, and hears of the end as well.
    pub(crate) const ATTACHED: u32 = 1 << 29;

    /// The connection speaks TLS, and [`crate::tls::Sessions`] has its session.
    pub(crate) const TLS: u32 = 1 << 30;
    /// That has not begun yet for the protocol above: the handshake goes on.
    pub(crate) const HANDSHAKE: u32 = 1 << 31;

    const OF_RESPONSE: u32 = !0 << 8 & !(Self::HALF_CLOSED | Self::LOOKED_AFTER | Self::TLS | Self::HANDSHAKE);

    pub(crate) fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    pub(crate) fn add(&mut self, flag: u32) {
        self.0 |= flag;
    }

    /// Removes it and tells whether it was there.
    pub(crate) fn take(&mut self, flag: u32) -> bool {
        let had = self.has(flag);
        self.0 &= !flag;
        had
    }

    pub(crate) fn forget_response(&mut self) {
        self.0 &= !Self::OF_RESPONSE;
    }
}

/// State of a connection that is busy.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) output: Output,
    /// An incomplete message.
    pub(crate) receiver: Receiver,
    /// WebSocket: what it compresses with, unless that is what all share.
    pub(crate) contexts: Option<Box<Contexts>>,
    /// WebSocket: frames that were published while a message is being sent in fragments.
    pub(crate) held: Vec<u8>,
    /// HTTP: an incomplete head, or what was received while a response was awaited.
    pub(crate) input: Vec<u8>,
    /// The rest of a request's body.
    pub(crate) upload: Option<Upload>,
    /// The head of a response, until it is complete.
    pub(crate) head: ResponseHead,
    /// A response whose body is being written.
    pub(crate) progress: Option<Progress>,
    /// Who is at the other end of the proxy.
    pub(crate) proxied: Option<Box<SocketAddr>>,
}

/// How far the body of a response has come.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    /// Bytes of it that have been written.
    pub(crate) offset: u64,
    /// Bytes that the head has announced; `None` when it comes in chunks, or until the connection ends.
    pub(crate) total: Option<u64>,
    pub(crate) way: Way,
}

/// How the body of a response is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In pieces that are kept until the socket takes them.
    Write,
    /// In pieces of which nothing is kept.
    TryEnd,
}

impl Side {
    /// Forgets all but what is still to be sent and where it comes from.
    pub(crate) fn forget(&mut self) {
        self.receiver = Receiver::default();
        self.contexts = None;
        self.held = Vec::new();
        self.input = Vec::new();
        self.upload = None;
        self.head.clear();
        self.progress = None;
    }

    fn is_empty(&self) -> bool {
        self.output.is_empty()
            && self.output.lost() == 0
            && self.receiver.is_idle()
            && self.held.is_empty()
            && self.contexts.is_none()
            && self.input.is_empty()
            && self.upload.is_none()
            && self.head.is_empty()
            && self.progress.is_none()
            && self.proxied.is_none()
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, app: AppId, now: Tick) -> Self {
        Self {
            stream,
            side: None,
            last_active: now,
            opened: now,
            owner: app.0,
            flags: Flags::default(),
            phase: Phase::Request,
        }
    }

    /// The app; not for a WebSocket, whose behavior has it.
    pub(crate) fn app(&self) -> AppId {
        debug_assert!(self.phase != Phase::WebSocket);
        AppId(self.owner)
    }

    pub(crate) fn behavior(&self) -> BehaviorId {
        debug_assert!(self.phase == Phase::WebSocket);
        BehaviorId(self.owner)
    }

    pub(crate) fn become_websocket(&mut self, behavior: BehaviorId, now: Tick) {
        self.phase = Phase::WebSocket;
        self.owner = behavior.0;
        self.opened = now;
        self.last_active = now;
        self.flags.forget_response();
    }

    pub(crate) fn become_closing(&mut self, app: AppId, now: Tick) {
        self.phase = Phase::Closing;
        self.owner = app.0;
        self.last_active = now;
        self.flags.forget_response();
        if let Some(side) = &mut self.side {
            side.forget();
        }
    }

    /// HTTP: something of a response has been written. If the peer has finished and is gone, it will be answered by a reset.
    pub(crate) fn note_progress(&mut self, now: Tick) {
        if self.flags.has(Flags::HALF_CLOSED) {
            self.flags.take(Flags::LEAVING);
            self.last_active = now;
        }
    }

    /// Bytes that the socket has refused and that wait for it to be writable.
    pub(crate) fn backpressure(&self) -> usize {
        self.side.as_ref().map_or(0, |side| side.output.backpressure())
    }

    /// Whether the peer keeps up, as far as is known: nothing waits for its socket, and none has been lost with it.
    pub(crate) fn keeps_up(&self) -> bool {
        self.backpressure() == 0 && !self.flags.has(Flags::BROKEN)
    }

    /// Bytes that the socket has not taken, whether it still may or has failed.
    pub(crate) fn unsent(&self) -> usize {
        self.backpressure() + self.side.as_ref().map_or(0, |side| side.output.lost())
    }

    /// Bytes that wait for the end of a message in fragments.
    pub(crate) fn held(&self) -> usize {
        self.side.as_ref().map_or(0, |side| side.held.len())
    }

    pub(crate) fn has_output(&self) -> bool {
        self.side.as_ref().is_some_and(|side| !side.output.is_empty())
    }

    /// Whether nothing is to be read. HTTP: the next request has to wait, because the last one's response is not complete
    /// or the peer does not take it; what the peer sends meanwhile is its own affair, but for the rest of a body that
    /// somebody wants.
    pub(crate) fn is_held_up(&self) -> bool {
        match self.phase {
            Phase::Response => {
                let is_reading = self.upload().is_some_and(Upload::has_room) && !self.flags.has(Flags::PAUSED);
                !is_reading
            }
            Phase::Request => self.backpressure() > 0 && !self.has_body(),
            Phase::WebSocket => self.flags.has(Flags::PAUSED),
            Phase::Closing => false,
        }
    }

    /// HTTP: whether a part of the request's body is still to be read.
    pub(crate) fn has_body(&self) -> bool {
        self.upload().is_some_and(|upload| !upload.is_complete())
    }

    /// HTTP: whether a body waits with its sender for somebody to ask for it.
    pub(crate) fn is_unclaimed(&self) -> bool {
        self.phase == Phase::Response
            && !self.flags.has(Flags::PAUSED)
            && self.upload().is_some_and(|upload| !upload.is_complete() && !upload.has_room())
    }

    /// Where a WebSocket's peer is in its messages; to be given back with [`SidePool::keep_receiver`].
    pub(crate) fn take_receiver(&mut self) -> Receiver {
        self.side.as_mut().map(|side| std::mem::take(&mut side.receiver)).unwrap_or_default()
    }

    /// What a WebSocket compresses with, unless that is what all share.
    pub(crate) fn contexts(&mut self) -> Option<&mut Contexts> {
        self.side.as_mut()?.contexts.as_deref_mut()
    }

    /// What a handler has written of the head of its response; nothing once that is complete.
    pub(crate) fn head(&self) -> Option<&ResponseHead> {
        Some(&self.side.as_ref()?.head)
    }

    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.side.as_ref()?.progress.as_ref()
    }

    fn upload(&self) -> Option<&Upload> {
        self.side.as_ref()?.upload.as_ref()
    }
}

/// Boxes to be used again: on a busy server a connection needs one for every message it answers.
#[derive(Default)]
pub(crate) struct SidePool {
    #[expect(clippy::vec_box, reason = "a connection holds the box, so that the box is what is worth keeping")]
    free: Vec<Box<Side>>,
}

/// How many are kept. A turn of the loop touches few at a time, but for a broadcast.
const POOL_SIZE: usize = 64;

impl SidePool {
    pub(crate) fn side_of<'c>(&mut self, connection: &'c mut Connection) -> &'c mut Side {
        connection.side.get_or_insert_with(|| self.free.pop().unwrap_or_default())
    }

    /// Keeps where a WebSocket's peer is; between two messages that is nowhere.
    pub(crate) fn keep_receiver(&mut self, connection: &mut Connection, receiver: Receiver) {
        if !receiver.is_idle() {
            self.side_of(connection).receiver = receiver;
        }
    }

    /// Takes the box back if nothing is in it, or else the memory of its output if all of that is out.
    pub(crate) fn reclaim(&mut self, connection: &mut Connection) {
        if let Some(mut side) = connection.side.take_if(|side| side.is_empty())
            && self.free.len() < POOL_SIZE
        {
            side.output.shrink();
            side.input = Vec::new();
            self.free.push(side);
        }
        if let Some(side) = &mut connection.side
            && side.output.is_empty()
        {
            side.output.release();
            side.head.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_has_gone_out_takes_no_memory_from_a_connection_that_keeps_its_box() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("a port")).expect("a connection");
        let (mut pool, mut connection) = (SidePool::default(), Connection::new(stream, AppId(0), 0));
        let side = pool.side_of(&mut connection);
        side.held = vec![1];
        side.output.bytes().extend_from_slice(&vec![0; 100_000]);
        side.output.reset();
        pool.reclaim(&mut connection);
        let side = connection.side.as_mut().expect("the box");
        assert_eq!(side.output.bytes().capacity(), 0);
    }

    /// The memory of an idle connection is what the project exists for. (In a debug build mio adds a field, and with its
    /// alignment that makes two.)
    #[test]
    fn an_idle_connection_is_small() {
        let debug_field = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size_of::<Option<Connection>>() <= 32 + debug_field, "{}", size_of::<Option<Connection>>());
    }
}
