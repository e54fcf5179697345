//! Conversations by slot. A handle is a slot and a generation, so a stale handle finds nothing.

use std::ops::{Index, IndexMut};

use milliways_proto::chunks::Chunks;

use super::conversation::{Conversation, Talk};
use crate::ids::{ConnectionId, Slot, Stale};

#[derive(Default)]
pub(crate) struct Table {
    entries: Chunks<Conversation>,
    /// Slots that are free for use.
    free: Vec<Slot>,
    /// Slots vacated since the last call of [`Table::recycle`]. The batch of kernel events that is being handled may
    /// still contain events of their sockets, which must not reach a new connection.
    vacated: Vec<Slot>,
    /// The connection that the call under way has named last. It is the one to end if the call panics.
    named: Option<ConnectionId>,
}

impl Table {
    /// Returns the slot that the next connection gets.
    pub(crate) fn vacant_slot(&self) -> Slot {
        let next =
            || Slot(u32::try_from(self.entries.len()).expect("more connections than the kernel has descriptors"));
        self.free.last().copied().unwrap_or_else(next)
    }

    /// Occupies the slot that [`Table::vacant_slot`] returns.
    pub(crate) fn occupy(&mut self) -> Slot {
        let slot = self.vacant_slot();
        if self.free.pop().is_none() {
            self.entries.push(Conversation::default());
        }
        slot
    }

    /// Vacates a slot. Handles to it become stale at once, and it is free for use after [`Table::recycle`].
    pub(crate) fn vacate(&mut self, slot: Slot) {
        self[slot].talk = Talk::Vacant;
        self.renew(slot);
        self.vacated.push(slot);
    }

    pub(crate) fn recycle(&mut self) {
        self.free.append(&mut self.vacated);
    }

    /// Makes all handles to a slot stale and returns the new one.
    pub(crate) fn renew(&mut self, slot: Slot) -> ConnectionId {
        let conversation = &mut self[slot];
        conversation.generation = conversation.generation.next();
        conversation.id(slot)
    }

    pub(crate) fn id(&self, slot: Slot) -> ConnectionId {
        self[slot].id(slot)
    }

    /// Returns the connection that was named last since the previous call of this.
    pub(crate) fn take_named(&mut self) -> Option<ConnectionId> {
        self.named.take()
    }

    /// Returns the conversation that a handle refers to.
    pub(crate) fn get(&mut self, id: ConnectionId) -> Result<&mut Conversation, Stale> {
        self.named = Some(id);
        match self.entries.get_mut(id.slot.index()) {
            Some(conversation) if conversation.generation == id.generation && !conversation.is_over() => {
                Ok(conversation)
            }
            _ => Err(Stale),
        }
    }

    /// Returns whether a slot has a connection that has not been cut.
    pub(crate) fn is_live(&self, slot: Slot) -> bool {
        self.entries.get(slot.index()).is_some_and(|conversation| !conversation.is_over())
    }

    /// Returns the number of bytes that are allocated.
    pub(crate) fn memory(&self) -> usize {
        self.entries.memory() + (self.free.capacity() + self.vacated.capacity()) * size_of::<Slot>()
    }

    /// Returns the number of slots in use.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.vacated.len()
    }

    /// Returns every slot that may be in use.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.end()).map(Slot)
    }

    /// Returns a number above those of all slots in use.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
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
