//! Where libuv meets the reactor: its descriptor, its deadlines, and the moment before the loop goes to sleep.

use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Instant;

use crate::environment::Environment;
use crate::error::Error;
use crate::restored::Restored;
use crate::uv::{Handles, Loop, UvError, Watcher};

/// How often what is written meanwhile is sent before the loop goes on: handlers that make each other write for ever must
/// not keep it from everything else.
const MAX_PUMPS: usize = 16;

impl Environment {
    /// Puts the environment's reactor into the loop.
    ///
    /// # Safety
    ///
    /// `uv_loop` is this thread's. The environment is valid until its handles are closed.
    pub(crate) unsafe fn start(environment: NonNull<Self>, uv_loop: NonNull<Loop>) -> Result<(), UvError> {
        // SAFETY: the caller's promise.
        let this = unsafe { environment.as_ref() };
        // SAFETY: the caller's promise.
        let handles = unsafe { Handles::new(uv_loop, this.reactor.as_raw_fd(), environment) }?;
        // Closed at the end of the environment, also if they cannot start.
        let started = handles.start::<Self>();
        this.handles.replace(Some(handles));
        started
    }

    /// Lets the loop end when nothing listens and nobody is connected, and go on otherwise.
    pub(crate) fn update_liveness(&self) {
        if let Some(handles) = &*self.handles.borrow() {
            handles.keep_alive(self.reactor.is_active() || self.has_thrown());
        }
    }

    /// Sets the timer to the reactor's next deadline.
    fn update_timer(&self) {
        // What is left goes on in the next turn of the loop.
        let deadline = if self.reactor.has_work() { Some(Instant::now()) } else { self.reactor.next_deadline() };
        if self.armed.replace(deadline) == deadline {
            return;
        }
        if let Some(handles) = &*self.handles.borrow() {
            match deadline {
                Some(deadline) => handles.set_timer::<Self>(deadline.saturating_duration_since(Instant::now())),
                None => handles.stop_timer(),
            }
        }
    }

    fn check(&self, polled: io::Result<()>) {
        if let Err(error) = polled {
            self.report(&Error::Internal(format!("polling failed: {error}")));
        }
    }

    /// Runs what a callback of the loop is for. Such a callback comes between calls from JavaScript, unless another
    /// addon runs the loop inside one: then the scopes that are open stay so, below those of this callback.
    fn run(&self, what: impl FnOnce()) {
        let is_nested = self.is_running.get() || self.calls.get() > 0;
        let batch = self.batch.take();
        let _outer = (
            Restored::replace(&self.is_running, true),
            Restored::replace(&self.calls, 0),
            Restored::replace(&self.batch_number, 0),
            Restored::replace(&self.is_telling_dropped, false),
        );
        let run = || catch_unwind(AssertUnwindSafe(what));
        if let Err(panic) = if is_nested { self.reactor.nested(run) } else { run() } {
            self.report(&Error::internal(&*panic));
        }
        self.end_batch();
        self.batch.set(batch);
    }
}

impl Watcher for Environment {
    fn on_readable(&self) {
        self.run(|| self.check(self.reactor.turn(Instant::now(), self)));
    }

    fn on_prepare(&self) {
        // What runs when a batch ends, and the handlers of what is dropped, may write again, mostly closer to an end.
        for _ in 0..MAX_PUMPS {
            if !self.reactor.has_work() && !self.has_thrown() {
                break;
            }
            self.run(|| {
                self.report_thrown();
                self.reactor.pump(Instant::now(), self);
            });
        }
        if self.has_quiet() && !self.is_running.get() && self.calls.get() == 0 {
            self.run(|| self.sweep());
        }
        self.update_liveness();
        self.update_timer();
    }

    fn on_check(&self) {
        // The functions that the loop calls next may use connections, and note when they did.
        self.reactor.tell_time(Instant::now());
    }

    fn on_timeout(&self) {
        self.armed.set(None);
        self.run(|| self.check(self.reactor.expire(Instant::now(), self)));
    }
}
