//! Deadlines of connections, and what happens at them.

use std::collections::VecDeque;
use std::time::Duration;

use milliways_proto::timer::Tick;
use milliways_proto::ws::CloseFrame;

use crate::server::conversation::{Connection, Flags, Phase};
use crate::server::http::is_clients_turn;
use crate::server::settings::{AppSettings, WebSocketSettings};
use crate::server::state::{Apps, State};
use crate::server::websocket::Fin;
use crate::transport::sys;
use crate::{ConnectionId, Handler, Reactor};

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
#[derive(Clone, Copy)]
enum Due {
    Nothing,
    /// The peer gets nothing more.
    Drop,
    Ping,
    /// A WebSocket is asked whether its peer has taken some of what waits.
    Room,
    /// The client of a response has just taken some of what waited.
    Taken,
    /// A WebSocket has been silent for too long.
    Idle,
    /// A WebSocket has been open for too long.
    Lifetime,
    /// Nobody has asked for a body.
    Abandon,
    /// A client has not taken a part of a response in time. It may have been slow and yet taken some.
    Offer,
}

impl Reactor {
    /// Handles all deadlines that have passed at the time told with `now`.
    pub(crate) fn handle_expired(&self, handler: &impl Handler) {
        loop {
            let mut state = self.state();
            let now = state.now;
            let Some(slot) = state.wheel.poll_expired(now) else { break };
            let due = state.due(slot, now);
            state.arm(slot);
            drop(state);
            self.guard(slot, handler, || self.handle_due(slot, due, handler));
        }
    }

    fn handle_due(&self, slot: u32, due: Due, handler: &impl Handler) {
        match due {
            Due::Nothing => {}
            Due::Drop => self.drop_connection(slot, handler),
            Due::Abandon => self.state().abandon_body(slot),
            Due::Offer => self.offer_again(slot, handler),
            Due::Room => _ = self.offer_waiting(slot, false, handler),
            Due::Taken => self.handle_taken(slot, handler),
            // A peer that has taken less than what the kernel tells of is heard from as well.
            Due::Ping | Due::Idle if self.offer_waiting(slot, true, handler) => {}
            Due::Ping => self.state().write_ping(slot),
            Due::Idle => self.end_silent(slot, handler),
            Due::Lifetime => {
                let reason = b"please reconnect";
                self.finish_websocket(slot, CloseFrame { code: 1000, reason }, Fin::AfterPeer, 1000, reason, handler);
            }
        }
    }
}

impl Reactor {
    /// The kernel says that a socket is writable when a good part of its buffer is; so the handler is asked without.
    fn offer_again(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let id = state.table.id(slot);
        let Ok(connection) = state.response(id) else { return };
        let before = connection.last_active;
        drop(state);
        self.tell_writable(id, handler);
        let mut state = self.state();
        let is_stuck = state
            .response(id)
            .is_ok_and(|connection| connection.flags.has(Flags::STALLED) && connection.last_active == before);
        if is_stuck {
            drop(state);
            self.lose_response(slot, handler);
        } else {
            state.arm(slot);
        }
    }
}

impl Reactor {
    /// Drops the clients that have sent their FIN while they waited, and were written nothing in time.
    pub(crate) fn handle_leaving(&self, handler: &impl Handler) {
        loop {
            let mut state = self.state();
            state.forget_settled();
            let Some((deadline, id)) = state.leaving.front().copied() else { break };
            if deadline > state.clock {
                break;
            }
            state.leaving.pop_front();
            drop(state);
            self.guard(id.slot, handler, || self.drop_connection(id.slot, handler));
        }
    }
}

impl State {
    /// Notes that a client has sent its FIN while it waits for the response of `id`.
    pub(crate) fn note_leaving(&mut self, id: ConnectionId) {
        let Ok(connection) = self.table.get(id) else { return };
        connection.flags.add(Flags::LEAVING);
        self.leaving.push_back((self.clock + LEAVING_TIMEOUT, id));
    }

    /// Forgets those of the next to be dropped that have been answered, written something, or gone by themselves. One that has
    /// yet to take what was written is as idle as another.
    pub(crate) fn forget_settled(&mut self) {
        while let Some((_, id)) = self.leaving.front() {
            let is_leaving = self.table.get(*id).is_ok_and(|connection| {
                connection.flags.has(Flags::LEAVING)
                    && connection.backpressure() == 0
                    && !connection.flags.has(Flags::STALLED)
            });
            if is_leaving {
                return;
            }
            self.leaving.pop_front();
            if self.leaving.is_empty() {
                self.leaving = VecDeque::new();
            }
        }
    }

    /// Schedules the slot's next deadline, or none.
    pub(crate) fn arm(&mut self, slot: u32) {
        let deadline = match self.table.at(slot) {
            Some(connection) => deadline(connection, &self.apps, self.behaviors.settings_of(connection)),
            None => None,
        };
        let is_settling = self.table.at(slot).is_some_and(|connection| {
            connection.phase != Phase::WebSocket
                && connection.backpressure() > 0
                && self.now < connection.last_active + SETTLING
        });
        match deadline {
            Some(deadline) if is_settling => self.wheel.schedule(slot, deadline.min(self.now + 1)),
            Some(deadline) => self.wheel.schedule(slot, deadline),
            None => self.wheel.cancel(slot),
        }
    }

    /// Has a WebSocket that has just been refused room be asked for some in a second, without that being taken for a sign of
    /// life; see [`SETTLING`].
    pub(crate) fn ask_soon(&mut self, slot: u32) {
        let Some(connection) = self.table.at(slot) else { return };
        let settings = self.behaviors.settings_of(connection);
        if settings.is_some_and(|settings| settings.idle_timeout > 0)
            && let Some(deadline) = deadline(connection, &self.apps, settings)
        {
            self.wheel.schedule(slot, deadline.min(self.now + SETTLING));
        }
    }

    fn due(&mut self, slot: u32, now: Tick) -> Due {
        let Some(connection) = self.table.at(slot) else { return Due::Nothing };
        let settings = self.behaviors.settings_of(connection);
        if deadline(connection, &self.apps, settings).is_none_or(|deadline| deadline > now) {
            let before = connection.backpressure();
            if before > 0 {
                if settings.is_some() {
                    return Due::Room;
                }
                self.flush_writable(slot);
                if self.table.at(slot).is_some_and(|connection| connection.backpressure() < before) {
                    return Due::Taken;
                }
            }
            return Due::Nothing;
        }
        let Some(settings) = settings else {
            let passed = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline <= now);
            if passed(half_closed_deadline(connection)) {
                return Due::Drop;
            }
            if passed(look_after_deadline(connection)) {
                connection.flags.add(Flags::LOOKED_AFTER);
                sys::look_after(&connection.stream, self.apps.of(connection.app()).settings.idle_timeout);
            }
            if connection.phase == Phase::Response && !passed(idle_deadline(connection, &self.apps)) {
                return Due::Nothing;
            }
            if connection.is_unclaimed() {
                return Due::Abandon;
            }
            // The kernel says that a socket is writable when a good part of its buffer is; a slow reader may take longer
            // than our patience for that, and yet be reading.
            let before = connection.backpressure();
            self.flush_writable(slot);
            let Some(connection) = self.table.at(slot) else { return Due::Nothing };
            return if connection.backpressure() < before {
                Due::Taken
            } else if connection.flags.has(Flags::STALLED) && connection.flags.has(Flags::WANTS_WRITABLE) {
                Due::Offer
            } else {
                Due::Drop
            };
        };
        if lifetime_end(connection, settings).is_some_and(|end| end <= now) {
            return Due::Lifetime;
        }
        if connection.last_active + settings.idle_timeout <= now {
            if !settings.send_pings || connection.flags.has(Flags::PINGED) {
                return Due::Idle;
            }
            // The thread did not get here in time. The peer is not to suffer for it: it gets its ping and the margin.
            connection.last_active = now + settings.ping_margin() - settings.idle_timeout;
        }
        connection.flags.add(Flags::PINGED);
        Due::Ping
    }
}

/// When something is to be done about a connection if it stands still.
fn deadline(connection: &Connection, apps: &Apps, settings: Option<&WebSocketSettings>) -> Option<Tick> {
    match (connection.phase, settings) {
        (_, _) if connection.flags.has(Flags::HANDSHAKE) => Some(connection.last_active + HANDSHAKE_TIMEOUT),
        (Phase::Request, _) => idle_deadline(connection, apps),
        (Phase::Response, _) => idle_deadline(connection, apps)
            .into_iter()
            .chain(half_closed_deadline(connection))
            .chain(look_after_deadline(connection))
            .min(),
        (Phase::Closing, _) => Some(connection.last_active + CLOSE_TIMEOUT),
        (Phase::WebSocket, Some(settings)) => {
            let idle = (settings.idle_timeout > 0 && !connection.flags.has(Flags::PAUSED)).then(|| {
                let end = connection.last_active + settings.idle_timeout;
                let ping_is_next = settings.send_pings && !connection.flags.has(Flags::PINGED);
                if ping_is_next { end - settings.ping_margin() } else { end }
            });
            let lifetime = lifetime_end(connection, settings);
            idle.into_iter().chain(lifetime).min()
        }
        (Phase::WebSocket, None) => None,
    }
}

/// When an HTTP connection has stood still for too long.
fn idle_deadline(connection: &Connection, apps: &Apps) -> Option<Tick> {
    if !matches!(connection.phase, Phase::Request | Phase::Response) {
        return None;
    }
    let timeout = apps.of(connection.app()).settings.idle_timeout;
    // 0 is none.
    (timeout > 0 && is_clients_turn(connection)).then(|| connection.last_active + timeout)
}

/// When a client that has finished is taken for gone, unless it has yet to take what was written: then it is idle or not.
fn half_closed_deadline(connection: &Connection) -> Option<Tick> {
    let is_waiting = connection.phase == Phase::Response
        && connection.flags.has(Flags::HALF_CLOSED)
        && connection.backpressure() == 0
        && !connection.flags.has(Flags::STALLED);
    is_waiting.then(|| connection.last_active + HALF_CLOSED_TIMEOUT)
}

/// When the kernel is to look after the client of a request that is pending.
fn look_after_deadline(connection: &Connection) -> Option<Tick> {
    let is_pending =
        connection.phase == Phase::Response && !connection.flags.has(Flags::HALF_CLOSED | Flags::LOOKED_AFTER);
    is_pending.then(|| connection.last_active + LOOK_AFTER)
}

/// Whether the deadline that a connection has had since before its request comes early enough to set those of a pending one.
pub(crate) fn is_armed_soon(settings: &AppSettings) -> bool {
    (1..=2 * LOOK_AFTER).contains(&settings.idle_timeout)
}

fn lifetime_end(connection: &Connection, settings: &WebSocketSettings) -> Option<Tick> {
    (settings.max_lifetime > 0).then(|| connection.opened + settings.max_lifetime * 60)
}
