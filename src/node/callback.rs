//! Functions of JavaScript that are kept in order to be called.

use std::cell::Cell;
use std::ptr;

use napi_sys as sys;

use super::reference::Reference;
use super::status::Failed;
use super::value::{Js, Value};

/// A function, kept alive as long as this unless that is left to somebody else.
pub(crate) struct Callback {
    function: Reference,
    is_left: Cell<bool>,
    /// The number of a shared scope, and the function's handle in it.
    shared: Cell<(u64, sys::napi_value)>,
}

impl Callback {
    /// Keeps a function; returns `None` for any other value, which stands for a missing handler.
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

    /// The function. Release any borrow of the collection that holds the callback before calling it: it may change that.
    pub(crate) fn function<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        self.function.value(js)
    }

    /// Leaves it to somebody else to keep the function alive. Until it is held again it must not be called.
    pub(crate) fn leave(&self, js: Js<'_>) -> Result<(), Failed> {
        if !self.is_left.replace(true) {
            self.function.weaken(js)?;
        }
        Ok(())
    }

    /// Keeps the function alive again. It has not been collected.
    pub(crate) fn hold(&self, js: Js<'_>) -> Result<(), Failed> {
        if self.is_left.replace(false) {
            self.function.strengthen(js)?;
        }
        Ok(())
    }

    /// The function, for which Node-API is asked once in a scope.
    ///
    /// # Safety
    ///
    /// The innermost open scope is the one with this number, which is above 0 and no other scope has had.
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
