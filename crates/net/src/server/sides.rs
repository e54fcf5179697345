//! The side boxes of busy connections, in a table of their own, so that a connection needs only 4 bytes to refer to
//! one.

use std::num::NonZeroU32;

use milliways_proto::http::{self, Draft};
use milliways_proto::ws::{self, Contexts};
use slab::Slab;

use super::upload::Upload;

/// The state that only a busy connection has.
#[derive(Default)]
pub(crate) struct Side {
    /// WebSocket: the receiving machine, which has an incomplete frame or message.
    pub(crate) frames: ws::Receiver,
    /// WebSocket: its own compression contexts, if it needs any.
    pub(crate) contexts: Option<Box<Contexts>>,
    /// WebSocket: frames that were published while a fragmented message is being sent.
    pub(crate) held: Vec<u8>,
    /// Bytes that had been read before the connection was held up, and are still to be handled.
    pub(crate) input: Vec<u8>,
    /// HTTP: the receiving machine, in the middle of a request.
    pub(crate) requests: http::Receiver,
    /// HTTP: the body of the request, until it has been received and delivered.
    pub(super) upload: Option<Upload>,
    /// HTTP: what the handler has written of the response and is still needed.
    pub(crate) draft: Draft,
    /// The number of bytes that [`Sides::allocated`] includes of this side.
    noted: usize,
}

impl Side {
    /// Returns whether this equals a new one, apart from allocated memory.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_idle()
            && self.contexts.is_none()
            && self.held.is_empty()
            && self.input.is_empty()
            && self.requests.is_idle()
            && self.upload.is_none()
            && self.draft.is_empty()
    }

    /// Returns the number of bytes that have been allocated.
    fn allocated(&self) -> usize {
        self.frames.memory()
            + self.contexts.as_ref().map_or(0, |contexts| size_of::<Contexts>() + contexts.memory())
            + self.held.capacity()
            + self.input.capacity()
            + self.requests.memory()
            + self.upload.as_ref().map_or(0, Upload::memory)
            + self.draft.memory()
    }

    /// Resets this to a new one, but keeps the memory of the draft, and what is noted.
    pub(crate) fn clear(&mut self) {
        let Self { mut draft, noted, .. } = std::mem::take(self);
        draft.clear();
        *self = Self { draft, noted, ..Self::default() };
    }
}

/// The place of a connection's [`Side`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SideKey(NonZeroU32);

/// Sides in use, and spare ones: on a busy server, a connection needs one for every message that arrives in pieces.
#[derive(Default)]
pub(crate) struct Sides {
    used: Slab<Box<Side>>,
    #[expect(clippy::vec_box, reason = "the table holds the box, so that the box is what is worth keeping")]
    spare: Vec<Box<Side>>,
    /// The number of bytes that the sides in use have allocated, as far as it has been noted.
    allocated: usize,
}

/// The number of spare sides that are kept. Few are in use in any one turn.
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
    /// Returns the side of a connection, which gets one if it has none.
    pub(crate) fn of(&mut self, key: &mut Option<SideKey>) -> &mut Side {
        let key = *key.get_or_insert_with(|| SideKey::of(self.used.insert(self.spare.pop().unwrap_or_default())));
        &mut self.used[key.index()]
    }

    /// Returns the side of a connection, if it has one.
    pub(crate) fn get(&self, key: Option<SideKey>) -> Option<&Side> {
        Some(&self.used[key?.index()])
    }

    /// Returns the side of a connection, if it has one.
    pub(crate) fn get_mut(&mut self, key: Option<SideKey>) -> Option<&mut Side> {
        Some(&mut self.used[key?.index()])
    }

    /// Releases a side if it is empty, and otherwise notes how much memory it has.
    pub(crate) fn reclaim(&mut self, key: &mut Option<SideKey>) {
        let Some(side) = self.get(*key) else { return };
        if side.is_empty() { self.release(key) } else { self.note(*key) }
    }

    #[inline(never)]
    fn note(&mut self, key: Option<SideKey>) {
        let Some(side) = key.map(|key| &mut self.used[key.index()]) else { return };
        let now = side.allocated();
        self.allocated = self.allocated - side.noted + now;
        side.noted = now;
    }

    /// Returns the number of bytes that sides take.
    pub(crate) fn memory(&self) -> usize {
        let boxes = (self.used.len() + self.spare.len()) * size_of::<Side>();
        boxes + self.used.capacity() * size_of::<Box<Side>>() + self.allocated
    }

    /// Releases a side with whatever is in it.
    pub(crate) fn release(&mut self, key: &mut Option<SideKey>) {
        let Some(key) = key.take() else { return };
        let mut side = self.used.remove(key.index());
        self.allocated -= std::mem::take(&mut side.noted);
        if self.spare.len() < SPARE {
            side.clear();
            self.spare.push(side);
        }
        // The table still has room for the largest number of busy connections that there has been.
        if self.used.is_empty() && self.used.capacity() > SPARE {
            self.used = Slab::new();
        }
    }
}
