//! The functions of Node-API that the wrapper calls.
//!
//! <https://nodejs.org/api/n-api.html> describes them.

#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "pointers are used as Node-API's contract allows; whether the wrapper keeps it is what Miri checks"
)]
#![allow(clippy::wildcard_imports, reason = "all of these names belong to Node-API")]

use std::ffi::{CStr, c_char};
use std::rc::Rc;
use std::slice;

use napi_sys::{Status, napi_env, napi_status, napi_value};

use Status::{napi_ok, napi_pending_exception};

use crate::Node;
use crate::value::{Val, Value};

macro_rules! check {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(status) => return status,
        }
    };
}

macro_rules! may_run {
    ($env:expr) => {
        if let Some(status) = refused($env) {
            return status;
        }
    };
}

mod kept;
mod objects;
mod values;

unsafe fn node<'n>(env: napi_env) -> &'n Node {
    &*env.cast::<Node>()
}

/// Returns the value of a handle, whose scope is open.
pub(crate) unsafe fn value(handle: napi_value) -> Val {
    Rc::clone(&*handle.cast::<Val>())
}

unsafe fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        place.write(value);
    }
}

unsafe fn give(env: napi_env, value: &Val, result: *mut napi_value) -> napi_status {
    put(result, node(env).handle(value));
    napi_ok
}

unsafe fn make(env: napi_env, value: Value, result: *mut napi_value) -> napi_status {
    give(env, &Rc::new(value), result)
}

/// Whether a function that may run JavaScript must refuse to.
unsafe fn refused(env: napi_env) -> Option<napi_status> {
    let node = node(env);
    if node.is_ending.get() {
        return Some(Status::napi_cannot_run_js);
    }
    node.pending.borrow().is_some().then_some(napi_pending_exception)
}

unsafe fn bytes<'b>(start: *const c_char, length: isize) -> &'b [u8] {
    // In C, a length of -1 stands for a string that ends with a NUL.
    match usize::try_from(length) {
        Ok(length) => slice::from_raw_parts(start.cast(), length),
        Err(_) => CStr::from_ptr(start).to_bytes(),
    }
}

/// Calls a function, as JavaScript would, in the middle of a call of Node-API.
unsafe fn call(env: napi_env, function: &Val, arguments: &[Val]) -> Result<Val, napi_status> {
    node(env).call(function, arguments).map_err(|exception| {
        node(env).pending.replace(Some(exception));
        napi_pending_exception
    })
}

/// Converts a value to a primitive one: of an object, by calling `valueOf`.
unsafe fn primitive(env: napi_env, handle: napi_value) -> Result<Val, napi_status> {
    let value = value(handle);
    match value.property("valueOf") {
        Some(function) => call(env, &function, &[]),
        None => Ok(value),
    }
}
