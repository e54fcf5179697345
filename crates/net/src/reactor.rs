//! The reactor: what its driver calls, and how what it holds is reached.
//!
//! What may be asked of it is in [`calls`].

pub(crate) mod calls;

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::ffi::c_int;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use milliways_proto::http::RequestRoom;
use milliways_proto::timer::Tick;
use mio::Poll;

use crate::core::Core;
use crate::event::Event;
use crate::server::Server;
use crate::transport::sys;
use crate::turn::{Polled, Turn};

/// Seconds after which accepting is tried again while there are no descriptors to be had.
const STARVED_RETRY: Tick = 1;

/// How much there is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Sockets of connections, those included that are only closing.
    pub connections: usize,
    /// Open WebSockets.
    pub websockets: usize,
    /// Listening sockets.
    pub listeners: usize,
}

/// Sockets, protocols and timeouts of one thread.
pub struct Reactor {
    core: RefCell<Core>,
    epoch: Instant,
    /// A turn that is not under way, for its buffers.
    spare: Cell<Option<Box<Turn>>>,
    /// A handler is running the loop, see [`Reactor::nested`].
    is_nested: Cell<bool>,
}

impl Reactor {
    /// A reactor without sockets; `now` is the time of its creation.
    pub fn new(now: Instant) -> io::Result<Self> {
        let poll = Poll::new()?;
        let server = Server::new(poll.registry().try_clone()?, now);
        Ok(Self {
            core: RefCell::new(Core::new(poll, server)),
            epoch: now,
            spare: Cell::default(),
            is_nested: Cell::new(false),
        })
    }

    /// Returns the descriptor that is readable when [`Reactor::turn`] has something to do. It is valid as long as the reactor.
    /// The error is [`io::ErrorKind::Unsupported`] on a platform without such a descriptor, as is Windows.
    pub fn descriptor(&self) -> io::Result<c_int> {
        sys::descriptor(&self.core().poll)
    }

    /// Begins a turn with what the kernel has to tell, without waiting. To be called when the poll's descriptor is readable.
    pub fn turn(&self, now: Instant) -> io::Result<Box<Turn>> {
        self.begin(now, false)
    }

    /// Begins a turn with the deadlines that have passed. To be called at [`Reactor::next_deadline`].
    ///
    /// What has arrived is handled first: if the thread was busy for long, a peer may look silent that is not.
    pub fn expire(&self, now: Instant) -> io::Result<Box<Turn>> {
        self.begin(now, true)
    }

    /// Begins a turn that sends what was written outside of events, and goes on reading where a response has been completed. To
    /// be called before the thread goes to sleep.
    pub fn pump(&self, now: Instant) -> Box<Turn> {
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
        if !self.is_nested.get() {
            core.server.table.recycle();
        }
        if let Err(error) = core.ask_kernel(&mut turn.events) {
            self.spare.set(Some(turn));
            return Err(error);
        }
        turn.begin(expires);
        Ok(turn)
    }

    /// Takes the next event of a turn. A turn that has begun has to be polled until it returns [`Polled::Done`].
    ///
    /// Nothing of the reactor is borrowed while the event is handled, so that every method may be called.
    pub fn poll<'t>(&self, turn: &'t mut Turn, room: &'t mut RequestRoom<'t>) -> Polled<'t> {
        turn.poll(&mut self.core(), room)
    }

    /// Polls a turn to its end, and calls `handle` with each event.
    ///
    /// A panic is kept from everybody but the connection in whose event it happened.
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

    /// Runs what the reactor is called for while a handler is running: some addons make it possible for one to run the
    /// thread's event loop. Connections whose events are under way wait until that is over, and slots of those that have
    /// gone are not used again, because somebody further out may still tell of them.
    pub fn nested<R>(&self, run: impl FnOnce() -> R) -> R {
        let outer = self.is_nested.replace(true);
        let events = self.core().server.events.begin_nested();
        let result = run();
        self.core().server.events.end_nested(events);
        self.is_nested.set(outer);
        result
    }

    /// Notes the time for everything that is done with connections from now on, as all functions that take a time do.
    pub fn tell_time(&self, now: Instant) {
        let ticks = now.saturating_duration_since(self.epoch).as_secs();
        self.core().server.set_time(Tick::try_from(ticks).unwrap_or(Tick::MAX / 2), now);
    }

    /// When [`Reactor::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = self.core();
        let (tick, instant) = core.server.next_deadline();
        let retry = core.listeners.has_starved().then(|| core.server.clock.tick + STARVED_RETRY);
        let tick = retry.into_iter().chain(tick).min();
        tick.map(|tick| self.epoch + Duration::from_secs(tick.into())).into_iter().chain(instant).min()
    }

    /// Whether [`Reactor::pump`] has something to do.
    pub fn has_work(&self) -> bool {
        self.core().server.has_work()
    }

    /// Whether there is anything for the sake of which a process should go on.
    pub fn is_active(&self) -> bool {
        let core = self.core();
        core.server.table.len() > 0 || core.listeners.count() > 0
    }

    /// How much there is.
    pub fn stats(&self) -> Stats {
        let core = self.core();
        Stats {
            connections: core.server.connections(),
            websockets: core.server.websockets(),
            listeners: core.listeners.count(),
        }
    }

    /// How many events wait: those that a call causes come behind them. To be asked before the call.
    pub fn mark(&self) -> usize {
        self.core().server.events.mark()
    }

    /// Whether events have been caused since [`Reactor::mark`], or have been deferred.
    pub fn has_caused(&self, mark: usize) -> bool {
        self.server().events.has_caused(mark)
    }

    /// Has the ends among the events that have been caused since [`Reactor::mark`] wait for [`Reactor::run_deferred`]: for
    /// calls that are too deep in others.
    pub fn defer_ends(&self, mark: usize) {
        self.server().events.defer_ends(mark);
    }

    /// Calls `handle` with each event that has been caused since [`Reactor::mark`]. What calls cause is to be handled before
    /// they return, or else it is by the next turn.
    ///
    /// A panic is kept from everybody but the connection in whose event it happened.
    pub fn run_caused(&self, mark: usize, handle: impl FnMut(Event<'_>)) {
        self.run_each(|| self.server().take_event(Some(mark)), handle);
    }

    /// The same with the events that have been deferred: for the outermost call.
    pub fn run_deferred(&self, handle: impl FnMut(Event<'_>)) {
        self.run_each(|| self.server().events.take_deferred(), handle);
    }

    fn run_each(&self, next: impl Fn() -> Option<Event<'static>>, mut handle: impl FnMut(Event<'_>)) {
        while let Some(event) = next() {
            let slot = event.id().map(|id| id.slot);
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| handle(event))) else { continue };
            let mut core = self.core();
            if let Some(slot) = slot {
                core.server.give_up(slot);
            }
            core.server.events.push(Event::Panicked { message: panic_message(&*panic) });
        }
    }

    /// Runs a handler of [`Event::Dropped`]. A message that it sends in turn and that is dropped makes no event, and one that
    /// it publishes makes one in the next turn: it would do the same again, without end.
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

/// What a panic says.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
