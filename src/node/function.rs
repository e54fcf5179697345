//! Functions, in both directions.

use std::ffi::CStr;
use std::ptr::NonNull;

use napi_sys as sys;

use super::status::Failed;
use super::value::{Js, Value};

impl<'s> Js<'s> {
    /// Calls a function that does not use `this`; returns `Err` if it has thrown or could not be called.
    pub(crate) fn call(self, function: Value<'s>, arguments: &[Value<'s>]) -> Result<Value<'s>, Failed> {
        // Some object must be passed, and asking for `undefined` would be another Node-API call.
        let this = function;
        let start = arguments.as_ptr().cast::<sys::napi_value>();
        // SAFETY: `Js` says that the call is allowed, `Value` that the values are alive; a `Value` is a `napi_value`.
        self.make(|env, result| unsafe {
            sys::napi_call_function(env, this.raw, function.raw, arguments.len(), start, result)
        })
    }
}

/// Defines a function of the addon as a property of `exports`; [`export`] is the way to call this.
///
/// # Safety
///
/// `callback` may be called with `data` as long as the environment runs JavaScript.
pub(crate) unsafe fn export_function<D>(
    js: Js<'_>,
    exports: Value<'_>,
    data: NonNull<D>,
    name: &CStr,
    callback: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
) -> Result<(), Failed> {
    let (start, length) = (name.as_ptr(), name.count_bytes() as isize);
    let data = data.as_ptr().cast();
    // SAFETY: `Js` says that the call is allowed; the rest is the caller's promise.
    let function =
        js.make(|env, result| unsafe { sys::napi_create_function(env, start, length, Some(callback), data, result) })?;
    js.define(exports, name, function)
}

/// Exports functions that work on a `D`: `export!(js, exports, data: D; c"name" => function, ...)`.
///
/// Stands in an unsafe function, whose caller promises that `data`, a `NonNull<D>`, is valid as long as the environment
/// runs JavaScript.
macro_rules! export {
    ($js:expr, $exports:expr, $data:ident: $type:ty; $($name:literal => $function:path,)*) => {$({
        unsafe extern "C" fn callback(
            env: napi_sys::napi_env,
            info: napi_sys::napi_callback_info,
        ) -> napi_sys::napi_value {
            // SAFETY: Node calls this with what belongs to the call, and the function's data is a `D`: see below.
            unsafe { $crate::node::enter::<$type, _>(env, info, $function) }
        }
        // SAFETY: `callback` takes a `D`, which is valid by the promise that the macro is used with.
        unsafe { $crate::node::export_function::<$type>($js, $exports, $data, $name, callback) }?;
    })*};
}
pub(crate) use export;
