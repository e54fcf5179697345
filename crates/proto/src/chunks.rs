//! A growable array that never moves its elements.
//!
//! A `Vec` that grows copies its elements into memory twice as large and leaves a hole where they were. In the tables that
//! have an entry for every connection, this would be a good part of what an idle connection costs.

use std::ops::{Index, IndexMut};

/// The number of elements that are allocated together.
const CHUNK: usize = 512;

/// A growable array with indices, as `Vec` is.
pub struct Chunks<T> {
    /// All elements of a chunk exist from the beginning, so that an index inside of one is always in bounds.
    chunks: Vec<Box<[T; CHUNK]>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Default> Chunks<T> {
    /// Appends an element.
    pub fn push(&mut self, value: T) {
        if self.len == self.chunks.len() * CHUNK {
            let chunk: Box<[T]> = std::iter::repeat_with(T::default).take(CHUNK).collect();
            self.chunks.push(chunk.try_into().unwrap_or_else(|_| unreachable!("it has this length")));
        }
        let index = self.len;
        self.len += 1;
        self[index] = value;
    }
}

impl<T> Chunks<T> {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of bytes that are allocated.
    pub fn memory(&self) -> usize {
        self.chunks.capacity() * size_of::<Box<[T; CHUNK]>>() + self.chunks.len() * size_of::<[T; CHUNK]>()
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the element at `index`, or `None` if `index` is out of bounds.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        (index < self.len).then(|| &self[index])
    }

    /// Returns the element at `index` for changing it, or `None` if `index` is out of bounds.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index < self.len { Some(&mut self[index]) } else { None }
    }
}

/// An index that is out of bounds panics, or returns a default element if the last chunk has one there.
impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        debug_assert!(index < self.len, "{index} of {}", self.len);
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        debug_assert!(index < self.len, "{index} of {}", self.len);
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
