//! Functions.

use std::ffi::{CStr, c_void};

use napi_sys as sys;

use super::status::Failed;
use super::value::{Js, Value};

impl<'s> Js<'s> {
    /// A function object for one of the addon's.
    ///
    /// # Safety
    ///
    /// `callback` may be called with `data` as long as the environment runs JavaScript.
    pub(crate) unsafe fn function(
        self,
        name: &CStr,
        callback: sys::napi_callback,
        data: *mut c_void,
    ) -> Result<Value<'s>, Failed> {
        let length = name.count_bytes() as isize;
        // SAFETY: `Js` says that the call is allowed; the rest is the caller's promise.
        self.make(|env, result| unsafe {
            sys::napi_create_function(env, name.as_ptr(), length, callback, data, result)
        })
    }

    /// Calls a function that does not look at `this`; `Err` when it has thrown or could not be called.
    pub(crate) fn call(self, function: Value<'s>, arguments: &[Value<'s>]) -> Result<Value<'s>, Failed> {
        // Some object must be given, and asking for `undefined` is a call of its own.
        let this = function;
        let start = arguments.as_ptr().cast::<sys::napi_value>();
        // SAFETY: `Js` says that the call is allowed, `Value` that the values are alive; a `Value` is a `napi_value`.
        self.make(|env, result| unsafe {
            sys::napi_call_function(env, this.raw, function.raw, arguments.len(), start, result)
        })
    }
}
