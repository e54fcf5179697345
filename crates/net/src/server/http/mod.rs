//! HTTP/1.1 and HTTP/1.0: requests to their handlers.
//!
//! What a handler answers is in `response`, what becomes of a request's body in `upload`, WebSockets begin in `upgrade`.

mod response;
mod routed;
mod upgrade;
mod upload;

use milliways_proto::http::{HttpError, Request, header_slots, lower_minor_version};
use milliways_proto::proxy::{InvalidProxyHeader, ProxyPrefix};
use milliways_proto::ws::Handshake;

pub use response::{ResponseError, TryEnd};
pub use routed::RoutedRequest;
pub use upgrade::UpgradeError;
pub use upload::BodyError;
pub(crate) use upload::{Upload, is_clients_turn};

use crate::server::conversation::{Connection, Flags, Phase, SidePool};
use crate::server::state::State;
use crate::server::timeouts::is_armed_soon;
use crate::{ConnectionId, Handler, Reactor, Route, Stale};

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

    /// Answers with 500 and closes, also when the response is awaited, or closes in the middle of a response: for a handler
    /// that nothing more is to be expected of. Nothing happens when the response is complete.
    pub fn abandon_response(&self, id: ConnectionId, handler: &impl Handler) {
        if self.state().response(id).is_ok() {
            self.refuse(id.slot, HttpError::NoResponse, handler);
        }
    }

    /// Declares that a request will be answered after its handler has returned; [`Handler::aborted`] tells when that
    /// has become impossible.
    pub fn await_response(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut state = self.state();
        let connection = state.response(id)?;
        connection.flags.add(Flags::AWAITED);
        let app = connection.app();
        if !is_armed_soon(&state.apps.of(app).settings) {
            state.arm(id.slot);
        }
        Ok(())
    }

    /// Closes the connection without completing the response, or before there is a request.
    pub fn close_response(&self, id: ConnectionId, handler: &impl Handler) -> Result<(), Stale> {
        let phase = self.state().table.get(id)?.phase;
        match phase {
            Phase::Request | Phase::Response => self.drop_connection(id.slot, handler),
            Phase::WebSocket | Phase::Closing => return Err(Stale),
        }
        Ok(())
    }

    /// Handles the next part of what an HTTP client sent: of a body, of a head. Gives the number of bytes used.
    pub(crate) fn handle_http(&self, slot: u32, bytes: &mut [u8], handler: &impl Handler) -> usize {
        let mut state = self.state();
        let State { table, pool, apps, .. } = &mut *state;
        let Some(connection) = table.at(slot) else { return bytes.len() };
        if connection.is_held_up() {
            connection.flags.add(Flags::UNREAD);
            pool.side_of(connection).input.extend_from_slice(bytes);
            return bytes.len();
        }
        if connection.has_body() {
            drop(state);
            return self.handle_upload(slot, bytes, handler);
        }
        match take_proxy_header(connection, pool, bytes) {
            Some(Ok(0)) => {}
            Some(Ok(length)) => return length,
            Some(Err(_)) => {
                drop(state);
                self.refuse(slot, HttpError::Syntax, handler);
                return bytes.len();
            }
            None => {
                pool.side_of(connection).input.extend_from_slice(bytes);
                return bytes.len();
            }
        }
        let max_head_size = apps.of(connection.app()).settings.max_head_size;
        let mut slots = header_slots();
        match Request::parse(bytes, &mut slots, max_head_size) {
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
                // It is handled as a request of HTTP/1.1 in the next call.
                if error == HttpError::Version && lower_minor_version(bytes) {
                    return 0;
                }
                drop(state);
                self.refuse(slot, error, handler);
                bytes.len()
            }
        }
    }

    fn handle_request(&self, slot: u32, request: &Request<'_>, handler: &impl Handler) {
        let mut state = self.state();
        let now = state.active_now();
        let State { table, pool, apps, .. } = &mut *state;
        let Some(connection) = table.at(slot) else { return };
        connection.last_active = now;
        connection.phase = Phase::Response;
        if request.method() == "HEAD" {
            connection.flags.add(Flags::HEAD);
        }
        if request.is_http_1_0() {
            connection.flags.add(Flags::HTTP_1_0);
        }
        if request.asks_to_close() {
            connection.flags.add(Flags::CLOSE_AFTER);
        }
        let app = connection.app();
        if let Some(body) = request.body() {
            let max_body_size = apps.of(app).settings.max_body_size;
            if body.remaining().is_some_and(|length| length > max_body_size) {
                drop(state);
                return self.refuse(slot, HttpError::BodyTooLarge, handler);
            }
            pool.side_of(connection).upload = Some(Upload::new(body));
        }
        let id = table.renew(slot);
        // RFC 9110 sections 7.8 and 10.1.1: in a request of HTTP/1.0 neither Upgrade nor Expect counts.
        let is_upgrade = !request.is_http_1_0() && Handshake::is_offered_by(request);
        // Whatever the handler makes of it, the body will be read.
        let expects_continue =
            request.body().is_some() && !request.is_http_1_0() && request.header_has_token(b"expect", b"100-continue");
        drop(state);
        // One that yields passes the request on to the next.
        for skip in 0.. {
            let mut state = self.state();
            let found = state
                .router_of(app, slot)
                .and_then(|router| router.find(is_upgrade, request.known_method(), request.path(), skip));
            let Some((route, parameters)) = found.map(|found| (found.value.clone(), found.parameters.clone())) else {
                let hears = state.is_heard(id);
                state.respond_not_found(slot);
                drop(state);
                return self.conclude(id, hears, request, handler);
            };
            if skip == 0 && expects_continue {
                state.write(slot, |output| output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
            }
            drop(state);
            let passed = RoutedRequest::new(request, parameters);
            match route {
                Route::Http(route) => handler.request(self, route, id, &passed),
                Route::Declared(response) => {
                    let hears = self.state().is_heard(id);
                    self.declare(id, &response, &passed);
                    self.conclude(id, hears, request, handler);
                }
                Route::WebSocket(behavior) => self.handle_upgrade(behavior, id, &passed, handler),
            }
            if !passed.yields() || self.state().response(id).is_err() {
                break;
            }
        }
        if self.fail_response(id, handler) {
            handler.unanswered(self, request);
        }
        self.deliver_owed(id, handler);
    }

    /// Tells a handler that has yielded, and that `hears` of the end, of an answer which is no handler's. It could not be given if
    /// what was written before does not allow it; then nobody else will give one, whatever was said of later.
    fn conclude(&self, id: ConnectionId, hears: bool, request: &Request<'_>, handler: &impl Handler) {
        if self.state().response(id).is_ok() {
            self.abandon_response(id, handler);
            handler.unanswered(self, request);
        } else if hears {
            handler.answered(self, id);
        }
    }

    /// Answers with an error, unless something of an answer is on its way already, and closes.
    pub(crate) fn refuse(&self, slot: u32, error: HttpError, handler: &impl Handler) {
        let mut state = self.state();
        let id = state.table.id(slot);
        let Some(connection) = state.table.at(slot) else { return };
        let hears = connection.flags.has(Flags::AWAITED | Flags::ATTACHED);
        if !connection.flags.has(Flags::HEAD_ENDED) {
            let response = if connection.flags.has(Flags::HEAD) { error.head() } else { error.response() };
            state.write(slot, |output| output.extend_from_slice(response.as_bytes()));
        }
        state.begin_closing(slot);
        drop(state);
        if hears {
            handler.aborted(self, id);
        }
    }

    /// Drops a connection whose response is not complete.
    pub(crate) fn lose_response(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let id = state.table.id(slot);
        let Some(connection) = state.table.at(slot) else { return };
        let hears = connection.flags.has(Flags::AWAITED | Flags::ATTACHED);
        state.remove(slot);
        drop(state);
        if hears {
            handler.aborted(self, id);
        }
    }
}

/// If a proxy may put a header before a connection: the length of that, 0 without one; `None` until all of it is there.
pub(crate) fn take_proxy_header(
    connection: &mut Connection,
    pool: &mut SidePool,
    bytes: &[u8],
) -> Option<Result<usize, InvalidProxyHeader>> {
    if !connection.flags.has(Flags::MAY_HAVE_PROXY_HEADER) {
        return Some(Ok(0));
    }
    let length = match ProxyPrefix::parse(bytes) {
        Ok(ProxyPrefix::Complete(header)) => {
            if let Some(source) = header.source {
                pool.side_of(connection).proxied = Some(Box::new(source));
            }
            header.length
        }
        Ok(ProxyPrefix::Incomplete) => return None,
        Ok(ProxyPrefix::Absent) => 0,
        Err(error) => return Some(Err(error)),
    };
    connection.flags.take(Flags::MAY_HAVE_PROXY_HEADER);
    Some(Ok(length))
}
