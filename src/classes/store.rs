//! `store`: the key-value pairs that all threads share.

use super::number::int32;
use crate::call::{Call, Returned};
use crate::error::Error;
use crate::store::{self, store};

/// `lock()`: other threads wait until `unlock` has been called as often.
#[expect(clippy::unnecessary_wraps, reason = "the form of an exported function")]
pub(crate) fn lock<'s>(_call: &Call<'s, 0>) -> Returned<'s> {
    store::lock();
    Ok(None)
}

/// `unlock()`: does nothing if this thread has not locked the store.
#[expect(clippy::unnecessary_wraps, reason = "the form of an exported function")]
pub(crate) fn unlock<'s>(_call: &Call<'s, 0>) -> Returned<'s> {
    store::unlock();
    Ok(None)
}

/// `getString(key, collection): string`, `''` if there is no such pair.
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

/// `getInteger(key, collection): number`, 0 if there is no such pair.
pub(crate) fn get_integer<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (key, collection) = names(call)?;
    let value = store().integers.get(&collection).and_then(|pairs| pairs.get(&key)).copied().unwrap_or_default();
    Ok(Some(call.js.double(value.into())?))
}

/// `setInteger(key, value, collection)`
pub(crate) fn set_integer<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (key, collection) = (call.bytes(0)?, call.bytes(2)?);
    let value = int32(call.js, call.arguments[1], "value")?;
    store().integers.entry(collection).or_default().insert(key, value);
    Ok(None)
}

/// `incInteger(key, value, collection): number`, the sum, which wraps at 32 bits.
pub(crate) fn inc_integer<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (key, collection) = (call.bytes(0)?, call.bytes(2)?);
    let value = int32(call.js, call.arguments[1], "value")?;
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

// Arguments are converted before the store is locked, because conversions may call JavaScript.

/// The first two arguments: a key, and a collection, which may be missing.
fn names(call: &Call<'_, 2>) -> Result<(Vec<u8>, Vec<u8>), Error> {
    Ok((call.bytes(0)?, call.bytes(1)?))
}

fn array_of<'s>(call: &Call<'s, 1>, keys: &[Vec<u8>]) -> Returned<'s> {
    let keys: Result<Vec<_>, _> = keys.iter().map(|key| call.js.text_or_bytes(key)).collect();
    Ok(Some(call.js.array(&keys?)?))
}
