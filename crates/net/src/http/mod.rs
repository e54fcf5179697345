//! HTTP/1.1: requests to their handlers, and their responses.

use std::fmt;

use milliways_proto::http::{
    HttpError, InvalidHeader, NOT_FOUND_BODY, NOT_FOUND_STATUS, Request, StatusLine, check_header, header_slots,
    write_ending, write_header, write_marks, write_status,
};
use milliways_proto::ws::Handshake;

use crate::connection::{Connection, Flags, Phase};
use crate::reactor::State;
use crate::{BehaviorId, ConnectionId, Handler, Reactor, Route, RouteId, Stale};

/// Why a part of a response was not written. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The response is complete already, or the request was aborted.
    Stale,
    /// A status or header has a CR, LF or NUL, or a header's name is empty.
    InvalidHeader,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stale => "the response is complete, or its request was aborted",
            Self::InvalidHeader => "CR, LF and NUL are not allowed in a status or header, nor an empty header name",
        })
    }
}

impl std::error::Error for ResponseError {}

impl From<Stale> for ResponseError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

impl From<InvalidHeader> for ResponseError {
    fn from(InvalidHeader: InvalidHeader) -> Self {
        Self::InvalidHeader
    }
}

impl Reactor {
    /// Answers with 500 and closes, unless the response is complete or awaited: for a handler that failed. Tells whether
    /// it did.
    pub fn fail_response(&self, id: ConnectionId, handler: &impl Handler) -> bool {
        let is_unanswered = self.state().response(id).is_ok_and(|connection| !connection.flags.has(Flags::AWAITED));
        if is_unanswered {
            self.refuse(id.slot, HttpError::NoResponse, handler);
        }
        is_unanswered
    }

    /// Declares that a request will be answered after its handler has returned; [`Handler::aborted`] tells when that
    /// has become impossible.
    pub fn await_response(&self, id: ConnectionId) -> Result<(), Stale> {
        self.state().response(id)?.flags.add(Flags::AWAITED);
        Ok(())
    }

    /// Writes the status line, such as `200 OK`; the first one counts, and later ones are ignored.
    pub fn write_status(&self, id: ConnectionId, status: &[u8]) -> Result<(), ResponseError> {
        let mut state = self.state();
        if state.response(id)?.flags.has(Flags::STATUS_WRITTEN) {
            return Ok(());
        }
        state.write_status_line(id.slot, status)
    }

    /// Writes a header.
    pub fn write_header(&self, id: ConnectionId, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        let mut state = self.state();
        state.response(id)?;
        // Checked first: a status line would have to be taken back.
        check_header(name, value)?;
        state.write_default_status(id.slot);
        state.write(id.slot, |output| {
            write_header(output, name, value).expect("it has just been checked");
        });
        Ok(())
    }

    /// Completes the response. `close`: the connection ends after it.
    pub fn respond(&self, id: ConnectionId, body: &[u8], close: bool) -> Result<(), Stale> {
        let mut state = self.state();
        state.response(id)?;
        state.complete_response(id.slot, body, close);
        Ok(())
    }

    /// Closes the connection without completing the response.
    pub fn close_response(&self, id: ConnectionId, handler: &impl Handler) -> Result<(), Stale> {
        self.state().response(id)?;
        self.lose_response(id.slot, handler);
        Ok(())
    }

    /// Handles the next part of what an HTTP client sent: of a body, of a head. Gives the number of bytes used.
    pub(crate) fn handle_http(&self, slot: u32, bytes: &[u8], handler: &impl Handler) -> usize {
        let mut state = self.state();
        let State { table, pool, max_head_size, .. } = &mut *state;
        let Some(connection) = table.at(slot) else { return bytes.len() };
        if let Some(body) = connection.side.as_mut().and_then(|side| side.body.as_mut()) {
            match body.handle(bytes) {
                Ok(chunk) => {
                    if chunk.is_last {
                        pool.side_of(connection).body = None;
                        pool.reclaim(connection);
                    }
                    return chunk.consumed;
                }
                Err(error) => {
                    drop(state);
                    self.refuse(slot, error, handler);
                    return bytes.len();
                }
            }
        }
        if connection.is_held_up() {
            connection.flags.add(Flags::UNREAD);
            pool.side_of(connection).input.extend_from_slice(bytes);
            return bytes.len();
        }
        let mut slots = header_slots();
        match Request::parse(bytes, &mut slots, *max_head_size) {
            Ok(Some((request, length))) => {
                drop(state);
                self.handle_request(slot, &request, handler);
                length
            }
            Ok(None) => {
                pool.side_of(connection).input.extend_from_slice(bytes);
                bytes.len()
            }
            Err(error) => {
                drop(state);
                self.refuse(slot, error, handler);
                bytes.len()
            }
        }
    }

    fn handle_request(&self, slot: u32, request: &Request<'_>, handler: &impl Handler) {
        let mut state = self.state();
        let now = state.active_now();
        let State { table, pool, .. } = &mut *state;
        let Some(connection) = table.at(slot) else { return };
        connection.last_active = now;
        connection.phase = Phase::Response;
        if request.method() == "HEAD" {
            connection.flags.add(Flags::HEAD);
        }
        if request.asks_to_close() {
            connection.flags.add(Flags::CLOSE_AFTER | Flags::CLOSE_ASKED);
        }
        let body = request.body();
        let has_body = body.is_some();
        if has_body {
            pool.side_of(connection).body = body;
        }
        let app = connection.app();
        let id = table.renew(slot);
        let is_upgrade = Handshake::is_offered_by(request);
        let route = state.router(app).find(is_upgrade, request.known_method(), request.path(), 0).copied();
        match route {
            Some(Route::Http(route)) => {
                if has_body {
                    state.arm(slot);
                    // RFC 9110 section 10.1.1. Whatever the handler makes of it, the body will be read.
                    if request.header_has_token(b"expect", b"100-continue") {
                        state.write(slot, |output| output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
                    }
                }
                drop(state);
                self.handle_routed(route, id, request, handler);
            }
            Some(Route::WebSocket(behavior)) => {
                drop(state);
                self.handle_upgrade(behavior, slot, request, handler);
            }
            None => {
                state.write_status_line(slot, NOT_FOUND_STATUS).expect("a constant");
                state.complete_response(slot, NOT_FOUND_BODY, false);
            }
        }
    }

    fn handle_routed(&self, route: RouteId, id: ConnectionId, request: &Request<'_>, handler: &impl Handler) {
        handler.request(self, route, id, request);
        if self.fail_response(id, handler) {
            handler.unanswered(self, request);
        }
    }

    fn handle_upgrade(&self, behavior: BehaviorId, slot: u32, request: &Request<'_>, handler: &impl Handler) {
        // A request to upgrade that has a body could be read as frames by one of us and as a body by the other.
        let handshake = match Handshake::parse(request) {
            Ok(handshake) if request.body().is_none() => handshake,
            Ok(_) => return self.refuse(slot, HttpError::Syntax, handler),
            Err(error) => return self.refuse(slot, error, handler),
        };
        let mut state = self.state();
        let date = *state.date();
        state.write(slot, |output| handshake.write(output, &date));
        let now = state.active_now();
        let Some(connection) = state.table.at(slot) else { return };
        connection.become_websocket(behavior, now);
        let id = state.table.renew(slot);
        state.websockets += 1;
        state.arm(slot);
        drop(state);
        handler.open(self, behavior, id, request);
    }

    /// Answers with an error, unless an answer has begun already, and closes.
    fn refuse(&self, slot: u32, error: HttpError, handler: &impl Handler) {
        let mut state = self.state();
        let id = state.table.id(slot);
        let Some(connection) = state.table.at(slot) else { return };
        let is_awaited = connection.flags.has(Flags::AWAITED);
        if !connection.flags.has(Flags::STATUS_WRITTEN) {
            let response = if connection.flags.has(Flags::HEAD) { error.head() } else { error.response() };
            state.write(slot, |output| output.extend_from_slice(response.as_bytes()));
        }
        state.begin_closing(slot);
        drop(state);
        if is_awaited {
            handler.aborted(self, id);
        }
    }

    /// Drops a connection whose response is not complete.
    pub(crate) fn lose_response(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let id = state.table.id(slot);
        let Some(connection) = state.table.at(slot) else { return };
        let is_awaited = connection.flags.has(Flags::AWAITED);
        state.remove(slot);
        drop(state);
        if is_awaited {
            handler.aborted(self, id);
        }
    }
}

impl State {
    fn response(&mut self, id: ConnectionId) -> Result<&mut Connection, Stale> {
        self.table.get(id).and_then(|connection| match connection.phase {
            Phase::Response => Ok(connection),
            _ => Err(Stale),
        })
    }

    fn write_status_line(&mut self, slot: u32, status: &[u8]) -> Result<(), ResponseError> {
        let mut written = Ok(StatusLine::WithBody);
        self.write(slot, |output| written = write_status(output, status));
        let status_line = written?;
        if let Some(connection) = self.table.at(slot) {
            connection.flags.add(Flags::STATUS_WRITTEN);
            if status_line == StatusLine::WithoutBody {
                connection.flags.add(Flags::BODILESS);
            }
        }
        Ok(())
    }

    fn write_default_status(&mut self, slot: u32) {
        if self.table.at(slot).is_some_and(|connection| !connection.flags.has(Flags::STATUS_WRITTEN)) {
            self.write_status_line(slot, b"200 OK").expect("a constant");
        }
    }

    fn complete_response(&mut self, slot: u32, body: &[u8], close: bool) {
        self.write_default_status(slot);
        let date = *self.date();
        let Some(connection) = self.table.at(slot) else { return };
        let flags = connection.flags;
        self.write(slot, |output| {
            if close && !flags.has(Flags::CLOSE_ASKED) {
                write_header(output, b"Connection", b"close").expect("a constant");
            }
            write_marks(output, &date);
            write_ending(output, (!flags.has(Flags::BODILESS)).then_some(body.len() as u64));
            if !flags.has(Flags::BODILESS | Flags::HEAD) {
                output.extend_from_slice(body);
            }
        });
        if close || flags.has(Flags::CLOSE_AFTER) {
            self.begin_closing(slot);
            return;
        }
        let now = self.active_now();
        let Some(connection) = self.table.at(slot) else { return };
        connection.phase = Phase::Request;
        connection.flags.forget_response();
        connection.last_active = now;
        let has_input = connection.side.as_ref().is_some_and(|side| !side.input.is_empty());
        if has_input || connection.flags.has(Flags::UNREAD) {
            self.resumed.push(slot);
        }
        if !self.wheel.is_scheduled(slot) {
            self.arm(slot);
        }
        self.table.renew(slot);
    }
}
