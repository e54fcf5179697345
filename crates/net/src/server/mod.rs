//! The server: HTTP, WebSockets, publish and subscribe, timeouts, and how connections end.
//!
//! Nothing here calls anybody. An [`Event`] is returned or queued ([`events`]). Output goes through the [`Transport`],
//! which removes nobody: only [`Server::settle`] removes a connection.

pub(crate) mod app;
pub(crate) mod closing;
pub(crate) mod conversation;
mod counting;
pub(crate) mod events;
pub(crate) mod http;
mod limits;
pub(crate) mod names;
pub(crate) mod pubsub;
mod reading;
pub(crate) mod settings;
pub(crate) mod shutdown;
mod sides;
mod table;
pub(crate) mod timeouts;
pub(crate) mod trap;
mod upload;
pub(crate) mod websocket;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use milliways_proto::http::Marks;
use milliways_proto::timer::{Tick, TimerWheel};
use milliways_proto::ws::{Codecs, frame_len};

use self::app::{Apps, Behaviors};
use self::closing::End;
use self::events::{Count, EventQueue};
use self::limits::Sources;
use self::pubsub::Undelivered;
use self::sides::Sides;
use self::table::Table;
use self::trap::Trap;
use crate::counters::registry::Registration;
use crate::event::Event;
use crate::ids::{AppId, ConnectionId, Slot, Stale};
use crate::transport::Transport;
use crate::transport::sys::{Registry, TcpStream};

pub(crate) struct Server {
    pub(crate) transport: Transport,
    pub(crate) table: Table,
    sides: Sides,
    pub(crate) apps: Apps,
    behaviors: Behaviors,
    codecs: Codecs,
    pub(crate) clock: Clock,
    wheel: TimerWheel,
    /// Half-closed clients that may be leaving, and when they are considered gone, in this order; see [`timeouts`].
    leaving: VecDeque<(Instant, ConnectionId)>,
    pub(crate) events: EventQueue,
    /// Connections that are to be read again, because they are no longer held up.
    pub(crate) resumed: Vec<Slot>,
    /// WebSockets that have exceeded their back pressure limit. They are closed in activities of their own, not while a
    /// message is being sent to them.
    pub(crate) doomed: Vec<ConnectionId>,
    /// Apps with undelivered publications, each once.
    published: Vec<AppId>,
    /// Apps that are being shut down, each once.
    shutting_down: Vec<AppId>,
    /// Connections that have begun or become WebSockets while their app is being shut down.
    pub(crate) visited_again: Vec<Slot>,
    /// What is dropped of the delivery under way.
    undelivered: Undelivered,
    /// The number of bytes that the logs of publications have allocated.
    published_memory: usize,
    /// The number of open WebSockets.
    websockets: usize,
    /// The number of connections that have been cut and not been removed yet.
    gone: usize,
    /// A connection has been removed since accepting last failed for lack of descriptors or memory.
    pub(crate) has_freed_descriptor: bool,
    /// Apps that have paused accepting and have room for connections again.
    with_room: Vec<AppId>,
    sources: Sources,
    pub(crate) trap: Trap,
    /// Connections whose step has panicked, and the message.
    broken: Vec<(ConnectionId, String)>,
    greeting: Greeting,
    pub(crate) registration: Registration,
}

/// The app of which the numbers are that belong to no other one.
const NOBODY: AppId = AppId(u32::MAX);

/// The time that the reactor was last called with.
pub(crate) struct Clock {
    /// Whole seconds since the epoch.
    pub(crate) tick: Tick,
    pub(crate) instant: Instant,
}

impl Clock {
    /// Returns the time to note for a connection that has just been active. It is rounded up, so that no timeout is
    /// early.
    fn active(&self) -> Tick {
        self.tick + 1
    }
}

/// The headers that every response has.
struct Greeting {
    /// Whether they include the one that names the interface.
    is_named: bool,
    /// The headers, and the second for which they are valid.
    marks: Option<(Tick, Marks)>,
}

impl Greeting {
    #[expect(clippy::disallowed_methods, reason = "the Date header shows the wall clock, read at most once a second")]
    fn marks(&mut self, now: Tick) -> &Marks {
        let is_named = self.is_named;
        self.marks.take_if(|(tick, _)| *tick != now);
        &self.marks.get_or_insert_with(|| (now, Marks::new(SystemTime::now(), is_named))).1
    }
}

impl Server {
    pub(crate) fn new(registry: Arc<Registry>, now: Instant) -> Self {
        let registration = Registration::new();
        Self {
            transport: Transport::new(registry, frame_len, registration.add_app(NOBODY)),
            table: Table::default(),
            sides: Sides::default(),
            apps: Apps::default(),
            behaviors: Behaviors::default(),
            codecs: Codecs::default(),
            clock: Clock { tick: 0, instant: now },
            wheel: TimerWheel::new(0),
            leaving: VecDeque::new(),
            events: EventQueue::default(),
            resumed: Vec::new(),
            doomed: Vec::new(),
            published: Vec::new(),
            shutting_down: Vec::new(),
            visited_again: Vec::new(),
            undelivered: Undelivered::default(),
            published_memory: 0,
            websockets: 0,
            gone: 0,
            has_freed_descriptor: false,
            with_room: Vec::new(),
            sources: Sources::default(),
            trap: Trap::default(),
            broken: Vec::new(),
            greeting: Greeting { is_named: true, marks: None },
            registration,
        }
    }

    /// Sets the time for everything that is done from now on.
    pub(crate) fn set_time(&mut self, tick: Tick, instant: Instant) {
        self.clock = Clock { tick, instant };
        self.transport.set_now(tick);
    }

    /// Leaves the `uWebSockets` header out of responses from now on.
    pub(crate) fn leave_out_name(&mut self) {
        self.greeting = Greeting { is_named: false, marks: None };
    }

    fn marks(&mut self) -> Marks {
        *self.greeting.marks(self.clock.tick)
    }

    pub(crate) fn websockets(&self) -> usize {
        self.websockets
    }

    /// Begins a connection of an app. `peer` is its address if the kernel does not know it. Returns the error and the
    /// socket if the kernel cannot watch it, or, with [`io::ErrorKind::QuotaExceeded`], if it would exceed a limit.
    pub(crate) fn begin(
        &mut self,
        app: AppId,
        stream: TcpStream,
        peer: Option<SocketAddr>,
    ) -> Result<Slot, (io::Error, TcpStream)> {
        let source = self.source_of(app, || peer.or_else(|| stream.peer_addr().ok()).map(|address| address.ip()));
        if let Some(limit) = self.limit_of_new(app, source) {
            self.apps.of(app).meter.count_refusal(limit, || peer.or_else(|| stream.peer_addr().ok()));
            return Err((io::ErrorKind::QuotaExceeded.into(), stream));
        }
        let slot = self.table.vacant_slot();
        let it = self.apps.of(app);
        let (has_preface, is_secure) = (it.settings.proxy_protocol, it.names.is_some());
        let inserted = self.transport.insert(slot, app, stream, has_preface, is_secure);
        inserted.inspect_err(|_| self.note_accept_error(app))?;
        let now = self.clock.active();
        let occupied = self.table.occupy();
        debug_assert_eq!(occupied, slot);
        self.table[slot].begin(app, now);
        if let Some(peer) = peer {
            self.transport.set_peer_address(slot, peer);
        }
        self.note_source(slot, source);
        self.apps.note_connection(app);
        self.note_begin(slot, app, is_secure);
        self.arm(slot);
        self.count(app, slot, Count::Up);
        self.visit_if_shutting_down(slot);
        Ok(slot)
    }

    fn count(&mut self, app: AppId, slot: Slot, count: Count) {
        if self.apps.of(app).counts {
            self.events.count(app, self.table.id(slot), count);
        }
    }

    /// Returns an error unless the handle refers to a request whose response is not complete.
    pub(crate) fn check_response(&mut self, id: ConnectionId) -> Result<(), Stale> {
        if self.table.get(id)?.is_answering() { Ok(()) } else { Err(Stale) }
    }

    /// Corks a connection. Returns the connection that was corked before, to be passed to [`Server::uncork`] as
    /// `outer`.
    pub(crate) fn cork(&mut self, id: ConnectionId) -> Result<Option<Slot>, Stale> {
        self.table.get(id)?;
        Ok(self.transport.cork(id.slot))
    }

    /// Uncorks a connection, which may have been removed, and sends what has been gathered. If `outer` is the same
    /// connection, the outer cork continues to gather.
    pub(crate) fn uncork(&mut self, slot: Slot, outer: Option<Slot>) {
        self.transport.uncork(slot, outer);
        if outer != Some(slot) && self.transport.has(slot) {
            self.transport.touch(slot);
        }
    }

    pub(crate) fn remote_address(&mut self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        self.table.get(id)?;
        Ok(self.transport.peer_address(id.slot))
    }

    pub(crate) fn proxied_remote_address(&mut self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        self.table.get(id)?;
        Ok(self.transport.proxied_address(id.slot))
    }

    /// Returns the number of connections, including those that are closing.
    pub(crate) fn connections(&self) -> usize {
        self.table.len() - self.gone
    }

    /// Returns the slots of an app's connections.
    pub(crate) fn connections_of(&self, app: AppId) -> Vec<Slot> {
        self.table.slots().filter(|slot| self.is_of(*slot, app)).collect()
    }

    /// Cuts a connection if it still belongs to the app.
    pub(crate) fn cut_if_of(&mut self, slot: Slot, app: AppId) {
        if self.is_of(slot, app) {
            if let Some(shutdown) = &mut self.apps.of_mut(app).shutdown {
                shutdown.note_forced();
            }
            self.end(slot, End::Cut);
        }
    }

    fn is_of(&self, slot: Slot, app: AppId) -> bool {
        self.table.is_live(slot) && self.behaviors.app_of(&self.table[slot]) == app
    }

    /// Takes the next event, or the event at position `mark`. Drops [`Event::Dropped`] if its WebSocket has closed
    /// meanwhile.
    ///
    /// If the connection has ended, what an outer turn or call is about to tell of it comes first: nothing may follow its
    /// end.
    pub(crate) fn take_event(&mut self, mark: Option<usize>) -> Option<Event<'static>> {
        let position = mark.unwrap_or_else(|| self.events.next());
        loop {
            let ended = self.events.id_at(position).filter(|id| position > 0 && self.table.get(*id).is_err());
            let earlier = ended.and_then(|id| self.events.take_before(position, id));
            let event = earlier.or_else(|| self.events.take(position))?;
            if !matches!(event, Event::Dropped { id, .. } if self.table.get(id).is_err()) {
                return Some(event);
            }
        }
    }

    /// Returns whether something is left to do at the end of the turn, apart from connections that are resumed or doomed.
    pub(crate) fn has_work(&self) -> bool {
        self.transport.has_touched()
            || self.has_published()
            || self.has_visits()
            || !self.events.is_empty()
            || !self.with_room.is_empty()
    }
}
