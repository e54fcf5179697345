//! Queued events: those that calls have caused, and others that borrow nothing.

use std::collections::VecDeque;
use std::mem;

use crate::event::Event;
use crate::ids::{AppId, ConnectionId};

/// A change to the number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Up,
    Down,
}

#[derive(Default)]
pub(crate) struct EventQueue {
    /// Events in the order in which they happened. `None` is in place of one that was taken out of turn, so that the
    /// positions of later ones stay the same.
    waiting: VecDeque<Option<Event<'static>>>,
    /// The number of waiting events that belong to an outer turn or call, while a handler runs the event loop.
    outer: usize,
    /// Ends caused by calls that were too deeply nested to call another handler.
    deferred: VecDeque<Event<'static>>,
    /// Connections that have been added or removed. These events are delivered between others, never inside of a call.
    counted: VecDeque<Event<'static>>,
    /// Published messages that were dropped while a handler of [`Event::Dropped`] was running. They are held back until
    /// [`EventQueue::release_dropped`].
    dropped: Vec<Event<'static>>,
    /// A handler of [`Event::Dropped`] is running. If it sends a message that is dropped as well, no event follows: the
    /// handler would send again, without end.
    is_telling_dropped: bool,
}

/// The state to restore when a handler has finished running the event loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OuterEvents {
    outer: usize,
    is_telling_dropped: bool,
}

impl EventQueue {
    pub(crate) fn push(&mut self, event: Event<'static>) {
        self.waiting.push_back(Some(event));
    }

    /// Returns whether [`Event::Dropped`] follows when a message is dropped instead of being sent.
    pub(crate) fn tells_dropped(&self) -> bool {
        !self.is_telling_dropped
    }

    /// Queues the event for a published message that was dropped instead of being delivered.
    pub(crate) fn push_dropped_publication(&mut self, event: Event<'static>) {
        if self.is_telling_dropped {
            self.dropped.push(event);
        } else {
            self.push(event);
        }
    }

    pub(crate) fn count(&mut self, app: AppId, id: ConnectionId, count: Count) {
        self.counted.push_back(match count {
            Count::Up => Event::Connected { app, id },
            Count::Down => Event::Disconnected { app, id },
        });
    }

    /// Queues the events that were held back while a handler of [`Event::Dropped`] was running.
    pub(crate) fn release_dropped(&mut self) {
        self.waiting.extend(mem::take(&mut self.dropped).into_iter().map(Some));
    }

    /// Defers the ends among the events from position `mark` on until the outermost call is about to return.
    pub(crate) fn defer_ends(&mut self, mark: usize) {
        let behind = self.waiting.split_off(mark.min(self.waiting.len()));
        for event in behind.into_iter().flatten() {
            let is_end = matches!(event, Event::Aborted { .. } | Event::Subscription { .. } | Event::Close { .. });
            if is_end {
                self.deferred.push_back(event);
            } else {
                self.push(event);
            }
        }
    }

    /// Returns whether there are events from position `mark` on, or deferred ones.
    pub(crate) fn has_caused(&self, mark: usize) -> bool {
        self.waiting.len() > mark || !self.deferred.is_empty()
    }

    /// Takes the next deferred event.
    pub(crate) fn take_deferred(&mut self) -> Option<Event<'static>> {
        self.deferred.pop_front()
    }

    /// Returns the number of waiting events, which is the position of the next one.
    pub(crate) fn mark(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the position of the next event that does not belong to an outer turn or call.
    pub(crate) fn next(&self) -> usize {
        self.outer
    }

    /// Takes the event at a position, or the first one behind it.
    pub(crate) fn take(&mut self, position: usize) -> Option<Event<'static>> {
        while let Some(event) = self.waiting.remove(position) {
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Returns the id in the event at a position.
    #[inline]
    pub(crate) fn id_at(&self, position: usize) -> Option<ConnectionId> {
        self.waiting.get(position)?.as_ref()?.id()
    }

    /// Takes the first event before a position that has this id.
    pub(crate) fn take_before(&mut self, position: usize, id: ConnectionId) -> Option<Event<'static>> {
        let before = self.waiting.iter_mut().take(position);
        before.filter(|event| event.as_ref().and_then(Event::id) == Some(id)).find_map(Option::take)
    }

    /// Takes the next [`Event::Connected`] or [`Event::Disconnected`].
    pub(crate) fn take_counted(&mut self) -> Option<Event<'static>> {
        self.counted.pop_front()
    }

    /// Returns whether [`EventQueue::take`] returns an event.
    #[inline]
    pub(crate) fn has_next(&self) -> bool {
        self.waiting.len() > self.outer
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.len() <= self.outer
            && self.deferred.is_empty()
            && self.counted.is_empty()
            && self.dropped.is_empty()
    }

    /// Drops the events about the connections of an app that is being removed.
    pub(crate) fn forget_app(&mut self, app: AppId) {
        self.counted.retain(|event| {
            !matches!(event, Event::Connected { app: other, .. } | Event::Disconnected { app: other, .. } if *other == app)
        });
    }

    /// Sets whether a handler of [`Event::Dropped`] is running. Returns the previous value.
    pub(crate) fn set_telling_dropped(&mut self, is: bool) -> bool {
        mem::replace(&mut self.is_telling_dropped, is)
    }

    /// Reserves the waiting events for the outer turn or call, because a handler is about to run the event loop.
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
