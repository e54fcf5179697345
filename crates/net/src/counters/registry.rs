//! The counters of all threads of the process.
//!
//! The registry is locked when a reactor or an app comes or goes, and when the numbers of the process are read; never
//! while anything is counted. What an app has counted is kept when it goes: by its thread, and then by the process.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milliways_proto::topics::memory_of;

use super::cells::{Kind, MEMORY, Memory, NUMBERS, Place, descriptions};
use super::{Cell, Counters, Meter};
use crate::ids::AppId;
use crate::watch::Watch;

/// The numbers of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadCounts {
    /// The number that the owner of the thread's reactor has given to it. Reactors with the same number are one thread.
    pub thread: u32,
    /// The numbers, in the order of [`descriptions`].
    pub counts: Vec<u64>,
}

/// The numbers of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCounts {
    /// The sums of all threads, in the order of [`descriptions`]. What threads that have ended had counted is included,
    /// so that no counter ever falls.
    pub counts: Vec<u64>,
    /// The threads that have not ended, in the order in which they began.
    pub threads: Vec<ThreadCounts>,
}

/// Returns the numbers of the process. This may be called at any time on any thread.
pub fn process_counts() -> ProcessCounts {
    let registry = lock();
    let reactors: Vec<_> = registry.threads.iter().map(Thread::counts).collect();
    let mut counts = registry.ended.clone();
    drop(registry);
    let mut threads: Vec<ThreadCounts> = Vec::new();
    for reactor in reactors {
        add_all(&mut counts, &reactor.counts);
        match threads.iter_mut().find(|thread| thread.thread == reactor.thread) {
            Some(thread) => add_all(&mut thread.counts, &reactor.counts),
            None => threads.push(reactor),
        }
    }
    ProcessCounts { counts, threads }
}

struct Registry {
    threads: Vec<Thread>,
    /// The key of the next thread. Keys are not reused.
    next: u64,
    /// What threads that have ended had counted; empty if none has.
    ended: Vec<u64>,
}

struct Thread {
    key: u64,
    number: u32,
    apps: Vec<Arc<Counters>>,
    /// What apps that have ended had counted; empty if none has.
    ended: Vec<u64>,
    memory: Arc<MemoryCells>,
}

type MemoryCells = [AtomicU64; MEMORY];

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { threads: Vec::new(), next: 0, ended: Vec::new() });

fn lock() -> MutexGuard<'static, Registry> {
    // Nothing panics while it is locked.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add_all(sums: &mut Vec<u64>, counts: &[u64]) {
    sums.resize(NUMBERS, 0);
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum = sum.wrapping_add(*count);
    }
}

/// Adds counters, but not gauges: what an app or a thread that has ended held is gone.
fn add_counters(sums: &mut Vec<u64>, counts: &[u64]) {
    sums.resize(NUMBERS, 0);
    for ((sum, count), description) in sums.iter_mut().zip(counts).zip(descriptions()) {
        if description.kind == Kind::Counter {
            *sum = sum.wrapping_add(*count);
        }
    }
}

impl Thread {
    fn counts(&self) -> ThreadCounts {
        let mut counts = Vec::new();
        add_all(&mut counts, &self.ended);
        for app in &self.apps {
            add_all(&mut counts, &app.read());
        }
        let number = |cell: Cell| usize::try_from(counts[cell.index()]).unwrap_or(usize::MAX);
        let pub_sub = memory_of(number(Cell::Topics), number(Cell::Subscriptions)) as u64;
        for (kind, cell) in self.memory.iter().enumerate() {
            counts[NUMBERS - MEMORY + kind] = cell.load(Ordering::Relaxed);
        }
        counts[Memory::PubSub.index()] = pub_sub;
        ThreadCounts { thread: self.number, counts }
    }

    fn remove_app(&mut self, app: &Arc<Counters>) {
        if let Some(index) = self.apps.iter().position(|other| Arc::ptr_eq(other, app)) {
            let app = self.apps.swap_remove(index);
            add_counters(&mut self.ended, &app.read());
        }
    }
}

/// The entry of a reactor in the registry, from its creation until it is dropped.
pub(crate) struct Registration {
    key: u64,
    memory: Arc<MemoryCells>,
    /// The observers of the reactor. As an [`Rc`], this keeps the registration in the thread of the reactor, which alone
    /// writes to its numbers.
    pub(crate) watch: Rc<Watch>,
}

impl Registration {
    pub(crate) fn new() -> Self {
        let memory = Arc::new([const { AtomicU64::new(0) }; MEMORY]);
        let mut registry = lock();
        let key = registry.next;
        registry.next += 1;
        let (apps, ended, memory_too) = (Vec::new(), Vec::new(), Arc::clone(&memory));
        registry.threads.push(Thread { key, number: 0, apps, ended, memory: memory_too });
        Self { key, memory, watch: Rc::default() }
    }

    /// Sets the number under which others see the thread. It is 0 until then.
    pub(crate) fn set_number(&self, number: u32) {
        self.with(|thread| thread.number = number);
    }

    /// Returns the counters of a new app.
    pub(crate) fn add_app(&self, app: AppId) -> Meter {
        let meter = Meter::new(app, &self.watch);
        self.with(|thread| thread.apps.push(Arc::clone(&meter.counters)));
        meter
    }

    /// Keeps what an app has counted that is removed.
    pub(crate) fn remove_app(&self, meter: &Meter) {
        self.with(|thread| thread.remove_app(&meter.counters));
    }

    /// Sets the number of bytes that the thread holds for something.
    pub(crate) fn note_memory(&self, kind: Memory, bytes: usize) {
        self.memory[kind as usize].store(bytes as u64, Ordering::Relaxed);
    }

    fn with(&self, change: impl FnOnce(&mut Thread)) {
        let mut registry = lock();
        let thread = registry.threads.iter_mut().find(|thread| thread.key == self.key);
        change(thread.expect("registered until it is dropped"));
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registry = lock();
        let Some(index) = registry.threads.iter().position(|thread| thread.key == self.key) else { return };
        let thread = registry.threads.remove(index);
        add_counters(&mut registry.ended, &thread.counts().counts);
    }
}
