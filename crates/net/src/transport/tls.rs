//! The TLS sessions of connections, by slot, and when they drop the expanded keys that they can compute again.

use std::collections::VecDeque;

use milliways_proto::timer::Tick;
pub(crate) use milliways_tls::{Input, Session, Then};

use crate::ids::{DomainId, Slot};

/// Seconds of silence after which a session drops its expanded keys, and between two checks of a session. A session
/// that gets messages less often expands its keys for each of them, which adds less than a tenth to the cost of a
/// message.
const SILENCE: Tick = 2;

/// The number of sessions that may have expanded keys. Beyond it, the session whose last check is the oldest drops its
/// keys first. Otherwise, the keys of many sessions that were active at about the same time would leave holes in the
/// heap.
const MAX_KEYED: usize = 1024;

/// The sessions of connections, by slot.
#[derive(Default)]
pub(crate) struct Sessions {
    at: Vec<Option<Box<Secured>>>,
    /// The number of sessions so far.
    count: u32,
    /// The number of sessions now.
    live: usize,
    /// Sessions that may have expanded keys, in the order in which they are checked.
    keyed: VecDeque<Keyed>,
}

/// The session of a connection, with what is noted about it.
struct Secured {
    session: Session,
    /// The router of the server name that the peer has asked for.
    domain: DomainId,
    /// Distinguishes it from other sessions in the same slot.
    serial: u32,
    /// When the session was last used; `None` if it is not in the list of keyed sessions.
    used: Option<Tick>,
}

struct Keyed {
    due: Tick,
    slot: Slot,
    serial: u32,
}

impl Secured {
    fn new(serial: u32) -> Self {
        Self { session: Session::new(), domain: DomainId::default(), serial, used: None }
    }

    /// Notes that the session is being used. Returns whether it has to be added to the list.
    fn note_use(&mut self, now: Tick) -> bool {
        self.used.replace(now).is_none()
    }

    /// Drops the expanded keys if the session has been silent. If so, returns true: the session leaves the list.
    fn rest_if_silent(&mut self, now: Tick) -> bool {
        let is_silent = self.used.is_none_or(|used| used + SILENCE <= now);
        if is_silent {
            self.rest();
        }
        is_silent
    }

    /// Drops the expanded keys of a session that leaves the list.
    fn rest(&mut self) {
        self.used = None;
        self.session.rest();
    }
}

impl Sessions {
    pub(crate) fn insert(&mut self, slot: Slot) {
        let index = slot.index();
        if self.at.len() <= index {
            self.at.resize_with(index + 1, || None);
        }
        self.count = self.count.wrapping_add(1);
        self.at[index] = Some(Box::new(Secured::new(self.count)));
        self.live += 1;
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(place) = self.at.get_mut(slot.index()) {
            self.live -= usize::from(place.take().is_some());
        }
    }

    /// Returns the number of bytes that sessions take, as if the handshakes of all were complete.
    pub(crate) fn memory(&self) -> usize {
        let own = size_of::<Secured>() - size_of::<Session>();
        // Those that have ended since their last check are still in the list.
        let keyed = self.keyed.len().min(self.live).min(MAX_KEYED);
        self.at.capacity() * size_of::<Option<Box<Secured>>>()
            + self.live * (own + Session::IDLE_MEMORY)
            + keyed * Session::KEY_MEMORY
    }

    /// Returns the session of a connection, if it has one.
    pub(crate) fn at(&mut self, slot: Slot) -> Option<&mut Session> {
        self.secured(slot).map(|secured| &mut secured.session)
    }

    /// Returns the session of a connection, if it has one. Call this instead of [`Sessions::at`] where keys may be
    /// expanded.
    pub(crate) fn used(&mut self, slot: Slot, now: Tick) -> Option<&mut Session> {
        let secured = self.secured(slot)?;
        if secured.note_use(now) {
            let serial = secured.serial;
            self.keyed.push_back(Keyed { due: now + SILENCE, slot, serial });
            if self.keyed.len() > MAX_KEYED
                && let Some(surplus) = self.keyed.pop_front()
                && let Some(secured) = self.find(&surplus)
            {
                secured.rest();
            }
        }
        self.at(slot)
    }

    /// Returns the router of the server name that a peer has asked for; the default one if it has none.
    pub(crate) fn domain(&self, slot: Slot) -> DomainId {
        let secured = self.at.get(slot.index()).and_then(Option::as_ref);
        secured.map_or_else(DomainId::default, |secured| secured.domain)
    }

    pub(crate) fn set_domain(&mut self, slot: Slot, domain: DomainId) {
        if let Some(secured) = self.secured(slot) {
            secured.domain = domain;
        }
    }

    /// Returns when [`Sessions::rest_silent`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.keyed.front().map(|keyed| keyed.due)
    }

    /// Drops the expanded keys of sessions that have been silent.
    pub(crate) fn rest_silent(&mut self, now: Tick) {
        while let Some(keyed) = self.keyed.front()
            && keyed.due <= now
            && let Some(keyed) = self.keyed.pop_front()
        {
            if self.find(&keyed).is_some_and(|secured| !secured.rest_if_silent(now)) {
                self.keyed.push_back(Keyed { due: now + SILENCE, ..keyed });
            }
        }
    }

    fn find(&mut self, keyed: &Keyed) -> Option<&mut Secured> {
        self.secured(keyed.slot).filter(|secured| secured.serial == keyed.serial)
    }

    fn secured(&mut self, slot: Slot) -> Option<&mut Secured> {
        self.at.get_mut(slot.index())?.as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_listed_once_and_rests_after_silence() {
        let mut secured = Secured::new(1);
        for now in [0, 100, 200] {
            assert!(secured.note_use(now));
            assert!(!secured.note_use(now + 1));
            assert!(!secured.rest_if_silent(now + SILENCE));
            assert!(secured.rest_if_silent(now + 1 + SILENCE));
        }
    }
}
