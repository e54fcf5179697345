//! What is counted where something happens seldom: connections, how they end, and why. Messages, requests and
//! publications are counted where they are handled.

use milliways_proto::http::HttpError;
use milliways_proto::ws::Violation;
use milliways_tls::Failure;

use super::Server;
use super::closing::End;
use super::conversation::Talk;
use crate::counters::cells::{limit_of_message, limit_of_request};
use crate::counters::{Cell, Limit, Memory, Meter, Timeout};
use crate::ids::{AppId, BehaviorId, Slot};
use crate::watch::What;

/// The phases of a connection that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Http,
    WebSocket,
    Closing,
}

impl Phase {
    fn of(talk: Talk) -> Option<Self> {
        match talk {
            Talk::Http { .. } => Some(Self::Http),
            Talk::WebSocket { .. } => Some(Self::WebSocket),
            Talk::Closing { .. } => Some(Self::Closing),
            Talk::Vacant | Talk::Gone => None,
        }
    }

    /// Returns the gauge of connections in this phase.
    fn gauge(self, is_secure: bool) -> Cell {
        match (self, is_secure) {
            (Self::Http, false) => Cell::PlainHttp,
            (Self::Http, true) => Cell::TlsHttp,
            (Self::WebSocket, false) => Cell::PlainWebSocket,
            (Self::WebSocket, true) => Cell::TlsWebSocket,
            (Self::Closing, false) => Cell::PlainClosing,
            (Self::Closing, true) => Cell::TlsClosing,
        }
    }
}

impl Server {
    /// Returns the meter of the app of a connection.
    pub(super) fn meter(&self, slot: Slot) -> &Meter {
        &self.apps.of(self.app_of(slot)).meter
    }

    /// Returns the app of a connection, which may have ended in this turn.
    pub(crate) fn app_of(&self, slot: Slot) -> AppId {
        self.behaviors.app_of(&self.table[slot])
    }

    /// Returns the app of a behavior.
    pub(crate) fn app_of_behavior(&self, behavior: BehaviorId) -> AppId {
        self.behaviors.get(behavior).app
    }

    /// Counts a connection that begins.
    pub(super) fn note_begin(&self, slot: Slot, app: AppId, is_secure: bool) {
        let meter = &self.apps.of(app).meter;
        meter.count(Phase::Http.gauge(is_secure));
        meter.count(if is_secure { Cell::TlsHttpTotal } else { Cell::PlainHttpTotal });
        self.tell(app, slot, || What::Connected { peer: self.transport.peer_address(slot), is_secure });
    }

    /// Tells observers of something that is not just counted.
    #[inline]
    pub(super) fn tell(&self, app: AppId, slot: Slot, what: impl FnOnce() -> What) {
        self.registration.watch.note(app, Some(slot), what);
    }

    /// Tells observers who the peer of a connection is.
    pub(super) fn tell_client(&self, slot: Slot) {
        let transport = &self.transport;
        self.tell(self.app_of(slot), slot, || What::Client {
            peer: transport.peer_address(slot),
            proxied: transport.proxied_address(slot),
            is_secure: transport.is_secure(slot),
        });
    }

    /// Counts a connection that could not begin.
    pub(crate) fn note_accept_error(&self, app: AppId) {
        self.apps.of(app).meter.count_and_tell(Cell::AcceptErrors);
    }

    /// Counts a connection that was accepted for another app.
    pub(crate) fn note_hand_over(&self, app: AppId) {
        self.apps.of(app).meter.count_and_tell(Cell::HandedOver);
    }

    /// Counts a connection that could not be accepted, because descriptors or memory have run out.
    pub(crate) fn note_starvation(&self, app: AppId) {
        self.apps.of(app).meter.count(Limit::Descriptors);
    }

    /// Counts a request that is about to become a WebSocket with this behavior, perhaps one of another app.
    pub(super) fn note_upgrade(&self, slot: Slot, behavior: BehaviorId, is_compressed: bool) {
        self.tell_client(slot);
        let is_secure = self.transport.is_secure(slot);
        let meter = self.meter(slot);
        meter.subtract(Phase::Http.gauge(is_secure), 1);
        meter.subtract(active_gauge(is_secure), 1);
        meter.count(Cell::Responses1xx);
        self.tell(self.app_of_behavior(behavior), slot, || What::Upgraded { is_compressed });
        let meter = &self.behaviors.get(behavior).meter;
        meter.count(Phase::WebSocket.gauge(is_secure));
        meter.count(if is_secure { Cell::TlsWebSocketTotal } else { Cell::PlainWebSocketTotal });
    }

    /// Counts a connection that leaves its phase, for closing unless it `is_cut`.
    pub(super) fn note_leave(&self, slot: Slot, is_cut: bool) {
        let Some(phase) = Phase::of(self.table[slot].talk) else { return };
        let is_secure = self.transport.is_secure(slot);
        let meter = self.meter(slot);
        meter.subtract(phase.gauge(is_secure), 1);
        if !is_cut {
            meter.count(Phase::Closing.gauge(is_secure));
        }
    }

    /// Counts the end of a request in progress whose connection ends.
    pub(super) fn note_unfinished(&self, slot: Slot, end: End<'_>) {
        let is_secure = self.transport.is_secure(slot);
        let meter = self.meter(slot);
        meter.subtract(active_gauge(is_secure), 1);
        if !matches!(end, End::Answered | End::Refused(_)) || self.is_cut_short(slot, end) {
            meter.count_request(slot, Cell::Aborted);
        }
    }

    /// Counts the reason for the end of a connection that is HTTP or a WebSocket.
    pub(super) fn note_end(&mut self, slot: Slot, end: End<'_>) {
        let failure = self.transport.tls_failure(slot);
        let is_handshaking = self.transport.is_handshaking(slot);
        let end = if self.is_cut_short(slot, end) { End::Cut } else { end };
        let meter = self.meter(slot);
        let cell = match self.table[slot].talk {
            Talk::Http { .. } => end_of_http(end),
            Talk::WebSocket { .. } => end_of_websocket(end),
            Talk::Closing { .. } | Talk::Vacant | Talk::Gone => return,
        };
        self.tell_client(slot);
        match end {
            End::Refused(error) => count_request_error(meter, slot, error),
            End::Violation(violation) => count_violation(meter, slot, violation),
            // Without a failure of the session, the PROXY header before it is invalid.
            End::Garbled => match failure {
                Some(failure) => count_failure(meter, slot, failure),
                None => count_request_error(meter, slot, HttpError::InvalidProxyHeader),
            },
            End::Finished | End::Failed if is_handshaking => count_failure(meter, slot, Failure::Abandoned),
            _ => {}
        }
        meter.count_of(slot, cell);
    }

    /// Returns whether a response has begun that its handler has failed to complete, so that no error can be sent.
    fn is_cut_short(&self, slot: Slot, end: End<'_>) -> bool {
        let Talk::Http { responder: Some(responder), .. } = self.table[slot].talk else { return false };
        matches!(end, End::Refused(HttpError::NoResponse)) && responder.has_begun()
    }

    /// Counts a TLS handshake that has been completed.
    pub(super) fn note_handshake(&mut self, slot: Slot) {
        let is_resumed = self.transport.is_resumed(slot);
        self.meter(slot).count_of(slot, if is_resumed { Cell::ResumedHandshakes } else { Cell::FullHandshakes });
    }

    /// Counts time that has passed for a connection.
    pub(crate) fn note_timeout(&self, slot: Slot, timeout: Timeout) {
        self.meter(slot).count_of(slot, timeout);
    }

    /// Counts a bug of ours, which ends a connection.
    pub(super) fn note_internal_error(&self, slot: Slot) {
        self.meter(slot).count_of(slot, Cell::InternalErrors);
    }

    /// Counts an exception of a handler of an app, perhaps in an event of a connection.
    pub(crate) fn note_handler_error(&self, app: AppId, slot: Option<Slot>) {
        if self.apps.has(app) {
            let meter = &self.apps.of(app).meter;
            match slot {
                Some(slot) => meter.count_of(slot, Cell::HandlerErrors),
                None => meter.count_and_tell(Cell::HandlerErrors),
            }
        }
    }

    /// Notes how much memory the thread holds, for whoever asks. `buffer` is the size of the buffer for reading.
    pub(crate) fn note_memory(&self, buffer: usize) {
        let Self { transport, table, sides, codecs, wheel, registration, .. } = self;
        let note = |kind, bytes| registration.note_memory(kind, bytes);
        note(Memory::Connections, table.memory() + transport.table_memory() + wheel.memory());
        note(Memory::Busy, sides.memory());
        note(Memory::Output, transport.output_memory());
        note(Memory::Tls, transport.tls_memory());
        note(Memory::Buffers, buffer + codecs.memory() + self.published_memory);
    }
}

/// A thread that ends cuts its connections.
impl Drop for Server {
    fn drop(&mut self) {
        for slot in self.table.slots() {
            if !self.table.is_live(slot) {
                continue;
            }
            if self.table[slot].is_answering() {
                self.note_unfinished(slot, End::Cut);
            }
            self.note_end(slot, End::Cut);
            self.note_leave(slot, true);
        }
    }
}

/// Returns the gauge of requests without a complete response.
pub(super) fn active_gauge(is_secure: bool) -> Cell {
    if is_secure { Cell::TlsActive } else { Cell::PlainActive }
}

/// Counts a response whose status is in this class: its first digit, or 0 if there is no such class.
pub(super) fn count_response(meter: &Meter, slot: Slot, class: u8) {
    let cell = match class {
        1 => Cell::Responses1xx,
        2 => Cell::Responses2xx,
        3 => Cell::Responses3xx,
        4 => Cell::Responses4xx,
        5 => Cell::Responses5xx,
        _ => Cell::ResponsesOther,
    };
    meter.count_request(slot, cell);
}

fn count_request_error(meter: &Meter, slot: Slot, error: HttpError) {
    meter.count_of(slot, error);
    if let Some(limit) = limit_of_request(error) {
        meter.count_of(slot, limit);
    }
}

fn count_violation(meter: &Meter, slot: Slot, violation: Violation) {
    meter.count_of(slot, violation);
    if let Some(limit) = limit_of_message(violation) {
        meter.count_of(slot, limit);
    }
}

fn count_failure(meter: &Meter, slot: Slot, failure: Failure) {
    meter.count_of(slot, failure);
    if failure == Failure::HandshakeTooLong {
        meter.count_of(slot, Limit::TlsHandshake);
    }
}

fn end_of_http(end: End<'_>) -> Cell {
    match end {
        End::Answered => Cell::HttpAnswered,
        End::Refused(_) => Cell::HttpRefused,
        End::Silent => Cell::HttpTimedOut,
        End::Finished => Cell::HttpFin,
        End::Failed => Cell::HttpFailed,
        End::Garbled => Cell::HttpTls,
        End::ShutDown { .. } => Cell::HttpShutDown,
        // The others but `Cut` end WebSockets only.
        End::Cut | End::Asked { .. } | End::PeerClosed(_) | End::Violation(_) | End::Lifetime => Cell::HttpCut,
    }
}

fn end_of_websocket(end: End<'_>) -> Cell {
    match end {
        End::Asked { .. } => Cell::WebSocketByServer,
        End::PeerClosed(_) => Cell::WebSocketByClient,
        End::Violation(_) => Cell::WebSocketViolation,
        End::Silent => Cell::WebSocketTimedOut,
        End::Lifetime => Cell::WebSocketLifetime,
        End::Finished => Cell::WebSocketFin,
        End::Failed => Cell::WebSocketFailed,
        End::Garbled => Cell::WebSocketTls,
        End::ShutDown { .. } => Cell::WebSocketShutDown,
        // The others but `Cut` end HTTP only.
        End::Cut | End::Refused(_) | End::Answered => Cell::WebSocketCut,
    }
}
