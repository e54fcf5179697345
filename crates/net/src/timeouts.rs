//! Deadlines of connections, and what happens at them.

use milliways_proto::timer::Tick;
use milliways_proto::ws::{CloseFrame, Opcode, write_frame};

use crate::connection::{Connection, Flags, Phase};
use crate::reactor::State;
use crate::settings::WebSocketSettings;
use crate::{Handler, Reactor};

/// Seconds that an HTTP connection may stand still: between requests, until a head is complete, while a body or a
/// response does not move.
const HTTP_TIMEOUT: Tick = 10;

/// Seconds a peer has to take what is buffered and to answer our FIN.
const CLOSE_TIMEOUT: Tick = 10;

/// What is due.
#[derive(Clone, Copy)]
enum Due {
    Nothing,
    /// The peer gets nothing more.
    Drop,
    Ping,
    /// A WebSocket has been silent for too long.
    Idle,
    /// A WebSocket has been open for too long.
    Lifetime,
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
            Due::Ping => self.state().write_ping(slot),
            Due::Idle => self.fail_websocket(slot, 1001, "WebSocket timed out from inactivity", handler),
            Due::Lifetime => {
                let reason = b"please reconnect";
                self.finish_websocket(slot, CloseFrame { code: 1000, reason }, 1000, reason, handler);
            }
        }
    }
}

impl State {
    /// Schedules the slot's next deadline, or none.
    pub(crate) fn arm(&mut self, slot: u32) {
        let deadline = match self.table.at(slot) {
            Some(connection) => deadline(connection, self.behaviors.settings_of(connection)),
            None => None,
        };
        match deadline {
            Some(deadline) => self.wheel.schedule(slot, deadline),
            None => self.wheel.cancel(slot),
        }
    }

    fn due(&mut self, slot: u32, now: Tick) -> Due {
        let Some(connection) = self.table.at(slot) else { return Due::Nothing };
        let settings = self.behaviors.settings_of(connection);
        if deadline(connection, settings).is_none_or(|deadline| deadline > now) {
            return Due::Nothing;
        }
        let Some(settings) = settings else {
            // The kernel says that a socket is writable when a good part of its buffer is; a slow reader may take longer
            // than our patience for that, and yet be reading.
            let before = connection.backpressure();
            self.flush_writable(slot);
            let after = self.table.at(slot).map_or(0, |connection| connection.backpressure());
            return if after < before { Due::Nothing } else { Due::Drop };
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

    fn write_ping(&mut self, slot: u32) {
        self.write(slot, |output| write_frame(output, Opcode::Ping, true, &[]));
    }
}

/// When something is to be done about a connection if it stands still.
fn deadline(connection: &Connection, settings: Option<&WebSocketSettings>) -> Option<Tick> {
    match (connection.phase, settings) {
        (Phase::Request, _) => Some(connection.last_active + HTTP_TIMEOUT),
        (Phase::Closing, _) => Some(connection.last_active + CLOSE_TIMEOUT),
        // The handler may take its time; the peer may not.
        (Phase::Response, _) => {
            (connection.has_body() || connection.backpressure() > 0).then_some(connection.last_active + HTTP_TIMEOUT)
        }
        (Phase::WebSocket, Some(settings)) => {
            let idle = (settings.idle_timeout > 0).then(|| {
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

fn lifetime_end(connection: &Connection, settings: &WebSocketSettings) -> Option<Tick> {
    (settings.max_lifetime > 0).then(|| connection.opened + settings.max_lifetime * 60)
}
