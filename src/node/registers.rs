//! Numbers that Rust and JavaScript exchange without a Node-API call for each.

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::NonNull;

use super::reference::Reference;
use super::status::Failed;
use super::value::{Js, Value};

/// `COUNT` numbers in the memory of an `ArrayBuffer`.
pub(crate) struct Registers<const COUNT: usize> {
    memory: NonNull<[Cell<u32>; COUNT]>,
    /// Keeps the memory alive.
    _buffer: Reference,
}

impl<const COUNT: usize> Registers<COUNT> {
    /// Makes the numbers, and defines their `ArrayBuffer` as a property of `exports`. JavaScript must never detach it.
    pub(crate) fn export(js: Js<'_>, exports: Value<'_>, name: &CStr) -> Result<Self, Failed> {
        // A pointer that was made from a reference to the memory would be invalid once JavaScript has written to it.
        let (buffer, start) = js.new_buffer(size_of::<[Cell<u32>; COUNT]>())?;
        let memory = NonNull::new(start.cast()).ok_or(Failed)?;
        js.define(exports, name, buffer)?;
        Ok(Self { memory, _buffer: Reference::new(js, buffer)? })
    }

    pub(crate) fn get(&self, register: impl Into<usize>) -> u32 {
        self.cells()[register.into()].get()
    }

    pub(crate) fn set(&self, register: impl Into<usize>, value: u32) {
        self.cells()[register.into()].set(value);
    }

    fn cells(&self) -> &[Cell<u32>; COUNT] {
        // SAFETY: V8 aligns the memory for numbers of any size. It stays where it is until the buffer is collected, which
        // the reference prevents, or detached, which `js/` does not do. JavaScript reads and writes it on this thread
        // only, never while Rust runs.
        unsafe { self.memory.as_ref() }
    }
}
