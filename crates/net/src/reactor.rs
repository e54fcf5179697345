//! The reactor as its driver sees it: turns, deadlines, and the events that calls have caused.
//!
//! The other calls are in [`calls`].

pub(crate) mod calls;

use std::cell::{Cell, RefCell, RefMut};
use std::ffi::c_int;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use milliways_proto::http::RequestRoom;
use milliways_proto::timer::Tick;

use crate::core::Core;
use crate::event::Event;
use crate::ids::{AppId, BehaviorId, Slot};
use crate::kernel::Kernel;
use crate::server::Server;
use crate::server::trap::{Layer, panic_message};
use crate::turn::{Polled, Turn};
use crate::watch::{Fact, Watching};

/// Seconds until accepting is retried after descriptors or memory have run out.
const STARVED_RETRY: Tick = 1;

/// The numbers of open sockets and WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The number of connections, including those that are closing.
    pub connections: usize,
    /// The number of open WebSockets.
    pub websockets: usize,
    /// The number of listening sockets.
    pub listeners: usize,
}

/// The sockets of one thread, with their protocols and timeouts.
///
/// A reactor cannot be sent to another thread:
///
/// ```compile_fail,E0277
/// fn send(_: impl Send) {}
/// send(milliways_net::Reactor::new(std::time::Instant::now()));
/// ```
pub struct Reactor {
    core: RefCell<Core>,
    epoch: Instant,
    /// A turn that is over, kept for its buffers.
    spare: Cell<Option<Box<Turn>>>,
    /// A handler is running the event loop; see [`Reactor::nested`].
    is_nested: Cell<bool>,
    /// It belongs to its thread, whatever its fields would allow.
    _thread: PhantomData<*const ()>,
}

impl Reactor {
    /// Creates a reactor without sockets, at the time `now`. Fails if the system cannot create a poll.
    pub fn new(now: Instant) -> io::Result<Self> {
        let kernel = Kernel::new()?;
        let server = Server::new(Arc::clone(kernel.registry()), now);
        Ok(Self {
            core: RefCell::new(Core::new(kernel, server)),
            epoch: now,
            spare: Cell::default(),
            is_nested: Cell::new(false),
            _thread: PhantomData,
        })
    }

    /// Returns the descriptor that is readable when [`Reactor::turn`] has something to do. It is valid as long as the
    /// reactor. Fails with [`io::ErrorKind::Unsupported`] on a platform without such a descriptor, such as Windows.
    pub fn descriptor(&self) -> io::Result<c_int> {
        self.core().kernel.descriptor()
    }

    /// Begins a turn with the events that the kernel has, without waiting. Call this when [`Reactor::descriptor`] is
    /// readable.
    pub fn turn(&self, now: Instant) -> io::Result<Box<Turn>> {
        self.begin(now, false)
    }

    /// Begins a turn that also handles deadlines that have passed. Call this at [`Reactor::next_deadline`].
    ///
    /// The events of the kernel are handled first: if the thread has been busy for long, a peer may seem silent
    /// although its bytes have arrived.
    pub fn expire(&self, now: Instant) -> io::Result<Box<Turn>> {
        self.begin(now, true)
    }

    /// Begins a turn without waiting for the kernel. It sends what was written outside of events, and continues reading from
    /// connections that are no longer held up. Call this before the thread goes to sleep.
    pub fn pump(&self, now: Instant) -> Box<Turn> {
        // Requests that have arrived are to be answered before the connections of an app that is being shut down close.
        if self.server().has_visits()
            && let Ok(turn) = self.begin(now, false)
        {
            return turn;
        }
        self.tell_time(now);
        let mut turn = self.take_spare();
        turn.begin_pump();
        turn
    }

    fn take_spare(&self) -> Box<Turn> {
        self.spare.take().unwrap_or_else(|| Box::new(Turn::new()))
    }

    fn begin(&self, now: Instant, expires: bool) -> io::Result<Box<Turn>> {
        self.tell_time(now);
        let mut turn = self.take_spare();
        let mut core = self.core();
        if !self.is_nested.get() && core.kernel.is_idle() {
            core.server.table.recycle();
        }
        match core.kernel.ask() {
            Ok(may_have_more) => turn.begin(expires, may_have_more),
            Err(error) => {
                self.spare.set(Some(turn));
                return Err(error);
            }
        }
        Ok(turn)
    }

    /// Returns the next event of a turn. A turn that has begun must be polled until this returns [`Polled::Done`].
    ///
    /// Nothing of the reactor is borrowed while the event is handled, so every method may be called.
    pub fn poll<'t>(&self, turn: &'t mut Turn, room: &'t mut RequestRoom<'t>) -> Polled<'t> {
        turn.poll(&mut self.core(), room)
    }

    /// Polls a turn until it is done, and calls `handle` with each event.
    ///
    /// A panic ends only the connection of the event in which it happened. [`Event::Panicked`] reports it.
    pub fn run(&self, mut turn: Box<Turn>, mut handle: impl FnMut(Event<'_>)) {
        loop {
            let poll_on = || loop {
                match self.poll(&mut turn, &mut RequestRoom::default()) {
                    Polled::Event(event) => handle(event),
                    Polled::Pending => {}
                    Polled::Done => return,
                }
            };
            let Err(panic) = catch_unwind(AssertUnwindSafe(poll_on)) else { break };
            let give_up = AssertUnwindSafe(|| turn.give_up(&mut self.core(), panic_message(&*panic)));
            let _ = catch_unwind(give_up);
        }
        self.spare.set(Some(turn));
    }

    /// Calls `run`, which serves a callback of the event loop while a handler is running that loop, as some addons make
    /// possible. Meanwhile, connections whose events are being handled have to wait, and the slots of connections that
    /// have closed are not reused, because an outer turn may still have events for them.
    pub fn nested<R>(&self, run: impl FnOnce() -> R) -> R {
        let outer = self.is_nested.replace(true);
        let events = self.core().server.events.begin_nested();
        let result = run();
        self.core().server.events.end_nested(events);
        self.is_nested.set(outer);
        result
    }

    /// Sets the time for everything that is done from now on. All functions that take a time do this as well.
    pub fn tell_time(&self, now: Instant) {
        let ticks = now.saturating_duration_since(self.epoch).as_secs();
        self.core().server.set_time(Tick::try_from(ticks).unwrap_or(Tick::MAX / 2), now);
    }

    /// Returns when [`Reactor::expire`] has something to do; `None` if there is no deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = self.core();
        let (tick, instant) = core.server.next_deadline();
        let retry = core.listeners.has_starved().then(|| core.server.clock.tick + STARVED_RETRY);
        let tick = retry.into_iter().chain(tick).min();
        tick.map(|tick| self.epoch + Duration::from_secs(tick.into())).into_iter().chain(instant).min()
    }

    /// Returns whether [`Reactor::pump`] has something to do.
    pub fn has_work(&self) -> bool {
        self.core().has_work()
    }

    /// Returns whether there is a connection, a listening socket or a waiting command, for which the process should go on.
    pub fn is_active(&self) -> bool {
        self.core().is_active()
    }

    /// Returns the numbers of connections, WebSockets and listening sockets.
    pub fn stats(&self) -> Stats {
        let core = self.core();
        Stats {
            connections: core.server.connections(),
            websockets: core.server.websockets(),
            listeners: core.listeners.count(),
        }
    }

    /// Sets the number under which [`process_counts`](crate::process_counts) lists this reactor's thread. It is 0 until
    /// then.
    pub fn set_thread(&self, number: u32) {
        self.server().registration.set_number(number);
    }

    /// Returns the numbers of an app, in the order of [`descriptions`](crate::descriptions). Those that only threads
    /// have are missing.
    pub fn app_counts(&self, app: AppId) -> Vec<u64> {
        self.server().apps.of(app).meter.read()
    }

    /// Counts an exception of a handler of an app, perhaps in an event of a connection.
    pub fn note_handler_error(&self, app: AppId, slot: Option<Slot>) {
        self.server().note_handler_error(app, slot);
    }

    /// Sets what is noted for [`Reactor::take_facts`] from now on. At the beginning, that is nothing.
    pub fn watch(&self, watching: Watching) {
        self.server().registration.watch.set(watching);
    }

    /// Returns whether [`Reactor::take_facts`] returns something.
    pub fn has_facts(&self) -> bool {
        self.server().registration.watch.has_facts()
    }

    /// Takes what has happened since the last call, in that order. Whoever has called [`Reactor::watch`] has to call this
    /// again and again.
    pub fn take_facts(&self) -> Vec<Fact> {
        self.server().registration.watch.take()
    }

    /// Returns the app of a connection. The connection may have ended in this turn.
    pub fn app_of(&self, slot: Slot) -> AppId {
        self.server().app_of(slot)
    }

    /// Returns the app of a behavior.
    pub fn app_of_behavior(&self, behavior: BehaviorId) -> AppId {
        self.server().app_of_behavior(behavior)
    }

    /// Returns the number of waiting events. Call this before a call: the events that the call causes are queued behind
    /// them.
    pub fn mark(&self) -> usize {
        let mut server = self.server();
        server.table.take_named();
        server.events.mark()
    }

    /// Returns whether events have been caused since [`Reactor::mark`] returned `mark`, or have been deferred. Call
    /// this after the call.
    pub fn has_caused(&self, mark: usize) -> bool {
        let mut server = self.server();
        server.table.take_named();
        server.events.has_caused(mark)
    }

    /// Ends the connection that a call was about, because the call has panicked and has left it in an unknown state.
    /// Returns the mark of the events that this causes; see [`Reactor::mark`].
    pub fn give_up_call(&self) -> usize {
        let mut server = self.server();
        let mark = server.events.mark();
        server.give_up_named();
        mark
    }

    /// Makes a layer panic when it is next reached. This is for tests of what a panic ends.
    pub fn provoke(&self, layer: Layer) {
        self.server().trap.set(layer);
    }

    /// Defers the ends among the events that have been caused since [`Reactor::mark`] returned `mark`, until
    /// [`Reactor::run_deferred`]. This is for calls that are too deeply nested to call handlers.
    pub fn defer_ends(&self, mark: usize) {
        self.server().events.defer_ends(mark);
    }

    /// Calls `handle` with each event that has been caused since [`Reactor::mark`] returned `mark`. Call this before
    /// the call that has caused them returns. Otherwise, the next turn returns them.
    ///
    /// A panic ends only the connection of the event in which it happened. [`Event::Panicked`] reports it.
    pub fn run_caused(&self, mark: usize, handle: impl FnMut(Event<'_>)) {
        self.run_each(|| self.server().take_event(Some(mark)), handle);
    }

    /// Calls `handle` with each deferred event. Call this before the outermost call returns.
    pub fn run_deferred(&self, handle: impl FnMut(Event<'_>)) {
        self.run_each(|| self.server().events.take_deferred(), handle);
    }

    fn run_each(&self, next: impl Fn() -> Option<Event<'static>>, mut handle: impl FnMut(Event<'_>)) {
        while let Some(event) = next() {
            let slot = event.id().map(|id| id.slot);
            let is_report = matches!(event, Event::Panicked { .. });
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| handle(event))) else { continue };
            let mut core = self.core();
            if let Some(slot) = slot {
                core.server.give_up(slot);
            }
            // Reporting a failed report could go on without end.
            if !is_report {
                core.server.events.push(Event::Panicked { message: panic_message(&*panic) });
            }
        }
    }

    /// Runs a handler of [`Event::Dropped`]. If the handler sends a message that is dropped as well, no event follows.
    /// If a published message is dropped meanwhile, its event is held back until a turn, this one or the next, delivers
    /// its publications. Otherwise, the handler could cause itself to be called without end.
    pub fn telling_dropped<R>(&self, run: impl FnOnce() -> R) -> R {
        let outer = self.core().server.events.set_telling_dropped(true);
        let result = catch_unwind(AssertUnwindSafe(run));
        self.core().server.events.set_telling_dropped(outer);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn core(&self) -> RefMut<'_, Core> {
        self.core.borrow_mut()
    }

    fn server(&self) -> RefMut<'_, Server> {
        RefMut::map(self.core(), |core| &mut core.server)
    }
}
