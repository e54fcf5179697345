//! JavaScript functions that events are told to.

use std::cell::Cell;
use std::ptr;

use napi_sys as sys;

use super::reference::Reference;
use super::status::Failed;
use super::value::{Js, Value};

/// A function, kept as long as this, unless it has been left to somebody else.
pub(crate) struct Callback {
    function: Reference,
    is_left: Cell<bool>,
    /// The number of a scope that events share, and the function's handle in it.
    shared: Cell<(u64, sys::napi_value)>,
}

impl Callback {
    /// Keeps a function; `None` for anything else, which stands for a handler that was not given.
    pub(crate) fn new(js: Js<'_>, value: Value<'_>) -> Result<Option<Self>, Failed> {
        if !js.is_function(value)? {
            return Ok(None);
        }
        Ok(Some(Self {
            function: Reference::new(js, value)?,
            is_left: Cell::new(false),
            shared: Cell::new((0, ptr::null_mut())),
        }))
    }

    /// The function, to be called when no borrow of what holds the callback is alive any more: it may change that.
    pub(crate) fn function<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        self.function.value(js)
    }

    /// Leaves the function to somebody else. It is not to be called until it is held again.
    pub(crate) fn leave(&self, js: Js<'_>) -> Result<(), Failed> {
        if !self.is_left.replace(true) {
            self.function.weaken(js)?;
        }
        Ok(())
    }

    /// Holds the function again, which has not been collected.
    pub(crate) fn hold(&self, js: Js<'_>) -> Result<(), Failed> {
        if self.is_left.replace(false) {
            self.function.strengthen(js)?;
        }
        Ok(())
    }

    /// The function, asked for once in a scope.
    ///
    /// # Safety
    ///
    /// The innermost scope that is open is that of this number, which is above 0 and not that of any other.
    pub(crate) unsafe fn function_in<'s>(&self, js: Js<'s>, scope: u64) -> Result<Value<'s>, Failed> {
        let (made_in, handle) = self.shared.get();
        if made_in == scope {
            // SAFETY: the handle belongs to the scope, which is open.
            return Ok(unsafe { Value::from_raw(handle) });
        }
        let function = self.function.value(js)?;
        self.shared.set((scope, function.raw()));
        Ok(function)
    }
}
