//! What handlers do with WebSockets and topics, at random.

use milliways_net::{SendError, SendStatus, Slot, Stale};
use milliways_proto::ws::Opcode;

use crate::content::Content;
use crate::model::{Id, Model, TOPICS, connection_id};
use crate::sockets::topic_name;
use crate::websocket::{Asked, Fragments, Owed, What, frame_length};
use crate::world::{World, ensure};

/// The shortest publication, so that its label is whole.
const LABEL: usize = 24;

impl World {
    /// Performs a random operation, inside or outside of an event.
    pub(crate) fn act(&self) {
        let (websockets, awaited) = {
            let model = self.model();
            (model.open(), model.awaited())
        };
        if !awaited.is_empty() && self.below(3) == 0 {
            let id = self.random().pick(&awaited);
            return self.go_on(id);
        }
        if websockets.is_empty() {
            return self.use_stale();
        }
        let id = self.random().pick(&websockets);
        match self.below(40) {
            10..=13 => self.send_fragment(id),
            14 => self.send_ping(id),
            15..=17 => self.send_corked(id),
            18..=21 => self.change_subscription(id),
            22..=25 => self.publish(None),
            26 | 27 => self.publish(Some(id)),
            28 | 29 => self.pause(id, true),
            30..=33 => self.pause(id, false),
            34 if self.once_in(3) => self.end(id),
            35 if self.once_in(6) => self.close(id),
            36 => self.use_stale(),
            37 => self.check_subscriptions(id),
            _ => self.send_message(id),
        }
    }

    fn send_message(&self, id: Id) {
        let (length, binary) = {
            let mut random = self.random();
            (Content::whole(random.length()), random.once_in(2))
        };
        self.send(id, if binary { Opcode::Binary } else { Opcode::Text }, true, length);
    }

    /// Sends a fragment, and does not leave a message open for long.
    fn send_fragment(&self, id: Id) {
        let fragments = match self.model().of(id).and_then(|it| it.open()) {
            Some(socket) => socket.fragments,
            None => return,
        };
        let length = self.random().length();
        if fragments == Fragments::None {
            self.send(id, Opcode::Binary, false, length);
        } else {
            let is_last = self.once_in(2);
            self.send(id, Opcode::Continuation, is_last, length);
        }
    }

    fn send_ping(&self, id: Id) {
        // An empty one would be taken for one of the reactor's.
        let length = 20 + self.below(105);
        self.send(id, Opcode::Ping, true, length);
    }

    fn send_corked(&self, id: Id) {
        let Ok(outer) = self.reactor.cork(connection_id(id)) else { return };
        for _ in 0..=self.below(4) {
            self.send_message(id);
        }
        self.reactor.uncork(Slot(id.0), outer);
    }

    /// Sends a frame, and compares what becomes of it with what is known.
    pub(crate) fn send(&self, id: Id, opcode: Opcode, fin: bool, length: usize) {
        let frame = Frame { opcode, fin, length };
        let Some(before) = self.before_sending(id, frame) else { return };
        let payload = before.content.bytes(before.start, length);
        self.causing(|reactor| {
            let sent = if before.compresses && length.is_multiple_of(2) {
                reactor.send_compressed(connection_id(id), opcode, || &payload)
            } else if length.is_multiple_of(3) && opcode != Opcode::Ping {
                reactor.send_with(connection_id(id), opcode, fin, |output| output.extend_from_slice(&payload))
            } else {
                reactor.send(connection_id(id), opcode, fin, &payload)
            };
            self.log(|| format!("  send {}/{} {frame:?}: {sent:?}", id.0, id.1));
            let interrupts = before.fragments != Fragments::None && matches!(opcode, Opcode::Text | Opcode::Binary);
            match sent {
                Err(SendError::Interrupts) => ensure!(self, interrupts, "nothing is interrupted"),
                Err(SendError::Closed) => self.expect_ended(id),
                Err(error) => self.fail(&format!("not sent: {error}")),
                Ok(_) if interrupts => self.fail("a message in the middle of another one"),
                Ok(status) => self.note_sent(id, frame, before, status),
            }
        });
    }

    fn before_sending(&self, id: Id, frame: Frame) -> Option<Before> {
        let waiting = self.reactor.buffered_amount(connection_id(id)).ok();
        let mut model = self.model();
        let which = *model.live.get(&id)?;
        let socket = model.all[which].open()?;
        let fragments = socket.fragments;
        let (content, start) = if frame.opcode == Opcode::Continuation {
            socket.fragment?
        } else {
            socket.sent += 1;
            (Content::new('s', which, socket.sent), 0)
        };
        let compresses = socket.deflates && frame.fin && matches!(frame.opcode, Opcode::Text | Opcode::Binary);
        // What is held back may have been compressed, or have come from another thread.
        let held = (!socket.deflates && self.afar.is_none()).then(|| socket.held_bytes() as usize);
        Some(Before { content, start, waiting, held, fragments, compresses })
    }

    fn note_sent(&self, id: Id, frame: Frame, before: Before, status: SendStatus) {
        let Frame { opcode, fin, length } = frame;
        let waiting = self.reactor.buffered_amount(connection_id(id)).unwrap_or(usize::MAX);
        let mut model = self.model();
        let Some(socket) = model.of(id).and_then(|it| it.open()) else { return };
        let is_dropped = status == SendStatus::Dropped;
        let (is_message, is_first) = (opcode != Opcode::Ping, opcode != Opcode::Continuation);
        if is_first {
            let max = if socket.settings.max_backpressure == 0 { usize::MAX } else { socket.settings.max_backpressure };
            let was_over = before.waiting.is_some_and(|waiting| waiting + before.held.unwrap_or_default() > max);
            ensure!(self, !was_over || is_dropped, "sent although {:?} bytes were waiting", before.waiting);
            let is_over = before.held.is_none_or(|held| waiting.saturating_add(held) > max);
            ensure!(self, !is_dropped || is_over, "dropped although only {waiting} bytes are waiting");
            socket.is_doomed |= is_dropped && socket.settings.close_on_backpressure_limit;
        } else {
            let was_dropping = before.fragments == Fragments::Dropping;
            ensure!(self, was_dropping == is_dropped, "a part of a message was dropped");
        }
        if is_message {
            socket.fragments = match (fin, is_dropped) {
                (true, _) => Fragments::None,
                (false, true) => Fragments::Dropping,
                (false, false) => Fragments::Sending,
            };
            socket.fragment = (!fin).then_some((before.content, before.start + length));
        }
        if is_dropped {
            if is_message && socket.settings.tells_dropped && !self.is_telling_dropped.get() {
                socket.dropped.push((before.content, before.start));
            }
        } else if is_first {
            let binary = opcode == Opcode::Binary;
            let what = if is_message { What::Message { binary } } else { What::Ping };
            socket.owe(Owed { content: before.content, length, what, is_complete: fin });
        } else {
            socket.written += frame_length(length);
            if let Some(owed) = socket.to_client.iter_mut().rfind(|owed| owed.content == before.content) {
                owed.length += length;
                owed.is_complete = fin;
            }
            if fin {
                socket.release_held();
            }
        }
    }

    /// The reactor considers a WebSocket closed: an event must follow that says so.
    fn expect_ended(&self, id: Id) {
        let mut model = self.model();
        let Some(socket) = model.of(id).and_then(|it| it.open()) else { return };
        socket.must_end = true;
    }

    fn change_subscription(&self, id: Id) {
        let topic = self.below(TOPICS);
        let name = topic_name(topic);
        let subscribes = self.below(3) > 0;
        self.causing(|reactor| {
            let changed = if subscribes {
                reactor.subscribe(connection_id(id), name.as_bytes()).map_err(|_| Stale)
            } else {
                reactor.unsubscribe(connection_id(id), name.as_bytes())
            };
            self.log(|| format!("  subscribe {}/{} {topic} {subscribes}: {changed:?}", id.0, id.1));
            let Ok(changed) = changed else { return self.expect_ended(id) };
            let mut model = self.model();
            let Some(which) = model.live.get(&id).copied() else { return };
            let Some(socket) = model.all[which].open() else { return };
            let is_new = if subscribes { socket.topics.insert(topic) } else { socket.topics.remove(&topic) };
            if subscribes {
                model.topics[topic].insert(which);
                model.note_subscribed(which, topic);
            } else {
                model.topics[topic].remove(&which);
                model.note_unsubscribed(which, topic);
            }
            ensure!(self, changed.is_some() == is_new, "{changed:?} by client {which}");
            if let Some(change) = changed {
                let count = reactor.subscribers(self.app, name.as_bytes());
                ensure!(self, change.new == count, "{change:?}, and {count} have subscribed");
            }
        });
    }

    fn publish(&self, from: Option<Id>) {
        let topic = self.below(TOPICS);
        let name = topic_name(topic);
        let (length, binary) = {
            let mut random = self.random();
            (Content::whole(LABEL + random.length()), random.once_in(2))
        };
        let compress = self.once_in(2);
        let opcode = if binary { Opcode::Binary } else { Opcode::Text };
        let content = self.next_publication(topic);
        let message = content.bytes(0, length);
        self.causing(|reactor| {
            // A WebSocket that has ended gets nothing any more, even before the event for that.
            let receivers = self.receivers_of(topic, from);
            let published = match from {
                None => Ok(reactor.publish(self.app, name.as_bytes(), opcode, &message, compress)),
                Some(id) => reactor.publish_from(connection_id(id), name.as_bytes(), opcode, &message, compress),
            };
            self.log(|| format!("  publish {topic} by {from:?}, {length}: {published:?}, to {receivers:?}"));
            let Ok(published) = published else { return };
            ensure!(self, published != receivers.is_empty(), "published to {receivers:?}: {published}");
            let owed = Owed { content, length, what: What::Publication { binary }, is_complete: true };
            let mut model = self.model();
            for which in receivers {
                if let Some(socket) = model.all[which].open() {
                    socket.owe_publication(owed);
                }
            }
        });
    }

    pub(crate) fn next_publication(&self, topic: usize) -> Content {
        let mut model = self.model();
        model.published[topic] += 1;
        Content::new('p', topic, model.published[topic])
    }

    /// Returns who gets what is published to a topic now.
    fn receivers_of(&self, topic: usize, from: Option<Id>) -> Vec<usize> {
        let mut model = self.model();
        let sender = from.and_then(|id| model.live.get(&id).copied());
        let subscribers: Vec<usize> = model.topics[topic].iter().copied().collect();
        subscribers
            .into_iter()
            .filter(|which| Some(*which) != sender && self.is_really_open(&mut model, *which))
            .collect()
    }

    fn is_really_open(&self, model: &mut Model, which: usize) -> bool {
        let id = model.live.iter().find(|(_, other)| **other == which).map(|(id, _)| *id);
        id.is_some_and(|id| self.reactor.check_websocket(connection_id(id)).is_ok())
    }

    fn check_subscriptions(&self, id: Id) {
        let Ok(topics) = self.reactor.topics(connection_id(id)) else { return self.expect_ended(id) };
        let mut topics: Vec<String> = topics.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        topics.sort_unstable();
        let mut model = self.model();
        let Some(socket) = model.of(id).and_then(|it| it.open()) else { return };
        let expected: Vec<String> = socket.topics.iter().map(|topic| topic_name(*topic)).collect();
        ensure!(self, topics == expected, "subscribed to {topics:?}, not {expected:?}");
    }

    fn pause(&self, id: Id, pauses: bool) {
        let result = if pauses {
            self.reactor.pause_websocket(connection_id(id))
        } else {
            self.reactor.resume_websocket(connection_id(id))
        };
        self.log(|| format!("  pause {}/{} {pauses}: {result:?}", id.0, id.1));
        if result.is_err() {
            return self.expect_ended(id);
        }
        let now = self.now();
        if let Some(socket) = self.model().of(id).and_then(|it| it.open()) {
            if socket.is_paused && !pauses {
                socket.heard = now;
            }
            socket.is_paused = pauses;
        }
    }

    pub(crate) fn resume(&self, id: Id) {
        self.pause(id, false);
    }

    fn end(&self, id: Id) {
        let code = [None, Some(1000), Some(1001), Some(4000)][self.below(4)];
        let reason: &[u8] = if code.is_some() && self.once_in(2) { b"at random" } else { b"" };
        if self.once_in(20) {
            let refused = self.reactor.end(connection_id(id), Some(1006), b"");
            ensure!(self, refused.is_err(), "a code that must not be sent");
        }
        self.ask_to_end(id, Asked::End { code: code.unwrap_or_default(), reason: reason.to_vec() });
        self.causing(|reactor| {
            let result = reactor.end(connection_id(id), code, reason);
            self.log(|| format!("  end {}/{} {code:?}: {result:?}", id.0, id.1));
            if result.is_err() {
                self.expect_ended(id);
            }
        });
    }

    fn close(&self, id: Id) {
        self.ask_to_end(id, Asked::Close);
        self.causing(|reactor| {
            let result = reactor.close(connection_id(id));
            self.log(|| format!("  close {}/{}: {result:?}", id.0, id.1));
            if result.is_err() {
                self.expect_ended(id);
            }
        });
    }

    /// A handler is about to end a WebSocket. If that has ended by itself, its own reason stays.
    fn ask_to_end(&self, id: Id, asked: Asked) {
        if self.reactor.check_websocket(connection_id(id)).is_ok()
            && let Some(socket) = self.model().of(id).and_then(|it| it.open())
        {
            socket.asked = Some(asked);
            socket.must_end = true;
        }
    }

    /// Uses an id that is not in use any more.
    fn use_stale(&self) {
        let stale = {
            let model = self.model();
            if model.stale.is_empty() {
                return;
            }
            let index = self.below(model.stale.len());
            connection_id(model.stale[index])
        };
        let reactor = &self.reactor;
        let is_refused = match self.below(8) {
            0 => reactor.send(stale, Opcode::Text, true, b"stale") == Err(SendError::Closed),
            1 => reactor.subscribe(stale, b"topic/0").is_err(),
            2 => reactor.respond(stale, b"stale", false).is_err(),
            3 => reactor.close(stale).is_err(),
            4 => reactor.close_response(stale).is_err(),
            5 => reactor.pause_websocket(stale).is_err() && reactor.pause_body(stale).is_err(),
            6 => reactor.receive_body(stale).is_err(),
            _ => reactor.end(stale, Some(1000), b"stale").is_err(),
        };
        ensure!(self, is_refused, "{stale:?} is stale, and was not refused");
    }
}

/// A frame that is about to be sent.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    length: usize,
}

/// What is known before a frame is sent.
#[derive(Clone, Copy)]
struct Before {
    content: Content,
    /// Where in the content the frame begins.
    start: usize,
    /// How many bytes wait for the socket.
    waiting: Option<usize>,
    /// How many bytes wait for the end of a message in fragments, if that is known.
    held: Option<usize>,
    fragments: Fragments,
    /// It may be compressed.
    compresses: bool,
}
