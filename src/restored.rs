//! A cell that has a value for a while.

use std::cell::Cell;

/// Gives a cell the value back that it had, also when what runs meanwhile panics.
#[must_use]
pub(crate) struct Restored<'c, T: Copy> {
    cell: &'c Cell<T>,
    outer: T,
}

impl<'c, T: Copy> Restored<'c, T> {
    /// Replaces the cell's value until this is dropped.
    pub(crate) fn replace(cell: &'c Cell<T>, value: T) -> Self {
        Self { cell, outer: cell.replace(value) }
    }
}

impl<T: Copy> Drop for Restored<'_, T> {
    fn drop(&mut self) {
        self.cell.set(self.outer);
    }
}
