//! What the apps of this process have done and hold: numbers that any thread may read at any time.
//!
//! Each app has its own [`Counters`]. Only the thread of its reactor writes to them, by way of a [`Meter`], which
//! cannot leave that thread. So an addition is a relaxed load and a relaxed store, one plain instruction on x86, and
//! what other threads read is exact, apart from the order in which numbers change. [`registry`] lists the counters of
//! all threads, and [`cells`] says what is counted.

pub(crate) mod cells;
pub(crate) mod registry;
mod text;

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use cells::{Cell, Limit, Memory, Timeout};
pub use cells::{Description, Kind, descriptions};
pub use registry::{ProcessCounts, ThreadCounts, process_counts};
pub use text::{app_text, process_text};

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
    /// A second thread that adds would lose numbers.
    _thread: PhantomData<Rc<()>>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { counters: Counters::new(), _thread: PhantomData }
    }

    #[inline]
    pub(crate) fn add(&self, place: impl Place, count: u64) {
        let cell = &self.counters.0[place.index()];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
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
