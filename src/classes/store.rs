//! Key-value pairs that all threads of the process share, by collections.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::call::{Call, Returned};
use crate::error::Error;

/// The pairs, by collection.
type Collections<T> = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, T>>;

struct Store {
    strings: Collections<Vec<u8>>,
    integers: Collections<i32>,
    /// Who has locked it, and how often.
    owner: Option<(ThreadId, u32)>,
}

static STORE: Mutex<Store> = Mutex::new(Store { strings: BTreeMap::new(), integers: BTreeMap::new(), owner: None });

/// Notified when `Store::owner` becomes none.
static UNLOCKED: Condvar = Condvar::new();

/// The store, as soon as no other thread has locked it.
fn store() -> MutexGuard<'static, Store> {
    let own = thread::current().id();
    let guard = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_others = |store: &mut Store| store.owner.is_some_and(|(owner, _)| owner != own);
    UNLOCKED.wait_while(guard, is_others).unwrap_or_else(PoisonError::into_inner)
}

/// `lock()`: until `unlock` has been called as often, other threads wait.
#[expect(clippy::unnecessary_wraps, reason = "the form of an exported function")]
pub(crate) fn lock<'s>(_call: &Call<'s, 0>) -> Returned<'s> {
    let mut store = store();
    let depth = store.owner.map_or(0, |(_, depth)| depth);
    store.owner = Some((thread::current().id(), depth + 1));
    Ok(None)
}

/// `unlock()`; does nothing when this thread has not locked it.
#[expect(clippy::unnecessary_wraps, reason = "the form of an exported function")]
pub(crate) fn unlock<'s>(_call: &Call<'s, 0>) -> Returned<'s> {
    let mut store = store();
    store.owner = store.owner.and_then(|(owner, depth)| (depth > 1).then_some((owner, depth - 1)));
    if store.owner.is_none() {
        UNLOCKED.notify_all();
    }
    Ok(None)
}

/// Gives the store back if a thread that ends has locked it.
pub(crate) fn release() {
    let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    if store.owner.is_some_and(|(owner, _)| owner == thread::current().id()) {
        store.owner = None;
        UNLOCKED.notify_all();
    }
}

/// `getString(key, collection): string`, `''` when there is none.
pub(crate) fn get_string<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (key, collection) = names(call)?;
    let value = store().strings.get(&collection).and_then(|pairs| pairs.get(&key)).cloned().unwrap_or_default();
    Ok(Some(call.js.string(&String::from_utf8_lossy(&value))?))
}

/// `setString(key, value, collection)`
pub(crate) fn set_string<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (key, value, collection) = (call.bytes(0)?, call.bytes(1)?, call.bytes(2)?);
    store().strings.entry(collection).or_default().insert(key, value);
    Ok(None)
}

/// `getInteger(key, collection): number`, 0 when there is none.
pub(crate) fn get_integer<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (key, collection) = names(call)?;
    let value = store().integers.get(&collection).and_then(|pairs| pairs.get(&key)).copied().unwrap_or_default();
    Ok(Some(call.js.double(value.into())?))
}

/// `setInteger(key, value, collection)`
pub(crate) fn set_integer<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (key, collection) = (call.bytes(0)?, call.bytes(2)?);
    let value = call.js.to_i32(call.arguments[1])?;
    store().integers.entry(collection).or_default().insert(key, value);
    Ok(None)
}

/// `incInteger(key, value, collection): number`, the sum, which wraps at 32 bits.
pub(crate) fn inc_integer<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (key, collection) = (call.bytes(0)?, call.bytes(2)?);
    let value = call.js.to_i32(call.arguments[1])?;
    let sum = {
        let mut store = store();
        let entry = store.integers.entry(collection).or_default().entry(key).or_default();
        *entry = entry.wrapping_add(value);
        *entry
    };
    Ok(Some(call.js.double(sum.into())?))
}

/// `getStringKeys(collection): (string | ArrayBuffer)[]`
pub(crate) fn string_keys<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let collection = call.bytes(0)?;
    let keys = store().strings.get(&collection).map(|pairs| pairs.keys().cloned().collect::<Vec<_>>());
    array_of(call, &keys.unwrap_or_default())
}

/// `getIntegerKeys(collection): (string | ArrayBuffer)[]`
pub(crate) fn integer_keys<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let collection = call.bytes(0)?;
    let keys = store().integers.get(&collection).map(|pairs| pairs.keys().cloned().collect::<Vec<_>>());
    array_of(call, &keys.unwrap_or_default())
}

/// `deleteString(key, collection)`
pub(crate) fn delete_string<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (key, collection) = names(call)?;
    if let Some(pairs) = store().strings.get_mut(&collection) {
        pairs.remove(&key);
    }
    Ok(None)
}

/// `deleteInteger(key, collection)`
pub(crate) fn delete_integer<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (key, collection) = names(call)?;
    if let Some(pairs) = store().integers.get_mut(&collection) {
        pairs.remove(&key);
    }
    Ok(None)
}

/// `deleteStringCollection(collection)`
pub(crate) fn delete_string_collection<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let collection = call.bytes(0)?;
    store().strings.remove(&collection);
    Ok(None)
}

/// `deleteIntegerCollection(collection)`
pub(crate) fn delete_integer_collection<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let collection = call.bytes(0)?;
    store().integers.remove(&collection);
    Ok(None)
}

// Everything is converted before the store is locked: conversions may call JavaScript.

/// The first two arguments: a key, and a collection that may be left out.
fn names(call: &Call<'_, 2>) -> Result<(Vec<u8>, Vec<u8>), Error> {
    Ok((call.bytes(0)?, call.bytes(1)?))
}

fn array_of<'s>(call: &Call<'s, 1>, keys: &[Vec<u8>]) -> Returned<'s> {
    let keys: Result<Vec<_>, _> = keys.iter().map(|key| call.js.text_or_bytes(key)).collect();
    Ok(Some(call.js.array(&keys?)?))
}
