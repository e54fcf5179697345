//! HTTP/1.1 and HTTP/1.0: requests on their way to their handlers.
//!
//! What a handler answers is in `response`, what becomes of a request's body in `upload`, WebSockets begin in `upgrade`.

mod body;
mod response;
mod upgrade;

use milliways_proto::http::{self, HeaderSlots, HttpError, Request, Responder, Step, header_slots};
use milliways_proto::router::Parameters;
use milliways_proto::ws::Handshake;

pub use body::BodyError;
pub use response::{ResponseError, TryEnd};
pub use upgrade::UpgradeError;

use super::Server;
use super::closing::End;
use super::conversation::{HttpFlag, Talk};
use super::settings::Route;
use super::timeouts::is_armed_soon;
use super::upload::Upload;
use crate::event::Event;
use crate::ids::{BehaviorId, ConnectionId, RouteId, Slot, Stale};

/// Room for a request, on the stack of whoever polls: an event borrows it, and is the smaller for that.
pub struct RequestRoom<'b> {
    slots: HeaderSlots<'b>,
    request: Option<Request<'b>>,
}

impl Default for RequestRoom<'_> {
    fn default() -> Self {
        Self { slots: header_slots(), request: None }
    }
}

impl<'b> RequestRoom<'b> {
    /// Parses a head again that has been parsed before.
    pub(crate) fn reparse(&'b mut self, head: &'b [u8]) -> &'b Request<'b> {
        let parsed = Request::parse(head, &mut self.slots, usize::MAX);
        let (request, _) = parsed.expect("it has been parsed before").expect("it was complete");
        self.request.insert(request)
    }
}

/// What has come of bytes of an HTTP client.
pub(crate) struct Handled<'b> {
    /// How many of them were used.
    pub(crate) consumed: usize,
    pub(crate) received: Received<'b>,
}

/// What an HTTP client has sent.
pub(crate) enum Received<'b> {
    Nothing,
    /// The head of a request, which is to be routed.
    Request(&'b Request<'b>),
    Event(Event<'b>),
}

/// Where a request goes.
pub(crate) enum Found {
    /// To a handler.
    Http(RouteId, Parameters),
    /// To a handler that decides whether it becomes a WebSocket.
    Upgrade(BehaviorId, Parameters),
    /// To a handler, as a WebSocket that is open already.
    Open(BehaviorId, ConnectionId, Parameters),
    /// It has been answered, or refused.
    Done,
}

/// What the reactor's owner asks for; [`crate::Reactor`] documents each.
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
    /// Handles the next part of what an HTTP client has sent: of a body, of a head.
    pub(crate) fn handle_http<'b>(
        &mut self,
        slot: Slot,
        bytes: &'b mut [u8],
        room: &'b mut RequestRoom<'b>,
    ) -> Handled<'b> {
        let length = bytes.len();
        if self.is_held_up(slot) {
            self.keep_unread(slot, bytes);
            return Handled { consumed: length, received: Received::Nothing };
        }
        if self.deliver_owed(slot) {
            return Handled { consumed: 0, received: Received::Nothing };
        }
        let app = self.table[slot].app();
        let max_head_size = self.apps.of(app).settings.max_head_size;
        let mut requests = self.take_requests(slot);
        let RequestRoom { slots, request: place } = room;
        let step = requests.handle(bytes, slots, max_head_size);
        self.keep_requests(slot, requests);
        let received = match step {
            Ok(Step { consumed, event }) => match event {
                None => Ok((consumed, Received::Nothing)),
                Some(http::Event::Request(request)) => {
                    let request = place.insert(request);
                    self.begin_request(slot, request).map(|()| (consumed, Received::Request(request)))
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

    /// A request has come.
    fn begin_request(&mut self, slot: Slot, request: &Request<'_>) -> Result<(), HttpError> {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        conversation.last_active = now;
        if let Talk::Http { responder, .. } = &mut conversation.talk {
            *responder = Some(Responder::new(request));
        }
        if let Some(body) = request.body() {
            let max_body_size = self.apps.of(conversation.app()).settings.max_body_size;
            if body.remaining().is_some_and(|length| length > max_body_size) {
                return Err(HttpError::BodyTooLarge);
            }
            self.sides.of(&mut conversation.side).upload = Some(Upload::default());
        }
        self.table.renew(slot);
        Ok(())
    }

    /// Takes a request to the route number `skip` of those that match it.
    pub(crate) fn route(&mut self, id: ConnectionId, request: &Request<'_>, skip: usize) -> Found {
        let slot = id.slot;
        let app = self.table[slot].app();
        let domain = self.transport.domain(slot);
        // RFC 9110 section 7.8: in a request of HTTP/1.0 Upgrade doesn't count.
        let is_upgrade = !request.is_http_1_0() && Handshake::is_offered_by(request);
        let router = self.apps.of(app).router(domain);
        let found = router.and_then(|router| router.find(is_upgrade, request.known_method(), request.path(), skip));
        let found = found.map(|found| (found.value.clone(), found.parameters.clone()));
        // Whatever the handler makes of it, the body will be read.
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

    /// Whether a request whose handler has returned is still with it, and not to be answered later.
    pub(crate) fn is_unanswered(&mut self, id: ConnectionId) -> bool {
        self.check_response(id).is_ok() && !self.table[id.slot].http().has(HttpFlag::Awaited)
    }

    /// After the last handler of a request: one that is neither answered nor awaited gets an error.
    pub(crate) fn end_request(&mut self, id: ConnectionId, request: &Request<'_>) {
        if self.fail_response(id) {
            self.note_unanswered(request);
        }
    }

    /// Whether a handler that has attached something waits for the end of a response.
    fn is_heard(&mut self, id: ConnectionId) -> bool {
        self.check_response(id).is_ok() && self.table[id.slot].http().is_heard()
    }

    /// Tells a handler that has yielded, and that `hears` of the end, of an answer which is no handler's. It could not be given if
    /// what was written before does not allow it; then nobody else will give one, whatever was said of later.
    fn conclude(&mut self, id: ConnectionId, hears: bool, request: &Request<'_>) {
        if self.check_response(id).is_ok() {
            self.abandon_response(id);
            self.note_unanswered(request);
        } else if hears {
            self.events.push(Event::Answered { id });
        }
    }

    fn note_unanswered(&mut self, request: &Request<'_>) {
        self.events.push(Event::Unanswered {
            method: request.method().into(),
            path: request.path().into(),
            query: request.query().map(Into::into),
        });
    }

    /// Where a client is in its requests, to be given back with [`Server::keep_requests`].
    fn take_requests(&mut self, slot: Slot) -> http::Receiver {
        let side = self.sides.get_mut(self.table[slot].side);
        side.map(|side| std::mem::take(&mut side.requests)).unwrap_or_default()
    }

    /// Keeps where a client is; between two requests that is nowhere.
    fn keep_requests(&mut self, slot: Slot, requests: http::Receiver) {
        if !requests.is_idle() {
            self.sides.of(&mut self.table[slot].side).requests = requests;
        }
    }

    /// Lets the handler of a response go on writing, if it wants to.
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
            // The client has taken all that was there for it, so that it may wait for more, or have gone.
            self.arm(slot);
        }
        if is_wanted {
            let offset = self.offset(slot);
            self.events.push(Event::Writable { id, offset });
        }
    }
}
