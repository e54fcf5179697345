//! Deadlines of connections, and what is due at them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use milliways_proto::timer::Tick;
use milliways_proto::ws::{Opcode, write_frame};

use super::Server;
use super::closing::End;
use super::conversation::{HttpFlag, HttpFlags, Talk, WebSocketFlag};
use super::settings::{AppSettings, WebSocketSettings};
use crate::ids::{ConnectionId, Slot};
use crate::transport::output::Lane;

/// Seconds a peer has to take what is buffered, and to answer our Close frame and our FIN.
const CLOSE_TIMEOUT: Tick = 10;

/// Seconds after a peer has taken something in which its socket is asked each second for more room. The kernel says that
/// there is some when that is a good part of its buffer; without asking, what it took soon after would be noticed at the
/// deadline, and be mistaken for a sign that somebody reads.
const SETTLING: Tick = 1;

/// Seconds that a client may wait for a response, or for its next part, whose FIN has come with its request: nobody leaves in the
/// moment of asking.
const HALF_CLOSED_TIMEOUT: Tick = 5;

/// How long a client that has sent its FIN while it waited for a response may still wait: for what is under way, and then it is
/// taken for gone, as most that do so are.
const LEAVING_TIMEOUT: Duration = Duration::from_millis(500);

/// Seconds that a request is pending before the kernel is asked to look whether its client is still there. Most are answered
/// before that, and cost nothing.
const LOOK_AFTER: Tick = 5;

/// Seconds that a peer has for the handshake of TLS.
const HANDSHAKE_TIMEOUT: Tick = 10;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The peer has had its time.
    End,
    /// A WebSocket gets a ping, unless its peer turns out to have taken some of what waits.
    Ping,
    /// A WebSocket is asked whether its peer has taken some of what waits.
    Room,
    /// The client of a response has just taken some of what waited.
    Taken,
    /// A WebSocket has been silent for too long, unless its peer turns out to have taken some of what waits.
    Idle,
    /// A WebSocket has been open for too long.
    Lifetime,
    /// Nobody has asked for a body.
    Abandon,
    /// A client has not taken a part of a response in time. It may have been slow and yet taken some.
    Offer,
}

/// A response whose handler has been told that it can go on writing, though nobody knows whether it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    id: ConnectionId,
    /// When the response had moved on last.
    before: Tick,
}

impl Server {
    /// The next connection one of whose deadlines has passed.
    pub(crate) fn next_expired(&mut self) -> Option<Slot> {
        self.wheel.poll_expired(self.clock.tick).map(Slot)
    }

    /// Does what is due for a connection; returns what is to be given to [`Server::end_if_stuck`] when the handler that has
    /// been told has gone on.
    pub(crate) fn handle_expired(&mut self, slot: Slot) -> Option<Offered> {
        let due = self.due(slot);
        self.arm(slot);
        match due {
            Due::Nothing => {}
            Due::Abandon => self.abandon_body(slot),
            Due::Offer => {
                let offered = Offered { id: self.table.id(slot), before: self.table[slot].last_active };
                self.go_on_writing(slot);
                return Some(offered);
            }
            Due::Room => _ = self.offer_waiting(slot, false),
            Due::Taken => self.handle_taken(slot),
            // A peer that has taken less than what the kernel tells of is heard from as well.
            Due::Ping | Due::Idle if self.offer_waiting(slot, true) => {}
            Due::Ping => {
                self.transport.expedite(slot, Lane::First, |output| write_frame(output, Opcode::Ping, true, &[]));
            }
            Due::End | Due::Idle => self.end(slot, End::Silent),
            Due::Lifetime => self.end(slot, End::Lifetime),
        }
        None
    }

    /// Ends a response whose client has not taken anything since [`Due::Offer`].
    pub(crate) fn end_if_stuck(&mut self, offered: Offered) {
        let Offered { id, before } = offered;
        let Ok(conversation) = self.table.get(id) else { return };
        if !conversation.is_answering() {
            return;
        }
        if conversation.last_active == before && conversation.http().has(HttpFlag::Stalled) {
            self.end(id.slot, End::Silent);
        } else {
            self.arm(id.slot);
        }
    }

    /// Notes that a client has sent its FIN while it waits for a response.
    pub(super) fn note_leaving(&mut self, slot: Slot) {
        self.table[slot].http().add(HttpFlag::Leaving);
        self.leaving.push_back((self.clock.instant + LEAVING_TIMEOUT, self.table.id(slot)));
    }

    /// The next client that has sent its FIN while it waited, and that nothing has been written to in time.
    pub(crate) fn next_left(&mut self) -> Option<Slot> {
        self.forget_settled();
        let (deadline, id) = *self.leaving.front()?;
        if deadline > self.clock.instant {
            return None;
        }
        self.leaving.pop_front();
        Some(id.slot)
    }

    /// Forgets those of the next to be ended that have been answered, written something, or gone by themselves. One that has
    /// yet to take what was written is as idle as another.
    pub(crate) fn forget_settled(&mut self) {
        while let Some((_, id)) = self.leaving.front() {
            let is_leaving = self.table.get(*id).is_ok_and(|conversation| {
                conversation.is_answering()
                    && conversation.http().has(HttpFlag::Leaving)
                    && !conversation.http().has(HttpFlag::Stalled)
            });
            if is_leaving && self.transport.backpressure(id.slot) == 0 {
                return;
            }
            self.leaving.pop_front();
            if self.leaving.is_empty() {
                self.leaving = VecDeque::new();
            }
        }
    }

    /// When [`Server::next_expired`] or [`Server::next_left`] has something to return: in seconds since the epoch, or as a
    /// time.
    pub(crate) fn next_deadline(&self) -> (Option<Tick>, Option<Instant>) {
        let tick = self.wheel.next_expiry().into_iter().chain(self.transport.next_deadline()).min();
        (tick, self.leaving.front().map(|(deadline, _)| *deadline))
    }

    /// Whether a connection has a deadline.
    pub(super) fn is_armed(&self, slot: Slot) -> bool {
        self.wheel.is_scheduled(slot.0)
    }

    /// Schedules a connection's next deadline, or none.
    pub(super) fn arm(&mut self, slot: Slot) {
        let conversation = &self.table[slot];
        let is_settling = !conversation.is_websocket()
            && !conversation.is_over()
            && self.clock.tick < conversation.last_active + SETTLING
            && self.transport.backpressure(slot) > 0;
        match self.deadline(slot) {
            Some(deadline) if is_settling => self.wheel.schedule(slot.0, deadline.min(self.clock.tick + 1)),
            Some(deadline) => self.wheel.schedule(slot.0, deadline),
            None => self.wheel.cancel(slot.0),
        }
    }

    /// Has a WebSocket that has just been refused room be asked for some in a second, without that being taken for a sign of
    /// life; see [`SETTLING`].
    pub(super) fn ask_soon(&mut self, slot: Slot) {
        let settings = self.behaviors.settings_of(&self.table[slot]);
        if settings.is_some_and(|settings| settings.idle_timeout > 0)
            && let Some(deadline) = self.deadline(slot)
        {
            self.wheel.schedule(slot.0, deadline.min(self.clock.tick + SETTLING));
        }
    }

    fn due(&mut self, slot: Slot) -> Due {
        if self.table[slot].is_over() {
            return Due::Nothing;
        }
        if self.deadline(slot).is_none_or(|deadline| deadline > self.clock.tick) {
            return self.due_early(slot);
        }
        match self.table[slot].talk {
            Talk::Http { responder: Some(_), .. } if !self.transport.is_handshaking(slot) => self.due_of_response(slot),
            Talk::WebSocket { opened, .. } => self.due_of_websocket(slot, opened),
            _ => self.due_of_taken(slot).unwrap_or(Due::End),
        }
    }

    /// A connection that is looked at before its deadline, since its socket has just refused some.
    fn due_early(&mut self, slot: Slot) -> Due {
        if self.transport.backpressure(slot) == 0 {
            return Due::Nothing;
        }
        if self.table[slot].is_websocket() {
            return Due::Room;
        }
        self.due_of_taken(slot).unwrap_or(Due::Nothing)
    }

    /// The kernel says that a socket is writable when a good part of its buffer is; a slow reader may take longer than our
    /// patience for that, and yet be reading.
    fn due_of_taken(&mut self, slot: Slot) -> Option<Due> {
        let before = self.transport.backpressure(slot);
        self.transport.flush_writable(slot);
        (self.transport.backpressure(slot) < before).then_some(Due::Taken)
    }

    fn due_of_response(&mut self, slot: Slot) -> Due {
        let now = self.clock.tick;
        let passed = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline <= now);
        let flags = *self.table[slot].http();
        if passed(self.half_closed_deadline(slot, flags)) {
            return Due::End;
        }
        if passed(self.look_after_deadline(slot, flags)) {
            let app = self.table[slot].app();
            self.table[slot].http().add(HttpFlag::LookedAfter);
            self.transport.look_after(slot, self.apps.of(app).settings.idle_timeout);
        }
        if !passed(self.idle_deadline(slot)) {
            return Due::Nothing;
        }
        if self.is_unclaimed(slot) {
            return Due::Abandon;
        }
        if let Some(taken) = self.due_of_taken(slot) {
            return taken;
        }
        let is_offered = flags.has(HttpFlag::Stalled) && flags.has(HttpFlag::WantsWritable);
        if is_offered { Due::Offer } else { Due::End }
    }

    fn due_of_websocket(&mut self, slot: Slot, opened: Tick) -> Due {
        let now = self.clock.tick;
        let conversation = &mut self.table[slot];
        let Some(settings) = self.behaviors.settings_of(conversation) else { return Due::Nothing };
        if lifetime_end(opened, settings).is_some_and(|end| end <= now) {
            return Due::Lifetime;
        }
        if conversation.last_active + settings.idle_timeout <= now {
            if !settings.send_pings || conversation.websocket().has(WebSocketFlag::Pinged) {
                return Due::Idle;
            }
            // The thread did not get here in time. The peer is not to suffer for it: it gets its ping and the margin.
            conversation.last_active = now + settings.ping_margin() - settings.idle_timeout;
        }
        conversation.websocket().add(WebSocketFlag::Pinged);
        Due::Ping
    }

    /// When something is to be done about a connection if it stands still.
    fn deadline(&self, slot: Slot) -> Option<Tick> {
        let conversation = &self.table[slot];
        match conversation.talk {
            Talk::Vacant | Talk::Gone => None,
            Talk::Closing { .. } => Some(conversation.last_active + CLOSE_TIMEOUT),
            _ if self.transport.is_handshaking(slot) => Some(conversation.last_active + HANDSHAKE_TIMEOUT),
            Talk::Http { responder: None, .. } => self.idle_deadline(slot),
            Talk::Http { responder: Some(_), flags } => self
                .idle_deadline(slot)
                .into_iter()
                .chain(self.half_closed_deadline(slot, flags))
                .chain(self.look_after_deadline(slot, flags))
                .min(),
            Talk::WebSocket { flags, opened, .. } => {
                let settings = self.behaviors.settings_of(conversation)?;
                let idle = (settings.idle_timeout > 0 && !flags.has(WebSocketFlag::Paused)).then(|| {
                    let end = conversation.last_active + settings.idle_timeout;
                    let ping_is_next = settings.send_pings && !flags.has(WebSocketFlag::Pinged);
                    if ping_is_next { end - settings.ping_margin() } else { end }
                });
                idle.into_iter().chain(lifetime_end(opened, settings)).min()
            }
        }
    }

    /// When an HTTP connection has stood still for too long.
    fn idle_deadline(&self, slot: Slot) -> Option<Tick> {
        let conversation = &self.table[slot];
        let timeout = self.apps.of(conversation.app()).settings.idle_timeout;
        // 0 is none.
        (timeout > 0 && self.is_clients_turn(slot)).then(|| conversation.last_active + timeout)
    }

    /// When a client that has finished is taken for gone, unless it has yet to take what was written: then it is idle or not.
    fn half_closed_deadline(&self, slot: Slot, flags: HttpFlags) -> Option<Tick> {
        let is_waiting =
            flags.has(HttpFlag::HalfClosed) && !flags.has(HttpFlag::Stalled) && self.transport.backpressure(slot) == 0;
        is_waiting.then(|| self.table[slot].last_active + HALF_CLOSED_TIMEOUT)
    }

    /// When the kernel is to look after the client of a request that is pending.
    fn look_after_deadline(&self, slot: Slot, flags: HttpFlags) -> Option<Tick> {
        let is_pending = !flags.has(HttpFlag::HalfClosed) && !flags.has(HttpFlag::LookedAfter);
        is_pending.then(|| self.table[slot].last_active + LOOK_AFTER)
    }
}

/// Whether the deadline that a connection has had since before its request comes early enough to set those of a pending one.
pub(super) fn is_armed_soon(settings: &AppSettings) -> bool {
    (1..=2 * LOOK_AFTER).contains(&settings.idle_timeout)
}

fn lifetime_end(opened: Tick, settings: &WebSocketSettings) -> Option<Tick> {
    (settings.max_lifetime > 0).then(|| opened + settings.max_lifetime * 60)
}
