//! TLS of connections: their sessions, by slot, and what the reactor does about them.

mod server;

use std::collections::VecDeque;

use milliways_proto::timer::Tick;
pub(crate) use milliways_tls::Session;
use milliways_tls::TlsConfig;

use crate::ids::DomainId;

/// Seconds of silence after which a session gives up its expanded keys, and between two looks at it. To expand them
/// again costs less than a tenth of what a message every so many seconds costs.
const SILENCE: Tick = 2;

/// How many sessions may have expanded keys. Beyond that, the session that was looked at least recently gives up its
/// keys first: otherwise the memory of keys that many sessions have used would not be returned in one piece.
const MAX_KEYED: usize = 1024;

/// The server names of an app.
pub(crate) struct Names {
    table: milliways_tls::Names<DomainId>,
    /// Whether the handler is asked about names that are not in the table.
    asks: bool,
}

impl Names {
    fn new(default: TlsConfig) -> Self {
        Self { table: milliways_tls::Names::new(default), asks: false }
    }
}

/// The sessions of connections, by slot.
#[derive(Default)]
pub(crate) struct Sessions {
    at: Vec<Option<Box<Secured>>>,
    /// How many there have been.
    count: u32,
}

/// The session of a connection, and what the reactor notes about it.
struct Secured {
    session: Session,
    /// The router of the server name that the peer has asked for.
    domain: DomainId,
    /// Distinguishes it from other sessions in the same slot.
    serial: u32,
    /// When it was last used, if [`Keyed`] lists it.
    used: Option<Tick>,
}

impl Secured {
    fn new(serial: u32) -> Self {
        Self { session: Session::new(), domain: DomainId::default(), serial, used: None }
    }

    /// Notes that the session is in use, and returns whether [`Keyed`] has yet to list it.
    fn note_use(&mut self, now: Tick) -> bool {
        self.used.replace(now).is_none()
    }

    /// Gives up the expanded keys if the session has been silent. Returns whether it has, and is no longer to be
    /// listed.
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

/// Sessions that may have expanded keys, in the order in which they are looked at.
#[derive(Default)]
pub(crate) struct Keyed(VecDeque<(Tick, u32, u32)>);

impl Keyed {
    /// Removes the first session if there are too many; returns its slot and serial number.
    fn pop_surplus(&mut self) -> Option<(u32, u32)> {
        if self.0.len() <= MAX_KEYED {
            return None;
        }
        self.0.pop_front().map(|(_, slot, serial)| (slot, serial))
    }

    fn push(&mut self, slot: u32, serial: u32, now: Tick) {
        self.0.push_back((now + SILENCE, slot, serial));
    }

    /// When the next session is to be looked at.
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
        self.at[slot] = Some(Box::new(Secured::new(self.count)));
    }

    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Session> {
        self.secured(slot).map(|secured| &mut secured.session)
    }

    fn secured(&mut self, slot: u32) -> Option<&mut Secured> {
        self.at.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(place) = self.at.get_mut(slot as usize) {
            *place = None;
        }
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
