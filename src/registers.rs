//! The numbers that are exchanged with `js/` without a Node-API call for each.
//!
//! They are in memory that only the classes of `js/` know. A number is read before anything else runs that could write
//! another one: for an event the wrapper in `js/` reads before it calls the user's function, for a call the addon reads
//! before it does anything, and a result is written last.

use crate::node;

pub(crate) type Registers = node::Registers<3>;

/// One of the numbers; `js/registers.js` has the same names.
#[derive(Clone, Copy)]
pub(crate) enum Register {
    /// The slot of the connection that an event or a call is about.
    Slot,
    /// Its generation.
    Generation,
    /// For a call, the kind of a message before and the result after it; for an event, its number, and whether the handler is
    /// asynchronous.
    Value,
}

impl From<Register> for usize {
    fn from(register: Register) -> Self {
        register as Self
    }
}
