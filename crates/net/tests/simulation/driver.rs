//! What drives the reactor: the iterations of an event loop, and the time that passes between them.

use std::time::Duration;

use milliways_net::Turn;

use crate::world::{World, ensure};

/// The number of pumps in a row, as in the addon's driver.
const MAX_PUMPS: usize = 16;

/// The number of deadlines after which time does not seem to pass at all.
const MAX_DEADLINES: usize = 2_000;

impl World {
    /// Runs one iteration of the loop: what is to be done before it waits, events, and deadlines.
    pub(crate) fn iterate(&self) {
        self.prepare();
        // The timer was set before the loop waited.
        let is_due = self.reactor.next_deadline().is_some_and(|deadline| deadline <= self.instant());
        self.wake(is_due);
    }

    /// Runs what follows when the loop has waited: events, and deadlines if the timer is due.
    fn wake(&self, is_due: bool) {
        self.reactor.tell_time(self.instant());
        if self.network.has_events() {
            self.turn();
        }
        if is_due {
            self.expire();
        }
    }

    /// Sends what handlers have written, and continues what they have resumed.
    pub(crate) fn prepare(&self) {
        for _ in 0..MAX_PUMPS {
            if !self.reactor.has_work() {
                break;
            }
            self.log(|| "pump".to_owned());
            let turn = self.reactor.pump(self.instant());
            self.run(turn);
        }
    }

    pub(crate) fn turn(&self) {
        self.log(|| "turn".to_owned());
        let turn = self.reactor.turn(self.instant()).expect("a poll in memory");
        self.run(turn);
    }

    pub(crate) fn expire(&self) {
        self.log(|| "expire".to_owned());
        let turn = self.reactor.expire(self.instant()).expect("a poll in memory");
        self.run(turn);
    }

    fn run(&self, turn: Box<Turn>) {
        if self.loops.get() == 0 {
            self.has_panicked.set(false);
        }
        self.reactor.run(turn, |event| self.handle(event));
    }

    /// Runs the event loop inside of a handler, as some addons do.
    pub(crate) fn run_nested(&self) {
        let depth = self.loops.replace(self.loops.get() + 1);
        let (calls, telling) = (self.calls.take(), self.is_telling_dropped.take());
        self.log(|| "begin of a nested loop".to_owned());
        self.reactor.nested(|| match self.below(4) {
            0 => self.prepare(),
            1 => self.expire(),
            2 => self.turn(),
            _ => self.iterate_nested(),
        });
        self.log(|| "end of a nested loop".to_owned());
        self.calls.set(calls);
        self.is_telling_dropped.set(telling);
        self.loops.set(depth);
    }

    fn iterate_nested(&self) {
        self.prepare();
        if self.network.has_events() {
            self.turn();
        }
    }

    /// Lets time pass, and handles each deadline when it comes. `between` is called after each of them.
    pub(crate) fn pass(&self, time: Duration, mut between: impl FnMut()) {
        let end = self.now() + time;
        self.iterate();
        for count in 0.. {
            ensure!(self, count < MAX_DEADLINES, "deadlines without end");
            let deadline = self.reactor.next_deadline().map(|deadline| self.since_epoch(deadline));
            let Some(deadline) = deadline.filter(|deadline| *deadline <= end) else { break };
            self.set_now(deadline.max(self.now()));
            self.wake(true);
            self.prepare();
            self.check_lifetimes();
            between();
            if self.has_failed() {
                return;
            }
        }
        self.set_now(end);
        self.iterate();
        self.check_lifetimes();
    }

    /// Lets time pass in which the thread is busy, and then handles what is due.
    pub(crate) fn oversleep(&self, time: Duration) {
        self.set_now(self.now() + time);
        self.slept.set(self.now());
        self.expire();
        self.prepare();
        self.check_lifetimes();
    }
}
