//! Numbers that go between Rust and JavaScript with no Node-API call for each.

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::NonNull;

use crate::node::{Failed, Js, Reference, Value};

/// One of the numbers; `js/registers.js` has the same names.
#[derive(Clone, Copy)]
pub(crate) enum Register {
    /// Of the connection that an event or a call is about.
    Slot,
    Generation,
    /// What a message is, in; what became of it, out.
    Value,
}

const COUNT: usize = 3;

/// Memory of an `ArrayBuffer` that only the classes of `js/` know. Whoever writes a number has it read before anything
/// else runs: for an event the wrapper reads before it calls the user's function, for a call the addon before it does
/// anything, and what comes back is written last.
pub(crate) struct Registers {
    memory: NonNull<[Cell<u32>; COUNT]>,
    /// Keeps the memory alive.
    _buffer: Reference,
}

impl Registers {
    /// Makes them, and makes them known to JavaScript as a property of `exports`.
    pub(crate) fn export(js: Js<'_>, exports: Value<'_>, name: &CStr) -> Result<Self, Failed> {
        let mut start = None;
        let buffer =
            js.array_buffer(size_of::<[Cell<u32>; COUNT]>(), |bytes| start = NonNull::new(bytes.as_mut_ptr()))?;
        js.define(exports, name, buffer)?;
        Ok(Self { memory: start.ok_or(Failed)?.cast(), _buffer: Reference::new(js, buffer)? })
    }

    pub(crate) fn get(&self, register: Register) -> u32 {
        self.cells()[register as usize].get()
    }

    pub(crate) fn set(&self, register: Register, value: u32) {
        self.cells()[register as usize].set(value);
    }

    fn cells(&self) -> &[Cell<u32>; COUNT] {
        // SAFETY: V8 aligns the memory for numbers of any size. It stays where it is until the buffer is collected,
        // which the reference keeps from happening, or detached, which `js/` does not do. JavaScript reads and writes
        // it on this thread only, never while Rust runs.
        unsafe { self.memory.as_ref() }
    }
}
