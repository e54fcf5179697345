//! Activities: all that is done for one connection before the next one has its turn.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use milliways_proto::http::{Request, RequestRoom};
use milliways_tls::TlsConfig;

use super::{Polled, Turn};
use crate::core::Core;
use crate::counters::Timeout;
use crate::event::{Event, RoutedRequest};
use crate::ids::{ConnectionId, DomainId, Slot};
use crate::kernel::Peer;
use crate::server::Server;
use crate::server::closing::End;
use crate::server::conversation::Talk;
use crate::server::http::{self, Found};
use crate::server::timeouts::Offered;
use crate::transport::Read;

/// The number of bytes that one system call may read. Only the part of the buffer that bytes are read into is touched.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The number of reads after which the other connections have their turn, even if there is more to read.
const READ_BUDGET: u8 = 4;

/// All that is done for one connection before the next one has its turn.
pub(super) struct Activity {
    pub(super) slot: Slot,
    /// The connection that was corked before.
    pub(super) outer: Option<Slot>,
    step: Step,
    /// The bytes that are still to be handled.
    input: Input,
    /// The request whose handler has just been called.
    routing: Option<Routing>,
}

/// The next step of an activity, once its input has been handled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Writable {
        peer: Option<Peer>,
    },
    Read(Reading),
    /// The bytes that were read have been handled.
    Handled {
        reading: Reading,
        is_drained: bool,
        is_last: bool,
        is_garbled: bool,
    },
    /// A TLS client has asked for a server name, or for none: [`Turn::hello`].
    Hello {
        reading: Reading,
        is_drained: bool,
    },
    /// The handler of [`Event::MissingServerName`] has been called, if that was necessary, and the certificate is to be
    /// chosen.
    Choose {
        reading: Reading,
        is_drained: bool,
    },
    Expired,
    Offered(Offered),
    Left,
    Doomed(ConnectionId),
    /// The app is being shut down.
    Visit,
    Resume,
    /// Bytes that were kept while the connection was held up are to be handled.
    Kept,
    /// These bytes have been handled.
    Resumed,
    Over,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    peer: Peer,
    /// The number of reads that are left.
    left: u8,
    /// Bytes have been read since the kernel reported the state of the peer.
    has_read: bool,
}

/// A part of one of the turn's buffers that is to be handled.
#[derive(Clone, Debug, Default)]
struct Input {
    is_joined: bool,
    range: Range<usize>,
}

impl Input {
    fn bytes<'t>(&self, buffer: &'t mut [u8], joined: &'t mut [u8]) -> &'t mut [u8] {
        let bytes = if self.is_joined { joined } else { buffer };
        &mut bytes[self.range.clone()]
    }
}

struct Routing {
    id: ConnectionId,
    /// The head of the request.
    head: Input,
    /// The number of matching routes that have passed it on.
    skip: usize,
}

impl Activity {
    /// Drops everything that is left to do. Returns the slot.
    pub(super) fn abandon(&mut self) -> Slot {
        *self = Self { slot: self.slot, outer: None, step: Step::Over, input: Input::default(), routing: None };
        self.slot
    }

    /// Ends the routing of a request that is not to be routed further after its handler has returned. Returns whether
    /// it did.
    #[inline]
    pub(super) fn end_routing(&mut self, server: &mut Server, yields: &AtomicBool) -> bool {
        let is_over = self.routing.as_ref().is_some_and(|routing| !server.goes_on_routing(routing.id, is_set(yields)));
        if is_over {
            self.routing = None;
            server.deliver_owed(self.slot);
        }
        is_over
    }

    /// Returns whether bytes have to be handled or a request to be routed.
    pub(super) fn has_input(&self) -> bool {
        self.routing.is_some() || !self.input.range.is_empty()
    }
}

impl Turn {
    pub(super) fn begin_activity(&mut self, core: &mut Core, slot: Slot, step: Step) {
        if !core.server.table.is_live(slot) {
            return;
        }
        core.busy.begin(slot);
        let outer = core.server.transport.cork(slot);
        self.activity = Some(Activity { slot, outer, step, input: Input::default(), routing: None });
    }

    pub(super) fn end_activity(&mut self, core: &mut Core) {
        let Some(Activity { slot, outer, .. }) = self.activity.take() else { return };
        // This buffer may be large, and few activities need one.
        self.joined = Vec::new();
        let server = &mut core.server;
        server.attempt(slot, |server| {
            server.transport.uncork(slot, outer);
            if server.transport.has(slot) {
                server.settle(slot);
            }
        });
        core.busy.end();
        server.give_up_broken();
        if core.busy.has_put_off() && core.busy.take_put_off(slot) && server.transport.has(slot) {
            server.transport.rearm(slot);
        }
    }

    /// Takes the next step of the activity.
    #[inline(never)]
    pub(super) fn take_step(&mut self, core: &mut Core) {
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
            Step::Handled { reading, is_drained, is_last, is_garbled } => {
                if is_garbled {
                    server.end(slot, End::Garbled);
                }
                // A short read has drained the socket, and the kernel reports when there is more. But a FIN or a
                // failure that it has reported already is only seen by reading again.
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
            Step::Hello { reading, is_drained } => {
                server.ask_for_name(slot, self.hello.as_deref());
                Step::Choose { reading, is_drained }
            }
            Step::Choose { reading, is_drained } => {
                let name = self.hello.take();
                return match server.choose_name(slot, name.as_deref()) {
                    Some((config, domain)) => self.choose(server, reading, is_drained, (&config, domain)),
                    None => self.set_step(Step::Over),
                };
            }
            Step::Expired => {
                // Output that was written in this turn may have moved the deadline.
                server.settle(slot);
                if !server.table.is_live(slot) {
                    return self.end_activity(core);
                }
                server.handle_expired(slot).map_or(Step::Over, Step::Offered)
            }
            Step::Offered(offered) => {
                server.end_if_stuck(offered);
                Step::Over
            }
            Step::Left => {
                server.note_timeout(slot, Timeout::HalfClosed);
                server.end(slot, End::Silent);
                Step::Over
            }
            Step::Doomed(id) => {
                let _ = server.close(id);
                Step::Over
            }
            Step::Visit => {
                server.visit(slot);
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
        // An event that the step has caused is returned while the activity goes on.
        if matches!(next, Step::Over) && !server.events.has_next() {
            return self.end_activity(core);
        }
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
            // What is not read stays in the kernel's buffer.
            server.table[slot].set_unread(true);
            match (server.table[slot].talk, peer) {
                (Talk::Http { responder: Some(_), .. }, Peer::Failed) => server.end(slot, End::Failed),
                (Talk::WebSocket { .. }, Peer::Failed) => server.end(slot, End::Finished),
                (Talk::Http { .. }, Peer::Finished) => server.note_half_closed(slot, reading.has_read),
                _ => {}
            }
            return;
        }
        let conversation = &server.table[slot];
        if conversation.is_unread() {
            if conversation.awaits_request() && peer != Peer::Failed && server.has_kept(slot) {
                // Requests that were put off precede what is in the socket, even a FIN.
                server.resumed.push(slot);
                return;
            }
            server.table[slot].set_unread(false);
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; RECEIVE_BUFFER];
        }
        let read = server.read(slot, &mut self.buffer);
        self.take_read(server, reading, read);
    }

    fn choose(&mut self, server: &mut Server, reading: Reading, is_drained: bool, chosen: (&TlsConfig, DomainId)) {
        let Some(activity) = &self.activity else { return };
        let read = server.choose(activity.slot, chosen, &mut self.buffer, is_drained);
        self.take_read(server, reading, read);
    }

    fn take_read(&mut self, server: &mut Server, reading: Reading, read: Read) {
        let Some(activity) = &mut self.activity else { return };
        let slot = activity.slot;
        let (length, step) = match read {
            Read::Data { length, is_drained, is_last } => {
                (length, Step::Handled { reading, is_drained, is_last, is_garbled: false })
            }
            Read::Garbled { length, is_drained } => {
                (length, Step::Handled { reading, is_drained, is_last: false, is_garbled: true })
            }
            Read::Hello { name, is_drained } => {
                self.hello = name;
                (0, Step::Hello { reading, is_drained })
            }
            Read::Nothing => return,
            Read::Finished => return server.end(slot, End::Finished),
            Read::Failed => return server.end(slot, End::Failed),
            Read::InvalidPreface { is_drained } => {
                server.refuse_preface(slot);
                (0, Step::Handled { reading, is_drained, is_last: false, is_garbled: false })
            }
        };
        activity.step = step;
        activity.input = Input { is_joined: false, range: 0..length };
        if length > 0
            && server.table[slot].side.is_some()
            && let Some(joined) = server.join(slot, &self.buffer[..length])
        {
            activity.input = Input { is_joined: true, range: 0..joined.len() };
            self.joined = joined;
        }
    }

    /// Passes input to the current protocol of the connection, up to the first event. The protocol may change in the
    /// middle of the input.
    pub(super) fn handle_input<'t>(&'t mut self, server: &mut Server, room: &'t mut RequestRoom<'t>) -> Polled<'t> {
        let Self { activity: Some(activity), buffer, joined, inflated, yields, .. } = self else {
            return Polled::Pending;
        };
        let slot = activity.slot;
        if let Some(routing) = activity.routing.take() {
            let head = routing.head.bytes(buffer, joined);
            return route_on(server, activity, routing, head, room, yields);
        }
        let bytes = activity.input.bytes(buffer, joined);
        let Input { is_joined, range } = &mut activity.input;
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
    pub(super) fn after_writable(peer: Option<Peer>) -> Self {
        peer.map_or(Self::Over, |peer| Self::Read(Reading { peer, left: READ_BUDGET, has_read: false }))
    }
}

/// Routes a request to its next match.
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

fn is_set(yields: &AtomicBool) -> bool {
    yields.load(Ordering::Relaxed)
}

/// Continues after the handler of a request has returned without a response: with the next route if the handler has
/// yielded, and otherwise with an error.
fn route_on<'t>(
    server: &mut Server,
    activity: &mut Activity,
    routing: Routing,
    head: &'t [u8],
    room: &'t mut RequestRoom<'t>,
    yields: &'t AtomicBool,
) -> Polled<'t> {
    let Routing { id, skip, .. } = routing;
    let parsed = Request::parse(head, room, usize::MAX);
    let (request, _) = parsed.expect("it has been parsed before").expect("it was complete");
    if is_set(yields) {
        return route(server, activity, Routing { skip: skip + 1, ..routing }, request, yields);
    }
    server.fail_request(id, request);
    server.deliver_owed(id.slot);
    Polled::Pending
}
