//! Graceful shutdown of an app: what is under way is finished, and nothing new begins.
//!
//! Each connection of the app is visited once:
//!
//! | connection | what happens |
//! | --- | --- |
//! | WebSocket | [`End::ShutDown`]: the Close frame, after what waits to be sent |
//! | request in progress | the connection closes after the response, whose head says so if it has not been sent |
//! | between two requests | [`End::ShutDown`]: FIN |
//! | no request yet, or a part of one | it may send its request, which is answered as above. A new connection has [`GRACE`] for that, any other the idle timeout |
//!
//! A request that becomes a WebSocket meanwhile is visited again. So is every connection that is left at the deadline,
//! and is cut then.

use std::sync::Arc;
use std::time::Instant;

use milliways_proto::timer::Tick;

use super::Server;
use super::closing::End;
use super::conversation::{HttpFlag, HttpFlags, Talk};
use super::trap::Layer;
use crate::event::Event;
use crate::ids::{AppId, ConnectionId, Slot};

/// Seconds in which a connection that has not sent anything may begin its first request. Browsers open connections in
/// advance, and many of these are never used.
pub(super) const GRACE: Tick = 1;

/// An app that is being shut down.
pub(crate) struct Shutdown {
    code: u16,
    reason: Arc<[u8]>,
    /// When what is left is cut; `None` for never.
    deadline: Option<Instant>,
    is_overdue: bool,
    /// The next slot to be visited, if its connection is the app's.
    next: u32,
    /// The number of connections that have been removed.
    removed: u64,
    /// The number of connections that have been cut.
    forced: u64,
}

impl Shutdown {
    /// Counts a connection that has been removed.
    pub(super) fn note_removed(&mut self) {
        self.removed += 1;
    }

    /// Counts a connection that is about to be cut.
    pub(super) fn note_forced(&mut self) {
        self.forced += 1;
    }
}

impl Server {
    /// Begins to shut an app down, which has no listening socket any more. Does nothing if that has begun before.
    pub(crate) fn shut_down(&mut self, app: AppId, code: u16, reason: &[u8], deadline: Option<Instant>) {
        let it = self.apps.of_mut(app);
        if it.shutdown.is_none() {
            let reason = reason.into();
            let shutdown = Shutdown { code, reason, deadline, is_overdue: false, next: 0, removed: 0, forced: 0 };
            it.shutdown = Some(Box::new(shutdown));
            self.shutting_down.push(app);
            self.end_shutdown(app);
        }
    }

    /// Returns whether [`Server::next_visit`] may return a connection, apart from those in `visited_again`.
    pub(crate) fn has_visits(&self) -> bool {
        let end = self.table.end();
        self.shutting_down
            .iter()
            .any(|app| self.apps.of(*app).shutdown.as_ref().is_some_and(|shutdown| shutdown.next < end))
    }

    /// Returns the next connection to be visited.
    pub(crate) fn next_visit(&mut self) -> Option<Slot> {
        for index in 0..self.shutting_down.len() {
            let app = self.shutting_down[index];
            while let Some(shutdown) = &mut self.apps.of_mut(app).shutdown
                && shutdown.next < self.table.end()
            {
                let slot = Slot(shutdown.next);
                shutdown.next += 1;
                if self.is_of(slot, app) {
                    return Some(slot);
                }
            }
        }
        None
    }

    /// Ends a connection of an app that is being shut down, or prepares its end.
    pub(crate) fn visit(&mut self, slot: Slot) {
        self.trap.pass(Layer::Visit);
        let app = self.behaviors.app_of(&self.table[slot]);
        let Some(shutdown) = &mut self.apps.of_mut(app).shutdown else { return };
        if shutdown.is_overdue {
            shutdown.note_forced();
            return self.end(slot, End::Cut);
        }
        let reason = Arc::clone(&shutdown.reason);
        let end = End::ShutDown { code: shutdown.code, reason: &reason };
        let side = self.sides.get(self.table[slot].side);
        let is_between = side.is_none_or(|side| side.requests.is_idle());
        let has_input = self.table[slot].is_unread() || self.has_kept(slot);
        match &mut self.table[slot].talk {
            Talk::WebSocket { .. } => self.end(slot, end),
            // The last of pipelined requests closes the connection; see `Server::begin_request`.
            Talk::Http { responder: Some(_), .. } if is_between && has_input => {}
            Talk::Http { responder: Some(responder), .. } => responder.close(),
            Talk::Http { responder: None, flags } if flags.has(HttpFlag::Served) && is_between && !has_input => {
                self.end(slot, end);
            }
            // The deadline of a new connection is earlier now.
            Talk::Http { responder: None, .. } => self.arm(slot),
            Talk::Vacant | Talk::Closing { .. } | Talk::Gone => {}
        }
    }

    /// Has all connections that are left of apps whose deadline has passed visited again, to be cut.
    pub(crate) fn note_overdue(&mut self) {
        for app in &self.shutting_down {
            if let Some(shutdown) = &mut self.apps.of_mut(*app).shutdown
                && !shutdown.is_overdue
                && shutdown.deadline.is_some_and(|deadline| deadline <= self.clock.instant)
            {
                shutdown.is_overdue = true;
                shutdown.next = 0;
            }
        }
    }

    /// Returns when [`Server::note_overdue`] has something to do.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        let shutdowns = self.shutting_down.iter().filter_map(|app| self.apps.of(*app).shutdown.as_ref());
        shutdowns.filter(|shutdown| !shutdown.is_overdue).filter_map(|shutdown| shutdown.deadline).min()
    }

    /// Has the connection close after the response that is about to be written, if its app is being shut down: the head
    /// says so, even if the connection has not been visited yet. The last of pipelined requests closes it.
    #[cold]
    pub(super) fn close_after_response(&mut self, id: ConnectionId) {
        let Ok(conversation) = self.table.get(id) else { return };
        let (app, is_unread) = (conversation.app(), conversation.is_unread());
        if self.is_shutting_down(app)
            && !is_unread
            && !self.has_kept(id.slot)
            && let Talk::Http { responder: Some(responder), flags } = &mut self.table[id.slot].talk
            && flags.has(HttpFlag::Last)
        {
            responder.close();
        }
    }

    /// Returns whether any app is being shut down.
    #[inline]
    pub(super) fn is_shutting_any_down(&self) -> bool {
        !self.shutting_down.is_empty()
    }

    /// Returns whether an app is being shut down.
    #[inline]
    pub(super) fn is_shutting_down(&self, app: AppId) -> bool {
        !self.shutting_down.is_empty() && self.apps.of(app).shutdown.is_some()
    }

    /// Has a connection visited that is new or has become a WebSocket, if its app is being shut down.
    pub(super) fn visit_if_shutting_down(&mut self, slot: Slot) {
        if self.is_shutting_down(self.behaviors.app_of(&self.table[slot])) {
            self.visited_again.push(slot);
        }
    }

    /// Reports that an app has been shut down, if its last connection has gone.
    pub(super) fn end_shutdown(&mut self, app: AppId) {
        let it = self.apps.of_mut(app);
        if it.connections == 0
            && let Some(shutdown) = it.shutdown.take()
        {
            let Shutdown { removed, forced, .. } = *shutdown;
            self.shutting_down.retain(|other| *other != app);
            self.events.push(Event::ShutDown { app, closed: removed.saturating_sub(forced), forced });
        }
    }

    /// Returns when a new connection of an app that is being shut down will have waited too long to begin a request, or to
    /// complete its TLS handshake.
    pub(super) fn grace_deadline(&self, slot: Slot, flags: HttpFlags) -> Option<Tick> {
        let conversation = &self.table[slot];
        let has_sent_part =
            || self.sides.get(conversation.side).is_some_and(|side| !side.requests.is_idle() || !side.input.is_empty());
        let is_new = !flags.has(HttpFlag::Served) && !conversation.is_unread();
        let applies = self.is_shutting_down(conversation.app()) && is_new && !has_sent_part();
        applies.then_some(conversation.last_active + GRACE)
    }
}
