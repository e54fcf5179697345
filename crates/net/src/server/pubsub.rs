//! Topics of an app: subscribing, publishing, and how what is published gets to the sockets.

use std::cell::OnceCell;
use std::rc::Rc;

use milliways_proto::topics::{Change, Delivery, Topics};
use milliways_proto::ws::{Opcode, write_frame};

use crate::server::conversation::Flags;
use crate::server::state::State;
use crate::transport::output::DIRECT_FROM;
use crate::{AppId, BehaviorId, ConnectionId, Handler, Reactor, Stale};

/// From so many bytes on that wait to be delivered they are, without waiting for the end of the turn.
const DELIVER_AT: usize = 64 * 1024;

/// What is said of a publication.
pub(crate) struct About {
    is_binary: bool,
    /// How long the message is: so many of the last bytes of its frame.
    length: usize,
    compress: bool,
    /// The frame with the message compressed, once somebody needs it.
    compressed: OnceCell<Vec<u8>>,
    /// The message for those who are told that it was dropped.
    dropped: OnceCell<Rc<[u8]>>,
}

impl About {
    fn opcode(&self) -> Opcode {
        if self.is_binary { Opcode::Binary } else { Opcode::Text }
    }

    fn message_in<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        &frame[frame.len() - self.length..]
    }
}

/// When what is delivered is to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// With one system call for each subscriber.
    Now,
    /// With what is about to be sent to the same.
    Soon,
}

/// A message that a subscriber was too slow for.
pub(crate) struct Dropped {
    behavior: BehaviorId,
    id: ConnectionId,
    message: Rc<[u8]>,
    is_binary: bool,
}

impl Reactor {
    /// Subscribes a WebSocket to a topic, any bytes; `None` if it has subscribed already.
    pub fn subscribe(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, Stale> {
        let mut state = self.state();
        state.websocket(id)?.flags.add(Flags::SUBSCRIBED);
        Ok(state.topics_of(id.slot).and_then(|topics| topics.subscribe(id.slot, topic)))
    }

    /// Ends a subscription; `None` if there is none. What has been published already still arrives.
    pub fn unsubscribe(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, Stale> {
        let mut state = self.state();
        state.websocket(id)?;
        state.deliver_before(id.slot);
        let Some(topics) = state.topics_of(id.slot) else { return Ok(None) };
        let change = topics.unsubscribe(id.slot, topic);
        if topics.topics_of(id.slot).next().is_none() {
            state.websocket(id)?.flags.take(Flags::SUBSCRIBED);
        }
        Ok(change)
    }

    /// Whether a WebSocket has subscribed to a topic.
    pub fn is_subscribed(&self, id: ConnectionId, topic: &[u8]) -> Result<bool, Stale> {
        let mut state = self.state();
        state.websocket(id)?;
        Ok(state.topics_of(id.slot).is_some_and(|topics| topics.is_subscribed(id.slot, topic)))
    }

    /// The topics that a WebSocket has subscribed to, in no particular order.
    pub fn topics(&self, id: ConnectionId) -> Result<Vec<Box<[u8]>>, Stale> {
        let mut state = self.state();
        state.websocket(id)?;
        let topics = state.topics_of(id.slot);
        Ok(topics.map(|topics| topics.topics_of(id.slot).map(Into::into).collect()).unwrap_or_default())
    }

    /// How many of an app's WebSockets have subscribed to a topic.
    pub fn subscribers(&self, app: AppId, topic: &[u8]) -> usize {
        self.state().apps.of(app).topics.subscribers_of(topic)
    }

    /// Sends a message to all of an app's WebSockets that have subscribed to a topic; false when that is none. It is on
    /// its way at the end of the turn, and in order with what is sent to each directly.
    ///
    /// `compress`: where that was agreed on, and the message is long enough.
    pub fn publish(&self, app: AppId, topic: &[u8], opcode: Opcode, message: &[u8], compress: bool) -> bool {
        self.state().publish(app, None, topic, opcode, message, compress)
    }

    /// The same for a WebSocket, which does not get it itself.
    pub fn publish_from(
        &self,
        id: ConnectionId,
        topic: &[u8],
        opcode: Opcode,
        message: &[u8],
        compress: bool,
    ) -> Result<bool, Stale> {
        let mut state = self.state();
        let behavior = state.websocket(id)?.behavior();
        let app = state.behaviors.get(behavior).app;
        Ok(state.publish(app, Some(id.slot), topic, opcode, message, compress))
    }

    /// What [`Reactor::publish`] would return for a long message that nobody would get and nobody be told of: false where nobody
    /// has subscribed, and true where it would be dropped for all who have. Such a message need not be made. `None` for any
    /// other.
    pub fn publish_in_vain(&self, app: AppId, topic: &[u8]) -> Option<bool> {
        self.state().publish_in_vain(app, None, topic)
    }

    /// The same of [`Reactor::publish_from`].
    pub fn publish_in_vain_from(&self, id: ConnectionId, topic: &[u8]) -> Result<Option<bool>, Stale> {
        let mut state = self.state();
        let behavior = state.websocket(id)?.behavior();
        let app = state.behaviors.get(behavior).app;
        Ok(state.publish_in_vain(app, Some(id.slot), topic))
    }

    /// Tells of messages that were published and that somebody was too slow for. That happens at the end of the turn if
    /// not before, where a handler can be called. What is dropped meanwhile is told the next time: a handler that
    /// publishes what is dropped again must not keep everything else waiting.
    pub fn tell_dropped(&self, handler: &impl Handler) {
        let dropped = std::mem::take(&mut self.state().dropped);
        for Dropped { behavior, id, message, is_binary } in dropped {
            if self.check_websocket(id).is_ok() {
                self.guard(id.slot, handler, || handler.dropped(self, behavior, id, &message, is_binary));
            }
        }
    }

    /// Delivers what has been published in this turn.
    pub(crate) fn deliver_published(&self, handler: &impl Handler) {
        let mut state = self.state();
        for app in std::mem::take(&mut state.undelivered) {
            state.deliver(app);
        }
        drop(state);
        self.tell_dropped(handler);
    }
}

impl State {
    fn publish(
        &mut self,
        app: AppId,
        sender: Option<u32>,
        topic: &[u8],
        opcode: Opcode,
        message: &[u8],
        compress: bool,
    ) -> bool {
        // Below that, copying it takes no longer than finding out.
        if message.len() >= DIRECT_FROM
            && let Some(published) = self.publish_in_vain(app, sender, topic)
        {
            return published;
        }
        let topics = &mut self.apps.of_mut(app).topics;
        let had_undelivered = topics.has_undelivered();
        let is_binary = opcode == Opcode::Binary;
        let about =
            About { is_binary, length: message.len(), compress, compressed: OnceCell::new(), dropped: OnceCell::new() };
        if !topics.publish(sender, topic, about, |output| write_frame(output, opcode, true, message)) {
            return false;
        }
        let is_much = topics.undelivered() >= DELIVER_AT;
        if !had_undelivered {
            self.undelivered.push(app);
        }
        if is_much {
            self.deliver(app);
        }
        true
    }

    /// What comes of publishing a message that nobody gets: it is true where there are subscribers, all of which have so much
    /// waiting that they don't. The first that can take it ends the search.
    fn publish_in_vain(&mut self, app: AppId, sender: Option<u32>, topic: &[u8]) -> Option<bool> {
        let topics = std::mem::take(&mut self.apps.of_mut(app).topics);
        let mut receivers = topics.receivers_of(sender, topic).peekable();
        let has_receivers = receivers.peek().is_some();
        let is_in_vain = receivers.all(|slot| self.drops_unseen(slot));
        drop(receivers);
        self.apps.of_mut(app).topics = topics;
        is_in_vain.then_some(has_receivers)
    }

    /// Whether so much waits for a connection that a message to it is dropped, and nobody is told of it.
    fn drops_unseen(&mut self, slot: u32) -> bool {
        let id = self.table.id(slot);
        let Some(connection) = self.table.at(slot) else { return true };
        let is_told = self.behaviors.settings_of(connection).is_some_and(|settings| settings.tells_dropped);
        !is_told && self.check_limit(id) == Ok(true)
    }

    /// Delivers what has been published, in this turn, for a connection to which something else is about to be sent.
    pub(crate) fn deliver_before(&mut self, slot: u32) {
        if !self.undelivered.is_empty()
            && self.table.at(slot).is_some_and(|connection| connection.flags.has(Flags::SUBSCRIBED))
            && let Some(topics) = self.topics_of(slot)
        {
            let mut topics = std::mem::take(topics);
            topics.deliver_to(slot, |delivery| self.write_published(slot, &delivery, When::Soon));
            if let Some(place) = self.topics_of(slot) {
                *place = topics;
            }
        }
    }

    /// Ends all subscriptions of a connection: the topics, and how the number of their subscribers has changed.
    pub(crate) fn leave_topics(&mut self, slot: u32) -> Vec<(Rc<[u8]>, Change)> {
        let had = self.table.at(slot).is_some_and(|connection| connection.flags.take(Flags::SUBSCRIBED));
        match self.topics_of(slot).filter(|_| had) {
            Some(topics) => std::iter::from_fn(|| topics.leave_one(slot)).collect(),
            None => Vec::new(),
        }
    }

    fn topics_of(&mut self, slot: u32) -> Option<&mut Topics<About>> {
        let app = self.behaviors.app_of(self.table.at(slot)?);
        Some(&mut self.apps.of_mut(app).topics)
    }

    fn deliver(&mut self, app: AppId) {
        self.undelivered.retain(|other| *other != app);
        let mut topics = std::mem::take(&mut self.apps.of_mut(app).topics);
        topics.deliver(|slot, delivery| self.write_published(slot, &delivery, When::Now));
        self.apps.of_mut(app).topics = topics;
    }

    fn write_published(&mut self, slot: u32, delivery: &Delivery<'_, About>, when: When) {
        let Some(connection) = self.table.at(slot) else { return };
        if !(connection.flags.has(Flags::DEFLATE) && delivery.publications().any(|(_, about)| about.compress)) {
            let frames = delivery.publications().map(|(frame, about)| (frame, about.message_in(frame), about));
            return self.share(slot, delivery.bytes, frames, when);
        }
        if connection.contexts().is_some_and(|contexts| contexts.compresses()) {
            return self.write_compressed_for(slot, delivery);
        }
        let mut publications = delivery.publications();
        if let (Some((frame, about)), None) = (publications.next(), publications.next()) {
            let message = about.message_in(frame);
            let frame = self.compressed_frame(slot, frame, about);
            return self.share(slot, frame, std::iter::once((frame, message, about)), when);
        }
        for (frame, about) in delivery.publications() {
            if !self.drops_published(slot, about.message_in(frame), about) {
                let frame = self.compressed_frame(slot, frame, about);
                self.queue_published(slot, frame);
            }
        }
    }

    /// Sends the bytes, which are those of the frames (each with its message), from where they lie as far as the socket
    /// takes them. Of the rest the same holds as of messages that are sent one by one: one that finds too much waiting is
    /// dropped.
    fn share<'d>(
        &mut self,
        slot: u32,
        bytes: &[u8],
        frames: impl Iterator<Item = (&'d [u8], &'d [u8], &'d About)>,
        when: When,
    ) {
        let Some(connection) = self.table.at(slot) else { return };
        let is_long = bytes.len() >= DIRECT_FROM;
        let is_offered = !connection.flags.has(Flags::SENDING_FRAGMENTS)
            && self.corked != Some(slot)
            && connection.keeps_up()
            && (when == When::Now || is_long);
        let mut taken = if is_offered { self.offer_now(slot, bytes) } else { 0 };
        if taken == bytes.len() {
            return;
        }
        for (frame, message, about) in frames {
            let before = taken.min(frame.len());
            taken -= before;
            if before == frame.len() {
                continue;
            }
            if before == 0 && self.drops_published(slot, message, about) {
                continue;
            }
            if is_offered {
                self.hold(slot, &frame[before..], before > 0);
            } else {
                self.queue_published(slot, frame);
            }
        }
    }

    /// What a connection without a context of its own gets: the message compressed, once for all, if it is to be.
    fn compressed_frame<'d>(&mut self, slot: u32, frame: &'d [u8], about: &'d About) -> &'d [u8] {
        if !(about.compress && self.is_compressed(slot, about.length)) {
            return frame;
        }
        about.compressed.get_or_init(|| {
            let mut compressed = Vec::new();
            self.codecs.write_frame(None, about.opcode(), about.message_in(frame), &mut compressed);
            compressed
        })
    }

    /// Compresses for a connection with a context of its own. That goes out at the end of the turn.
    fn write_compressed_for(&mut self, slot: u32, delivery: &Delivery<'_, About>) {
        for (frame, about) in delivery.publications() {
            // Before it is compressed: a context must not know what the client never gets.
            let message = about.message_in(frame);
            if self.drops_published(slot, message, about) {
                continue;
            }
            if about.compress && self.is_compressed(slot, about.length) {
                let frame = self.compress(slot, about.opcode(), message);
                self.queue_published(slot, &frame);
            } else {
                self.queue_published(slot, frame);
            }
        }
    }

    /// Whether so much waits for a subscriber that it does not get this one; it is to be told then.
    fn drops_published(&mut self, slot: u32, message: &[u8], about: &About) -> bool {
        let id = self.table.id(slot);
        let is_dropped = self.check_limit(id) == Ok(true);
        let Self { table, behaviors, .. } = self;
        if is_dropped
            && let Some(connection) = table.at(slot)
            && behaviors.settings_of(connection).is_some_and(|settings| settings.tells_dropped)
        {
            let message = Rc::clone(about.dropped.get_or_init(|| message.into()));
            let behavior = connection.behavior();
            self.dropped.push(Dropped { behavior, id, message, is_binary: about.is_binary });
        }
        is_dropped
    }

    /// Appends a frame to the output of a subscriber. Nothing but control frames may come between the fragments of a
    /// message (RFC 6455 section 5.4): it waits for the last.
    fn queue_published(&mut self, slot: u32, frame: &[u8]) {
        let Some(connection) = self.table.at(slot) else { return };
        if connection.flags.has(Flags::SENDING_FRAGMENTS) {
            self.pool.side_of(connection).held.extend_from_slice(frame);
        } else {
            self.write(slot, |output| output.extend_from_slice(frame));
        }
    }
}
