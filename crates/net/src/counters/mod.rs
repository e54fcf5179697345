//! What the apps of this process have done and hold: numbers that any thread may read at any time.
//!
//! Each app has its own [`Counters`]. Only the thread of its reactor writes to them, by way of a [`Meter`], which
//! cannot leave that thread. So an addition is a relaxed load and a relaxed store, one plain instruction on x86, and
//! what other threads read is exact, apart from the order in which numbers change. [`registry`] lists the counters of
//! all threads, and [`cells`] says what is counted.

pub(crate) mod cells;
pub(crate) mod registry;
mod text;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cells::At;
pub(crate) use cells::{Cell, Limit, Memory, Timeout};
pub use cells::{Description, Kind, descriptions};
pub use registry::{ProcessCounts, ThreadCounts, process_counts};
pub use text::{app_text, process_text};

use crate::ids::{AppId, Slot};
use crate::watch::{Watch, What};
use cells::{CELLS, Place};

/// The numbers of an app, in the order of [`descriptions`].
pub(crate) struct Counters([AtomicU64; CELLS]);

impl Counters {
    fn new() -> Arc<Self> {
        Arc::new(Self([const { AtomicU64::new(0) }; CELLS]))
    }

    fn read(&self) -> Vec<u64> {
        self.0.iter().map(|cell| cell.load(Ordering::Relaxed)).collect()
    }
}

/// The right to write to the numbers of an app. Clones write to the same numbers.
#[derive(Clone)]
pub(crate) struct Meter {
    counters: Arc<Counters>,
    app: AppId,
    /// The observers of the app's reactor. As an [`Rc`], this keeps the meter in its thread: a second one that adds would
    /// lose numbers.
    watch: Rc<Watch>,
}

impl Meter {
    pub(crate) fn new(app: AppId, watch: &Rc<Watch>) -> Self {
        Self { counters: Counters::new(), app, watch: Rc::clone(watch) }
    }

    /// Adds to a number, and tells observers if it counts causes. If the connection is known, call [`Meter::add_of`]
    /// instead.
    #[inline]
    pub(crate) fn add<P: Place>(&self, place: P, count: u64) {
        let cell = &self.counters.0[place.index()];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
        if P::IS_CAUSE {
            self.tell(None, place, count);
        }
    }

    /// Adds to a number because of a connection, and tells observers, whatever the number counts.
    pub(crate) fn add_of(&self, slot: Slot, place: impl Place, count: u64) {
        self.add(At(place.index()), count);
        self.tell(Some(slot), place, count);
    }

    /// Adds 1 because of a connection, and tells observers.
    pub(crate) fn count_of(&self, slot: Slot, place: impl Place) {
        self.add_of(slot, place, 1);
    }

    /// Adds 1 because of a connection that does not begin, and tells observers.
    pub(crate) fn count_refusal(&self, limit: Limit, peer: impl FnOnce() -> Option<SocketAddr>) {
        self.count(At(limit.index()));
        self.watch.note(self.app, None, || What::Refused { number: limit.index(), peer: peer() });
    }

    /// Adds 1, and tells observers.
    pub(crate) fn count_and_tell(&self, place: Cell) {
        self.count(place);
        self.tell(None, place, 1);
    }

    /// Adds 1 because of a request of a connection, and tells observers that want to know of each.
    #[inline]
    pub(crate) fn count_request(&self, slot: Slot, place: Cell) {
        self.count(place);
        if self.watch.has_requests() {
            self.tell(Some(slot), place, 1);
        }
    }

    fn tell(&self, slot: Option<Slot>, place: impl Place, count: u64) {
        if count > 0 {
            self.watch.note(self.app, slot, || What::Counted { number: place.index(), count });
        }
    }

    /// Adds 1.
    #[inline]
    pub(crate) fn count(&self, place: impl Place) {
        self.add(place, 1);
    }

    /// Subtracts from a gauge.
    #[inline]
    pub(crate) fn subtract(&self, place: Cell, count: u64) {
        self.add(place, count.wrapping_neg());
    }

    /// Changes a gauge by the difference between two values, of which it contains the first.
    #[inline]
    pub(crate) fn change(&self, place: Cell, before: usize, after: usize) {
        self.add(place, (after as u64).wrapping_sub(before as u64));
    }

    #[cfg(test)]
    pub(crate) fn get(&self, place: impl Place) -> u64 {
        self.counters.0[place.index()].load(Ordering::Relaxed)
    }

    /// Returns all numbers, in the order of [`descriptions`].
    pub(crate) fn read(&self) -> Vec<u64> {
        self.counters.read()
    }
}
