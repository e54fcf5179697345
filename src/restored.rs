//! A cell that has another value for a while.

use std::cell::Cell;

/// Restores the previous value of a cell when it is dropped, even if a panic causes that.
#[must_use]
pub(crate) struct Restored<'c, T: Copy> {
    cell: &'c Cell<T>,
    outer: T,
}

impl<'c, T: Copy> Restored<'c, T> {
    /// Replaces the cell's value until the result is dropped.
    pub(crate) fn replace(cell: &'c Cell<T>, value: T) -> Self {
        Self { cell, outer: cell.replace(value) }
    }
}

impl<T: Copy> Drop for Restored<'_, T> {
    fn drop(&mut self) {
        self.cell.set(self.outer);
    }
}
