//! The TLS sessions of connections, by slot, and when they give up the keys that they can expand again.

use std::collections::VecDeque;

use milliways_proto::timer::Tick;
pub(crate) use milliways_tls::{Input, Session, Then};

use crate::ids::{DomainId, Slot};

/// Seconds of silence after which a session gives up its expanded keys, and between two looks at it. To expand them again
/// costs less than a tenth of what a message every so many seconds costs.
const SILENCE: Tick = 2;

/// How many sessions may have expanded keys. Beyond that, the session that was looked at least recently gives up its keys
/// first: otherwise the memory of keys that many sessions have used would not be returned in one piece.
const MAX_KEYED: usize = 1024;

/// The sessions of connections, by slot.
#[derive(Default)]
pub(crate) struct Sessions {
    at: Vec<Option<Box<Secured>>>,
    /// How many there have been.
    count: u32,
    /// Sessions that may have expanded keys, in the order in which they are looked at.
    keyed: VecDeque<Keyed>,
}

/// The session of a connection, and what is noted about it.
struct Secured {
    session: Session,
    /// The router of the server name that the peer has asked for.
    domain: DomainId,
    /// Distinguishes it from other sessions in the same slot.
    serial: u32,
    /// When it was last used, if it is listed as keyed.
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

    /// Notes that the session is in use, and returns whether it has yet to be listed.
    fn note_use(&mut self, now: Tick) -> bool {
        self.used.replace(now).is_none()
    }

    /// Gives up the expanded keys if the session has been silent. Returns whether it has, and is no longer to be listed.
    fn rest_if_silent(&mut self, now: Tick) -> bool {
        let is_silent = self.used.is_none_or(|used| used + SILENCE <= now);
        if is_silent {
            self.rest();
        }
        is_silent
    }

    /// Gives up the expanded keys of a session that is no longer listed.
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
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(place) = self.at.get_mut(slot.index()) {
            *place = None;
        }
    }

    /// The session of a connection, if it has one.
    pub(crate) fn at(&mut self, slot: Slot) -> Option<&mut Session> {
        self.secured(slot).map(|secured| &mut secured.session)
    }

    /// The session of a connection, if it has one, which is about to be used.
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

    /// The router of the server name that a peer has asked for.
    pub(crate) fn domain(&self, slot: Slot) -> DomainId {
        let secured = self.at.get(slot.index()).and_then(Option::as_ref);
        secured.map_or_else(DomainId::default, |secured| secured.domain)
    }

    pub(crate) fn set_domain(&mut self, slot: Slot, domain: DomainId) {
        if let Some(secured) = self.secured(slot) {
            secured.domain = domain;
        }
    }

    /// When [`Sessions::rest_silent`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.keyed.front().map(|keyed| keyed.due)
    }

    /// Has sessions that have been silent give up their expanded keys.
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
