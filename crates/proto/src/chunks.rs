//! A growable array that never moves its elements.
//!
//! A `Vec` that grows copies its elements into memory twice as large and leaves a hole where they were. In the tables that
//! have an entry for every connection, this would be a good part of what an idle connection costs.

use std::ops::{Index, IndexMut};

/// The number of elements that are allocated together.
const CHUNK: usize = 512;

/// A growable array with indices, as `Vec` is.
pub struct Chunks<T> {
    /// All but the last one are full. Each is allocated with room for exactly `CHUNK` elements.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunks<T> {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends an element.
    pub fn push(&mut self, value: T) {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut().expect("there is one with room").push(value);
    }

    /// Returns the element at `index`, or `None` if `index` is out of bounds.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// Returns the element at `index` for changing it, or `None` if `index` is out of bounds.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_vec_around_the_ends_of_chunks() {
        let mut chunks = Chunks::default();
        assert!(chunks.is_empty() && chunks.get(0).is_none());
        for value in 0..=3 * CHUNK {
            assert_eq!(chunks.len(), value);
            assert!(chunks.get_mut(value).is_none());
            chunks.push(value);
            assert_eq!((chunks[value], chunks.get(value)), (value, Some(&value)));
        }
        chunks[CHUNK] += 7;
        assert_eq!(chunks.get(CHUNK), Some(&(CHUNK + 7)));
        assert_eq!(chunks[CHUNK - 1], CHUNK - 1);
    }

    #[test]
    fn nothing_moves_when_it_grows() {
        let mut chunks = Chunks::default();
        chunks.push(0);
        let first: *const i32 = &raw const chunks[0];
        for value in 1..10 * CHUNK as i32 {
            chunks.push(value);
        }
        assert_eq!(first, &raw const chunks[0]);
    }
}
