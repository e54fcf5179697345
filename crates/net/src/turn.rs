//! A turn: what is to be done is done in steps, and what comes of it is returned one event at a time.
//!
//! Whoever handles an event does so between two steps, when nothing of the reactor is borrowed. An event may borrow the
//! buffers of its [`Turn`], which belongs to the caller. A handler that runs the loop makes turns of its own.

mod activity;

use std::sync::atomic::AtomicBool;

use milliways_proto::http::RequestRoom;
use mio::Events;

use self::activity::{Activity, Step};
use crate::core::Core;
use crate::event::Event;
use crate::ids::Slot;
use crate::token::Named;

/// Events taken from the kernel at once. What is left is taken in the next turn, after whatever else the thread does.
const EVENTS: usize = 1024;

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
    /// What has been published, when those that have come or gone have been told.
    Published,
    /// What has been written.
    Touched,
    Done,
}

/// What the kernel says of a socket.
#[derive(Clone, Copy, Debug)]
struct Told {
    named: Named,
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
        Self { named: Named::by(event.token()), is_writable: event.is_writable(), peer: is_readable.then_some(peer) }
    }
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
    ///
    /// This runs for each message. What runs once for many of them is in functions of its own, so that this one stays small.
    pub(crate) fn poll<'t>(&'t mut self, core: &mut Core, room: &'t mut RequestRoom<'t>) -> Polled<'t> {
        if self.bug == Bug::Told {
            self.bug = Bug::None;
        }
        if !self.inflated.is_empty() {
            core.server.recycle(std::mem::take(&mut self.inflated));
        }
        loop {
            if (core.server.events.has_next() || self.tells_counted)
                && let Some(event) = self.next_queued(core)
            {
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

    #[inline(never)]
    fn next_queued(&mut self, core: &mut Core) -> Option<Event<'static>> {
        if let Some(event) = core.server.take_event(None) {
            if matches!(event, Event::Panicked { .. }) {
                self.bug = Bug::Told;
            }
            return Some(event);
        }
        if self.tells_counted {
            let event = core.server.events.take_counted();
            self.tells_counted = event.is_some();
            return event;
        }
        None
    }

    fn advance(&mut self, core: &mut Core) -> Advance {
        let Some(activity) = &mut self.activity else { return self.take_stage(core) };
        if activity.end_routing(&mut core.server, &self.yields) {
            return Advance::Again;
        }
        if activity.has_input() {
            return Advance::Input;
        }
        self.take_step(core);
        Advance::Again
    }

    /// Finds what is to be done next.
    #[inline(never)]
    fn take_stage(&mut self, core: &mut Core) -> Advance {
        let server = &mut core.server;
        let (slot, step) = match self.stage {
            Stage::Kernel => {
                let Some(told) = self.told.get(self.handled).copied() else { return self.end_kernel(core) };
                self.handled += 1;
                let Told { named, is_writable, peer } = told;
                let slot = match named {
                    Named::Connection(slot) => slot,
                    Named::Listener(id) => {
                        core.accept(id);
                        self.tells_counted = true;
                        return Advance::Again;
                    }
                    Named::Mailbox => {
                        core.carry_out();
                        self.tells_counted = true;
                        return Advance::Again;
                    }
                };
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
                    return self.end_stage(Stage::Published);
                };
                (id.slot, Step::Doomed(id))
            }
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

    /// A bug of ours: ends the connection in whose event it has shown, and that event, and has it told.
    pub(crate) fn give_up(&mut self, core: &mut Core, message: String) {
        let slot = self.activity.as_mut().map(Activity::abandon).or(self.last);
        if let Some(slot) = slot {
            core.server.give_up(slot);
        }
        self.end_activity(core);
        if self.bug == Bug::None {
            self.bug = Bug::Shown;
            core.server.events.push(Event::Panicked { message });
        }
    }
}
