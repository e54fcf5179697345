//! Handle scopes and callback scopes.

use std::ptr;

use napi_sys as sys;

use super::reference::Reference;
use super::status::{Failed, check};
use super::value::{Js, Value};

/// A handle scope of our own, for callbacks that don't come from JavaScript.
pub(crate) struct HandleScope {
    env: sys::napi_env,
    raw: sys::napi_handle_scope,
}

impl HandleScope {
    /// # Safety
    ///
    /// `env` is the environment of this thread and has not been torn down. Scopes are closed in the opposite order of
    /// their opening.
    pub(crate) unsafe fn open(env: sys::napi_env) -> Result<Self, Failed> {
        let mut raw = ptr::null_mut();
        // SAFETY: the caller's promise.
        check(unsafe { sys::napi_open_handle_scope(env, &raw mut raw) })?;
        Ok(Self { env, raw })
    }

    pub(crate) fn js(&self) -> Js<'_> {
        // SAFETY: the scope is open as long as it is borrowed.
        unsafe { Js::from_raw(self.env) }
    }
}

impl Drop for HandleScope {
    fn drop(&mut self) {
        // Allowed at any time, also while an exception is pending; it fails only for a scope that isn't open.
        // SAFETY: the scope is open, and `open` was promised that it is the innermost one.
        unsafe { sys::napi_close_handle_scope(self.env, self.raw) };
    }
}

/// What Node's `AsyncResource` is: microtasks and nextTicks run when the outermost scope of it closes.
pub(crate) struct AsyncContext {
    env: sys::napi_env,
    raw: sys::napi_async_context,
    resource: Reference,
}

impl AsyncContext {
    pub(crate) fn new(js: Js<'_>, name: &str) -> Result<Self, Failed> {
        let (resource, name) = (js.object()?, js.string(name)?);
        let mut raw = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed, `Value` that the values are alive.
        check(unsafe { sys::napi_async_init(js.env, resource.raw, name.raw, &raw mut raw) })?;
        Ok(Self { env: js.env, raw, resource: Reference::new(js, resource)? })
    }

    /// The resource that executes in its scopes.
    pub(crate) fn resource<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        self.resource.value(js)
    }

    /// Opens a callback scope; it must be closed before the handle scope of `js` is.
    pub(crate) fn open(&self, js: Js<'_>) -> Result<CallbackScope, Failed> {
        let resource = self.resource.value(js)?;
        let mut raw = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed; the context lives as long as this.
        check(unsafe { sys::napi_open_callback_scope(js.env, resource.raw, self.raw, &raw mut raw) })?;
        Ok(CallbackScope { env: js.env, raw })
    }
}

impl Drop for AsyncContext {
    fn drop(&mut self) {
        // As with references: on the environment's thread, which exists, and with nothing to do about a failure.
        // SAFETY: made by `napi_async_init`, and no scope of it is open any more.
        unsafe { sys::napi_async_destroy(self.env, self.raw) };
    }
}

/// An open callback scope; closing it runs microtasks and nextTicks.
pub(crate) struct CallbackScope {
    env: sys::napi_env,
    raw: sys::napi_callback_scope,
}

impl Drop for CallbackScope {
    fn drop(&mut self) {
        // Allowed at any time; while the environment runs no more JavaScript it runs none. It fails only when no scope
        // is open.
        // SAFETY: the scope is open and is the innermost one.
        unsafe { sys::napi_close_callback_scope(self.env, self.raw) };
    }
}
