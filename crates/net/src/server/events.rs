//! Events that wait to be taken: those that calls have caused, and those that come with no bytes of a peer.

use std::collections::VecDeque;
use std::mem;

use crate::event::Event;
use crate::ids::{AppId, ConnectionId};

/// A connection has come or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Up,
    Down,
}

#[derive(Default)]
pub(crate) struct EventQueue {
    /// In the order in which they happened.
    waiting: VecDeque<Event<'static>>,
    /// How many of these belong to somebody further out, who has run the loop inside of a handler.
    outer: usize,
    /// Ends that calls have caused which were too deep in others for another handler.
    deferred: VecDeque<Event<'static>>,
    /// Connections that have come or gone. They are told between other events, never inside of a call.
    counted: VecDeque<Event<'static>>,
    /// Published messages that were dropped while a handler of [`Event::Dropped`] was running, for the next turn.
    dropped: Vec<Event<'static>>,
    /// A handler of [`Event::Dropped`] is running. A message that it sends in turn and that is dropped makes no event: the
    /// handler would do the same again, without end.
    is_telling_dropped: bool,
}

/// What is restored when a loop that a handler has run is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OuterEvents {
    outer: usize,
    is_telling_dropped: bool,
}

impl EventQueue {
    pub(crate) fn push(&mut self, event: Event<'static>) {
        self.waiting.push_back(event);
    }

    /// Whether a message that is dropped instead of being sent makes an event.
    pub(crate) fn tells_dropped(&self) -> bool {
        !self.is_telling_dropped
    }

    /// Notes a published message that has been dropped instead of being delivered.
    pub(crate) fn push_dropped_publication(&mut self, event: Event<'static>) {
        if self.is_telling_dropped {
            self.dropped.push(event);
        } else {
            self.waiting.push_back(event);
        }
    }

    pub(crate) fn count(&mut self, app: AppId, id: ConnectionId, count: Count) {
        self.counted.push_back(match count {
            Count::Up => Event::Connected { app, id },
            Count::Down => Event::Disconnected { app, id },
        });
    }

    /// Has [`EventQueue::take`] return what was put off.
    pub(crate) fn release_dropped(&mut self) {
        self.waiting.extend(mem::take(&mut self.dropped));
    }

    /// Has the ends among the events behind so many wait until the outermost call is about to return.
    pub(crate) fn defer_ends(&mut self, mark: usize) {
        let behind = self.waiting.split_off(mark.min(self.waiting.len()));
        for event in behind {
            let is_end = matches!(event, Event::Aborted { .. } | Event::Subscription { .. } | Event::Close { .. });
            if is_end { &mut self.deferred } else { &mut self.waiting }.push_back(event);
        }
    }

    /// Whether events wait behind so many, or have been deferred.
    pub(crate) fn has_caused(&self, mark: usize) -> bool {
        self.waiting.len() > mark || !self.deferred.is_empty()
    }

    /// Takes the next event that has been deferred.
    pub(crate) fn take_deferred(&mut self) -> Option<Event<'static>> {
        self.deferred.pop_front()
    }

    /// How many events wait: those that follow are the caller's.
    pub(crate) fn mark(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the first event behind so many.
    pub(crate) fn take_behind(&mut self, mark: usize) -> Option<Event<'static>> {
        self.waiting.remove(mark)
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self) -> Option<Event<'static>> {
        self.waiting.remove(self.outer)
    }

    /// Takes the next connection that has come or gone.
    pub(crate) fn take_counted(&mut self) -> Option<Event<'static>> {
        self.counted.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.len() <= self.outer
            && self.deferred.is_empty()
            && self.counted.is_empty()
            && self.dropped.is_empty()
    }

    /// Forgets what would be told to an app that is removed.
    pub(crate) fn forget_app(&mut self, app: AppId) {
        self.counted.retain(|event| {
            !matches!(event, Event::Connected { app: other, .. } | Event::Disconnected { app: other, .. } if *other == app)
        });
    }

    /// Notes whether a handler of [`Event::Dropped`] is running; returns what was noted before.
    pub(crate) fn set_telling_dropped(&mut self, is: bool) -> bool {
        mem::replace(&mut self.is_telling_dropped, is)
    }

    /// Leaves the events that wait to whoever is further out.
    pub(crate) fn begin_nested(&mut self) -> OuterEvents {
        OuterEvents {
            outer: mem::replace(&mut self.outer, self.waiting.len()),
            is_telling_dropped: mem::take(&mut self.is_telling_dropped),
        }
    }

    /// Undoes [`EventQueue::begin_nested`].
    pub(crate) fn end_nested(&mut self, outer: OuterEvents) {
        self.outer = outer.outer;
        self.is_telling_dropped = outer.is_telling_dropped;
    }
}
