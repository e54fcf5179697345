//! What must hold between two steps, when time passes, and when everything has come to rest.

use std::time::Duration;

use milliways_simnet::{EndState, Side};

use crate::http::Route;
use crate::model::{Connection, Model, Phase, Reason, TOPICS, connection_id};
use crate::sockets::topic_name;
use crate::websocket::Fragments;
use crate::world::{World, ensure};

/// What the reactor may add to a timeout: it counts in seconds, and rounds up.
const SLACK: Duration = Duration::from_secs(3);

/// For how long before the end a silent client gets a Ping, at most.
const PING_MARGIN: Duration = Duration::from_secs(16);

/// For how long a closing connection may make no progress.
const CLOSING: Duration = Duration::from_secs(10);

/// After which time a client that has gone is noticed, whatever its request waits for: the kernel probes from the fifth
/// second on, for 25 seconds or the idle timeout.
const GONE: Duration = Duration::from_secs(40);

/// By how many bytes what waits may shrink although none have been taken: a Pong that waits makes way for the next one.
const LONGEST_PONG: usize = 127;

impl World {
    /// Checks what holds whenever the reactor is not at work.
    pub(crate) fn check_now(&self) {
        if self.has_failed() {
            return;
        }
        let count = self.model().all.len();
        for which in 0..count {
            self.finish_passed(which);
        }
        let stats = self.reactor.stats();
        let mut model = self.model();
        let accepted = self.network.accepted();
        ensure!(self, stats.connections == accepted, "{} connections, and {accepted} sockets", stats.connections);
        let open = model.websockets();
        ensure!(self, stats.websockets == open, "{} WebSockets, and {open} are open", stats.websockets);
        let connected = model.connected.len();
        ensure!(self, connected == accepted, "{connected} connections were reported, and {accepted} are open");
        let listeners = usize::from(self.listener.get().is_some());
        ensure!(self, stats.listeners == listeners, "{} listening sockets", stats.listeners);
        model.on_the_way.clear();
        for topic in 0..TOPICS {
            let count = self.reactor.subscribers(self.app, topic_name(topic).as_bytes());
            let expected = model.topics[topic].len();
            ensure!(self, count == expected, "{count} subscribers of topic {topic}, not {expected}");
        }
        for (which, it) in model.all.iter_mut().enumerate() {
            self.check_told(which, it);
            self.check_back_pressure(which, it);
            self.check_drained(which, it);
        }
    }

    /// Checks that there has been an event for everything that the reactor has ended.
    fn check_told(&self, which: usize, it: &mut Connection) {
        match &it.phase {
            Phase::Answering(pending) => {
                ensure!(self, !pending.must_end, "the request of client {which} has ended, and nobody was told");
                ensure!(self, pending.is_awaited, "the request of client {which} was forgotten");
            }
            Phase::WebSocket => {
                let Some(socket) = &it.socket else { return };
                ensure!(self, !socket.must_end && !socket.is_leaving, "nobody was told that {which} has closed");
                ensure!(self, !socket.is_doomed, "client {which} takes too little, and is still there");
            }
            _ => {}
        }
    }

    /// Checks the number of bytes that wait for a WebSocket: what was written to it, without what its socket has taken.
    fn check_back_pressure(&self, which: usize, it: &Connection) {
        let (Phase::WebSocket, Some(socket), Some(before)) = (&it.phase, &it.socket, it.upgraded_at) else { return };
        let is_exact = !it.is_secure && !socket.deflates && self.afar.is_none() && !self.network.has_suffered(it.key);
        let Some(server) = self.network.state(it.key, Side::Server).filter(|end| is_exact && !end.has_failed) else {
            return;
        };
        let Some(id) = it.id else { return };
        let Ok(waiting) = self.reactor.buffered_amount(connection_id(id)) else { return };
        let written = socket.written - socket.held_bytes();
        let counted = server.taken - before + waiting as u64;
        // The reactor writes Pongs and Pings of its own: the latter at most once in four seconds, with two bytes each.
        let pings = 2 * (1 + self.now().saturating_sub(socket.opened).as_secs() / 4);
        let is_right = (written..=written + it.pongs + pings).contains(&counted);
        ensure!(
            self,
            is_right,
            "{waiting} bytes wait for client {which}: {written} were written, and {} taken",
            server.taken - before
        );
    }

    /// Checks that there has been an event if a WebSocket has taken some of what was waiting.
    fn check_drained(&self, which: usize, it: &mut Connection) {
        let Some(id) = it.id else { return };
        let Some(socket) = it.open() else { return };
        let waiting = self.reactor.buffered_amount(connection_id(id)).unwrap_or_default();
        let before = std::mem::replace(&mut socket.waiting, waiting);
        let is_told = std::mem::take(&mut socket.has_drained) || self.network.has_suffered(it.key);
        ensure!(
            self,
            waiting + LONGEST_PONG >= before || is_told,
            "client {which} has taken output, and there was no event"
        );
    }

    /// Checks that nothing lives longer than its timeout allows.
    pub(crate) fn check_lifetimes(&self) {
        if self.has_failed() {
            return;
        }
        let now = self.now();
        let mut model = self.model();
        for (which, it) in model.all.iter_mut().enumerate() {
            let Some(server) = self.network.state(it.key, Side::Server).filter(|server| server.is_open) else {
                continue;
            };
            if self.network.has_suffered(it.key) {
                continue;
            }
            if it.accepted.is_none() {
                // Its client had gone before, so that it has no address.
                (it.accepted, it.since) = (Some(now), now);
            }
            if let Some(deadline) = self.deadline(it, server) {
                // What was due while the thread was busy may be put off once more.
                let is_late = now > deadline.max(self.slept.get()) + SLACK;
                ensure!(self, !is_late, "client {which} should have gone at {deadline:?}: {it:?} {server:?}");
            }
        }
    }

    /// Returns when a connection must have ended if nothing happens to it.
    fn deadline(&self, it: &Connection, server: EndState) -> Option<Duration> {
        // A shutdown cuts whatever is left.
        let overdue = self.shutdown.get().and_then(|shutdown| shutdown.deadline);
        self.own_deadline(it, server).into_iter().chain(overdue).min()
    }

    fn own_deadline(&self, it: &Connection, server: EndState) -> Option<Duration> {
        let slept = self.slept.get();
        let idle = Duration::from_secs(self.plan.idle_timeout.into());
        match &it.phase {
            Phase::Gone => None,
            Phase::Idle => {
                // What no handler sees is answered when it arrives, and the rest of a body is read when it does.
                let is_answered = it.is_invalid
                    || it.has_body
                    || !it.answers.is_empty()
                    || it.requests.iter().any(|request| request.route == Route::Missing);
                let arrival = if is_answered { server.last_read } else { Duration::ZERO };
                // The timeout of the first request begins when the handshake is complete.
                let handshake = if it.is_secure { server.last_read } else { Duration::ZERO };
                let active = it.since.max(server.last_taken).max(arrival).max(handshake);
                // It may be closing, which causes no event.
                let closing = it.ending.map(|(_, since)| active.max(since) + CLOSING);
                Some((active + idle).max(closing.unwrap_or_default()))
            }
            Phase::Ending => Some(it.since.max(server.last_taken) + CLOSING),
            Phase::Answering(_) => {
                let is_gone = self.network.has_vanished(it.key).then_some(it.left_at).or(server.ended);
                is_gone.map(|gone| it.since.max(server.last_taken).max(server.last_read).max(gone).max(slept) + GONE)
            }
            Phase::WebSocket => {
                let socket = it.socket.as_ref()?;
                let settings = &socket.settings;
                let is_timed = settings.idle_timeout > 0 && !socket.is_paused;
                let idle = Duration::from_secs(settings.idle_timeout.into());
                // A client whose Ping is late because the thread was busy gets more time.
                let heard = socket.heard.max(server.last_read) + idle;
                let silence = is_timed.then(|| heard.max(slept + PING_MARGIN));
                let lifetime = Duration::from_secs(60 * u64::from(settings.max_lifetime));
                let end = (!lifetime.is_zero()).then(|| socket.opened + lifetime);
                silence.into_iter().chain(end).min()
            }
        }
    }

    /// Returns whether what is sent to a client may be lost, or lost in part.
    pub(crate) fn may_lose(&self, it: &Connection) -> bool {
        // After ten seconds, a client that does not take it has had its time.
        let is_late = it.ending.is_some_and(|(_, since)| self.now() >= since + CLOSING);
        let has_gone = it.has_left || it.has_finished || it.is_invalid;
        has_gone || is_late || self.is_overdue() || self.is_closing.get() || self.network.has_suffered(it.key)
    }

    /// The stream of a client has ended. Checks that this was due, and that nothing is missing.
    pub(crate) fn check_end(&self, which: usize, in_order: bool) {
        let now = self.now();
        let mut model = self.model();
        let it = &mut model.all[which];
        if it.accepted.is_none() || self.may_lose(it) {
            return;
        }
        let Some((reason, _)) = it.ending else {
            if now >= it.since + self.first_timeout(it) {
                return;
            }
            if self.takes_provoked_panic() {
                return it.may_end(Reason::Cut, now);
            }
            let answered = it.requests.iter().any(|request| request.closes || request.is_old);
            ensure!(self, answered, "client {which} sees the end of a connection that has not ended: {it:?}");
            return;
        };
        // When an app is shut down, a connection that has not begun a request is cut after a second.
        let is_unused = !it.is_served && self.shutdown.get().is_some();
        if reason == Reason::Cut || is_unused {
            return;
        }
        ensure!(self, in_order, "client {which} sees a reset instead of a FIN");
        let left = it.answers.iter().find(|answer| answer.is_complete && answer.is_handlers);
        ensure!(self, left.is_none(), "client {which} has not got {left:?}");
    }
}

/// At rest: everything has arrived, everybody has read it, and nothing happens any more until time passes.
impl World {
    pub(crate) fn check_rest(&self) {
        if self.has_failed() {
            return;
        }
        self.check_now();
        ensure!(self, !self.reactor.has_work(), "there is work, but it is never done");
        let mut model = self.model();
        for which in 0..model.all.len() {
            let it = &model.all[which];
            let key = it.key;
            let Some(server) = self.network.state(key, Side::Server).filter(|server| server.is_open) else { continue };
            let Some(client) = self.network.state(key, Side::Client) else { continue };
            if self.network.has_suffered(key) || self.network.has_vanished(key) {
                continue;
            }
            self.check_read(which, &mut model, server, client);
            self.check_written(which, &mut model, server, client);
        }
    }

    /// Checks that what has arrived has been read, unless there is a reason not to.
    fn check_read(&self, which: usize, model: &mut Model, server: EndState, client: EndState) {
        let it = &mut model.all[which];
        let is_blocked = client.unread > 0 || server.in_flight > 0 || server.free == 0;
        if server.unread == 0 && !server.has_unread_end {
            self.check_heard(which, it, client, is_blocked);
            return;
        }
        let is_held_up = match &it.phase {
            // A client that does not take its response is not read.
            Phase::Idle | Phase::Ending => is_blocked,
            Phase::Answering(pending) => pending.is_paused || pending.is_awaited,
            Phase::WebSocket => it.socket.as_ref().is_some_and(|socket| socket.is_paused),
            Phase::Gone => true,
        };
        ensure!(self, is_held_up, "what client {which} has sent is not read: {server:?} {it:?}");
    }

    /// Checks that handlers have seen everything that has been read.
    fn check_heard(&self, which: usize, it: &mut Connection, client: EndState, is_blocked: bool) {
        if client.in_flight > 0 || it.is_invalid || it.has_left || client.has_failed {
            return;
        }
        let said = it.has_said_all;
        match &mut it.phase {
            Phase::WebSocket => {
                let is_paused = it.socket.as_ref().is_some_and(|socket| socket.is_paused);
                let is_all = is_paused || !said || it.from_client.is_empty();
                ensure!(self, is_all, "nobody has heard what client {which} has said: {:?}", it.from_client);
            }
            Phase::Idle if it.ending.is_none() => {
                let left = it.requests.iter().find(|request| request.route != Route::Missing);
                ensure!(self, left.is_none() || !said || is_blocked, "no handler has got {left:?} of client {which}");
            }
            _ => {}
        }
    }

    /// Checks that what has been written has arrived, unless the client takes nothing.
    fn check_written(&self, which: usize, model: &mut Model, server: EndState, client: EndState) {
        let it = &mut model.all[which];
        let takes = client.is_open && client.unread == 0 && server.in_flight == 0 && server.free > 0;
        if !takes || client.has_failed || it.has_left {
            return;
        }
        if let Some(pending) = it.pending() {
            let is_owed = pending.is_stalled && pending.wants_writable;
            ensure!(self, !is_owed, "the handler of client {which} was not told of room");
        }
        let Some(socket) = it.open() else {
            let left = it.answers.iter().find(|answer| answer.is_complete);
            ensure!(self, left.is_none(), "client {which} has not got {left:?}");
            return;
        };
        let left = socket.to_client.iter().find(|owed| owed.is_complete);
        ensure!(self, left.is_none(), "client {which} has not got {left:?}");
        let is_told = socket.missing.is_empty() || !socket.settings.tells_dropped;
        ensure!(self, is_told, "nobody was told of {:?}", socket.missing);
        let held = socket.held.len();
        ensure!(self, held == 0 || socket.fragments == Fragments::Sending, "{held} messages are held back");
        let left = std::mem::take(&mut it.unanswered);
        ensure!(
            self,
            left.is_empty() || left.back() != it.last_ping.as_ref(),
            "{:?} of client {which} is not answered",
            it.last_ping
        );
    }
}
