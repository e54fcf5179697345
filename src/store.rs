//! Key-value pairs, in collections, that all threads of the process share.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// Pairs by collection.
pub(crate) type Collections<T> = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, T>>;

pub(crate) struct Store {
    pub(crate) strings: Collections<Vec<u8>>,
    pub(crate) integers: Collections<i32>,
    /// The thread that has locked it, and how often.
    owner: Option<(ThreadId, u32)>,
}

static STORE: Mutex<Store> = Mutex::new(Store { strings: BTreeMap::new(), integers: BTreeMap::new(), owner: None });

/// Notified when `Store::owner` becomes `None`.
static UNLOCKED: Condvar = Condvar::new();

/// The store, as soon as no other thread has locked it.
pub(crate) fn store() -> MutexGuard<'static, Store> {
    let own = thread::current().id();
    let guard = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_others = |store: &mut Store| store.owner.is_some_and(|(owner, _)| owner != own);
    UNLOCKED.wait_while(guard, is_others).unwrap_or_else(PoisonError::into_inner)
}

/// Makes other threads wait for the store until `unlock` has been called as often.
pub(crate) fn lock() {
    let mut store = store();
    let depth = store.owner.map_or(0, |(_, depth)| depth);
    store.owner = Some((thread::current().id(), depth + 1));
}

/// Ends the effect of one [`lock`]; does nothing if this thread has not locked the store.
pub(crate) fn unlock() {
    let mut store = store();
    store.owner = store.owner.and_then(|(owner, depth)| (depth > 1).then_some((owner, depth - 1)));
    if store.owner.is_none() {
        UNLOCKED.notify_all();
    }
}

/// Unlocks the store if this thread, which ends, has locked it.
pub(crate) fn release() {
    let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    if store.owner.is_some_and(|(owner, _)| owner == thread::current().id()) {
        store.owner = None;
        UNLOCKED.notify_all();
    }
}
