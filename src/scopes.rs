//! The scopes in which handlers run, and the exceptions that they throw.
//!
//! This knows neither the reactor nor the classes. docs/ARCHITECTURE.md explains why events share scopes.

use std::cell::{Cell, RefCell};

use crate::node::{AsyncContext, Callback, CallbackScope, Env, Failed, HandleScope, Js, Reference, Value};
use crate::restored::Restored;

/// The number of nested calls from which on no further handler is called. A call is nested if it is made by a handler
/// that another call has caused to be called. Each level takes some 3 KB of the stack, of which V8 has 984 KB, and
/// running out of stack is worse for a program than an error of ours.
pub(crate) const MAX_CALLS: u32 = 100;

/// The number of events after which microtasks and nextTicks run. Running them costs several times as much as calling a
/// function.
const EVENTS_PER_TICK: u32 = 64;

/// The number of events that share a handle scope. The values that they keep alive until it closes are small.
const EVENTS_PER_SCOPE: u32 = 512;

/// The size in bytes from which on a buffer gets a handle scope of its own, so that it can be collected as soon as its
/// handler has returned.
const LARGE: usize = 4096;

/// The scopes that an event runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Scopes that it shares with other events: microtasks and nextTicks run after all of them.
    Batch,
    /// A callback scope of its own: microtasks and nextTicks run before the event is over.
    Own,
}

/// The state of the JavaScript that runs in one Node environment.
pub(crate) struct Scopes {
    env: Env,
    async_context: AsyncContext,
    /// The scopes that events share, while they are open: at most during one callback of the loop.
    batch: RefCell<Option<Batch>>,
    /// The number of batches that have been opened.
    batches: Cell<u64>,
    /// The number of the open batch. A nested event loop, which opens one inside another, restores the outer one's.
    batch_number: Cell<u64>,
    /// Whether a callback of the loop is being served.
    is_serving: Cell<bool>,
    /// The number of calls from JavaScript that are under way. Inside of one, scopes are open and events are plain
    /// calls.
    calls: Cell<u32>,
    /// Cleared at the first sign that the environment no longer runs JavaScript. No function is called after that.
    is_alive: Cell<bool>,
    /// Exceptions of handlers that ran inside of calls from JavaScript. They are reported once those calls have
    /// returned.
    thrown: RefCell<Vec<Reference>>,
    /// The number of times that `thrown` has been reported.
    raised: Cell<u64>,
}

/// Fields are dropped in this order.
struct Batch {
    /// Microtasks and nextTicks run when this closes. `None` after an asynchronous handler has made them run.
    ticks: Option<CallbackScope>,
    /// [`Scopes::raised`] when `ticks` was opened. An uncaughtException makes Node forget which resources are
    /// executing, including that of the scope. If a handler then enters a store of an `AsyncLocalStorage`, that would
    /// affect the whole thread.
    raised: u64,
    /// Dropped after `ticks`.
    _handles: HandleScope,
    /// The number of events that have run in this batch.
    events: u32,
}

impl Scopes {
    pub(crate) fn new(env: Env, async_context: AsyncContext) -> Self {
        Self {
            env,
            async_context,
            batch: RefCell::default(),
            batches: Cell::default(),
            batch_number: Cell::default(),
            is_serving: Cell::default(),
            calls: Cell::default(),
            is_alive: Cell::new(true),
            thrown: RefCell::default(),
            raised: Cell::default(),
        }
    }

    /// Runs a piece of JavaScript for an event; returns `None` if it threw or could not run.
    pub(crate) fn event<T>(&self, scope: Scope, run: impl for<'s> FnOnce(Js<'s>) -> Result<T, Failed>) -> Option<T> {
        if !self.is_alive.get() {
            return None;
        }
        if self.is_in_call() {
            // SAFETY: on the environment's thread, which is alive; closed before anything opened earlier.
            let Ok(handles) = (unsafe { HandleScope::open(self.env) }) else { return self.has_died() };
            return self.settle(handles.js(), run(handles.js()));
        }
        if scope == Scope::Own {
            self.run_ticks();
        }
        if !self.is_batch_open() && self.open_batch().is_none() {
            return self.has_died();
        }
        // SAFETY: on the environment's thread; the batch's handle scope is not closed before this event is over.
        let js = unsafe { self.env.js() };
        let result = self.settle(js, run(js));
        self.raise_thrown(js);
        if scope == Scope::Own {
            self.run_ticks();
        }
        result
    }

    /// Runs the part of an event that makes a buffer of `length` bytes and passes it to a handler: in the handle scope
    /// of `js` or, if that would keep much memory from being collected, in one of its own.
    pub(crate) fn with_buffer(
        &self,
        js: Js<'_>,
        length: usize,
        run: impl for<'s> FnOnce(Js<'s>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        if length < LARGE {
            return run(js);
        }
        // SAFETY: on the environment's thread, which is alive, as `js` says; closed before anything opened earlier.
        let handles = unsafe { HandleScope::open(self.env) }?;
        run(handles.js())
    }

    /// Returns the function of a callback, for the event under way, whose scope `js` is.
    pub(crate) fn function<'s>(&self, js: Js<'s>, callback: &Callback) -> Result<Value<'s>, Failed> {
        if self.is_in_call() {
            return callback.function(js);
        }
        // SAFETY: events outside of calls run in the batch's handle scope, and open none of their own before they ask.
        unsafe { callback.function_in(js, self.batch_number.get()) }
    }

    /// Runs microtasks and nextTicks in the middle of an event. Inside of a call from JavaScript, does nothing: they
    /// run when the outermost scope closes.
    pub(crate) fn run_ticks(&self) {
        if self.is_in_call() {
            return;
        }
        // JavaScript runs when the scope closes, with nothing borrowed.
        let ticks = self.batch.borrow_mut().as_mut().and_then(|batch| batch.ticks.take());
        drop(ticks);
    }

    /// Serves a callback of the loop. Events inside of `serve` share scopes, which are closed at its end.
    ///
    /// Usually no JavaScript is running then. But if another addon runs the loop inside of a handler, the scopes that
    /// are open stay open, below those of this callback.
    pub(crate) fn serve(&self, serve: impl FnOnce()) {
        let batch = self.batch.take();
        let _outer = (
            Restored::replace(&self.is_serving, true),
            Restored::replace(&self.calls, 0),
            Restored::replace(&self.batch_number, 0),
        );
        serve();
        // Taken out before it is dropped: JavaScript that runs then enters by calls, not by events.
        drop(self.batch.take());
        self.batch.replace(batch);
    }

    /// Counts a call from JavaScript as under way while `body` runs.
    pub(crate) fn call<R>(&self, body: impl FnOnce() -> R) -> R {
        let _outer = Restored::replace(&self.calls, self.calls.get() + 1);
        body()
    }

    /// Returns whether exactly one call is under way.
    pub(crate) fn is_in_outermost_call(&self) -> bool {
        self.calls.get() == 1
    }

    /// Returns whether calls are nested so deeply that no further handler may be called.
    pub(crate) fn is_deep(&self) -> bool {
        self.calls.get() >= MAX_CALLS
    }

    /// Returns whether a callback of the loop or a call from JavaScript is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_serving.get() || self.is_in_call()
    }

    /// Returns whether there are exceptions to report.
    pub(crate) fn has_thrown(&self) -> bool {
        !self.thrown.borrow().is_empty()
    }

    /// Reports exceptions that were thrown while no event was under way.
    pub(crate) fn report_thrown(&self) {
        self.event(Scope::Batch, |_| Ok(()));
    }

    /// Returns whether the environment still runs JavaScript, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_alive.get()
    }

    /// Notes that the environment runs no more JavaScript.
    pub(crate) fn end(&self) {
        self.is_alive.set(false);
    }

    fn is_in_call(&self) -> bool {
        self.calls.get() > 0
    }

    fn has_died<T>(&self) -> Option<T> {
        self.end();
        None
    }

    /// Returns the value of JavaScript that has run; `None` if it has failed. An exception is reported once no call
    /// from JavaScript is under way: a listener of uncaughtException deep in the stack may run out of stack, which ends
    /// the process. A failure without an exception means that the environment runs no more JavaScript.
    fn settle<T>(&self, js: Js<'_>, result: Result<T, Failed>) -> Option<T> {
        if let Ok(value) = result {
            return Some(value);
        }
        let is_thrown = js.is_exception_pending() == Ok(true);
        if !is_thrown || self.postpone(js).is_err() {
            self.end();
        }
        None
    }

    fn postpone(&self, js: Js<'_>) -> Result<(), Failed> {
        // It is kept in an array, because Node-API creates no references to primitive values, such as a string that was
        // thrown.
        let holder = js.array(&[js.take_exception()?])?;
        self.thrown.borrow_mut().push(Reference::new(js, holder)?);
        Ok(())
    }

    /// Reports exceptions as uncaughtExceptions, in the order in which they were thrown.
    fn raise_thrown(&self, js: Js<'_>) {
        loop {
            let thrown = std::mem::take(&mut *self.thrown.borrow_mut());
            if thrown.is_empty() {
                return;
            }
            self.raised.set(self.raised.get() + 1);
            for holder in thrown {
                let raised =
                    holder.value(js).and_then(|holder| js.element(holder, 0)).and_then(|it| js.raise_uncaught(it));
                if raised.is_err() {
                    return self.end();
                }
            }
        }
    }

    /// Counts one more event in the open batch, if there is one that the event can share as it is. Returns whether
    /// there is.
    #[inline]
    fn is_batch_open(&self) -> bool {
        let mut batch = self.batch.borrow_mut();
        let shared = batch.as_mut().filter(|batch| {
            batch.ticks.is_some() && !batch.events.is_multiple_of(EVENTS_PER_TICK) && batch.raised == self.raised.get()
        });
        shared.map(|batch| batch.events += 1).is_some()
    }

    /// Opens a batch, or what is missing from the open one, and counts one more event in it. Returns `None` if that
    /// fails.
    #[inline(never)]
    fn open_batch(&self) -> Option<()> {
        let (ended, is_full) = {
            let mut batch = self.batch.borrow_mut();
            let ended = batch
                .as_mut()
                .filter(|batch| batch.events.is_multiple_of(EVENTS_PER_TICK) || batch.raised != self.raised.get());
            ended.map_or((None, false), |batch| (batch.ticks.take(), batch.events == EVENTS_PER_SCOPE))
        };
        // JavaScript runs when these close, with nothing borrowed. It may end the environment.
        drop(ended);
        if is_full {
            drop(self.batch.take());
        }
        if !self.is_alive.get() {
            return None;
        }
        if self.batch.borrow().is_none() {
            let batch = self.new_batch()?;
            self.batch.replace(Some(batch));
        }
        let needs_ticks = self.batch.borrow().as_ref().is_some_and(|batch| batch.ticks.is_none());
        let ticks = if needs_ticks {
            // SAFETY: on the environment's thread, which is alive; the batch's handle scope is open.
            let js = unsafe { self.env.js() };
            Some(self.async_context.open(js).ok()?)
        } else {
            None
        };
        let mut batch = self.batch.borrow_mut();
        let batch = batch.as_mut()?;
        if ticks.is_some() {
            batch.ticks = ticks;
            batch.raised = self.raised.get();
        }
        batch.events += 1;
        Some(())
    }

    fn new_batch(&self) -> Option<Batch> {
        let number = self.batches.get() + 1;
        self.batches.set(number);
        self.batch_number.set(number);
        // SAFETY: on the environment's thread, which is alive; closed after all that is opened inside.
        let handles = unsafe { HandleScope::open(self.env) }.ok()?;
        Some(Batch { ticks: None, raised: 0, _handles: handles, events: 0 })
    }
}
