//! Where libuv meets the reactor: the callbacks for its descriptor, its deadlines, and the moments before and after the
//! loop waits.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Instant;

use milliways_net::{Event, Turn};

use crate::environment::Environment;
use crate::error::Error;
use crate::node::Exception;
use crate::trap::Layer;
use crate::uv::{Handles, Loop, Watcher};

/// The maximum number of pumps in a row. Handlers that make each other write without end must not keep the loop from
/// everything else.
const MAX_PUMPS: usize = 16;

impl Environment {
    /// Has the loop watch the environment's reactor. Returns a message if that fails.
    ///
    /// # Safety
    ///
    /// `uv_loop` is this thread's. The environment is valid until its handles are closed.
    pub(crate) unsafe fn start(environment: NonNull<Self>, uv_loop: NonNull<Loop>) -> Result<(), String> {
        // SAFETY: the caller's promise.
        let this = unsafe { environment.as_ref() };
        let descriptor =
            this.reactor.descriptor().map_err(|error| format!("no loop can watch a reactor here: {error}"))?;
        // SAFETY: the caller's promise.
        let handles = unsafe { Handles::new(uv_loop, descriptor, environment) }.map_err(|error| error.to_string())?;
        // Closed at the end of the environment, even if they fail to start.
        let started = handles.start::<Self>();
        this.handles.replace(Some(handles));
        started.map_err(|error| error.to_string())
    }

    /// Keeps the loop running while there is a listening socket, a connection, an exception to report, or something to tell
    /// the observer, and otherwise lets it end.
    pub(crate) fn update_liveness(&self) {
        if let Some(handles) = &*self.handles.borrow() {
            let has_news = self.scopes.has_thrown() || self.reactor.has_facts();
            handles.keep_alive(self.reactor.is_active() || has_news);
        }
    }

    /// Sets the timer to the reactor's next deadline, or stops it.
    fn update_timer(&self) {
        // Work that is left is done in the next iteration of the loop.
        let deadline = if self.has_work() || self.reactor.has_facts() {
            Some(Instant::now())
        } else {
            self.reactor.next_deadline()
        };
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

    /// Returns whether the reactor has something to do. If a handler is running the loop, events of outer turns and
    /// calls do not count.
    fn has_work(&self) -> bool {
        let has_work = || self.reactor.has_work();
        if self.scopes.is_busy() { self.reactor.nested(has_work) } else { has_work() }
    }

    /// Handles the events of a turn.
    fn take(&self, turn: Box<Turn>) {
        self.reactor.run(turn, |event| {
            self.trap.pass(Layer::Event);
            match event {
                // The events that arrive by the million take a short path.
                Event::Message { behavior, id, payload, binary } => self.tell_message(behavior, id, payload, binary),
                _ => self.handle(event),
            }
        });
    }

    /// Serves a callback of the loop. If another addon is running the loop inside of a handler, the reactor is in the
    /// middle of an event.
    fn serve(&self, serve: impl FnOnce()) {
        let is_nested = self.scopes.is_busy();
        self.scopes.serve(|| {
            let run = || {
                catch_unwind(AssertUnwindSafe(|| {
                    self.trap.pass(Layer::Loop);
                    serve();
                }))
            };
            if let Err(panic) = if is_nested { self.reactor.nested(run) } else { run() } {
                self.report(&Error::from_panic(&*panic));
            }
        });
    }
}

impl Watcher for Environment {
    fn on_readable(&self) {
        self.serve(|| self.check(self.reactor.turn(Instant::now()).map(|turn| self.take(turn))));
    }

    fn on_prepare(&self) {
        // JavaScript that runs at the end of a batch, and handlers of dropped messages, may write again, usually less.
        for _ in 0..MAX_PUMPS {
            if !self.has_work() && !self.scopes.has_thrown() && !self.reactor.has_facts() {
                break;
            }
            self.serve(|| {
                self.scopes.report_thrown();
                self.take(self.reactor.pump(Instant::now()));
                self.tell_facts();
            });
        }
        if self.has_quiet() && !self.scopes.is_busy() {
            self.serve(|| self.sweep());
        }
        self.update_liveness();
        self.update_timer();
    }

    fn on_check(&self) {
        // The callbacks that the loop calls next may use connections, which note the time of their last activity.
        self.reactor.tell_time(Instant::now());
    }

    fn on_timeout(&self) {
        self.armed.set(None);
        self.serve(|| self.check(self.reactor.expire(Instant::now()).map(|turn| self.take(turn))));
    }
}
