//! A turn: work is done step by step, and the events that result are returned one at a time.
//!
//! An event is handled between two steps, when nothing of the reactor is borrowed. It may borrow the buffers of its
//! [`Turn`], which belongs to the caller. A handler that runs the event loop begins turns of its own.

mod activity;

use std::sync::atomic::AtomicBool;

use milliways_proto::http::RequestRoom;

use self::activity::{Activity, Step};
use crate::core::Core;
use crate::event::Event;
use crate::ids::Slot;
use crate::kernel::Report;
use crate::token::Named;

/// The number of connections that are visited in a turn while their app is being shut down.
const VISIT_BUDGET: usize = 512;

/// The number of commands of other threads that are carried out in a turn.
const COMMAND_BUDGET: usize = 512;

/// One pass of a reactor over its work: events of the kernel, deadlines, output. See
/// [`Reactor::poll`](crate::Reactor::poll).
pub struct Turn {
    stage: Stage,
    /// The kernel may have more events than it has returned.
    may_have_more: bool,
    /// The number of commands that may still be carried out.
    commands: usize,
    /// The number of connections of apps that are being shut down that may still be visited.
    visits: usize,
    /// Whether this turn handles deadlines.
    expires: bool,
    /// [`Event::Connected`] and [`Event::Disconnected`] are to be returned before the turn goes on.
    tells_counted: bool,
    /// The activity under way.
    activity: Option<Activity>,
    /// The buffer that sockets are read into.
    buffer: Vec<u8>,
    /// Bytes that a connection had kept, followed by those that have just been read.
    joined: Vec<u8>,
    /// The server name that the TLS client of the activity has asked for.
    hello: Option<String>,
    /// A decompressed message, while its event is handled.
    inflated: Vec<u8>,
    /// Whether the handler of the current request yields.
    yields: AtomicBool,
    /// The connection of the last event. It is the one to end if handling the event panics.
    last: Option<Slot>,
    bug: Bug,
}

/// The progress of reporting a panic. The events that report the end of the connection, or the panic itself, may cause
/// another panic. That one is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// No panic is being reported.
    None,
    /// The connection has ended, and [`Event::Panicked`] is queued.
    Shown,
    /// [`Event::Panicked`] was the last event.
    Told,
}

/// The stages of a turn, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Events of the kernel.
    Kernel,
    /// Commands of other threads.
    Commands,
    /// Deadlines that have passed.
    Expired,
    /// Half-closed clients that are considered gone.
    Left,
    /// Connections of apps that are being shut down.
    Visits,
    /// Connections that are to be read again.
    Resumed,
    /// WebSockets that are to be closed for exceeding their back pressure limit.
    Doomed,
    /// Publications that are to be delivered, after [`Event::Connected`] and [`Event::Disconnected`].
    Published,
    /// Connections that are to be flushed and settled.
    Touched,
    Done,
}

/// The result of polling a turn.
#[derive(Debug)]
pub enum Polled<'t> {
    /// An event, which is to be handled before the next poll.
    Event(Event<'t>),
    /// No event yet. Poll again.
    Pending,
    /// The turn is over.
    Done,
}

/// The result of [`Turn::advance`].
enum Advance {
    /// Call it again. An event may be queued.
    Again,
    /// Input has to be handled, or a request to be routed.
    Input,
    Done,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Done,
            may_have_more: false,
            commands: 0,
            visits: 0,
            expires: false,
            tells_counted: false,
            activity: None,
            buffer: Vec::new(),
            joined: Vec::new(),
            hello: None,
            inflated: Vec::new(),
            yields: AtomicBool::new(false),
            last: None,
            bug: Bug::None,
        }
    }

    /// Begins with the events that the kernel has returned, and may have more of.
    pub(crate) fn begin(&mut self, expires: bool, may_have_more: bool) {
        self.stage = Stage::Kernel;
        self.may_have_more = may_have_more;
        self.commands = COMMAND_BUDGET;
        self.visits = VISIT_BUDGET;
        self.expires = expires;
        self.tell_counted_before();
    }

    /// Begins without events of the kernel.
    pub(crate) fn begin_pump(&mut self) {
        self.stage = Stage::Commands;
        self.commands = COMMAND_BUDGET;
        self.visits = VISIT_BUDGET;
        self.expires = false;
        self.tell_counted_before();
    }

    /// Has connections that calls have begun or ended between two turns told before anything else of them.
    fn tell_counted_before(&mut self) {
        self.tells_counted = true;
    }

    /// Takes steps until there is an event.
    ///
    /// This runs for each message, and is kept small for that: what runs once for many messages is in functions of its
    /// own.
    pub(crate) fn poll<'t>(&'t mut self, core: &mut Core, room: &'t mut RequestRoom<'t>) -> Polled<'t> {
        self.last = None;
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

    /// Begins the next activity of the current stage, or ends the stage.
    #[inline(never)]
    fn take_stage(&mut self, core: &mut Core) -> Advance {
        let server = &mut core.server;
        let (slot, step) = match self.stage {
            Stage::Kernel => {
                let Some(report) = core.kernel.next() else { return self.end_kernel(core) };
                let Report { named, is_writable, peer } = report;
                let slot = match named {
                    Named::Connection(slot) => slot,
                    Named::Listener(id) => {
                        core.accept(id);
                        self.tells_counted = true;
                        return Advance::Again;
                    }
                    Named::Mailbox => {
                        core.note_commands();
                        return Advance::Again;
                    }
                };
                if !core.busy.is_empty() && core.busy.put_off(slot) {
                    return Advance::Again;
                }
                if !core.server.table.is_live(slot) {
                    return Advance::Again;
                }
                // With every report of something to read, the kernel says that the socket is writable.
                let is_awaited = is_writable && core.server.awaits_writable(slot);
                (slot, if is_awaited { Step::Writable { peer } } else { Step::after_writable(peer) })
            }
            Stage::Commands => {
                if self.commands > 0 && core.carry_out() {
                    self.commands -= 1;
                    self.tells_counted = true;
                    return Advance::Again;
                }
                return self.end_stage(if self.expires { Stage::Expired } else { Stage::Visits });
            }
            Stage::Expired => match server.next_expired() {
                Some(slot) if core.busy.has(slot) => {
                    server.postpone(slot);
                    return Advance::Again;
                }
                Some(slot) => (slot, Step::Expired),
                None => return self.end_stage(Stage::Left),
            },
            Stage::Left => match server.next_left() {
                Some(slot) if core.busy.has(slot) => {
                    server.note_leaving(slot);
                    return Advance::Again;
                }
                Some(slot) => (slot, Step::Left),
                None => {
                    self.stage = Stage::Visits;
                    server.transport.rest_silent();
                    server.note_overdue();
                    core.wake_starved();
                    return Advance::Again;
                }
            },
            Stage::Visits => match if self.visits > 0 { core.next_visit() } else { None } {
                Some(slot) => {
                    self.visits -= 1;
                    (slot, Step::Visit)
                }
                None => return self.end_stage(Stage::Resumed),
            },
            Stage::Resumed => match core.next_resumed() {
                Some(slot) => (slot, Step::Resume),
                None => return self.end_stage(Stage::Doomed),
            },
            Stage::Doomed => {
                let Some(id) = core.next_doomed() else {
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
                core.server.note_memory(self.buffer.capacity());
                return self.end_stage(Stage::Done);
            }
            Stage::Done => return Advance::Done,
        };
        self.begin_activity(core, slot, step);
        self.take_step(core);
        Advance::Again
    }

    fn end_stage(&mut self, next: Stage) -> Advance {
        self.stage = next;
        Advance::Again
    }

    fn end_kernel(&mut self, core: &mut Core) -> Advance {
        // If the thread has been busy for long, a peer may seem silent although its bytes have arrived. So all events
        // of the kernel are handled before any deadline.
        if self.expires && self.may_have_more {
            self.may_have_more = core.kernel.ask().unwrap_or_default();
        } else {
            self.stage = Stage::Commands;
        }
        Advance::Again
    }

    /// Handles a panic: ends the connection in whose event it happened, and that connection's activity, and has the
    /// panic reported.
    pub(crate) fn give_up(&mut self, core: &mut Core, message: String) {
        let slot = self.activity.as_mut().map(Activity::abandon).or(self.last);
        match slot {
            Some(slot) => core.server.give_up(slot),
            None => core.rearm_listeners(),
        }
        self.end_activity(core);
        if self.bug == Bug::None {
            self.bug = Bug::Shown;
            core.server.events.push(Event::Panicked { message });
        }
    }
}
