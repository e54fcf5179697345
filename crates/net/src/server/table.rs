//! Connections by slot. A handle is a slot and a generation, and a stale one finds nothing.

use milliways_proto::chunks::Chunks;

use crate::ids::{ConnectionId, Stale};
use crate::server::conversation::Connection;

/// Generations stay below this, so that JavaScript engines keep them in a small integer. A handle would have to survive
/// a billion successors in its slot to find one of them.
const GENERATIONS: u32 = 1 << 30;

#[derive(Default)]
pub(crate) struct Table {
    entries: Chunks<Entry>,
    /// Slots that can be used.
    free: Vec<u32>,
    /// Slots vacated since the last call of `recycle`. Events of their sockets may still stand in the batch that is
    /// being handled, and must not reach a new tenant.
    vacated: Vec<u32>,
}

struct Entry {
    generation: u32,
    connection: Option<Connection>,
}

impl Table {
    /// The slot that the next connection gets.
    pub(crate) fn vacant_slot(&self) -> u32 {
        let next = || u32::try_from(self.entries.len()).expect("more connections than the kernel has descriptors");
        self.free.last().copied().unwrap_or_else(next)
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> u32 {
        let slot = self.vacant_slot();
        if self.free.pop().is_some() {
            self.entries[slot as usize].connection = Some(connection);
        } else {
            self.entries.push(Entry { generation: 0, connection: Some(connection) });
        }
        slot
    }

    /// Handles to the slot are stale from now on; the slot itself is free after [`Table::recycle`].
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Connection> {
        let entry = self.entries.get_mut(slot as usize)?;
        let connection = entry.connection.take()?;
        entry.advance();
        self.vacated.push(slot);
        Some(connection)
    }

    pub(crate) fn recycle(&mut self) {
        self.free.append(&mut self.vacated);
    }

    /// Makes all handles to the slot stale and gives the new one.
    pub(crate) fn renew(&mut self, slot: u32) -> ConnectionId {
        let entry = &mut self.entries[slot as usize];
        entry.advance();
        ConnectionId { slot, generation: entry.generation }
    }

    pub(crate) fn id(&self, slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: self.entries[slot as usize].generation }
    }

    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Connection> {
        self.entries.get_mut(slot as usize)?.connection.as_mut()
    }

    pub(crate) fn get(&mut self, id: ConnectionId) -> Result<&mut Connection, Stale> {
        match self.entries.get_mut(id.slot as usize) {
            Some(Entry { generation, connection: Some(connection) }) if *generation == id.generation => Ok(connection),
            _ => Err(Stale),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.vacated.len()
    }

    /// Every slot that may have a tenant.
    pub(crate) fn slots(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }
}

impl Entry {
    fn advance(&mut self) {
        self.generation = (self.generation + 1) % GENERATIONS;
    }
}
