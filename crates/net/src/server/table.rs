//! Conversations by slot. A handle is a slot and a generation, and a stale one finds nothing.

use std::ops::{Index, IndexMut};

use milliways_proto::chunks::Chunks;

use super::conversation::{Conversation, Talk};
use crate::ids::{ConnectionId, Slot, Stale};

#[derive(Default)]
pub(crate) struct Table {
    entries: Chunks<Conversation>,
    /// Slots that can be used.
    free: Vec<Slot>,
    /// Slots vacated since the last call of `recycle`. Events of their sockets may still stand in the batch that is
    /// being handled, and must not reach a new tenant.
    vacated: Vec<Slot>,
}

impl Table {
    /// The slot that the next connection gets.
    pub(crate) fn vacant_slot(&self) -> Slot {
        let next =
            || Slot(u32::try_from(self.entries.len()).expect("more connections than the kernel has descriptors"));
        self.free.last().copied().unwrap_or_else(next)
    }

    /// Takes the slot that [`Table::vacant_slot`] returns.
    pub(crate) fn occupy(&mut self) -> Slot {
        let slot = self.vacant_slot();
        if self.free.pop().is_none() {
            self.entries.push(Conversation::vacant());
        }
        slot
    }

    /// Handles to the slot are stale from now on; the slot itself is free after [`Table::recycle`].
    pub(crate) fn vacate(&mut self, slot: Slot) {
        self[slot].talk = Talk::Vacant;
        self.renew(slot);
        self.vacated.push(slot);
    }

    pub(crate) fn recycle(&mut self) {
        self.free.append(&mut self.vacated);
    }

    /// Makes all handles to the slot stale and returns the new one.
    pub(crate) fn renew(&mut self, slot: Slot) -> ConnectionId {
        let conversation = &mut self[slot];
        conversation.generation = conversation.generation.next();
        ConnectionId { slot, generation: conversation.generation }
    }

    pub(crate) fn id(&self, slot: Slot) -> ConnectionId {
        ConnectionId { slot, generation: self[slot].generation }
    }

    /// The conversation that a handle names.
    pub(crate) fn get(&mut self, id: ConnectionId) -> Result<&mut Conversation, Stale> {
        match self.entries.get_mut(id.slot.index()) {
            Some(conversation) if conversation.generation == id.generation && !conversation.is_over() => {
                Ok(conversation)
            }
            _ => Err(Stale),
        }
    }

    /// Whether somebody is connected at a slot, of which events may still tell.
    pub(crate) fn is_live(&self, slot: Slot) -> bool {
        self.entries.get(slot.index()).is_some_and(|conversation| !conversation.is_over())
    }

    /// How many slots are in use.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.vacated.len()
    }

    /// Every slot that may have a tenant.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)).map(Slot)
    }
}

impl Index<Slot> for Table {
    type Output = Conversation;

    fn index(&self, slot: Slot) -> &Conversation {
        &self.entries[slot.index()]
    }
}

impl IndexMut<Slot> for Table {
    fn index_mut(&mut self, slot: Slot) -> &mut Conversation {
        &mut self.entries[slot.index()]
    }
}
