//! Handle scopes and callback scopes.

use std::ptr;

use napi_sys as sys;

use super::reference::Reference;
use super::status::{Failed, check};
use super::value::{Env, Js, Value};

/// A handle scope for callbacks that don't come from JavaScript.
pub(crate) struct HandleScope {
    env: Env,
    raw: sys::napi_handle_scope,
}

impl HandleScope {
    /// # Safety
    ///
    /// `env` has not been torn down. Scopes are closed in the reverse order of their opening.
    pub(crate) unsafe fn open(env: Env) -> Result<Self, Failed> {
        let mut raw = ptr::null_mut();
        // SAFETY: the caller's promise.
        check(unsafe { sys::napi_open_handle_scope(env.raw, &raw mut raw) })?;
        Ok(Self { env, raw })
    }

    pub(crate) fn js(&self) -> Js<'_> {
        // SAFETY: the scope is open as long as it is borrowed.
        unsafe { self.env.js() }
    }
}

impl Drop for HandleScope {
    fn drop(&mut self) {
        // Allowed at any time, even while an exception is pending; it fails only for a scope that isn't open.
        // SAFETY: the scope is open, and the innermost one by the promise of `open`.
        unsafe { sys::napi_close_handle_scope(self.env.raw, self.raw) };
    }
}

/// The equivalent of Node's `AsyncResource`: microtasks and nextTicks run when the outermost of its scopes closes.
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

    /// The resource that is executing in its scopes.
    pub(crate) fn resource<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        self.resource.value(js)
    }

    /// Opens a callback scope, which must be closed before the handle scope of `js`.
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
        // As with references: the environment exists, and if this fails nothing can be done.
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
        // Allowed at any time; it runs no JavaScript once the environment runs no more. It fails only if no scope is open.
        // SAFETY: the scope is open and is the innermost one.
        unsafe { sys::napi_close_callback_scope(self.env, self.raw) };
    }
}
