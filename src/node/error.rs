//! Exceptions.

use std::any::Any;
use std::ptr;

use napi_sys as sys;

use super::status::{Failed, check};
use super::value::{Js, Value};

/// The constructor of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Error,
    RangeError,
}

/// A reason for which a function throws an error with a code.
pub(crate) trait Exception {
    fn kind(&self) -> ErrorKind;

    fn code(&self) -> &'static str;

    fn message(&self) -> String;

    /// Whether it stands for a Node-API call that failed, which most often leaves an exception pending.
    fn is_failed_call(&self) -> bool;

    /// The reason for a panic.
    fn from_panic(panic: &(dyn Any + Send)) -> Self;

    /// The error object.
    fn to_value<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        js.error(self.kind(), self.code(), &self.message())
    }

    /// Throws the error, unless the exception of a failed call is pending already.
    fn throw(&self, js: Js<'_>) -> Result<(), Failed> {
        if self.is_failed_call() && js.is_exception_pending()? {
            return Ok(());
        }
        js.throw(self.to_value(js)?)
    }
}

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

    /// Raises an `uncaughtException` of the process, or of the worker.
    pub(crate) fn raise_uncaught(self, error: Value<'s>) -> Result<(), Failed> {
        // SAFETY: `Js` says that the call is allowed, `Value` that the value is alive.
        check(unsafe { sys::napi_fatal_exception(self.env, error.raw) })
    }

    /// An error object with a code.
    fn error(self, kind: ErrorKind, code: &str, message: &str) -> Result<Value<'s>, Failed> {
        let (code, message) = (self.string(code)?, self.string(message)?.raw);
        let create = match kind {
            ErrorKind::Error => sys::napi_create_error,
            ErrorKind::RangeError => sys::napi_create_range_error,
        };
        // Without the code, which Node-API would assign: that may call a setter.
        // SAFETY: `Js` says that the call is allowed; the message is alive.
        let error = self.make(|env, result| unsafe { create(env, ptr::null_mut(), message, result) })?;
        self.define(error, c"code", code)?;
        Ok(error)
    }
}
