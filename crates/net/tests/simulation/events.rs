//! The handlers: each event is compared with what the model expects, and then the handler acts.

use std::net::SocketAddr;
use std::time::Duration;

use milliways_net::{ConnectionId, Event, Reactor, RoutedRequest};
use milliways_proto::ws::Payload;

use crate::http::{Answer, Body, Pending, Request, Route, Style, Taker};
use crate::model::{Connection, Id, Model, Phase, Reason, id_of};
use crate::world::{PASSER, Shutdown, World, ensure};

/// How the messages of panics begin that a run has provoked.
const PROVOKED: &str = "a test has asked for this panic";

/// How long a client has for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The number of nested calls from which on ends are left to the outermost one. The addon has more, but it matters only
/// that there is a limit.
const MAX_CALLS: usize = 4;

impl World {
    /// Makes a call, and then handles the events that it has caused.
    pub(crate) fn causing<R>(&self, call: impl FnOnce(&Reactor) -> R) -> R {
        let depth = self.calls.get();
        self.calls.set(depth + 1);
        let mark = self.reactor.mark();
        let result = call(&self.reactor);
        if depth >= MAX_CALLS {
            self.reactor.defer_ends(mark);
        }
        self.reactor.run_caused(mark, |event| self.handle(event));
        if depth == 0 {
            self.reactor.run_deferred(|event| self.handle(event));
        }
        self.calls.set(depth);
        result
    }

    /// Handles an event.
    pub(crate) fn handle(&self, event: Event<'_>) {
        if self.has_failed() {
            return;
        }
        self.log(|| line_of(&event));
        match event {
            Event::Request { route, id, request } if route == PASSER => self.pass_on(id, &request),
            Event::Request { id, request, .. } => self.begin_request(id, &request),
            Event::Upgrade { behavior, id, request } => self.ask(behavior, id, &request),
            Event::Open { id, request, .. } => self.open_at_once(id, &request),
            Event::Data { id, data, remaining } => self.take_piece(id, &data, remaining),
            Event::Collected { id, body } => self.take_whole(id, body.as_deref()),
            Event::Writable { id, offset } => self.note_writable(id, offset),
            Event::Aborted { id } => self.note_aborted(id),
            Event::Answered { id } => self.note_answered(id),
            Event::Unanswered { path, .. } => self.note_unanswered(&path),
            Event::Message { id, payload, binary, .. } => self.hear_message(id, payload, binary),
            Event::Ping { id, payload, .. } => self.hear_ping(id, payload),
            Event::Pong { id, payload, .. } => self.hear_pong(id, payload),
            Event::Drain { id, .. } => self.note_drain(id),
            Event::Dropped { id, message, .. } => {
                self.note_dropped(id, &message);
                let outer = self.is_telling_dropped.replace(true);
                self.reactor.telling_dropped(|| self.act_in_handler());
                self.is_telling_dropped.set(outer);
                return;
            }
            Event::Subscription { id, topic, change, .. } => self.note_subscription(id, &topic, change),
            Event::Close { id, code, reason, .. } => self.note_close(id, code, &reason),
            Event::MissingServerName { .. } => {}
            Event::ShutDown { closed, forced, .. } => self.note_shut_down(closed, forced),
            Event::Connected { id, .. } => self.note_connected(id),
            Event::Disconnected { id, .. } => self.note_disconnected(id),
            Event::Panicked { message } => self.note_panic(&message),
        }
        self.act_in_handler();
    }

    fn act_in_handler(&self) {
        if self.is_quiet.get() || self.plan.acts == 0 || self.calls.get() > MAX_CALLS + 1 {
            return;
        }
        let acts = self.below(self.plan.acts + 1);
        for _ in 0..acts {
            self.act();
        }
        if self.plan.nests && self.loops.get() < 3 && self.once_in(30) {
            self.run_nested();
        }
    }
}

/// The app.
impl World {
    fn note_shut_down(&self, closed: u64, forced: u64) {
        let Some(shutdown) = self.shutdown.get() else { self.fail("shut down, but nobody has asked for that") };
        ensure!(self, !shutdown.is_over, "shut down twice");
        let ended = closed + forced;
        ensure!(self, ended == shutdown.connections, "{ended} of {} connections have ended", shutdown.connections);
        let left = self.network.accepted();
        ensure!(self, left == 0, "shut down, but {left} connections are left");
        self.shutdown.set(Some(Shutdown { is_over: true, ..shutdown }));
    }

    fn note_panic(&self, message: &str) {
        let is_provoked = self.provoked.get() > 0 && message.starts_with(PROVOKED);
        if is_provoked {
            self.provoked.set(self.provoked.get() - 1);
            self.has_panicked.set(true);
        } else {
            self.note_failure(&format!("a panic: {message}{}", crate::last_panic()));
        }
    }
}

/// Connections.
impl World {
    fn note_connected(&self, id: ConnectionId) {
        let address = self.reactor.remote_address(id).unwrap_or_default();
        let now = self.now();
        let mut model = self.model();
        let slot = id.slot.0;
        let early = model.connected.get(&slot).copied();
        if let Some(which) = early {
            let is_early = model.all.get_mut(which).is_some_and(|it| std::mem::take(&mut it.is_early));
            ensure!(self, is_early, "slot {slot} is in use twice");
            return;
        }
        let which = model.all.iter().position(|it| Some(it.address) == address);
        model.connected.insert(slot, which.unwrap_or(usize::MAX));
        if let Some(it) = which.map(|which| &mut model.all[which]) {
            ensure!(self, it.accepted.is_none(), "a connection was accepted twice");
            it.accepted = Some(now);
            it.since = now;
        }
    }

    fn note_disconnected(&self, id: ConnectionId) {
        let now = self.now();
        let which = {
            let mut model = self.model();
            let Some(which) = model.connected.remove(&id.slot.0) else { self.fail("disconnected, but not connected") };
            which
        };
        if which == usize::MAX {
            return;
        }
        self.finish_passed(which);
        let mut model = self.model();
        let it = &mut model.all[which];
        if self.has_panicked.get() && it.ending.is_some() {
            it.may_end(Reason::Cut, now);
        }
        if self.loops.get() > 0 && it.open().is_some_and(|socket| socket.must_end || socket.is_leaving) {
            // In a nested loop, this may come before the end of the WebSocket, which the outer loop is about to return.
            it.is_gone_early = true;
            return;
        }
        drop(model);
        self.check_excuse(which, "the connection ended");
        let mut model = self.model();
        let it = &mut model.all[which];
        match it.phase {
            Phase::Idle | Phase::Ending => {}
            // The handler of the request has not returned, or the connection has been cut in it.
            Phase::Answering(ref pending) if !pending.is_heard() && it.ending.is_some() => {}
            ref phase => {
                let text = format!("connection {which} ended, and nobody was told: {phase:?}");
                drop(model);
                self.fail(&text);
            }
        }
        it.phase = Phase::Gone;
        if it.ending.is_none() {
            it.may_end(Reason::Cut, now);
        }
    }

    /// Fails unless there is a reason for a connection to end.
    pub(crate) fn check_excuse(&self, which: usize, what: &str) {
        let model = self.model();
        let it = &model.all[which];
        let is_shut_down = self.shutdown.get().is_some() && !matches!(it.phase, Phase::Answering(_));
        let is_excused = it.ending.is_some_and(|(reason, _)| reason != Reason::ShutDown)
            || is_shut_down
            || it.has_left
            || it.has_finished
            || it.is_invalid
            || self.is_closing.get()
            || self.is_overdue()
            || it.requests.iter().any(|request| request.route == Route::Missing && (request.closes || request.is_old))
            || self.network.has_suffered(it.key)
            || self.now() >= it.since + self.first_timeout(it);
        let is_excused = is_excused || self.takes_provoked_panic();
        let text = if is_excused { String::new() } else { format!("{what} for no reason: {which} {it:?}") };
        drop(model);
        ensure!(self, is_excused, "{text}");
    }

    /// Returns the shortest time after which a connection of HTTP may end because its client does nothing.
    pub(crate) fn first_timeout(&self, it: &Connection) -> Duration {
        let idle = Duration::from_secs(self.plan.idle_timeout.into());
        if it.is_secure { idle.min(HANDSHAKE) } else { idle }
    }

    /// Returns the connection of an id that is in use.
    pub(crate) fn known(&self, id: ConnectionId) -> usize {
        let which = self.model().live.get(&id_of(id)).copied();
        which.unwrap_or_else(|| self.fail(&format!("an event of a stale id: {id:?}")))
    }

    /// Checks that an event that names a client is of that client's connection.
    pub(crate) fn identify(&self, id: ConnectionId, which: usize) {
        let address: Option<SocketAddr> = self.reactor.remote_address(id).unwrap_or_default();
        let mut model = self.model();
        let Some(it) = model.all.get(which) else { self.fail("a client that does not exist") };
        let (expected, proxied) = (it.address, it.proxied);
        let slot = model.connected.insert(id.slot.0, which);
        let is_early = slot.is_none() && self.loops.get() > 0;
        // In a nested loop, this may come before the event of the connection, which the outer loop is about to return.
        model.all[which].is_early |= is_early;
        drop(model);
        ensure!(
            self,
            address.is_none_or(|address| address == expected),
            "the address of client {which} is {address:?}"
        );
        let named = self.reactor.proxied_remote_address(id).unwrap_or_default();
        ensure!(self, named == proxied, "the proxy of client {which} has named {proxied:?}, not {named:?}");
        if is_early {
            return;
        }
        let is_same = slot.is_some_and(|known| known == which || known == usize::MAX);
        ensure!(self, is_same, "bytes of client {which} came by the connection of {slot:?}");
    }
}

/// Requests.
impl World {
    /// Takes the next request of a client from the model, and checks that it is the one that has arrived.
    pub(crate) fn take_request(&self, id: ConnectionId, routed: &RoutedRequest<'_>) -> (usize, Request) {
        let request = routed.request;
        let Some((which, number)) = target_of(request.path()) else { self.fail("a path that no client has sent") };
        self.identify(id, which);
        self.finish_passed(which);
        let mut model = self.model();
        let it = &mut model.all[which];
        it.skip_missing(self.now());
        let Some(expected) = it.requests.pop_front() else { self.fail(&format!("client {which} has sent no request")) };
        let is_idle = matches!(it.phase, Phase::Idle);
        it.is_served = true;
        it.has_body = expected.body != Body::None;
        drop(model);
        ensure!(self, is_idle, "request {number} of client {which} before the last one was answered");
        ensure!(self, number == expected.number, "request {number}, not {} of client {which}", expected.number);
        ensure!(self, request.method() == expected.method, "{} instead of {expected:?}", request.method());
        ensure!(self, request.is_http_1_0() == expected.is_old, "another version than that of {expected:?}");
        let mark = format!("{which}-{number}");
        ensure!(self, request.header(b"mark") == Some(mark.as_bytes()), "the headers are not those of {mark}");
        ensure!(self, request.query() == Some(&*mark), "the query is not that of {mark}");
        let length = request.body().map(|body| body.remaining());
        let expected_length = match expected.body {
            Body::None => None,
            Body::Length(length) => Some(Some(length as u64)),
            Body::Chunked(_) => Some(None),
        };
        ensure!(self, length == expected_length || expected.body.length() == 0, "{length:?} of {expected:?}");
        (which, expected)
    }

    fn begin_pending(&self, id: ConnectionId, routed: &RoutedRequest<'_>) -> usize {
        let (which, request) = self.take_request(id, routed);
        let now = self.now();
        let mut model = self.model();
        let is_new = model.begin_id(id_of(id), which);
        let it = &mut model.all[which];
        it.phase = Phase::Answering(Pending::new(request));
        it.since = now;
        drop(model);
        ensure!(self, is_new, "{id:?} was in use before");
        which
    }

    fn begin_request(&self, id: ConnectionId, routed: &RoutedRequest<'_>) {
        self.begin_pending(id, routed);
        self.answer_first(id_of(id));
        self.note_forgotten(id_of(id));
    }

    /// The handler of a request has returned. If it has neither answered nor promised to, the request gets 500.
    pub(crate) fn note_forgotten(&self, id: Id) {
        let now = self.now();
        let mut model = self.model();
        let Some(it) = model.of(id) else { return };
        let Some(pending) = it.pending().filter(|pending| !pending.is_awaited) else { return };
        pending.must_end = true;
        if pending.style == Style::Undecided {
            let answer = Answer::by_server(pending.request.number, 500, pending.request.method == "HEAD");
            it.answers.push_back(answer);
        }
        it.may_end(Reason::InOrder, now);
    }

    /// A handler that has nothing to say: the request gets 404.
    fn pass_on(&self, id: ConnectionId, routed: &RoutedRequest<'_>) {
        let which = self.begin_pending(id, routed);
        let is_attached = !self.is_quiet.get() && self.once_in(2);
        if is_attached {
            self.reactor.await_response(id).expect("a request");
        }
        routed.set_yield(true);
        let mut model = self.model();
        let it = &mut model.all[which];
        let Some(pending) = it.pending() else { return };
        pending.is_awaited = is_attached;
        let (number, is_bodiless) = (pending.request.number, pending.request.method == "HEAD");
        let closes = pending.request.closes || pending.request.is_old;
        it.answers.push_back(Answer::by_server(number, 404, is_bodiless));
        if closes {
            it.may_end(Reason::InOrder, self.now());
        }
    }

    /// A request that a handler has passed on is answered when the handler has returned. There is no event for that if the
    /// handler has not asked for one.
    pub(crate) fn finish_passed(&self, which: usize) {
        let mut model = self.model();
        let pending = model.all[which].pending();
        if !pending.is_some_and(|pending| pending.request.route == Route::Yielded && !pending.is_heard()) {
            return;
        }
        let id = model.live.iter().find(|(_, other)| **other == which).map(|(id, _)| *id);
        let since = model.all[which].since;
        drop(model);
        if let Some(id) = id {
            self.finish_response(id, which, false);
            // It happened earlier than it shows.
            self.model().all[which].since = since;
        }
    }

    /// A response is complete, after which the connection closes if it `closes` or the request asks for that.
    pub(crate) fn finish_response(&self, id: Id, which: usize, closes: bool) {
        let now = self.now();
        let mut model = self.model();
        model.end_id(id);
        let it = &mut model.all[which];
        it.since = now;
        let asks = it.pending().is_some_and(|pending| pending.request.closes || pending.request.is_old);
        if closes || asks {
            it.may_end(Reason::InOrder, now);
            it.phase = Phase::Ending;
        } else {
            it.phase = Phase::Idle;
        }
    }

    fn note_answered(&self, id: ConnectionId) {
        let which = self.known(id);
        let mut model = self.model();
        let it = &mut model.all[which];
        let is_yielded = it.pending().is_some_and(|pending| pending.request.route == Route::Yielded);
        drop(model);
        ensure!(self, is_yielded, "answered, but nobody has passed {id:?} on");
        self.finish_response(id_of(id), which, false);
    }

    fn note_aborted(&self, id: ConnectionId) {
        let which = self.known(id);
        self.check_excuse(which, "aborted");
        let now = self.now();
        let mut model = self.model();
        model.end_id(id_of(id));
        let it = &mut model.all[which];
        let is_heard = it.pending().is_some_and(|pending| pending.is_heard());
        it.phase = Phase::Ending;
        it.since = now;
        it.may_end(Reason::Cut, now);
        drop(model);
        ensure!(self, is_heard, "aborted, but nobody waits for {id:?}");
    }

    /// The handler of a request has not answered, which closes the connection.
    fn note_unanswered(&self, path: &str) {
        let Some((which, _)) = target_of(path) else { self.fail("a path that no client has sent") };
        let now = self.now();
        let mut model = self.model();
        let it = &mut model.all[which];
        let is_forgotten = match it.pending() {
            // The event for its end has come before.
            None => matches!(it.phase, Phase::Ending | Phase::Gone),
            Some(pending) => !pending.is_heard(),
        };
        it.phase = Phase::Ending;
        it.since = now;
        it.may_end(Reason::InOrder, now);
        let id = model.live.iter().find(|(_, other)| **other == which).map(|(id, _)| *id);
        id.map(|id| model.end_id(id));
        drop(model);
        ensure!(self, is_forgotten, "{path} is unanswered, but its handler waits");
    }

    fn take_piece(&self, id: ConnectionId, data: &[u8], remaining: Option<u64>) {
        let which = self.known(id);
        let mut model = self.model();
        let Some(pending) = model.all[which].pending() else { self.fail("data without a request") };
        let (content, body) = (pending.content(which), pending.request.body);
        let Taker::Pieces { received } = &mut pending.taker else { self.fail("data that nobody has asked for") };
        let start = *received;
        *received += data.len();
        let end = *received;
        let is_last = remaining == Some(0);
        let is_paused = pending.is_paused;
        if is_last {
            pending.taker = Taker::Over;
        }
        drop(model);
        ensure!(self, !is_paused, "data of a paused body");
        ensure!(self, content.is_at(start, data), "the body of client {which} has other bytes from {start} on");
        ensure!(self, end <= body.length(), "the body of client {which} has {end} bytes");
        ensure!(
            self,
            is_last == (end == body.length()) || !is_last && matches!(body, Body::Chunked(_)),
            "not the last"
        );
        if let (Body::Length(length), Some(remaining)) = (body, remaining) {
            ensure!(self, remaining == (length - end) as u64, "{remaining} of {length} bytes remain after {end}");
        }
    }

    fn take_whole(&self, id: ConnectionId, whole: Option<&[u8]>) {
        let which = self.known(id);
        let mut model = self.model();
        let Some(pending) = model.all[which].pending() else { self.fail("a body without a request") };
        let (content, length) = (pending.content(which), pending.request.body.length());
        let Taker::Whole { max } = std::mem::replace(&mut pending.taker, Taker::Over) else {
            self.fail("a body that nobody has asked for")
        };
        let is_paused = pending.is_paused;
        drop(model);
        ensure!(self, !is_paused || length == 0, "a paused body");
        match whole {
            Some(body) => {
                ensure!(self, body.len() == length, "{} of {length} bytes", body.len());
                ensure!(self, length <= max, "{length} bytes, more than {max}");
                ensure!(self, content.is_at(0, body), "the body of client {which} has other bytes");
            }
            None => ensure!(self, length > max, "{length} bytes are not too many"),
        }
    }

    fn note_writable(&self, id: ConnectionId, offset: u64) {
        let which = self.known(id);
        let mut model = self.model();
        let it = &mut model.all[which];
        let Some(pending) = it.pending() else { self.fail("writable without a request") };
        let written = pending.written;
        let is_wanted = pending.wants_writable;
        pending.is_stalled = false;
        let is_by_try_end = matches!(pending.style, Style::TryEnd { .. });
        drop(model);
        ensure!(self, is_wanted, "nobody has asked whether {id:?} is writable");
        ensure!(self, !is_by_try_end || offset == written as u64, "offset {offset}, and {written} were written");
        if self.is_quiet.get() || !self.once_in(4) {
            self.go_on(id_of(id));
        }
    }
}

/// Returns the client and the number of a request.
pub(crate) fn target_of(path: &str) -> Option<(usize, u32)> {
    let (_, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (which, number) = rest.split_once('/')?;
    Some((which.parse().ok()?, number.parse().ok()?))
}

impl Model {
    /// Returns the connection of an id that is in use.
    pub(crate) fn of(&mut self, id: Id) -> Option<&mut Connection> {
        let which = *self.live.get(&id)?;
        self.all.get_mut(which)
    }
}

/// Returns the line of the log for an event.
fn line_of(event: &Event<'_>) -> String {
    let shown = |payload: &Payload<'_>| {
        let mut bytes = vec![0; payload.len()];
        payload.copy_into(&mut bytes);
        short(&bytes)
    };
    let of = |id: &ConnectionId| format!("{}/{}", id.slot.0, id.generation.0);
    let text = match event {
        Event::Request { id, request, .. } => format!("request {} {}", of(id), request.request.path()),
        Event::Upgrade { id, request, .. } => format!("upgrade {} {}", of(id), request.request.path()),
        Event::Open { id, request, .. } => format!("open {} {}", of(id), request.request.path()),
        Event::Data { id, data, remaining } => format!("data {} {} {remaining:?}", of(id), data.len()),
        Event::Collected { id, body } => format!("collected {} {:?}", of(id), body.as_ref().map(Vec::len)),
        Event::Message { id, payload, .. } => format!("message {} {}", of(id), shown(payload)),
        Event::Ping { id, payload, .. } => format!("ping {} {}", of(id), shown(payload)),
        Event::Pong { id, payload, .. } => format!("pong {} {}", of(id), shown(payload)),
        Event::Dropped { id, message, .. } => format!("dropped {} {}", of(id), short(message)),
        Event::Subscription { id, topic, change, .. } => {
            format!("subscription {} {} {}->{}", of(id), topic.escape_ascii(), change.old, change.new)
        }
        Event::Close { id, code, reason, .. } => format!("close {} {code} {}", of(id), reason.escape_ascii()),
        other => format!("{other:?}"),
    };
    format!("  event {text}")
}

/// Returns the beginning of bytes, and how many there are.
pub(crate) fn short(bytes: &[u8]) -> String {
    let end = bytes.len().min(20);
    format!("{}({})", bytes[..end].escape_ascii(), bytes.len())
}
