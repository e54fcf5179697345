//! The handlers of WebSockets.

use std::time::Duration;

use milliways_net::{BehaviorId, ConnectionId, RoutedRequest};
use milliways_proto::topics::Change;
use milliways_proto::ws::{CloseFrame, Payload};

use crate::content::Content;
use crate::events::short;
use crate::http::{Answer, Pending, Request, Route};
use crate::model::{Phase, Reason, id_of};
use crate::websocket::{Asked, Ended, Heard, Socket, What, frame_length};
use crate::world::{SHUT_DOWN, World, ensure};

const TIMED_OUT: &str = "WebSocket timed out from inactivity";
const FINISHED: &str = "Received TCP FIN before WebSocket close frame";
const RECONNECT: &str = "please reconnect";

/// What the reasons of violations begin with.
const VIOLATED: &str = "Received ";

impl World {
    /// A request has become a WebSocket without a handler.
    pub(crate) fn open_at_once(&self, id: ConnectionId, routed: &RoutedRequest<'_>) {
        let (which, request) = self.take_request(id, routed);
        let Route::Upgrade(kind) = request.route else { self.fail("a WebSocket that nobody has asked for") };
        self.open(id, which, kind, request);
    }

    /// A handler decides whether a request becomes a WebSocket.
    pub(crate) fn ask(&self, behavior: BehaviorId, id: ConnectionId, routed: &RoutedRequest<'_>) {
        let (which, request) = self.take_request(id, routed);
        let Route::Upgrade(kind) = request.route else { self.fail("a WebSocket that nobody has asked for") };
        let now = self.now();
        {
            let mut model = self.model();
            model.begin_id(id_of(id), which);
            model.all[which].phase = Phase::Answering(Pending::new(request));
            model.all[which].since = now;
        }
        if self.is_quiet.get() || !self.once_in(4) {
            let header = |name: &[u8]| routed.request.header(name).unwrap_or_default();
            self.upgrade(id, behavior, kind, header(b"sec-websocket-key"), header(b"sec-websocket-extensions"));
        } else {
            // It is answered, or becomes a WebSocket later, or neither.
            self.answer_first(id_of(id));
            self.note_forgotten(id_of(id));
        }
    }

    /// Makes a request a WebSocket.
    pub(crate) fn upgrade(&self, id: ConnectionId, behavior: BehaviorId, kind: usize, key: &[u8], extensions: &[u8]) {
        let which = self.known(id);
        let Some(request) = self.model().all[which].pending().map(|pending| pending.request) else { return };
        match self.reactor.upgrade(id, behavior, key, b"", extensions) {
            Ok(new) => {
                self.model().end_id(id_of(id));
                self.open(new, which, kind, request);
            }
            Err(error) => self.fail(&format!("not upgraded: {error}")),
        }
    }

    fn open(&self, id: ConnectionId, which: usize, kind: usize, request: Request) {
        let (now, settings) = (self.now(), self.behaviors[kind].1);
        let mut model = self.model();
        let is_new = model.begin_id(id_of(id), which);
        let it = &mut model.all[which];
        it.phase = Phase::WebSocket;
        it.socket = Some(Socket::new(settings, request.deflates, now));
        it.id = Some(id_of(id));
        it.answers.push_back(Answer::by_server(request.number, 101, true));
        drop(model);
        ensure!(self, is_new, "{id:?} was in use before");
    }

    /// Takes what the client has sent next.
    fn hear(&self, id: ConnectionId, what: &str) -> Heard {
        let which = self.known(id);
        let mut model = self.model();
        let it = &mut model.all[which];
        let is_paused = match it.open() {
            Some(socket) => socket.is_paused,
            None => self.fail(&format!("{what} for a WebSocket that is not open")),
        };
        let heard = it.from_client.pop_front();
        drop(model);
        ensure!(self, !is_paused, "{what} for a paused WebSocket");
        heard.unwrap_or_else(|| self.fail(&format!("{what}, but client {which} has sent nothing more")))
    }

    pub(crate) fn hear_message(&self, id: ConnectionId, mut payload: Payload<'_>, is_binary: bool) {
        let which = self.known(id);
        let heard = self.hear(id, "a message");
        let bytes = payload.bytes();
        let Heard::Message { number, length, binary } = heard else {
            self.fail(&format!("message {}, not {heard:?} of client {which}", short(bytes)))
        };
        let is_it = bytes.len() == length && binary == is_binary && Content::new('m', which, number).is_at(0, bytes);
        ensure!(self, is_it, "message {}, not {heard:?} of client {which}", short(bytes));
    }

    pub(crate) fn hear_ping(&self, id: ConnectionId, mut payload: Payload<'_>) {
        let which = self.known(id);
        let heard = self.hear(id, "a Ping");
        let bytes = payload.bytes();
        let is_it = match heard {
            Heard::Ping { number, length } => {
                let it = &mut self.model().all[which];
                it.unanswered.push_back((number, length));
                it.last_ping = Some((number, length));
                it.pongs += frame_length(length);
                bytes.len() == length && Content::new('i', which, number).is_at(0, bytes)
            }
            _ => false,
        };
        ensure!(self, is_it, "Ping {}, not {heard:?} of client {which}", short(bytes));
    }

    pub(crate) fn hear_pong(&self, id: ConnectionId, mut payload: Payload<'_>) {
        let which = self.known(id);
        let heard = self.hear(id, "a Pong");
        let bytes = payload.bytes();
        ensure!(self, heard == Heard::Pong(bytes.to_vec()), "Pong {}, not {heard:?} of client {which}", short(bytes));
    }

    pub(crate) fn note_drain(&self, id: ConnectionId) {
        let which = self.known(id);
        let now = self.now();
        let is_open = match self.model().all[which].open() {
            Some(socket) => {
                socket.heard = now;
                socket.has_drained = true;
                true
            }
            None => false,
        };
        ensure!(self, is_open, "room at a WebSocket that is not open");
    }

    pub(crate) fn note_dropped(&self, id: ConnectionId, message: &[u8]) {
        let which = self.known(id);
        let mut model = self.model();
        let Some(socket) = model.all[which].open() else { self.fail("a message to nobody was dropped") };
        let is_known = if let Some(content) = content_of(message).filter(|content| content.kind != 's') {
            socket.is_doomed |= socket.settings.close_on_backpressure_limit;
            if content.kind == 'q' {
                socket.forget_from_afar(content, message.len())
            } else {
                socket.forget(content, message.len())
            }
        } else {
            let is_it = |(content, start): &(Content, usize)| content.is_at(*start, message);
            let index = socket.dropped.iter().position(is_it);
            index.map(|index| socket.dropped.remove(index)).is_some()
        };
        drop(model);
        ensure!(self, is_known, "dropped {}, which was not sent to client {which}", short(message));
    }

    pub(crate) fn note_subscription(&self, id: ConnectionId, topic: &[u8], change: Change) {
        let Some(topic) = topic_of(topic) else { self.fail("a topic that nobody has named") };
        let which = self.known(id);
        let is_open = self.reactor.check_websocket(id).is_ok();
        let mut model = self.model();
        let was = model.topics[topic].contains(&which);
        let Some(socket) = model.all[which].open() else { self.fail("a subscription of nobody") };
        if change.new < change.old && !is_open {
            // The WebSocket has ended, and with it its subscriptions. What a call has changed before comes first.
            ensure!(self, was || !socket.is_leaving, "client {which} has not subscribed to {topic}");
            socket.is_leaving |= was;
            socket.topics.remove(&topic);
            model.topics[topic].remove(&which);
        }
        ensure!(self, change.new.abs_diff(change.old) == 1, "a subscription changes {change:?}");
    }

    pub(crate) fn note_close(&self, id: ConnectionId, code: u16, reason: &[u8]) {
        let which = self.known(id);
        let now = self.now();
        let ended = self.judge_close(which, code, reason);
        let mut model = self.model();
        model.end_id(id_of(id));
        for topic in &mut model.topics {
            topic.remove(&which);
        }
        let it = &mut model.all[which];
        let Some(socket) = it.open() else { self.fail("the end of a WebSocket that is not open") };
        let left = socket.settings.tells_subscriptions && !socket.topics.is_empty();
        let reason = if ended.frame.is_some() && ended.is_in_order { Reason::InOrder } else { Reason::Cut };
        socket.ended = Some(ended);
        socket.held.clear();
        it.phase = if it.is_gone_early { Phase::Gone } else { Phase::Ending };
        it.since = now;
        it.may_end(reason, now);
        drop(model);
        ensure!(self, !left, "WebSocket {which} has closed, and its subscriptions have not ended");
    }

    /// Checks that a WebSocket may close in this way. Returns what its client sees.
    fn judge_close(&self, which: usize, code: u16, reason: &[u8]) -> Ended {
        let now = self.now();
        let text = String::from_utf8_lossy(reason).into_owned();
        let mut model = self.model();
        let it = &mut model.all[which];
        let may_be_cut = it.has_left || it.has_finished || self.is_closing.get() || self.network.has_suffered(it.key);
        let is_overdue = self.shutdown.get().is_some_and(|shutdown| shutdown.deadline.is_some_and(|end| now >= end));
        let last_arrival = self.network.state(it.key, milliways_simnet::Side::Server).map(|state| state.last_arrival);
        let front = it.from_client.front().cloned();
        let has_finished = it.has_finished && !it.has_left;
        let Some(socket) = it.open() else { self.fail("the end of a WebSocket that is not open") };
        let idle = Duration::from_secs(socket.settings.idle_timeout.into());
        let lifetime = Duration::from_secs(60 * u64::from(socket.settings.max_lifetime));
        let is_silent = last_arrival.is_none_or(|arrival| now >= arrival + idle) && now >= socket.opened + idle;
        // After the end, no handler is called for a publication that was dropped.
        let may_be_doomed = socket.settings.close_on_backpressure_limit
            && socket.to_client.iter().chain(&socket.held).any(|owed| matches!(owed.what, What::Publication { .. }));
        let is_doomed = socket.is_doomed || may_be_doomed;
        let (asked, opened) = (socket.asked.take(), socket.opened);
        let is_paused = socket.is_paused;
        let in_order = |code, reason: &[u8]| Ended { frame: Some((code, reason.to_vec())), is_in_order: true };
        let lossy = |frame| Ended { frame, is_in_order: false };
        let is_shut_down = self.shutdown.get().is_some() && code == SHUT_DOWN.0 && reason == SHUT_DOWN.1;
        let verdict = match (asked, &*text) {
            (None, _) if is_shut_down => Ok(in_order(code, reason)),
            (Some(Asked::End { code: asked, reason: why }), _) if asked == code && why == reason => {
                Ok(in_order(code, reason))
            }
            (Some(Asked::Close), "") if code == CloseFrame::ABNORMAL => Ok(lossy(None)),
            (Some(asked), _) => Err(format!("a handler has {asked:?}")),
            (None, RECONNECT) if code == 1000 => {
                let is_due = !lifetime.is_zero() && now >= opened + lifetime;
                if is_due { Ok(in_order(code, reason)) } else { Err(format!("open since {opened:?}")) }
            }
            (None, TIMED_OUT) if code == CloseFrame::ABNORMAL => {
                let is_due = !idle.is_zero() && is_silent && !is_paused;
                if is_due { Ok(lossy(Some((1001, Vec::new())))) } else { Err(format!("heard at {last_arrival:?}")) }
            }
            (None, FINISHED) if code == CloseFrame::ABNORMAL => match front {
                Some(front) if has_finished => Err(format!("{front:?} came before the FIN")),
                _ if may_be_cut => Ok(lossy(None)),
                _ => Err("the client has not finished".to_owned()),
            },
            (None, "") if code == CloseFrame::ABNORMAL => {
                if may_be_cut || is_doomed || is_overdue || self.takes_provoked_panic() {
                    Ok(lossy(None))
                } else {
                    Err("it was cut for no reason".to_owned())
                }
            }
            (None, why) if code == CloseFrame::ABNORMAL && why.starts_with(VIOLATED) => match front {
                Some(Heard::Violation(code)) => Ok(lossy(Some((code, Vec::new())))),
                other => Err(format!("it has sent {other:?}")),
            },
            (None, _) => match front {
                Some(Heard::Close { code: sent, reason: why })
                    if why == reason && code == if sent == 0 { CloseFrame::NO_STATUS } else { sent } =>
                {
                    Ok(in_order(sent, reason))
                }
                other => Err(format!("it has sent {other:?}")),
            },
        };
        drop(model);
        verdict.unwrap_or_else(|why| self.fail(&format!("WebSocket {which} closed with {code} {text:?}, but {why}")))
    }
}

/// Returns which content begins with these bytes.
pub(crate) fn content_of(bytes: &[u8]) -> Option<Content> {
    let end = bytes.iter().position(|byte| *byte == b';')?;
    let label = std::str::from_utf8(&bytes[..end]).ok()?;
    let (who, number) = label.get(1..)?.split_once('.')?;
    let kind = label.chars().next().filter(|kind| "spq".contains(*kind))?;
    let content = Content::new(kind, who.parse().ok()?, number.parse().ok()?);
    content.is_at(0, bytes).then_some(content)
}

/// Returns the name of a topic.
pub(crate) fn topic_name(topic: usize) -> String {
    format!("topic/{topic}")
}

fn topic_of(name: &[u8]) -> Option<usize> {
    std::str::from_utf8(name).ok()?.strip_prefix("topic/")?.parse().ok()
}
