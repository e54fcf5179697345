//! The topics of an app: subscribing, publishing, and how publications reach the sockets.

use std::cell::OnceCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use milliways_proto::topics::{Change, Delivery, Topics};
use milliways_proto::ws::{Contexts, Opcode, write_frame};

use super::Server;
use super::app::App;
use super::conversation::WebSocketFlag;
use super::settings::Behavior;
use super::trap::Layer;
use super::websocket::count_dropped;
use crate::counters::{Cell, Limit, Meter};
use crate::event::Event;
use crate::ids::{AppId, BehaviorId, ConnectionId, Slot, Stale};
use crate::transport::output::DIRECT_FROM;

/// The number of undelivered bytes from which on publications are delivered at once, not at the end of the turn.
const DELIVER_AT: usize = 64 * 1024;

/// What is noted about a publication.
pub(crate) struct About {
    is_binary: bool,
    /// The length of the message, which is the end of its frame.
    length: usize,
    /// The number of bytes of all messages published until then in the app, this one included.
    total: u64,
    compress: bool,
    /// The compressed frame, once a subscriber has needed it.
    compressed: OnceCell<Vec<u8>>,
    /// The message for [`Event::Dropped`], once a subscriber has needed it.
    dropped: OnceCell<Arc<[u8]>>,
}

impl About {
    fn opcode(&self) -> Opcode {
        if self.is_binary { Opcode::Binary } else { Opcode::Text }
    }

    fn message_in<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        &frame[frame.len() - self.length..]
    }
}

/// Why a WebSocket was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The WebSocket has closed.
    Stale,
    /// The WebSocket has as many topics as `max_topics` allows.
    TooManyTopics,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stale => "the WebSocket has closed",
            Self::TooManyTopics => "the WebSocket has subscribed to as many topics as it may",
        })
    }
}

impl std::error::Error for SubscribeError {}

impl From<Stale> for SubscribeError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

/// The messages of a delivery that are dropped, because too much is waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Undelivered {
    messages: u64,
    bytes: u64,
}

/// When a delivery is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Now, with one system call for each subscriber.
    Now,
    /// Together with what is about to be sent to the same subscriber.
    Soon,
}

/// The methods behind those of [`crate::Reactor`], which documents them.
impl Server {
    pub(crate) fn subscribe(&mut self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, SubscribeError> {
        let behavior = self.check_websocket(id)?;
        if self.has_all_topics(id.slot, behavior, topic) {
            self.behaviors.get(behavior).meter.count_of(id.slot, Limit::Topics);
            return Err(SubscribeError::TooManyTopics);
        }
        self.table[id.slot].websocket().add(WebSocketFlag::Subscribed);
        let change = self.topics_of(behavior).subscribe(id.slot.0, topic);
        self.note_subscription(id, behavior, topic, change);
        Ok(change)
    }

    /// Returns whether a topic would be one more than the WebSocket may have.
    fn has_all_topics(&mut self, slot: Slot, behavior: BehaviorId, topic: &[u8]) -> bool {
        let max = self.behaviors.get(behavior).settings.max_topics;
        let topics = self.topics_of(behavior);
        max < u32::MAX && topics.count_of(slot.0) >= max as usize && !topics.is_subscribed(slot.0, topic)
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnectionId, topic: &[u8]) -> Result<Option<Change>, Stale> {
        let behavior = self.check_websocket(id)?;
        self.deliver_before(id.slot);
        let topics = self.topics_of(behavior);
        let change = topics.unsubscribe(id.slot.0, topic);
        if topics.topics_of(id.slot.0).next().is_none() {
            self.table[id.slot].websocket().take(WebSocketFlag::Subscribed);
        }
        self.note_subscription(id, behavior, topic, change);
        Ok(change)
    }

    fn note_subscription(&mut self, id: ConnectionId, behavior: BehaviorId, topic: &[u8], change: Option<Change>) {
        let Some(change) = change else { return };
        let Behavior { settings, meter, .. } = self.behaviors.get(behavior);
        count_change(meter, change);
        if settings.tells_subscriptions {
            self.events.push(Event::Subscription { behavior, id, topic: topic.into(), change });
        }
    }

    pub(crate) fn is_subscribed(&mut self, id: ConnectionId, topic: &[u8]) -> Result<bool, Stale> {
        let behavior = self.check_websocket(id)?;
        Ok(self.topics_of(behavior).is_subscribed(id.slot.0, topic))
    }

    pub(crate) fn topics(&mut self, id: ConnectionId) -> Result<Vec<Box<[u8]>>, Stale> {
        let behavior = self.check_websocket(id)?;
        Ok(self.topics_of(behavior).topics_of(id.slot.0).map(Into::into).collect())
    }

    pub(crate) fn subscribers(&self, app: AppId, topic: &[u8]) -> usize {
        self.apps.of(app).topics.subscribers_of(topic)
    }

    pub(crate) fn publish_from(
        &mut self,
        id: ConnectionId,
        topic: &[u8],
        opcode: Opcode,
        message: &[u8],
        compress: bool,
    ) -> Result<bool, Stale> {
        let behavior = self.check_websocket(id)?;
        let app = self.behaviors.get(behavior).app;
        Ok(self.publish(app, Some(id.slot), topic, opcode, message, compress))
    }

    pub(crate) fn publish_in_vain_from(&mut self, id: ConnectionId, topic: &[u8]) -> Result<Option<bool>, Stale> {
        let behavior = self.check_websocket(id)?;
        let app = self.behaviors.get(behavior).app;
        Ok(self.publish_in_vain(app, Some(id.slot), topic))
    }

    /// Publishes a message to all subscribers except `sender`. Returns whether there are any.
    pub(crate) fn publish(
        &mut self,
        app: AppId,
        sender: Option<Slot>,
        topic: &[u8],
        opcode: Opcode,
        message: &[u8],
        compress: bool,
    ) -> bool {
        // Copying a shorter message costs no more than this check.
        if message.len() >= DIRECT_FROM
            && let Some(published) = self.publish_in_vain(app, sender, topic)
        {
            return published;
        }
        let App { topics, published_bytes, meter, .. } = self.apps.of_mut(app);
        meter.count(Cell::Published);
        let had_undelivered = topics.has_undelivered();
        let (is_binary, length) = (opcode == Opcode::Binary, message.len());
        let total = *published_bytes + length as u64;
        let about = About { is_binary, length, total, compress, compressed: OnceCell::new(), dropped: OnceCell::new() };
        let sender = sender.map(|slot| slot.0);
        if !topics.publish(sender, topic, about, |output| write_frame(output, opcode, true, message)) {
            return false;
        }
        *published_bytes = total;
        let is_much = topics.undelivered() >= DELIVER_AT;
        if !had_undelivered {
            self.published.push(app);
        }
        if is_much {
            self.deliver(app);
        }
        true
    }

    /// Returns what publishing a message would return if no subscriber receives it: false if there are no subscribers
    /// other than `sender`, true if it would be dropped for all of them without [`Event::Dropped`]. Returns `None` as
    /// soon as one subscriber needs the message. Otherwise, the message counts as published.
    pub(crate) fn publish_in_vain(&mut self, app: AppId, sender: Option<Slot>, topic: &[u8]) -> Option<bool> {
        let (is_in_vain, receivers) = self.with_topics(app, |server, topics| {
            let mut count = 0;
            let is_in_vain = topics.receivers_of(sender.map(|slot| slot.0), topic).all(|slot| {
                count += 1;
                server.drops_unseen(Slot(slot))
            });
            (is_in_vain, count)
        });
        if !is_in_vain {
            return None;
        }
        let meter = &self.apps.of(app).meter;
        meter.count(Cell::Published);
        count_dropped(meter, None, receivers);
        Some(receivers > 0)
    }

    /// Returns whether a message to a subscriber would be dropped without [`Event::Dropped`], because too much is
    /// waiting.
    fn drops_unseen(&mut self, slot: Slot) -> bool {
        let (id, behavior) = (self.table.id(slot), self.table[slot].behavior());
        !self.behaviors.get(behavior).settings.tells_dropped && self.is_over_limit(id, behavior)
    }
}

/// Delivery.
impl Server {
    /// Returns whether there are undelivered publications.
    pub(crate) fn has_published(&self) -> bool {
        !self.published.is_empty()
    }

    /// Delivers all publications of this turn.
    pub(crate) fn deliver_published(&mut self) {
        for app in std::mem::take(&mut self.published) {
            self.deliver(app);
        }
    }

    fn deliver(&mut self, app: AppId) {
        self.published.retain(|other| *other != app);
        self.with_topics(app, |server, topics| {
            topics.deliver(|slot, delivery| {
                let slot = Slot(slot);
                server.attempt(slot, |server| server.write_published(slot, &delivery, When::Now));
            });
        });
        let it = self.apps.of_mut(app);
        let before = std::mem::replace(&mut it.log_memory, it.topics.log_memory());
        self.published_memory = self.published_memory - before + it.log_memory;
        self.give_up_broken();
    }

    /// Lends the topics of an app to a function, after which the app has them again, even if the function panics.
    fn with_topics<R>(&mut self, app: AppId, run: impl FnOnce(&mut Self, &mut Topics<About>) -> R) -> R {
        let mut topics = std::mem::take(&mut self.apps.of_mut(app).topics);
        let result = catch_unwind(AssertUnwindSafe(|| run(self, &mut topics)));
        self.apps.of_mut(app).topics = topics;
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Delivers the publications of this turn to one WebSocket, because something else is about to be sent to it.
    pub(super) fn deliver_before(&mut self, slot: Slot) {
        if self.published.is_empty() || !self.table[slot].websocket().has(WebSocketFlag::Subscribed) {
            return;
        }
        let app = self.behaviors.get(self.table[slot].behavior()).app;
        self.with_topics(app, |server, topics| {
            topics.deliver_to(slot.0, |delivery| server.write_published(slot, &delivery, When::Soon));
        });
    }

    /// Ends all subscriptions of a WebSocket that is closing. `is_told`: whether [`Event::Subscription`] is wanted for
    /// each.
    pub(super) fn leave_topics(&mut self, slot: Slot, is_told: bool) {
        if !self.table[slot].websocket().take(WebSocketFlag::Subscribed) {
            return;
        }
        let (id, behavior) = (self.table.id(slot), self.table[slot].behavior());
        while let Some((topic, change)) = self.topics_of(behavior).leave_one(slot.0) {
            count_change(&self.behaviors.get(behavior).meter, change);
            if is_told {
                self.events.push(Event::Subscription { behavior, id, topic: (*topic).into(), change });
            }
        }
    }

    fn topics_of(&mut self, behavior: BehaviorId) -> &mut Topics<About> {
        let app = self.behaviors.get(behavior).app;
        &mut self.apps.of_mut(app).topics
    }

    fn write_published(&mut self, slot: Slot, delivery: &Delivery<'_, About>, when: When) {
        self.trap.pass(Layer::Publish);
        let behavior = self.table[slot].behavior();
        self.undelivered = Undelivered::default();
        self.write_delivery(slot, delivery, when);
        let Undelivered { messages, bytes } = self.undelivered;
        let meter = &self.behaviors.get(behavior).meter;
        let delivered = delivery.len() as u64 - messages;
        meter.add(Cell::Delivered, delivered);
        meter.add(Cell::MessagesSent, delivered);
        meter.add(Cell::BytesSent, length_of(delivery) - bytes);
        if messages > 0 {
            count_dropped(meter, Some(slot), messages);
        }
    }

    fn write_delivery(&mut self, slot: Slot, delivery: &Delivery<'_, About>, when: When) {
        let has_compression = self.table[slot].sender().has_compression();
        if !(has_compression && delivery.publications().any(|(_, about)| about.compress)) {
            let frames = delivery.publications().map(|(frame, about)| (frame, about.message_in(frame), about));
            return self.share(slot, delivery.bytes, frames, when);
        }
        let side = self.sides.get(self.table[slot].side);
        if side.and_then(|side| side.contexts.as_deref()).is_some_and(Contexts::compresses) {
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

    /// Sends `bytes`, which are the bytes of `frames` (each with its message), without copying what the socket takes.
    /// The rest is treated like messages that are sent one by one: a message is dropped if too much is waiting already.
    fn share<'d>(
        &mut self,
        slot: Slot,
        bytes: &[u8],
        frames: impl Iterator<Item = (&'d [u8], &'d [u8], &'d About)>,
        when: When,
    ) {
        let is_long = bytes.len() >= DIRECT_FROM;
        let is_offered = !self.table[slot].sender().holds_back()
            && !self.transport.is_corked(slot)
            && self.transport.keeps_up(slot)
            && (when == When::Now || is_long);
        let mut taken = if is_offered { self.transport.offer_now(slot, bytes) } else { 0 };
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
                self.transport.hold(slot, &frame[before..], before > 0);
            } else {
                self.queue_published(slot, frame);
            }
        }
    }

    /// Returns the frame for a connection whose messages are compressed independently: the compressed one, which all
    /// such connections share, if the message is compressed at all.
    fn compressed_frame<'d>(&mut self, slot: Slot, frame: &'d [u8], about: &'d About) -> &'d [u8] {
        if !(about.compress && self.is_compressed(slot, about.length)) {
            return frame;
        }
        about.compressed.get_or_init(|| {
            let mut compressed = Vec::new();
            self.codecs.write_frame(None, about.opcode(), about.message_in(frame), &mut compressed);
            compressed
        })
    }

    /// Compresses publications for a connection with a compression context of its own. They are sent at the end of the
    /// turn.
    fn write_compressed_for(&mut self, slot: Slot, delivery: &Delivery<'_, About>) {
        for (frame, about) in delivery.publications() {
            // This comes before compression: the context must not contain a message that the client never receives.
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

    /// Returns whether a message to a subscriber is dropped because too much is waiting. If so, queues
    /// [`Event::Dropped`] where that is wanted.
    fn drops_published(&mut self, slot: Slot, message: &[u8], about: &About) -> bool {
        let (id, behavior) = (self.table.id(slot), self.table[slot].behavior());
        if !self.is_over_limit(id, behavior) {
            return false;
        }
        self.undelivered.messages += 1;
        self.undelivered.bytes += message.len() as u64;
        if self.behaviors.get(behavior).settings.tells_dropped {
            let message = Arc::clone(about.dropped.get_or_init(|| message.into()));
            let binary = about.is_binary;
            self.events.push_dropped_publication(Event::Dropped { behavior, id, message, binary });
        }
        true
    }

    /// Appends a frame to the output of a subscriber. Holds it back while a fragmented message is being sent, because
    /// only control frames may come between fragments (RFC 6455 section 5.4).
    fn queue_published(&mut self, slot: Slot, frame: &[u8]) {
        if self.table[slot].sender().holds_back() {
            self.sides.of(&mut self.table[slot].side).held.extend_from_slice(frame);
        } else {
            self.transport.write(slot, |output| output.extend_from_slice(frame));
        }
    }
}

/// Returns the number of bytes of the messages of a delivery.
fn length_of(delivery: &Delivery<'_, About>) -> u64 {
    match delivery.ends() {
        Some((first, last)) => last.total - first.total + first.length as u64,
        None => delivery.publications().map(|(_, about)| about.length as u64).sum(),
    }
}

/// Counts a subscription that has begun or ended.
fn count_change(meter: &Meter, Change { new, old }: Change) {
    meter.change(Cell::Subscriptions, old, new);
    meter.change(Cell::Topics, usize::from(old > 0), usize::from(new > 0));
}
