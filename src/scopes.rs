//! The scopes that JavaScript runs in for an event, and what it throws.

use crate::environment::Environment;
use crate::error::Error;
use crate::handlers::Callbacks;
use crate::node::{Callback, CallbackScope, Failed, HandleScope, Js, Reference, Value};

/// Which scopes an event is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the turn: microtasks and nextTicks run when all its events have been told.
    Batch,
    /// Its own: they run before the event is over.
    Own,
}

/// Events after which microtasks and nextTicks run: letting them run costs several times as much as calling a function.
const EVENTS_PER_TICK: u32 = 64;

/// Events that are told in one handle scope. What they keep alive until it closes is small.
const EVENTS_PER_SCOPE: u32 = 512;

/// A buffer of at least so many bytes has a handle scope of its own, so that it can be collected when its handler has
/// returned.
const LARGE: usize = 4096;

/// Fields are dropped in this order.
pub(crate) struct Batch {
    /// Microtasks and nextTicks run when it closes. `None` once an async handler had to have them run.
    ticks: Option<CallbackScope>,
    /// How many uncaughtExceptions there had been when it was opened. After one Node has forgotten which resources execute,
    /// the scope's among them, and what a handler enters in an `AsyncLocalStorage` would be everybody's.
    raised: u64,
    handles: HandleScope,
    /// How many have been told.
    events: u32,
}

impl Environment {
    /// Returns the value of JavaScript that has run. What it threw instead is reported once no call from JavaScript is
    /// under way: an uncaughtException whose listeners run deep in the stack may find no room there, which ends the process.
    /// Where it failed with no exception to show for it, JavaScript has ended.
    fn settle<T>(&self, js: Js<'_>, result: Result<T, Failed>) -> Option<T> {
        if let Ok(value) = result {
            return Some(value);
        }
        let is_thrown = js.is_exception_pending() == Ok(true);
        if !is_thrown || self.postpone(js).is_err() {
            self.is_alive.set(false);
        }
        None
    }

    fn postpone(&self, js: Js<'_>) -> Result<(), Failed> {
        // Node-API keeps no references to what is no object, such as a string that was thrown.
        let holder = js.array(&[js.take_exception()?])?;
        self.thrown.borrow_mut().push(Reference::new(js, holder)?);
        Ok(())
    }

    /// Makes what was thrown uncaughtExceptions, in the order in which it was.
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
                    self.is_alive.set(false);
                    return;
                }
            }
        }
    }

    /// Whether something that was thrown is still to be reported.
    pub(crate) fn has_thrown(&self) -> bool {
        !self.thrown.borrow().is_empty()
    }

    /// Reports what was thrown while no event was under way.
    pub(crate) fn report_thrown(&self) {
        self.event(Scope::Batch, |_| Ok(()));
    }

    /// Makes an error of ours an uncaughtException.
    pub(crate) fn report(&self, error: &Error) {
        self.event(Scope::Batch, |js| js.throw(error.to_value(js)?).and(Err::<(), _>(Failed)));
    }

    /// Runs a piece of JavaScript for an event; `None` when it threw or could not run.
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
        let Some(batch) = self.shared_batch() else { return self.has_died() };
        // SAFETY: on the environment's thread; the batch's handle scope is not closed before this event is over.
        let js = unsafe { Js::from_raw(self.env) };
        self.batch.set(Some(batch));
        let result = self.settle(js, run(js));
        self.raise_thrown(js);
        if scope == Scope::Own {
            self.run_ticks();
        }
        result
    }

    /// Runs a piece of JavaScript that is handed so many bytes, in the scope of `js` or, where that would keep much
    /// memory from being collected, in one of its own.
    pub(crate) fn with_bytes(
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

    /// The function that an event is told to, if there is one.
    pub(crate) fn function<'s>(
        &self,
        js: Js<'s>,
        which: impl FnOnce(&Callbacks) -> Option<&Callback>,
    ) -> Result<Option<Value<'s>>, Failed> {
        let callbacks = self.callbacks.borrow();
        let Some(callback) = which(&callbacks) else { return Ok(None) };
        if self.is_in_call() {
            return callback.function(js).map(Some);
        }
        // SAFETY: events that come from no call have the batch's handle scope, and open none of their own in it.
        unsafe { callback.function_in(js, self.batch_number.get()) }.map(Some)
    }

    /// The batch that is open, with its scopes, or a new one.
    fn shared_batch(&self) -> Option<Batch> {
        let mut batch = self.batch.take();
        if let Some(told) = &mut batch
            && (told.events.is_multiple_of(EVENTS_PER_TICK) || told.raised != self.raised.get())
        {
            drop(told.ticks.take());
            if told.events == EVENTS_PER_SCOPE {
                drop(batch.take());
            }
            // What ran then may have ended the environment.
            if !self.is_alive() {
                return None;
            }
        }
        let mut batch = if let Some(batch) = batch {
            batch
        } else {
            let number = self.batches.get() + 1;
            self.batches.set(number);
            self.batch_number.set(number);
            // SAFETY: on the environment's thread, which is alive; closed after all that is opened inside.
            Batch { ticks: None, raised: 0, handles: unsafe { HandleScope::open(self.env) }.ok()?, events: 0 }
        };
        if batch.ticks.is_none() {
            batch.ticks = Some(self.async_context.open(batch.handles.js()).ok()?);
            batch.raised = self.raised.get();
        }
        batch.events += 1;
        Some(batch)
    }

    /// Runs microtasks and nextTicks, and closes the scopes that events shared.
    pub(crate) fn end_batch(&self) {
        // Out of its place: what runs then comes by calls, not by events.
        drop(self.batch.take());
    }

    /// Runs microtasks and nextTicks in the middle of an event, unless JavaScript that is under way will see to them.
    pub(crate) fn run_ticks(&self) {
        if self.is_in_call() {
            return;
        }
        if let Some(mut batch) = self.batch.take() {
            drop(batch.ticks.take());
            self.batch.set(Some(batch));
        }
    }

    fn is_in_call(&self) -> bool {
        self.calls.get() > 0
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.is_alive.get()
    }

    fn has_died<T>(&self) -> Option<T> {
        self.is_alive.set(false);
        None
    }
}
