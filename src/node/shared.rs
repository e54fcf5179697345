//! Shared memory, with the help of JavaScript.

use std::cell::RefCell;

use super::callback::Callback;
use super::memory::{DataError, Memory};
use super::status::Failed;
use super::value::{Js, Value};

/// Finds the memory of a `SharedArrayBuffer`, which Node-API does not know, by way of a typed array.
#[derive(Default)]
pub(crate) struct SharedView {
    /// Called with a value; returns a typed array of the same memory if that is shared, and `undefined` otherwise.
    view: RefCell<Option<Callback>>,
}

impl SharedView {
    /// Has `view` called from now on.
    pub(crate) fn set(&self, view: Option<Callback>) {
        *self.view.borrow_mut() = view;
    }

    /// The memory of an `ArrayBuffer`, a `SharedArrayBuffer` or a typed array; `None` for any other value.
    pub(crate) fn memory_of<'s>(&self, js: Js<'s>, value: Value<'s>) -> Result<Option<Memory<'s>>, Failed> {
        if let Some(memory) = js.memory(value) {
            return Ok(Some(memory));
        }
        let view = self.view.borrow().as_ref().map(|view| view.function(js)).transpose()?;
        let Some(view) = view else { return Ok(None) };
        Ok(js.memory(js.call(view, &[value])?))
    }

    /// A copy of the bytes of a value that has memory.
    pub(crate) fn copy_of<'s>(&self, js: Js<'s>, value: Value<'s>) -> Result<Vec<u8>, DataError> {
        let memory = self.memory_of(js, value)?.ok_or(DataError::Invalid)?;
        // SAFETY: it has just been asked for, and copying calls no JavaScript.
        unsafe { memory.with(|bytes| bytes.with(<[u8]>::to_vec)) }
    }
}
