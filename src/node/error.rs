//! Exceptions.

use std::ptr;

use napi_sys as sys;

use super::status::{Failed, check};
use super::value::{Js, Value};

impl<'s> Js<'s> {
    pub(crate) fn throw(self, error: Value<'s>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_throw(self.env, error.raw) })
    }

    pub(crate) fn is_exception_pending(self) -> Result<bool, Failed> {
        let mut is_pending = false;
        // SAFETY: `Js` says that the call is allowed.
        check(unsafe { sys::napi_is_exception_pending(self.env, &raw mut is_pending) })?;
        Ok(is_pending)
    }

    /// Takes the pending exception.
    pub(crate) fn take_exception(self) -> Result<Value<'s>, Failed> {
        // SAFETY: `Js` says that the call is allowed.
        self.make(|env, result| unsafe { sys::napi_get_and_clear_last_exception(env, result) })
    }

    /// Makes an error an `uncaughtException` of the process or, in a worker, of that.
    pub(crate) fn raise_uncaught(self, error: Value<'s>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_fatal_exception(self.env, error.raw) })
    }

    /// An `Error` or `RangeError` with a code.
    pub(crate) fn error(self, kind: ErrorKind, code: &str, message: &str) -> Result<Value<'s>, Failed> {
        let (code, message) = (self.string(code)?, self.string(message)?.raw);
        let create = match kind {
            ErrorKind::Error => sys::napi_create_error,
            ErrorKind::RangeError => sys::napi_create_range_error,
        };
        // Given the code, Node-API would assign it, which may call a setter.
        // SAFETY: `Js` says that the call is allowed; the message is alive.
        let error = self.make(|env, result| unsafe { create(env, ptr::null_mut(), message, result) })?;
        self.define(error, c"code", code)?;
        Ok(error)
    }
}

/// Which constructor an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Error,
    RangeError,
}
