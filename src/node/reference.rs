//! Values that are kept between calls.

use std::ptr;

use napi_sys as sys;

use super::status::{Failed, check};
use super::value::{Js, Value};

/// A reference to a value. It is strong until it is weakened.
pub(crate) struct Reference {
    env: sys::napi_env,
    raw: sys::napi_ref,
}

impl Reference {
    pub(crate) fn new(js: Js<'_>, value: Value<'_>) -> Result<Self, Failed> {
        let mut raw = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_create_reference(js.env, value.raw, 1, &raw mut raw) })?;
        Ok(Self { env: js.env, raw })
    }

    pub(crate) fn value<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed; the reference is alive as long as this is.
        js.make(|env, result| unsafe { sys::napi_get_reference_value(env, self.raw, result) })
    }

    /// The value of a weak reference, unless it has been collected.
    pub(crate) fn weak_value<'s>(&self, js: Js<'s>) -> Result<Option<Value<'s>>, Failed> {
        self.value(js).map(|value| (!value.raw.is_null()).then_some(value))
    }

    /// Lets a strong reference's value be collected.
    pub(crate) fn weaken(&self, js: Js<'_>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed; the reference is alive as long as this is.
        check(unsafe { sys::napi_reference_unref(js.env, self.raw, ptr::null_mut()) })
    }

    /// Makes a weak reference strong. Its value has not been collected.
    pub(crate) fn strengthen(&self, js: Js<'_>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed; the reference is alive as long as this is.
        check(unsafe { sys::napi_reference_ref(js.env, self.raw, ptr::null_mut()) })
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // References are dropped on the environment's thread before the cleanup hook is removed, and the environment exists
        // until then. The call runs no JavaScript and is allowed while none may run. If it fails, nothing can be done.
        // SAFETY: the environment exists, and the reference has not been deleted.
        unsafe { sys::napi_delete_reference(self.env, self.raw) };
    }
}
