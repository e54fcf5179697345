//! HTTP/1.1 and HTTP/1.0: requests on their way to their handlers.
//!
//! [`body`] has the bodies of requests, [`response`] the responses, and [`upgrade`] the beginning of WebSockets.

mod body;
mod response;
mod upgrade;

use milliways_proto::http::{self, HttpError, Request, RequestRoom, Responder, Step};
use milliways_proto::router::Parameters;
use milliways_proto::ws::Handshake;

pub use body::BodyError;
pub use response::{ResponseError, TryEnd};
pub use upgrade::UpgradeError;

use super::Server;
use super::closing::End;
use super::conversation::{HttpFlag, Talk};
use super::counting::active_gauge;
use super::settings::Route;
use super::timeouts::is_armed_soon;
use super::trap::Layer;
use super::upload::Upload;
use crate::counters::Cell;
use crate::event::Event;
use crate::ids::{BehaviorId, ConnectionId, RouteId, Slot, Stale};
use crate::watch::What;

/// The result of [`Server::handle_http`].
pub(crate) struct Handled<'b> {
    /// The number of bytes that were consumed.
    pub(crate) consumed: usize,
    pub(crate) received: Received<'b>,
}

/// What an HTTP client has sent.
pub(crate) enum Received<'b> {
    Nothing,
    /// A request that has to be routed.
    Request(&'b Request<'b>),
    Event(Event<'b>),
}

/// The result of routing a request.
pub(crate) enum Found {
    /// The request goes to a handler.
    Http(RouteId, Parameters),
    /// The request goes to a handler, which decides whether it becomes a WebSocket.
    Upgrade(BehaviorId, Parameters),
    /// The request has become a WebSocket, and its open handler gets it.
    Open(BehaviorId, ConnectionId, Parameters),
    /// The request has been answered without a handler.
    Done,
}

/// The methods behind those of [`crate::Reactor`], which documents them.
impl Server {
    pub(crate) fn fail_response(&mut self, id: ConnectionId) -> bool {
        let is_unanswered = self.is_unanswered(id);
        if is_unanswered {
            self.end(id.slot, End::Refused(HttpError::NoResponse));
        }
        is_unanswered
    }

    pub(crate) fn abandon_response(&mut self, id: ConnectionId) {
        if self.check_response(id).is_ok() {
            self.end(id.slot, End::Refused(HttpError::NoResponse));
        }
    }

    pub(crate) fn await_response(&mut self, id: ConnectionId) -> Result<(), Stale> {
        self.check_response(id)?;
        let conversation = &mut self.table[id.slot];
        conversation.http().add(HttpFlag::Awaited);
        let app = conversation.app();
        if !is_armed_soon(&self.apps.of(app).settings) {
            self.arm(id.slot);
        }
        Ok(())
    }

    pub(crate) fn close_response(&mut self, id: ConnectionId) -> Result<(), Stale> {
        match self.table.get(id)?.talk {
            Talk::Http { .. } => self.end(id.slot, End::Cut),
            _ => return Err(Stale),
        }
        Ok(())
    }
}

impl Server {
    /// Handles bytes of an HTTP client up to the end of a head, or of a piece of a body.
    pub(crate) fn handle_http<'b>(
        &mut self,
        slot: Slot,
        bytes: &'b mut [u8],
        room: &'b mut RequestRoom<'b>,
    ) -> Handled<'b> {
        self.trap.pass(Layer::Http);
        let length = bytes.len();
        let is_answering = self.table[slot].is_answering();
        // Most requests follow a response that the client has taken, and are let through by these two.
        let may_be_held_up = is_answering || self.transport.backpressure(slot) > 0;
        if may_be_held_up && self.is_held_up(slot) {
            self.keep_unread(slot, bytes);
            return Handled { consumed: length, received: Received::Nothing };
        }
        if is_answering && self.deliver_owed(slot) {
            return Handled { consumed: 0, received: Received::Nothing };
        }
        let conversation = &self.table[slot];
        let max_head_size = self.apps.of(conversation.app()).settings.max_head_size;
        // Between two requests a receiver has no state.
        let mut new = http::Receiver::default();
        let requests = self.sides.get_mut(conversation.side).map_or(&mut new, |side| &mut side.requests);
        let step = requests.handle(bytes, room, max_head_size);
        if !new.is_idle() {
            self.sides.of(&mut self.table[slot].side).requests = new;
        }
        let received = match step {
            Ok(Step { consumed, event }) => match event {
                None => Ok((consumed, Received::Nothing)),
                Some(http::Event::Request(request)) => {
                    let is_last = consumed == length || request.body().is_some();
                    self.begin_request(slot, request, is_last).map(|()| (consumed, Received::Request(request)))
                }
                Some(http::Event::Data { data, is_last, remaining }) => self
                    .take_data(slot, data, is_last, remaining, consumed)
                    .map(|event| (consumed, event.map_or(Received::Nothing, Received::Event))),
            },
            Err(error) => Err(error),
        };
        let (consumed, received) = received.unwrap_or_else(|error| {
            self.end(slot, End::Refused(error));
            (length, Received::Nothing)
        });
        Handled { consumed, received }
    }

    /// Begins a request, whose head has arrived. `is_last`: no other request is known to follow.
    fn begin_request(&mut self, slot: Slot, request: &Request<'_>, is_last: bool) -> Result<(), HttpError> {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        conversation.last_active = now;
        if let Talk::Http { responder, flags } = &mut conversation.talk {
            *responder = Some(Responder::new(request));
            if is_last {
                flags.add(HttpFlag::Last);
            }
        }
        let app = conversation.app();
        if is_last
            && self.is_shutting_down(app)
            && let Talk::Http { responder: Some(responder), .. } = &mut self.table[slot].talk
        {
            responder.close();
        }
        if self.registration.watch.has_requests() {
            self.tell(app, slot, || What::Requested(request.method().into()));
        }
        let conversation = &mut self.table[slot];
        let app = self.apps.of(app);
        app.meter.count(Cell::Requests);
        app.meter.count(active_gauge(self.transport.is_secure(slot)));
        if let Some(body) = request.body() {
            let max_body_size = app.settings.max_body_size;
            if body.remaining().is_some_and(|length| length > max_body_size) {
                return Err(HttpError::BodyTooLarge);
            }
            self.sides.of(&mut conversation.side).upload = Some(Upload::default());
        }
        self.table.renew(slot);
        Ok(())
    }

    /// Finds the match at index `skip`, counted from 0, among the routes that match a request. Without another match,
    /// responds with 404. Declared routes respond here as well.
    pub(crate) fn route(&mut self, id: ConnectionId, request: &Request<'_>, skip: usize) -> Found {
        self.trap.pass(Layer::Route);
        let slot = id.slot;
        let app = self.table[slot].app();
        let domain = self.transport.domain(slot);
        // RFC 9110 section 7.8: a server ignores Upgrade in a request of HTTP/1.0.
        let is_upgrade = !request.is_http_1_0() && Handshake::is_offered_by(request);
        if is_upgrade && skip == 0 {
            self.apps.of(app).meter.count(Cell::UpgradeRequests);
        }
        let router = self.apps.of(app).router(domain);
        let found = router.and_then(|router| router.find(is_upgrade, request.known_method(), request.path(), skip));
        let found = found.map(|found| (found.value.clone(), found.parameters.clone()));
        // The body will be read, even if no handler asks for it.
        if found.is_some() && skip == 0 && request.expects_continue() {
            self.write_continue(slot);
        }
        match found {
            Some((Route::Http(route), parameters)) => Found::Http(route, parameters),
            Some((Route::WebSocket(behavior), parameters)) => self.open_or_ask(id, behavior, request, parameters),
            Some((Route::Declared(declared), parameters)) => {
                let is_heard = self.is_heard(id);
                self.declare(id, &declared, request, &parameters);
                self.conclude(id, is_heard, request);
                Found::Done
            }
            None => {
                let is_heard = self.is_heard(id);
                self.respond_not_found(id);
                self.conclude(id, is_heard, request);
                Found::Done
            }
        }
    }

    /// Returns whether something is left to do for a request whose handler has returned: it goes to the next route if
    /// the handler `yields`, and otherwise it has no response, unless one is awaited.
    #[inline]
    pub(crate) fn goes_on_routing(&mut self, id: ConnectionId, yields: bool) -> bool {
        if yields { self.check_response(id).is_ok() } else { self.is_unanswered(id) }
    }

    /// Returns whether a request has no response and none is awaited.
    fn is_unanswered(&mut self, id: ConnectionId) -> bool {
        self.check_response(id).is_ok() && !self.table[id.slot].http().has(HttpFlag::Awaited)
    }

    /// Responds with an error to a request that its last handler has left without a response.
    pub(crate) fn fail_request(&mut self, id: ConnectionId, request: &Request<'_>) {
        self.abandon_response(id);
        self.events.push(Event::Unanswered {
            method: request.method().into(),
            path: request.path().into(),
            query: request.query().map(Into::into),
        });
    }

    /// Returns whether a handler waits for the end of the response.
    fn is_heard(&mut self, id: ConnectionId) -> bool {
        self.check_response(id).is_ok() && self.table[id.slot].http().is_heard()
    }

    /// Completes what follows a response that no handler has written. If a handler that has yielded waits for the end
    /// of the response (`is_heard`), it gets [`Event::Answered`]. If what such a handler had written did not allow the
    /// response, the request fails, even if a response is awaited.
    fn conclude(&mut self, id: ConnectionId, is_heard: bool, request: &Request<'_>) {
        if self.check_response(id).is_ok() {
            self.fail_request(id, request);
        } else if is_heard {
            self.events.push(Event::Answered { id });
        }
    }

    /// Queues [`Event::Writable`] for a response, if that is wanted.
    pub(super) fn go_on_writing(&mut self, slot: Slot) {
        let id = self.table.id(slot);
        let conversation = &mut self.table[slot];
        if !conversation.is_answering() {
            return;
        }
        let flags = conversation.http();
        flags.take(HttpFlag::Stalled);
        let (is_half_closed, is_wanted) = (flags.has(HttpFlag::HalfClosed), flags.has(HttpFlag::WantsWritable));
        if is_half_closed {
            // The client has taken all output. From now on, the timeout of half-closed clients applies.
            self.arm(slot);
        }
        if is_wanted {
            let offset = self.offset(slot);
            self.events.push(Event::Writable { id, offset });
        }
    }
}
