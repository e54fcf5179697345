//! Memory for strings on their way through.

use std::cell::Cell;

/// Memory that is kept from one use to the next, so that strings need no allocation of their own.
#[derive(Default)]
pub(crate) struct Scratch(Cell<Vec<u8>>);

impl Scratch {
    /// The largest capacity that is kept, in bytes. A longer string needs memory of its own and a second pass, which takes
    /// some 0.15 ns a byte more.
    const MAX_KEPT: usize = 1 << 20;

    /// Calls `run` with an empty vector. A use inside of another one has a vector of its own.
    pub(crate) fn with<R>(&self, run: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut memory = self.0.take();
        memory.clear();
        let result = run(&mut memory);
        if memory.capacity() <= Self::MAX_KEPT {
            self.0.set(memory);
        }
        result
    }
}
