//! What a reactor holds, and what can be done with a connection without telling anybody: writing, flushing, closing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::time::{Instant, SystemTime};

use milliways_proto::http::Marks;
use milliways_proto::router::Router;
use milliways_proto::timer::{Tick, TimerWheel};
use milliways_proto::topics::Topics;
use milliways_proto::ws::Codecs;

use crate::ids::ConnectionId;
use crate::listener::Listener;
use crate::server::conversation::{Connection, Flags, Phase, SidePool};
use crate::server::lifetime::Numbered;
use crate::server::pubsub::{About, Dropped};
use crate::server::settings::Behavior;
use crate::server::table::Table;
use crate::tls::{Keyed, Names, Sessions};
use crate::transport::output::{DIRECT_FROM, Output, Wire};
use crate::transport::sys;
use crate::{AppId, AppSettings, BehaviorId, DomainId, Route, WebSocketSettings};

pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) sessions: Sessions,
    /// Which of them have something to forget.
    pub(crate) keyed: Keyed,
    pub(crate) wheel: TimerWheel,
    pub(crate) behaviors: Behaviors,
    /// Those that may be removed.
    pub(crate) unused: Vec<BehaviorId>,
    /// Apps that may be removed.
    pub(crate) quiet: Vec<AppId>,
    pub(crate) pool: SidePool,
    pub(crate) codecs: Codecs,
    pub(crate) apps: Apps,
    /// Whole seconds since the epoch.
    pub(crate) now: Tick,
    /// The time that was told last.
    pub(crate) clock: Instant,
    /// Clients that may be leaving, and when they are taken for gone, in this order; see [`State::note_leaving`].
    pub(crate) leaving: VecDeque<(Instant, ConnectionId)>,
    /// The connection whose event is being handled: its output goes out when that is done.
    pub(crate) corked: Option<u32>,
    /// Connections that have output to flush.
    pub(crate) dirty: Vec<u32>,
    /// Connections whose response is done and that were not read meanwhile.
    pub(crate) resumed: Vec<u32>,
    /// Connections whose events are being handled. More than one while a handler runs the event loop.
    pub(crate) busy: Vec<u32>,
    /// Those of them that the kernel has told of meanwhile.
    pub(crate) put_off: Vec<u32>,
    /// By number; numbers are not used again.
    pub(crate) listeners: BTreeMap<u32, Listener>,
    pub(crate) next_listener: u32,
    /// A connection has gone since the last pump, or since a listener was starved.
    pub(crate) descriptor_freed: bool,
    /// WebSockets over the limit of their behavior, to be closed when nobody is in the middle of sending to them.
    pub(crate) doomed: Vec<ConnectionId>,
    pub(crate) websockets: usize,
    /// Apps in which something has been published that has not been delivered; each once.
    pub(crate) undelivered: Vec<AppId>,
    /// Messages that were published and that a subscriber was too slow for, to be told.
    pub(crate) dropped: Vec<Dropped>,
    /// Connections that have come or gone, of apps that want to know.
    pub(crate) counted: VecDeque<(AppId, ConnectionId, Count)>,
    /// Whether responses name the interface.
    pub(crate) is_named: bool,
    /// What every response has, and the second for which that is so.
    pub(crate) marks: Option<(Tick, Marks)>,
}

/// Routers with what else belongs to an app.
pub(crate) struct App {
    /// Its own, of [`DomainId`] 0.
    pub(crate) router: Router<Route>,
    /// Those of server names. A connection may have the number of one that has gone, so that none is used again.
    pub(crate) domains: HashMap<u32, Router<Route>>,
    pub(crate) last_domain: u32,
    /// What it has for its peers if it speaks TLS.
    pub(crate) names: Option<Names>,
    pub(crate) settings: AppSettings,
    pub(crate) topics: Topics<About>,
    /// Whether its connections are told when they come and go.
    pub(crate) counts: bool,
    /// How many it has.
    pub(crate) connections: u32,
}

impl App {
    /// `None` for that of a server name that has been removed.
    pub(crate) fn router(&self, domain: DomainId) -> Option<&Router<Route>> {
        if domain == DomainId::default() { Some(&self.router) } else { self.domains.get(&domain.0) }
    }

    pub(crate) fn router_mut(&mut self, domain: DomainId) -> Option<&mut Router<Route>> {
        if domain == DomainId::default() { Some(&mut self.router) } else { self.domains.get_mut(&domain.0) }
    }
}

#[derive(Default)]
pub(crate) struct Apps(Numbered<App>);

impl Apps {
    pub(crate) fn insert(&mut self, app: App) -> AppId {
        AppId(self.0.insert(app))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &App> {
        self.0.iter()
    }

    pub(crate) fn has(&self, id: AppId) -> bool {
        self.0.get(id.0).is_some()
    }

    pub(crate) fn of(&self, id: AppId) -> &App {
        self.0.get(id.0).expect("removed when nobody names it any more")
    }

    pub(crate) fn of_mut(&mut self, id: AppId) -> &mut App {
        self.0.get_mut(id.0).expect("removed when nobody names it any more")
    }

    pub(crate) fn remove(&mut self, id: AppId) {
        self.0.remove(id.0);
    }
}

/// A connection has come or gone.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    Up,
    Down,
}

#[derive(Default)]
pub(crate) struct Behaviors(Numbered<Behavior>);

impl Behaviors {
    pub(crate) fn insert(&mut self, behavior: Behavior) -> BehaviorId {
        BehaviorId(self.0.insert(behavior))
    }

    pub(crate) fn get(&self, id: BehaviorId) -> &Behavior {
        self.0.get(id.0).expect("removed when nobody names it any more")
    }

    pub(crate) fn get_mut(&mut self, id: BehaviorId) -> &mut Behavior {
        self.0.get_mut(id.0).expect("removed when nobody names it any more")
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().count()
    }

    pub(crate) fn is_unused(&self, id: BehaviorId) -> bool {
        self.0.get(id.0).is_some_and(|behavior| behavior.uses == 0)
    }

    pub(crate) fn remove(&mut self, id: BehaviorId) {
        self.0.remove(id.0);
    }

    pub(crate) fn settings_of(&self, connection: &Connection) -> Option<&WebSocketSettings> {
        (connection.phase == Phase::WebSocket).then(|| &self.get(connection.behavior()).settings)
    }

    pub(crate) fn app_of(&self, connection: &Connection) -> AppId {
        match connection.phase {
            Phase::WebSocket => self.get(connection.behavior()).app,
            _ => connection.app(),
        }
    }
}

impl State {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            table: Table::default(),
            sessions: Sessions::default(),
            keyed: Keyed::default(),
            wheel: TimerWheel::new(0),
            behaviors: Behaviors::default(),
            unused: Vec::new(),
            quiet: Vec::new(),
            pool: SidePool::default(),
            codecs: Codecs::default(),
            apps: Apps::default(),
            now: 0,
            clock: now,
            leaving: VecDeque::new(),
            corked: None,
            dirty: Vec::new(),
            resumed: Vec::new(),
            busy: Vec::new(),
            put_off: Vec::new(),
            listeners: BTreeMap::new(),
            next_listener: 0,
            doomed: Vec::new(),
            descriptor_freed: false,
            websockets: 0,
            undelivered: Vec::new(),
            dropped: Vec::new(),
            counted: VecDeque::new(),
            is_named: true,
            marks: None,
        }
    }

    /// Puts an event off whose connection is in the middle of another; tells whether it did.
    pub(crate) fn put_off(&mut self, slot: u32) -> bool {
        let is_busy = self.busy.contains(&slot);
        if is_busy && !self.put_off.contains(&slot) {
            self.put_off.push(slot);
        }
        is_busy
    }

    /// The time to note for a connection that has just been active: rounded up, so that no timeout is early.
    pub(crate) fn active_now(&self) -> Tick {
        self.now + 1
    }

    pub(crate) fn count(&mut self, app: AppId, slot: u32, count: Count) {
        if self.apps.of(app).counts {
            self.counted.push_back((app, self.table.id(slot), count));
        }
    }

    /// The headers that every response has.
    pub(crate) fn marks(&mut self) -> &Marks {
        let (now, is_named) = (self.now, self.is_named);
        self.marks.take_if(|(tick, _)| *tick != now);
        &self.marks.get_or_insert_with(|| (now, Marks::new(SystemTime::now(), is_named))).1
    }

    /// Appends to the output of a connection; it goes out at the end of the connection's event or of the turn. What is
    /// written to a connection that has failed is lost.
    pub(crate) fn write(&mut self, slot: u32, append: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.table.at(slot) else { return };
        let is_broken = connection.flags.has(Flags::BROKEN);
        let output = &mut self.pool.side_of(connection).output;
        append(output.bytes());
        if is_broken {
            output.lose();
        } else if output.is_full() {
            self.flush(slot);
        } else {
            self.mark_dirty(slot);
        }
    }

    /// Appends what `append_head` appends, `payload` and `tail`. A large payload is not copied as far as the socket takes
    /// it from where it lies.
    pub(crate) fn write_payload(
        &mut self,
        slot: u32,
        payload: &[u8],
        append_head: impl FnOnce(&mut Vec<u8>),
        tail: &[u8],
    ) {
        let Some(connection) = self.table.at(slot) else { return };
        if payload.len() < DIRECT_FROM || !connection.keeps_up() {
            return self.write(slot, |output| {
                append_head(output);
                output.extend_from_slice(payload);
                output.extend_from_slice(tail);
            });
        }
        let output = &mut self.pool.side_of(connection).output;
        append_head(output.bytes());
        self.push_out(slot, |output, wire| output.flush_with(wire, payload));
        if !tail.is_empty() {
            self.write(slot, |output| output.extend_from_slice(tail));
        }
    }

    /// Writes a piece of a payload as far as the socket takes it, and keeps none that is long; gives how much that is.
    pub(crate) fn offer(&mut self, slot: u32, piece: &[u8]) -> usize {
        let Some(connection) = self.table.at(slot) else { return 0 };
        if !connection.keeps_up() {
            return 0;
        }
        if piece.len() < DIRECT_FROM {
            self.write(slot, |output| output.extend_from_slice(piece));
            return piece.len();
        }
        self.offer_now(slot, piece)
    }

    /// Writes what is there and as much of `piece` as the socket takes, and keeps none of it.
    pub(crate) fn offer_now(&mut self, slot: u32, piece: &[u8]) -> usize {
        let mut taken = 0;
        self.push_out(slot, |output, wire| output.offer(wire, piece).map(|count| taken = count));
        taken
    }

    /// Keeps what the socket has just refused. `is_begun`: it is the rest of a frame.
    pub(crate) fn hold(&mut self, slot: u32, refused: &[u8], is_begun: bool) {
        let Some(connection) = self.table.at(slot) else { return };
        let is_broken = connection.flags.has(Flags::BROKEN);
        let output = &mut self.pool.side_of(connection).output;
        output.hold(refused, is_begun);
        if is_broken {
            output.lose();
        }
    }

    pub(crate) fn push_out(&mut self, slot: u32, push: impl FnOnce(&mut Output, Wire<'_>) -> io::Result<()>) {
        let Some(connection) = self.table.at(slot) else { return };
        self.pool.side_of(connection);
        self.push(slot, push);
    }

    /// As [`State::push_out`], where there is something to push.
    fn push(&mut self, slot: u32, push: impl FnOnce(&mut Output, Wire<'_>) -> io::Result<()>) {
        let Some(connection) = self.table.at(slot) else { return };
        if connection.flags.has(Flags::TLS) {
            self.note_session(slot);
        }
        let Some(connection) = self.table.at(slot) else { return };
        if let Some(side) = &mut connection.side {
            let session = if connection.flags.has(Flags::TLS) { self.sessions.at(slot) } else { None };
            let has_frames = connection.phase == Phase::WebSocket;
            let before = side.output.backpressure();
            if push(&mut side.output, Wire { stream: &connection.stream, session, has_frames }).is_err() {
                connection.flags.add(Flags::BROKEN);
            }
            let after = side.output.backpressure();
            // Who takes a large response, or what waited when his WebSocket was closed, has his time as long as he takes some.
            let has_moved = if before == 0 { after > 0 } else { after < before };
            let is_timed = match connection.phase {
                Phase::Request | Phase::Response => after > 0,
                Phase::Closing => true,
                Phase::WebSocket => false,
            };
            if has_moved && is_timed {
                connection.last_active = self.now + 1;
                self.arm(slot);
            } else if has_moved && has_frames && after > 0 {
                self.ask_soon(slot);
            }
        }
        self.settle(slot);
    }

    /// Makes sure that a connection is flushed at the end of its event or of the turn.
    pub(crate) fn mark_dirty(&mut self, slot: u32) {
        if self.corked == Some(slot) {
            return;
        }
        if let Some(connection) = self.table.at(slot)
            && !connection.flags.has(Flags::DIRTY)
        {
            connection.flags.add(Flags::DIRTY);
            self.dirty.push(slot);
        }
    }

    /// Writes output, unless the socket has refused some and has not said since that it takes more.
    pub(crate) fn flush(&mut self, slot: u32) {
        let Some(connection) = self.table.at(slot) else { return };
        connection.flags.take(Flags::DIRTY);
        if connection.backpressure() == 0 {
            self.flush_writable(slot);
        }
    }

    /// Writes as much output as the socket takes, and takes the next step of closing when there is none left.
    pub(crate) fn flush_writable(&mut self, slot: u32) {
        self.push(slot, Output::flush);
    }

    /// After a flush: gives back what is not needed any more.
    pub(crate) fn settle(&mut self, slot: u32) {
        let Some(connection) = self.table.at(slot) else { return };
        let (phase, is_blocked) = (connection.phase, connection.backpressure() > 0);
        self.pool.reclaim(connection);
        match phase {
            Phase::Closing if !is_blocked => {
                if connection.flags.has(Flags::PEER_FINISHED) || connection.flags.has(Flags::BROKEN) {
                    self.say_goodbye(slot);
                    self.remove(slot);
                } else if !connection.flags.has(Flags::FINISHED | Flags::AWAITS_CLOSE) {
                    connection.flags.add(Flags::FINISHED);
                    self.say_goodbye(slot);
                    let Some(connection) = self.table.at(slot) else { return };
                    // An error means that the connection is gone, which reading it will tell.
                    let _ = connection.stream.shutdown(std::net::Shutdown::Write);
                }
            }
            _ => {}
        }
    }

    /// TLS: tells the peer that nothing more comes, once all that has come before is out.
    pub(crate) fn say_goodbye(&mut self, slot: u32) {
        let Some(connection) = self.table.at(slot) else { return };
        let is_able = connection.flags.has(Flags::TLS) && !connection.flags.has(Flags::BROKEN);
        if is_able && let Some(session) = self.sessions.at(slot) {
            let mut last = Vec::new();
            session.seal_close(&mut last);
            let _ = sys::send(&connection.stream, &last);
        }
    }

    /// Closes the socket and forgets the connection, whose handles are stale from now on.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(app) = self.table.at(slot).map(|connection| self.behaviors.app_of(connection)) else { return };
        self.count(app, slot, Count::Down);
        self.leave_topics(slot);
        let Some(mut connection) = self.table.remove(slot) else { return };
        self.forget_connection(app);
        self.wheel.cancel(slot);
        if connection.flags.has(Flags::TLS) {
            self.sessions.remove(slot);
        }
        if let Some(side) = &mut connection.side {
            side.output.reset();
            side.forget();
            side.proxied = None;
        }
        self.pool.reclaim(&mut connection);
        self.descriptor_freed = true;
    }

    /// Lets a connection go that nobody above knows any more: what is buffered, FIN, some patience, the end.
    pub(crate) fn begin_closing(&mut self, slot: u32) -> Option<ConnectionId> {
        let app = self.behaviors.app_of(self.table.at(slot)?);
        let now = self.active_now();
        let connection = self.table.at(slot)?;
        connection.become_closing(app, now);
        let unread = connection.flags.has(Flags::UNREAD);
        self.arm(slot);
        self.mark_dirty(slot);
        if unread {
            self.resumed.push(slot);
        }
        Some(self.table.renew(slot))
    }
}
