//! What observers of a reactor are told, for diagnostics.
//!
//! Facts are noted where they are counted, and wait in the order in which they happened until
//! [`Reactor::take_facts`](crate::Reactor::take_facts). As long as nobody observes, nothing is noted, and nothing that
//! happens for each message even asks whether anybody does.

use std::cell::{Cell, RefCell};
use std::mem;
use std::net::SocketAddr;

use crate::ids::{AppId, Slot};

/// What is noted for observers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watching {
    /// Nothing.
    #[default]
    Nothing,
    /// How connections begin, what becomes of them and how they end, and all errors, timeouts and exceeded limits.
    Connections,
    /// The same, and each request and response.
    Requests,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The app. It may have been removed meanwhile.
    pub app: AppId,
    /// The slot of the connection, if it is known. It is that connection's from [`What::Connected`] to
    /// [`What::Removed`].
    pub slot: Option<Slot>,
    /// What has happened.
    pub what: What,
}

/// What has happened to an app, or to one of its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection has begun.
    Connected {
        /// The address of the peer; `None` for a Unix socket, or if the connection has failed already.
        peer: Option<SocketAddr>,
        /// Whether it uses TLS.
        is_secure: bool,
    },
    /// Who the peer is. Noted before the connection becomes a WebSocket and before it ends, for observers that have missed
    /// its beginning, and because a PROXY header follows that.
    Client {
        /// The address of the peer, as in [`What::Connected`].
        peer: Option<SocketAddr>,
        /// The address of the client according to the PROXY header, if there is one and it has an address.
        proxied: Option<SocketAddr>,
        /// Whether the connection uses TLS.
        is_secure: bool,
    },
    /// A request with this method has arrived. Only with [`Watching::Requests`].
    Requested(Box<str>),
    /// The connection has become a WebSocket of the app.
    Upgraded {
        /// Whether permessage-deflate has been agreed on (RFC 7692).
        is_compressed: bool,
    },
    /// A WebSocket has closed. The close handler is called with this code.
    Closed(u16),
    /// The socket has been closed. The slot may become that of another connection.
    Removed,
    /// A connection has not begun, because it would have exceeded a limit.
    Refused {
        /// The index of the limit in [`descriptions`](crate::descriptions).
        number: usize,
        /// The address of the peer, as in [`What::Connected`].
        peer: Option<SocketAddr>,
    },
    /// A number has risen.
    Counted {
        /// Its index in [`descriptions`](crate::descriptions), whose path says what has happened.
        number: usize,
        /// By how much it has risen: by more than 1 only if nothing else has happened in between.
        count: u64,
    },
}

/// The facts of a reactor that nobody has taken yet.
#[derive(Default)]
pub(crate) struct Watch {
    watching: Cell<Watching>,
    facts: RefCell<Vec<Fact>>,
}

impl Watch {
    /// Sets what is noted from now on. What has been noted before is dropped if nobody observes any more.
    pub(crate) fn set(&self, watching: Watching) {
        self.watching.set(watching);
        if watching == Watching::Nothing {
            self.take();
        }
    }

    /// Returns whether anything is noted.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.watching.get() > Watching::Nothing
    }

    /// Returns whether requests and responses are noted.
    #[inline]
    pub(crate) fn has_requests(&self) -> bool {
        self.watching.get() == Watching::Requests
    }

    /// Notes what `what` returns, if anybody observes.
    #[inline]
    pub(crate) fn note(&self, app: AppId, slot: Option<Slot>, what: impl FnOnce() -> What) {
        if self.is_on() {
            self.push(Fact { app, slot, what: what() });
        }
    }

    #[cold]
    fn push(&self, fact: Fact) {
        let mut facts = self.facts.borrow_mut();
        // A WebSocket that does not keep up may lose message after message.
        if let (
            What::Counted { number, count },
            Some(Fact { app, slot, what: What::Counted { number: last, count: sum } }),
        ) = (&fact.what, facts.last_mut())
            && (fact.app, fact.slot, number) == (*app, *slot, &*last)
        {
            *sum += count;
            return;
        }
        facts.push(fact);
    }

    /// Returns whether [`Watch::take`] returns something.
    pub(crate) fn has_facts(&self) -> bool {
        !self.facts.borrow().is_empty()
    }

    /// Takes all facts, in the order in which they happened.
    pub(crate) fn take(&self) -> Vec<Fact> {
        mem::take(&mut *self.facts.borrow_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(number: usize, count: u64) -> What {
        What::Counted { number, count }
    }

    #[test]
    fn nothing_is_noted_without_an_observer() {
        let watch = Watch::default();
        watch.note(AppId(0), None, || unreachable!("nobody observes"));
        assert!(!watch.has_facts());
        watch.set(Watching::Connections);
        watch.note(AppId(0), None, || What::Removed);
        assert!(watch.has_facts());
        watch.set(Watching::Nothing);
        assert_eq!(watch.take(), []);
    }

    #[test]
    fn what_happens_again_and_again_is_one_fact() {
        let watch = Watch::default();
        watch.set(Watching::Connections);
        let facts = [(0, Some(1), 7), (0, Some(1), 7), (0, Some(2), 7), (0, Some(2), 8), (1, Some(2), 8), (1, None, 8)];
        for (app, slot, number) in facts {
            watch.note(AppId(app), slot.map(Slot), || counted(number, 1));
        }
        let taken = watch.take().into_iter().map(|Fact { app, slot, what }| (app.0, slot.map(|slot| slot.0), what));
        let expected = [
            (0, Some(1), counted(7, 2)),
            (0, Some(2), counted(7, 1)),
            (0, Some(2), counted(8, 1)),
            (1, Some(2), counted(8, 1)),
            (1, None, counted(8, 1)),
        ];
        assert_eq!(taken.collect::<Vec<_>>(), expected);
    }
}
