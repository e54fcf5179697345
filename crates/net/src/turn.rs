//! A turn: what is to be done is done in steps, and what comes of it is returned one event at a time.
//!
//! Whoever handles an event does so between two steps, when nothing of the reactor is borrowed. An event may borrow the
//! buffers of its [`Turn`], which belongs to the caller. A handler that runs the loop makes turns of its own.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use milliways_proto::http::Request;
use milliways_tls::TlsConfig;
use mio::Events;

use crate::event::Event;
use crate::ids::{ConnectionId, DomainId, ListenerId, Slot};
use crate::reactor::Core;
use crate::server::Server;
use crate::server::closing::End;
use crate::server::conversation::Talk;
use crate::server::http::{self, Found, RequestRoom, RoutedRequest};
use crate::server::timeouts::Offered;
use crate::transport::Read;

/// Bytes read with one system call. Only as much of the buffer is touched as is read.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// How often a connection that has more is read before the others have their turn.
const READ_BUDGET: u8 = 4;

/// Events taken from the kernel at once. What is left is taken in the next turn, after whatever else the thread does.
pub(crate) const EVENTS: usize = 1024;

/// Listeners' tokens have this bit, connections' are their slots.
pub(crate) const LISTENER: usize = 1 << 31;

/// What is to be done in one go, and how far that has come. See [`Reactor::poll`](crate::Reactor::poll).
pub struct Turn {
    stage: Stage,
    /// What the kernel has to tell.
    pub(crate) events: Events,
    told: Vec<Told>,
    /// How many of these have been handled.
    handled: usize,
    /// Whether deadlines are handled.
    expires: bool,
    /// Connections that have come or gone are to be told.
    tells_counted: bool,
    /// The connection in whose event the turn is.
    activity: Option<Activity>,
    /// Where sockets are read into.
    buffer: Vec<u8>,
    /// What has been read, behind what had been kept of the connection.
    joined: Vec<u8>,
    /// A message that has been decompressed.
    inflated: Vec<u8>,
    /// Whether the handler of a request has passed it on.
    yields: AtomicBool,
    /// The connection of the last event.
    last: Option<Slot>,
    bug: Bug,
}

/// Where a turn is in telling of a bug of ours. What is told about the end of its connection may be what panics: then the
/// rest goes without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// None has shown.
    None,
    /// The connection in whose event it has shown has ended, and that is being told.
    Shown,
    /// The last event tells of it.
    Told,
}

/// The stages of a turn, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// What the kernel has to tell.
    Kernel,
    /// Deadlines that have passed.
    Expired,
    /// Clients that have left.
    Left,
    /// Connections that are to be read again.
    Resumed,
    /// WebSockets that are to be closed for their back pressure.
    Doomed,
    /// Connections that have come or gone.
    Counted,
    /// What has been published.
    Published,
    /// What has been written.
    Touched,
    Done,
}

/// What the kernel says of a socket.
#[derive(Clone, Copy, Debug)]
struct Told {
    token: usize,
    is_writable: bool,
    peer: Option<Peer>,
}

/// What the kernel says of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Talking,
    /// It has sent its FIN.
    Finished,
    /// The connection is gone.
    Failed,
}

impl Told {
    fn of(event: &mio::event::Event) -> Self {
        let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let peer = if event.is_error() || event.is_write_closed() {
            Peer::Failed
        } else if event.is_read_closed() {
            Peer::Finished
        } else {
            Peer::Talking
        };
        Self { token: event.token().0, is_writable: event.is_writable(), peer: is_readable.then_some(peer) }
    }
}

/// The event of one connection: all that is done for it before another's turn.
struct Activity {
    slot: Slot,
    /// What was corked before.
    outer: Option<Slot>,
    step: Step,
    /// Bytes that are being handled.
    input: Input,
    /// A request whose handler has been called.
    routing: Option<Routing>,
}

/// What is next in an activity, when its input has been handled.
enum Step {
    Writable {
        peer: Option<Peer>,
    },
    Read(Reading),
    /// What was read has been handled.
    Handled {
        reading: Reading,
        is_drained: bool,
        is_last: bool,
        is_garbled: bool,
    },
    /// A peer asks for a server name.
    Hello {
        reading: Reading,
        name: Option<String>,
        is_drained: bool,
    },
    /// The same, when the app has been told of a name that it does not have.
    Choose {
        reading: Reading,
        name: Option<String>,
        is_drained: bool,
    },
    Expired,
    Offered(Offered),
    Left,
    Doomed(ConnectionId),
    Resume,
    /// What was kept while nothing was to be read is to be handled.
    Kept,
    /// It has been handled.
    Resumed,
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    peer: Peer,
    /// How often the socket may still be read.
    left: u8,
    /// Something has been read since the kernel told of what has become of the peer.
    has_read: bool,
}

/// Bytes of the turn's buffers that are to be handled.
#[derive(Clone, Debug, Default)]
struct Input {
    is_joined: bool,
    range: Range<usize>,
}

struct Routing {
    id: ConnectionId,
    /// Where the request's head is.
    head: Input,
    /// How many routes have had it.
    skip: usize,
}

/// What polling a turn returns.
#[derive(Debug)]
pub enum Polled<'t> {
    /// Something has happened.
    Event(Event<'t>),
    /// Nothing so far: to be polled again.
    Pending,
    /// Everything has been done.
    Done,
}

/// What [`Turn::advance`] has come to.
enum Advance {
    /// Go on. An event may be in the queue.
    Again,
    /// Input is to be handled, or a request to be routed.
    Input,
    Done,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Done,
            events: Events::with_capacity(EVENTS),
            told: Vec::new(),
            handled: 0,
            expires: false,
            tells_counted: false,
            activity: None,
            buffer: Vec::new(),
            joined: Vec::new(),
            inflated: Vec::new(),
            yields: AtomicBool::new(false),
            last: None,
            bug: Bug::None,
        }
    }

    /// Begins with what the kernel has told.
    pub(crate) fn begin(&mut self, expires: bool) {
        self.told.clear();
        self.told.extend(self.events.iter().map(Told::of));
        self.handled = 0;
        self.expires = expires;
        self.stage = Stage::Kernel;
    }

    /// Begins without asking the kernel.
    pub(crate) fn begin_pump(&mut self) {
        self.stage = Stage::Resumed;
    }

    /// Takes the next steps, until an event has come of them.
    pub(crate) fn poll<'t>(&'t mut self, core: &mut Core, room: &'t mut RequestRoom<'t>) -> Polled<'t> {
        if self.bug == Bug::Told {
            self.bug = Bug::None;
        }
        if !self.inflated.is_empty() {
            core.server.recycle(std::mem::take(&mut self.inflated));
        }
        loop {
            if let Some(event) = self.next_queued(core) {
                self.last = event.id().map(|id| id.slot);
                return Polled::Event(event);
            }
            match self.advance(core) {
                Advance::Again => {}
                Advance::Input => break,
                Advance::Done => return Polled::Done,
            }
        }
        self.handle_input(&mut core.server, room)
    }

    fn next_queued(&mut self, core: &mut Core) -> Option<Event<'static>> {
        let Server { events, table, .. } = &mut core.server;
        while let Some(event) = events.take() {
            // Nobody is told what a WebSocket that has closed meanwhile did not get.
            if matches!(event, Event::Dropped { id, .. } if table.get(id).is_err()) {
                continue;
            }
            if matches!(event, Event::Panicked { .. }) {
                self.bug = Bug::Told;
            }
            return Some(event);
        }
        if self.tells_counted {
            let event = events.take_counted();
            self.tells_counted = event.is_some();
            return event;
        }
        None
    }

    fn advance(&mut self, core: &mut Core) -> Advance {
        if let Some(activity) = &mut self.activity {
            if activity.routing.is_some() || !activity.input.range.is_empty() {
                return Advance::Input;
            }
            self.take_step(core);
            return Advance::Again;
        }
        self.take_stage(core)
    }

    /// Finds what is to be done next.
    fn take_stage(&mut self, core: &mut Core) -> Advance {
        let server = &mut core.server;
        let (slot, step) = match self.stage {
            Stage::Kernel => {
                let Some(told) = self.told.get(self.handled).copied() else { return self.end_kernel(core) };
                self.handled += 1;
                let Told { token, is_writable, peer } = told;
                if token & LISTENER != 0 {
                    core.accept(ListenerId((token & !LISTENER) as u32));
                    self.tells_counted = true;
                    return Advance::Again;
                }
                let slot = Slot(token as u32);
                if core.busy.put_off(slot) || !core.server.table.is_live(slot) {
                    return Advance::Again;
                }
                (slot, if is_writable { Step::Writable { peer } } else { Step::after_writable(peer) })
            }
            Stage::Expired => match server.next_expired() {
                Some(slot) => (slot, Step::Expired),
                None => return self.end_stage(Stage::Left),
            },
            Stage::Left => {
                let Some(slot) = server.next_left() else {
                    server.transport.rest_silent();
                    core.wake_starved();
                    return self.end_stage(Stage::Resumed);
                };
                (slot, Step::Left)
            }
            Stage::Resumed => match core.next_resumed() {
                Some(slot) => (slot, Step::Resume),
                None => return self.end_stage(Stage::Doomed),
            },
            Stage::Doomed => {
                let Some(id) = server.doomed.pop() else {
                    self.tells_counted = true;
                    return self.end_stage(Stage::Counted);
                };
                (id.slot, Step::Doomed(id))
            }
            Stage::Counted => return self.end_stage(Stage::Published),
            Stage::Published => {
                server.deliver_published();
                server.events.release_dropped();
                return self.end_stage(Stage::Touched);
            }
            Stage::Touched => {
                core.settle_touched();
                return self.end_stage(Stage::Done);
            }
            Stage::Done => return Advance::Done,
        };
        self.begin_activity(core, slot, step);
        Advance::Again
    }

    fn end_stage(&mut self, next: Stage) -> Advance {
        self.stage = next;
        Advance::Again
    }

    fn end_kernel(&mut self, core: &mut Core) -> Advance {
        // If the thread was busy for long, a peer may look silent that is not: deadlines come after all there is to read.
        if self.expires && self.told.len() == EVENTS && core.ask_kernel(&mut self.events).is_ok() {
            self.begin(true);
        } else {
            self.stage = if self.expires { Stage::Expired } else { Stage::Resumed };
        }
        Advance::Again
    }

    fn begin_activity(&mut self, core: &mut Core, slot: Slot, step: Step) {
        if !core.server.table.is_live(slot) {
            return;
        }
        core.busy.begin(slot);
        let outer = core.server.transport.cork(slot);
        self.activity = Some(Activity { slot, outer, step, input: Input::default(), routing: None });
    }

    fn end_activity(&mut self, core: &mut Core) {
        let Some(Activity { slot, outer, .. }) = self.activity.take() else { return };
        let server = &mut core.server;
        server.transport.uncork(slot, outer);
        if server.transport.has(slot) {
            server.settle(slot);
        }
        core.busy.end();
        if core.busy.take_put_off(slot) && server.transport.has(slot) {
            server.transport.rearm(slot);
        }
    }

    /// A bug of ours: ends the connection in whose event it has shown, and that event, and has it told.
    pub(crate) fn give_up(&mut self, core: &mut Core, message: String) {
        let slot = self.activity.as_ref().map(|activity| activity.slot).or(self.last);
        if let Some(slot) = slot {
            core.server.give_up(slot);
        }
        if let Some(activity) = &mut self.activity {
            activity.outer = None;
        }
        self.end_activity(core);
        if self.bug == Bug::None {
            self.bug = Bug::Shown;
            core.server.events.push(Event::Panicked { message });
        }
    }

    /// Takes the next step for a connection.
    fn take_step(&mut self, core: &mut Core) {
        let Some(activity) = &mut self.activity else { return };
        let (slot, server) = (activity.slot, &mut core.server);
        let step = std::mem::replace(&mut activity.step, Step::Over);
        if !server.table.is_live(slot) {
            return self.end_activity(core);
        }
        let next = match step {
            Step::Writable { peer } => {
                server.handle_writable(slot);
                Step::after_writable(peer)
            }
            Step::Read(reading) => return self.read(server, reading),
            Step::Handled { is_garbled: true, .. } => {
                server.end(slot, End::Garbled);
                Step::Over
            }
            Step::Handled { reading, is_drained, is_last, .. } => {
                // A short read has drained the socket; the kernel tells when there is more. When the peer has finished or
                // failed, that is only seen by reading on.
                let is_over = is_drained && !is_last && reading.peer == Peer::Talking;
                let reading = Reading { left: reading.left - 1, has_read: true, ..reading };
                if is_over {
                    Step::Over
                } else if reading.left > 0 {
                    Step::Read(reading)
                } else {
                    server.read_later(slot);
                    Step::Over
                }
            }
            Step::Hello { reading, name, is_drained } => {
                server.ask_for_name(slot, name.as_deref());
                Step::Choose { reading, name, is_drained }
            }
            Step::Choose { reading, name, is_drained } => {
                return match server.choose_name(slot, name.as_deref()) {
                    Some((config, domain)) => self.choose(server, reading, is_drained, &config, domain),
                    None => self.set_step(Step::Over),
                };
            }
            Step::Expired => server.handle_expired(slot).map_or(Step::Over, Step::Offered),
            Step::Offered(offered) => {
                server.end_if_stuck(offered);
                Step::Over
            }
            Step::Left => {
                server.end(slot, End::Silent);
                Step::Over
            }
            Step::Doomed(id) => {
                let _ = server.close(id);
                Step::Over
            }
            Step::Resume => {
                server.deliver_owed(slot);
                Step::Kept
            }
            Step::Kept => {
                if let Some(kept) = server.join(slot, &[]) {
                    activity.input = Input { is_joined: true, range: 0..kept.len() };
                    self.joined = kept;
                }
                Step::Resumed
            }
            Step::Resumed => {
                if !server.is_held_up(slot) && server.table[slot].is_unread() {
                    server.table[slot].set_unread(false);
                    server.read_later(slot);
                }
                Step::Over
            }
            Step::Over => return self.end_activity(core),
        };
        self.set_step(next);
    }

    fn set_step(&mut self, step: Step) {
        if let Some(activity) = &mut self.activity {
            activity.step = step;
        }
    }

    /// Reads once, unless the connection is held up.
    fn read(&mut self, server: &mut Server, reading: Reading) {
        let Some(activity) = &mut self.activity else { return };
        let slot = activity.slot;
        let has_closed = server.transport.peer_has_closed(slot);
        let peer = if has_closed && reading.peer == Peer::Talking { Peer::Finished } else { reading.peer };
        if server.is_held_up(slot) {
            // The next request waits for its turn, in the kernel's buffer.
            server.table[slot].set_unread(true);
            match (server.table[slot].talk, peer) {
                (Talk::Http { responder: Some(_), .. } | Talk::WebSocket { .. }, Peer::Failed) => {
                    server.end(slot, End::Finished);
                }
                (Talk::Http { .. }, Peer::Finished) => server.note_half_closed(slot, reading.has_read),
                _ => {}
            }
            return;
        }
        let conversation = &mut server.table[slot];
        let waits = conversation.awaits_request() && conversation.is_unread() && peer != Peer::Failed;
        if waits && server.has_kept(slot) {
            // Requests that were put off come before whatever the socket has, its end included.
            server.resumed.push(slot);
            return;
        }
        server.table[slot].set_unread(false);
        if self.buffer.is_empty() {
            self.buffer = vec![0; RECEIVE_BUFFER];
        }
        let read = server.read(slot, &mut self.buffer);
        self.take_read(server, reading, read);
    }

    fn choose(
        &mut self,
        server: &mut Server,
        reading: Reading,
        is_drained: bool,
        config: &TlsConfig,
        domain: DomainId,
    ) {
        let Some(activity) = &self.activity else { return };
        let read = server.choose(activity.slot, config, domain, &mut self.buffer, is_drained);
        self.take_read(server, reading, read);
    }

    fn take_read(&mut self, server: &mut Server, reading: Reading, read: Read) {
        let Some(activity) = &mut self.activity else { return };
        let slot = activity.slot;
        let (length, step) = match read {
            Read::Data { length, is_drained, is_last } => {
                (length, Step::Handled { reading, is_drained, is_last, is_garbled: false })
            }
            Read::Garbled(length) => {
                (length, Step::Handled { reading, is_drained: true, is_last: false, is_garbled: true })
            }
            Read::Hello { name, is_drained } => (0, Step::Hello { reading, name, is_drained }),
            Read::Nothing => return,
            Read::Finished => return server.end(slot, End::Finished),
            Read::Failed => return server.end(slot, End::Failed),
            Read::InvalidPreface => return server.refuse_preface(slot),
        };
        activity.step = step;
        activity.input = Input { is_joined: false, range: 0..length };
        if length > 0
            && let Some(joined) = server.join(slot, &self.buffer[..length])
        {
            activity.input = Input { is_joined: true, range: 0..joined.len() };
            self.joined = joined;
        }
    }

    /// Takes bytes to the protocol that the connection speaks at this point of them.
    fn handle_input<'t>(&'t mut self, server: &mut Server, room: &'t mut RequestRoom<'t>) -> Polled<'t> {
        let Self { activity: Some(activity), buffer, joined, inflated, yields, last, .. } = self else {
            return Polled::Pending;
        };
        let slot = activity.slot;
        *last = Some(slot);
        if let Some(routing) = activity.routing.take() {
            let Routing { id, head: Input { is_joined, range }, skip } = routing;
            let bytes: &'t [u8] = if is_joined { &joined[range.clone()] } else { &buffer[range.clone()] };
            let head = Input { is_joined, range };
            let polled = route_on(server, activity, Routing { id, head, skip }, bytes, room, yields);
            return polled;
        }
        let Input { is_joined, range } = &mut activity.input;
        let bytes = if *is_joined { &mut joined[range.clone()] } else { &mut buffer[range.clone()] };
        match server.table[slot].talk {
            Talk::Http { .. } => {
                let http::Handled { consumed, received } = server.handle_http(slot, bytes, room);
                let start = range.start;
                range.start += consumed;
                match received {
                    http::Received::Nothing => Polled::Pending,
                    http::Received::Event(event) => Polled::Event(event),
                    http::Received::Request(request) => {
                        let head = Input { is_joined: *is_joined, range: start..start + consumed };
                        let routing = Routing { id: server.table.id(slot), head, skip: 0 };
                        route(server, activity, routing, request, yields)
                    }
                }
            }
            Talk::WebSocket { .. } => {
                let (consumed, event) = server.handle_frames(slot, bytes, inflated);
                range.start += consumed;
                event.map_or(Polled::Pending, Polled::Event)
            }
            Talk::Closing { .. } => {
                range.start += server.handle_last_frames(slot, bytes);
                Polled::Pending
            }
            Talk::Vacant | Talk::Gone => {
                range.start = range.end;
                Polled::Pending
            }
        }
    }
}

impl Step {
    fn after_writable(peer: Option<Peer>) -> Self {
        peer.map_or(Self::Over, |peer| Self::Read(Reading { peer, left: READ_BUDGET, has_read: false }))
    }
}

/// Takes a request to the next route that matches it.
fn route<'t>(
    server: &mut Server,
    activity: &mut Activity,
    routing: Routing,
    request: &'t Request<'t>,
    yields: &'t AtomicBool,
) -> Polled<'t> {
    let id = routing.id;
    match server.route(id, request, routing.skip) {
        Found::Http(route, parameters) => {
            activity.routing = Some(routing);
            Polled::Event(Event::Request { route, id, request: RoutedRequest::new(request, parameters, yields) })
        }
        Found::Upgrade(behavior, parameters) => {
            activity.routing = Some(routing);
            Polled::Event(Event::Upgrade { behavior, id, request: RoutedRequest::new(request, parameters, yields) })
        }
        Found::Open(behavior, id, parameters) => {
            Polled::Event(Event::Open { behavior, id, request: RoutedRequest::new(request, parameters, yields) })
        }
        Found::Done => Polled::Pending,
    }
}

/// Goes on with a request whose handler has been called: it may have passed the request on, or left it without an answer.
fn route_on<'t>(
    server: &mut Server,
    activity: &mut Activity,
    routing: Routing,
    head: &'t [u8],
    room: &'t mut RequestRoom<'t>,
    yields: &'t AtomicBool,
) -> Polled<'t> {
    let Routing { id, skip, .. } = routing;
    let passes_on = yields.load(Ordering::Relaxed) && server.check_response(id).is_ok();
    if passes_on || server.is_unanswered(id) {
        let request = room.reparse(head);
        if passes_on {
            return route(server, activity, Routing { skip: skip + 1, ..routing }, request, yields);
        }
        server.end_request(id, request);
    }
    server.deliver_owed(id.slot);
    Polled::Pending
}
