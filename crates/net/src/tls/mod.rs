//! TLS of connections: their sessions, by slot, and what the reactor does about them.

mod server;

use std::collections::VecDeque;

use milliways_proto::timer::Tick;
pub(crate) use milliways_tls::{Names, Received, SILENCE, Session};

/// How many sessions may have something to forget. When there are more, the one that has been looked at least lately forgets
/// first: else the memory of what has been used by many would not be one piece when it is given back.
const MAX_KEYED: usize = 1024;

/// The sessions of connections, by slot.
#[derive(Default)]
pub(crate) struct Sessions {
    at: Vec<Option<Box<Session>>>,
    /// How many there have been.
    count: u32,
}

/// Sessions that have something to forget, in the order in which they are looked at.
#[derive(Default)]
pub(crate) struct Keyed(VecDeque<(Tick, u32, u32)>);

impl Keyed {
    /// One that is too many.
    fn pop_surplus(&mut self) -> Option<(u32, u32)> {
        if self.0.len() <= MAX_KEYED {
            return None;
        }
        self.0.pop_front().map(|(_, slot, serial)| (slot, serial))
    }

    fn push(&mut self, slot: u32, serial: u32, now: Tick) {
        self.0.push_back((now + SILENCE, slot, serial));
    }

    /// When there is one to be looked at.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.0.front().map(|(due, _, _)| *due)
    }

    fn poll_due(&mut self, now: Tick) -> Option<(u32, u32)> {
        let (due, slot, serial) = self.0.front().copied()?;
        if due > now {
            return None;
        }
        self.0.pop_front();
        Some((slot, serial))
    }
}

impl Sessions {
    pub(crate) fn insert(&mut self, slot: u32) {
        let slot = slot as usize;
        if self.at.len() <= slot {
            self.at.resize_with(slot + 1, || None);
        }
        self.count = self.count.wrapping_add(1);
        self.at[slot] = Some(Box::new(Session::new(self.count)));
    }

    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Session> {
        self.at.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(place) = self.at.get_mut(slot as usize) {
            *place = None;
        }
    }
}
