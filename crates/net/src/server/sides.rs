//! Boxes for what only busy connections have, in a table of their own: a connection has 4 bytes for its place.

use std::num::NonZeroU32;

use slab::Slab;

use super::conversation::Side;

/// Where the side of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SideKey(NonZeroU32);

/// Sides in use, and some to be used again: on a busy server a connection needs one for every message in pieces.
#[derive(Default)]
pub(crate) struct Sides {
    used: Slab<Box<Side>>,
    #[expect(clippy::vec_box, reason = "the table holds the box, so that the box is what is worth keeping")]
    spare: Vec<Box<Side>>,
}

/// How many are kept. A turn of the loop touches few at a time.
const SPARE: usize = 64;

impl SideKey {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    fn of(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("as many connections as the kernel has descriptors, at most"))
    }
}

impl Sides {
    /// The side that a connection has, or gets.
    pub(crate) fn of(&mut self, key: &mut Option<SideKey>) -> &mut Side {
        let key = *key.get_or_insert_with(|| SideKey::of(self.used.insert(self.spare.pop().unwrap_or_default())));
        &mut self.used[key.index()]
    }

    /// The side of a connection, if it has one.
    pub(crate) fn get(&self, key: Option<SideKey>) -> Option<&Side> {
        Some(&self.used[key?.index()])
    }

    /// The side of a connection, if it has one.
    pub(crate) fn get_mut(&mut self, key: Option<SideKey>) -> Option<&mut Side> {
        Some(&mut self.used[key?.index()])
    }

    /// Takes a side back if nothing is in it.
    pub(crate) fn reclaim(&mut self, key: &mut Option<SideKey>) {
        if self.get(*key).is_some_and(Side::is_empty) {
            self.release(key);
        }
    }

    /// Takes a side back, whatever is in it.
    pub(crate) fn release(&mut self, key: &mut Option<SideKey>) {
        let Some(key) = key.take() else { return };
        let mut side = self.used.remove(key.index());
        if self.spare.len() < SPARE {
            side.clear();
            self.spare.push(side);
        }
        // The table has room for as many as have been busy at once.
        if self.used.is_empty() && self.used.capacity() > SPARE {
            self.used = Slab::new();
        }
    }
}
