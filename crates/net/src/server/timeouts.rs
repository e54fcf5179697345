//! The deadlines of connections, and what happens at them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use milliways_proto::timer::Tick;
use milliways_proto::ws::{Opcode, write_frame};

use super::Server;
use super::closing::End;
use super::conversation::{HttpFlag, HttpFlags, Talk, WebSocketFlag};
use super::settings::{AppSettings, WebSocketSettings};
use super::trap::Layer;
use crate::counters::{Cell, Timeout};
use crate::ids::{ConnectionId, Slot};
use crate::transport::output::Lane;

/// Seconds for which a closing connection may make no progress: for the peer to take what is buffered, and to answer
/// our Close frame and our FIN.
const CLOSE_TIMEOUT: Tick = 10;

/// Seconds, after a peer has taken output, in which its socket is offered more every second. The kernel reports a
/// socket as writable only once a good part of its buffer is free. Without these offers, what the kernel took shortly
/// afterwards would only be noticed at the deadline, and would be mistaken for a sign that the peer is reading.
const SETTLING: Tick = 1;

/// Seconds for which a client whose FIN has come with its request may wait for the response, or for its next part.
/// Clients hardly ever leave at the very moment at which they send a request.
const HALF_CLOSED_TIMEOUT: Tick = 5;

/// How long a client whose FIN has come while it waited for a response may go on waiting. This leaves time for a
/// response that is under way. Then the client is considered gone, as most that do this are.
const LEAVING_TIMEOUT: Duration = Duration::from_millis(500);

/// Seconds for which a request is pending before the kernel probes whether its client is still there. Most are answered
/// sooner and cost nothing.
const LOOK_AFTER: Tick = 5;

/// Seconds that a peer has for the TLS handshake.
const HANDSHAKE_TIMEOUT: Tick = 10;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The peer's time is up.
    End,
    /// A Ping for a silent WebSocket, unless the peer turns out to have taken output.
    Ping,
    /// Another offer of output to a WebSocket whose peer may have taken some.
    Room,
    /// The peer of a connection that is not a WebSocket has just taken output.
    Taken,
    /// The end of a silent WebSocket, unless the peer turns out to have taken output.
    Idle,
    /// A WebSocket has reached its maximum lifetime.
    Lifetime,
    /// The handler has not asked for a request's body in time.
    Abandon,
    /// The client has not taken the rest of a piece passed to `try_end` in time. It may be slow and yet have taken
    /// some, which shows when the handler tries again.
    Offer,
}

/// A response whose handler is called with [`Event::Writable`](crate::Event::Writable), although the socket may take no
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    id: ConnectionId,
    /// When the response had last made progress.
    before: Tick,
}

impl Server {
    /// Returns the next connection whose entry in the timer wheel has expired.
    pub(crate) fn next_expired(&mut self) -> Option<Slot> {
        self.wheel.poll_expired(self.clock.tick).map(Slot)
    }

    /// Examines the deadline of a connection again in a second.
    pub(crate) fn postpone(&mut self, slot: Slot) {
        self.wheel.schedule(slot.0, self.clock.tick + 1);
    }

    /// Handles what is due for a connection. If that returns a value, [`Server::end_if_stuck`] has to be called with it
    /// after the handler has run.
    pub(crate) fn handle_expired(&mut self, slot: Slot) -> Option<Offered> {
        self.trap.pass(Layer::Deadline);
        let due = self.due(slot);
        self.arm(slot);
        match due {
            Due::Nothing => {}
            Due::Abandon => {
                self.note_timeout(slot, Timeout::UnclaimedBody);
                self.abandon_body(slot);
            }
            Due::Offer => {
                let offered = Offered { id: self.table.id(slot), before: self.table[slot].last_active };
                self.go_on_writing(slot);
                return Some(offered);
            }
            Due::Room => _ = self.offer_waiting(slot, false),
            Due::Taken => self.handle_taken(slot),
            // Taking output is a sign of life, even if it is less than the kernel reports.
            Due::Ping | Due::Idle if self.offer_waiting(slot, true) => {}
            Due::Ping => {
                self.meter(slot).count(Cell::PingsSent);
                self.transport.expedite(slot, Lane::First, |output| write_frame(output, Opcode::Ping, true, &[]));
            }
            Due::End | Due::Idle => {
                self.note_timeout(slot, self.timeout_of(slot));
                self.end(slot, End::Silent);
            }
            Due::Lifetime => {
                self.note_timeout(slot, Timeout::WebSocketLifetime);
                self.end(slot, End::Lifetime);
            }
        }
        None
    }

    /// Ends the connection if its client has not taken anything since [`Due::Offer`].
    pub(crate) fn end_if_stuck(&mut self, offered: Offered) {
        let Offered { id, before } = offered;
        let Ok(conversation) = self.table.get(id) else { return };
        if !conversation.is_answering() {
            return;
        }
        if conversation.last_active == before && conversation.http().has(HttpFlag::Stalled) {
            self.note_timeout(id.slot, Timeout::HttpResponse);
            self.end(id.slot, End::Silent);
        } else {
            self.arm(id.slot);
        }
    }

    /// Notes that a client's FIN has come while it waits for a response.
    pub(crate) fn note_leaving(&mut self, slot: Slot) {
        self.table[slot].http().add(HttpFlag::Leaving);
        self.leaving.push_back((self.clock.instant + LEAVING_TIMEOUT, self.table.id(slot)));
    }

    /// Returns the next client whose FIN came while it waited and to which nothing has been written in time.
    pub(crate) fn next_left(&mut self) -> Option<Slot> {
        self.forget_settled();
        let (deadline, id) = *self.leaving.front()?;
        if deadline > self.clock.instant {
            return None;
        }
        self.leaving.pop_front();
        Some(id.slot)
    }

    /// Drops the first clients of the list, up to one that is still leaving: those whose responses are complete or have
    /// made progress, and those that are gone. A client that has yet to take output is left to the idle timeout.
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

    /// Returns when [`Server::next_expired`], [`Server::next_left`], [`Server::note_overdue`] or
    /// [`Transport::rest_silent`](crate::transport::Transport::rest_silent) has something to do: as seconds since the
    /// epoch, and as an instant.
    pub(crate) fn next_deadline(&self) -> (Option<Tick>, Option<Instant>) {
        let tick = self.wheel.next_expiry().into_iter().chain(self.transport.next_deadline()).min();
        let leaving = self.leaving.front().map(|(deadline, _)| *deadline);
        (tick, leaving.into_iter().chain(self.next_overdue()).min())
    }

    /// Returns whether a connection is scheduled in the timer wheel.
    pub(super) fn is_armed(&self, slot: Slot) -> bool {
        self.wheel.is_scheduled(slot.0)
    }

    /// Schedules a connection for its next deadline, if it has one.
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

    /// Offers output to a WebSocket again in a second, because its socket has just refused some. What the socket takes
    /// then is no sign of life; see [`SETTLING`].
    pub(super) fn ask_soon(&mut self, slot: Slot) {
        let settings = self.behaviors.settings_of(&self.table[slot]);
        if settings.is_some_and(|settings| settings.idle_timeout > 0)
            && let Some(deadline) = self.deadline(slot)
        {
            self.wheel.schedule(slot.0, deadline.min(self.clock.tick + SETTLING));
        }
    }

    /// Returns what a connection has not done in time, which is about to end for that.
    fn timeout_of(&self, slot: Slot) -> Timeout {
        let conversation = &self.table[slot];
        let has_output = self.transport.backpressure(slot) > 0;
        match conversation.talk {
            Talk::Closing { .. } => Timeout::Closing,
            Talk::WebSocket { .. } => Timeout::WebSocketIdle,
            _ if self.transport.is_handshaking(slot) => Timeout::TlsHandshake,
            Talk::Http { responder: Some(_), flags } => {
                let is_over = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline <= self.clock.tick);
                if is_over(self.half_closed_deadline(slot, flags)) {
                    Timeout::HalfClosed
                } else if has_output || flags.has(HttpFlag::Stalled) {
                    Timeout::HttpResponse
                } else {
                    Timeout::HttpBody
                }
            }
            _ if has_output => Timeout::HttpResponse,
            _ if self.has_body(slot) => Timeout::HttpBody,
            _ if self.sides.get(conversation.side).is_some_and(|side| !side.requests.is_idle()) => Timeout::HttpHead,
            _ => Timeout::HttpIdle,
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

    /// Returns what is due for a connection that is visited before its deadline: because its socket has just refused
    /// output, or because the deadline has moved since it was scheduled.
    fn due_early(&mut self, slot: Slot) -> Due {
        if self.transport.backpressure(slot) == 0 {
            return Due::Nothing;
        }
        if self.table[slot].is_websocket() {
            return Due::Room;
        }
        self.due_of_taken(slot).unwrap_or(Due::Nothing)
    }

    /// Offers output to the socket, and returns [`Due::Taken`] if the socket takes some. The kernel reports a socket as
    /// writable only once a good part of its buffer is free. A slow reader may take longer than the timeout to free
    /// that much.
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
            // The Ping is late because the thread was busy. The peer must not suffer for that: it gets the full margin
            // to answer.
            conversation.last_active = now + settings.ping_margin() - settings.idle_timeout;
        }
        conversation.websocket().add(WebSocketFlag::Pinged);
        Due::Ping
    }

    /// Returns when a connection has to be visited if nothing happens to it before.
    fn deadline(&self, slot: Slot) -> Option<Tick> {
        let conversation = &self.table[slot];
        match conversation.talk {
            Talk::Vacant | Talk::Gone => None,
            Talk::Closing { .. } => Some(conversation.last_active + CLOSE_TIMEOUT),
            Talk::Http { flags, .. } if self.transport.is_handshaking(slot) => {
                let end = conversation.last_active + HANDSHAKE_TIMEOUT;
                [end].into_iter().chain(self.grace_deadline(slot, flags)).min()
            }
            Talk::Http { responder: None, flags } => {
                self.idle_deadline(slot).into_iter().chain(self.grace_deadline(slot, flags)).min()
            }
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

    /// Returns when an HTTP connection will have made no progress for too long.
    fn idle_deadline(&self, slot: Slot) -> Option<Tick> {
        let conversation = &self.table[slot];
        let timeout = self.apps.of(conversation.app()).settings.idle_timeout;
        // 0 means no timeout.
        (timeout > 0 && self.is_clients_turn(slot)).then(|| conversation.last_active + timeout)
    }

    /// Returns when a half-closed client is considered gone. A client that has yet to take output is left to the idle
    /// timeout.
    fn half_closed_deadline(&self, slot: Slot, flags: HttpFlags) -> Option<Tick> {
        let is_waiting =
            flags.has(HttpFlag::HalfClosed) && !flags.has(HttpFlag::Stalled) && self.transport.backpressure(slot) == 0;
        is_waiting.then(|| self.table[slot].last_active + HALF_CLOSED_TIMEOUT)
    }

    /// Returns when the kernel begins to probe whether the client of a pending request is still there.
    fn look_after_deadline(&self, slot: Slot, flags: HttpFlags) -> Option<Tick> {
        let is_pending = !flags.has(HttpFlag::HalfClosed) && !flags.has(HttpFlag::LookedAfter);
        is_pending.then(|| self.table[slot].last_active + LOOK_AFTER)
    }
}

/// Returns whether the idle deadline that was scheduled before a request arrived comes early enough for the request to
/// be visited while it is pending. If so, nothing more has to be scheduled for the request.
pub(super) fn is_armed_soon(settings: &AppSettings) -> bool {
    (1..=2 * LOOK_AFTER).contains(&settings.idle_timeout)
}

fn lifetime_end(opened: Tick, settings: &WebSocketSettings) -> Option<Tick> {
    (settings.max_lifetime > 0).then(|| opened + settings.max_lifetime * 60)
}
