//! Publish and subscribe: who receives what is published, and in which order.
//!
//! Publications are kept once, in a log, until the owner has all those of a turn delivered together. So publishing costs the
//! same whatever the number of subscribers, and each subscriber receives its publications as one run of bytes. Subscribers
//! that receive the same publications share those bytes.

use std::collections::HashMap;
use std::mem;
use std::ops::Range;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use slab::Slab;

/// How the number of a topic's subscribers has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of subscribers now.
    pub new: usize,
    /// The number of subscribers before.
    pub old: usize,
}

/// Topics, their subscribers, and the publications that have not been delivered yet.
///
/// A subscriber is a number that the owner chooses. `T` is what the owner wants to know about a publication when it is
/// delivered.
pub struct Topics<T> {
    /// The hash is unpredictable, because peers may choose the names.
    names: HashMap<Rc<[u8]>, TopicKey>,
    list: Slab<Topic>,
    keys: FxHashMap<u32, SubscriberKey>,
    subscribers: Slab<Subscriber>,
    /// Where each topic is in the list of a subscriber with many topics. Others have no entry.
    positions: FxHashMap<SubscriberKey, FxHashMap<TopicKey, usize>>,
    /// The publications since the last delivery.
    log: Vec<Publication<T>>,
    /// The bytes of the log, one publication after the other.
    bytes: Vec<u8>,
    /// The number of the first publication in the log, counted from the very first one.
    first: u64,
    /// Topics with publications in the log. A topic may be here more than once, or have been removed since.
    busy: Vec<TopicKey>,
    /// The publications that were put together last: the next subscriber often receives the same.
    assembly: Assembly,
}

type TopicKey = usize;
type SubscriberKey = usize;

struct Topic {
    name: Rc<[u8]>,
    members: Vec<Member>,
    /// The publications since the last delivery, as places in the log.
    log: Vec<usize>,
}

/// One subscriber of a topic. Its counterpart is a [`Subscription`]; each knows where the other is.
struct Member {
    subscriber: SubscriberKey,
    position: usize,
}

struct Subscriber {
    id: u32,
    subscriptions: Vec<Subscription>,
    /// Publications with a lower number have been delivered, or are not for this subscriber.
    cursor: u64,
    /// Places in the log that have been gathered for delivery.
    pending: Vec<usize>,
}

struct Subscription {
    topic: TopicKey,
    position: usize,
    /// The number of the first publication that the subscriber receives.
    since: u64,
}

struct Publication<T> {
    /// The topic, unless it has been removed since.
    topic: TopicKey,
    sender: Option<u32>,
    range: Range<usize>,
    about: T,
}

/// What one subscriber receives, in the order in which it was published.
pub struct Delivery<'d, T> {
    /// The bytes of all publications, one after the other.
    pub bytes: &'d [u8],
    log: &'d [Publication<T>],
    places: &'d [usize],
}

impl<'d, T> Delivery<'d, T> {
    /// Returns the publications one by one: their bytes, and what the owner noted about them.
    pub fn publications(&self) -> impl Iterator<Item = (&'d [u8], &'d T)> {
        let (mut rest, log) = (self.bytes, self.log);
        self.places.iter().map(move |place| {
            let publication = &log[*place];
            let (bytes, behind) = rest.split_at(publication.range.len());
            rest = behind;
            (bytes, &publication.about)
        })
    }
}

impl<'d, T> Delivery<'d, T> {
    /// Returns the number of publications.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether there are no publications.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns what was noted about the first and the last publication, if no other one came between those in the log;
    /// otherwise `None`.
    pub fn ends(&self) -> Option<(&'d T, &'d T)> {
        let (first, last) = (*self.places.first()?, *self.places.last()?);
        (last - first + 1 == self.places.len()).then(|| (&self.log[first].about, &self.log[last].about))
    }
}

/// Returns the number of bytes that topics and subscriptions take, apart from the names of topics: an estimate, since
/// lists grow in steps.
pub fn memory_of(topics: usize, subscriptions: usize) -> usize {
    let topic = size_of::<Topic>() + size_of::<(Rc<[u8]>, TopicKey)>();
    topics * topic + subscriptions * (size_of::<Member>() + size_of::<Subscription>())
}

/// Publications put together because they are not adjacent in the log.
#[derive(Default)]
struct Assembly {
    places: Vec<usize>,
    bytes: Vec<u8>,
}

/// The number of topics from which on a subscriber has an index. Searching fewer takes no longer than looking into an index.
const MANY_TOPICS: usize = 64;

/// The number of topics below which the index is removed.
const FEW_TOPICS: usize = MANY_TOPICS / 2;

/// The number of places for which a subscriber keeps memory.
const KEPT_PLACES: usize = 8;

/// The number of bytes for which the log keeps memory.
const KEPT_BYTES: usize = 256 * 1024;

impl<T> Default for Topics<T> {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            list: Slab::new(),
            keys: FxHashMap::default(),
            subscribers: Slab::new(),
            positions: FxHashMap::default(),
            log: Vec::new(),
            bytes: Vec::new(),
            first: 0,
            busy: Vec::new(),
            assembly: Assembly::default(),
        }
    }
}

impl<T> Topics<T> {
    /// Subscribes to a topic, which may be any bytes. Returns `None` if the subscription exists already. The subscriber does not
    /// receive what was published before.
    pub fn subscribe(&mut self, id: u32, name: &[u8]) -> Option<Change> {
        if self.is_subscribed(id, name) {
            return None;
        }
        let since = self.next();
        let key = *self.keys.entry(id).or_insert_with(|| {
            self.subscribers.insert(Subscriber { id, subscriptions: Vec::new(), cursor: since, pending: Vec::new() })
        });
        let topic = self.names.get(name).copied().unwrap_or_else(|| {
            let name: Rc<[u8]> = name.into();
            let topic = self.list.insert(Topic { name: Rc::clone(&name), members: Vec::new(), log: Vec::new() });
            self.names.insert(name, topic);
            topic
        });
        let members = &mut self.list[topic].members;
        let subscriptions = &mut self.subscribers[key].subscriptions;
        members.push(Member { subscriber: key, position: subscriptions.len() });
        subscriptions.push(Subscription { topic, position: members.len() - 1, since });
        let change = Change { new: members.len(), old: members.len() - 1 };
        self.index_last(key);
        Some(change)
    }

    /// Ends a subscription. Returns `None` if there is none. Publications that have not been delivered are lost, so have them
    /// delivered first ([`Topics::deliver_to`]).
    pub fn unsubscribe(&mut self, id: u32, name: &[u8]) -> Option<Change> {
        let key = *self.keys.get(&id)?;
        let position = self.position_of(key, *self.names.get(name)?)?;
        let (_, change) = self.leave(key, position);
        if self.subscribers[key].subscriptions.is_empty() {
            self.forget(id);
        }
        Some(change)
    }

    /// Returns whether there is such a subscription.
    pub fn is_subscribed(&self, id: u32, name: &[u8]) -> bool {
        let (Some(key), Some(topic)) = (self.keys.get(&id), self.names.get(name)) else { return false };
        self.position_of(*key, *topic).is_some()
    }

    /// Returns the topics of a subscriber, in no particular order.
    pub fn topics_of(&self, id: u32) -> impl Iterator<Item = &[u8]> {
        let subscriptions = self.keys.get(&id).map(|key| &self.subscribers[*key].subscriptions[..]);
        subscriptions.unwrap_or_default().iter().map(|subscription| &*self.list[subscription.topic].name)
    }

    /// Returns the number of a subscriber's topics.
    pub fn count_of(&self, id: u32) -> usize {
        self.keys.get(&id).map_or(0, |key| self.subscribers[*key].subscriptions.len())
    }

    /// Ends any one of a subscriber's subscriptions. Returns `None` if none is left. As with [`Topics::unsubscribe`],
    /// publications that have not been delivered are lost.
    pub fn leave_one(&mut self, id: u32) -> Option<(Rc<[u8]>, Change)> {
        let key = *self.keys.get(&id)?;
        let last = self.subscribers[key].subscriptions.len() - 1;
        let left = self.leave(key, last);
        if last == 0 {
            self.forget(id);
        }
        Some(left)
    }

    /// Returns the number of a topic's subscribers.
    pub fn subscribers_of(&self, name: &[u8]) -> usize {
        self.names.get(name).map_or(0, |topic| self.list[*topic].members.len())
    }

    /// Returns the subscribers that receive what a sender publishes to a topic.
    pub fn receivers_of(&self, sender: Option<u32>, name: &[u8]) -> impl Iterator<Item = u32> {
        let members = self.names.get(name).into_iter().flat_map(|topic| &self.list[*topic].members);
        members.map(|member| self.subscribers[member.subscriber].id).filter(move |id| Some(*id) != sender)
    }

    /// Publishes what `append` appends to all subscribers but the sender. `append` must not change what is there already.
    /// Returns false if there are no such subscribers; then `append` is not called.
    pub fn publish(&mut self, sender: Option<u32>, name: &[u8], about: T, append: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(key) = self.names.get(name).copied() else { return false };
        if let [only] = &self.list[key].members[..]
            && sender == Some(self.subscribers[only.subscriber].id)
        {
            return false;
        }
        let start = self.bytes.len();
        append(&mut self.bytes);
        let topic = &mut self.list[key];
        if topic.log.is_empty() {
            self.busy.push(key);
        }
        topic.log.push(self.log.len());
        self.log.push(Publication { topic: key, sender, range: start..self.bytes.len(), about });
        true
    }

    /// Returns the number of bytes to be delivered, each counted once whatever the number of subscribers.
    pub fn undelivered(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the number of bytes that are allocated for publications.
    pub fn log_memory(&self) -> usize {
        self.bytes.capacity() + self.log.capacity() * size_of::<Publication<T>>() + self.assembly.bytes.capacity()
    }

    /// Returns whether there is anything to be delivered.
    pub fn has_undelivered(&self) -> bool {
        !self.log.is_empty()
    }

    /// Delivers to one subscriber the publications that it has not received yet, if there are any.
    pub fn deliver_to(&mut self, id: u32, deliver: impl FnOnce(Delivery<'_, T>)) {
        let Some(key) = self.keys.get(&id).copied().filter(|_| self.has_undelivered()) else { return };
        let mut places = mem::take(&mut self.subscribers[key].pending);
        let subscriber = &self.subscribers[key];
        let news = subscriber.cursor.saturating_sub(self.first) as usize..self.log.len();
        if news.len() < subscriber.subscriptions.len() {
            places.extend(news.filter(|place| self.is_for(key, *place)));
        } else {
            for subscription in &subscriber.subscriptions {
                self.gather(key, subscription, &mut places);
            }
        }
        self.subscribers[key].cursor = self.next();
        self.hand_over(key, places, |_, delivery| deliver(delivery));
    }

    /// Delivers all publications, to one subscriber after the other, and forgets them.
    pub fn deliver(&mut self, mut deliver: impl FnMut(u32, Delivery<'_, T>)) {
        let mut waiting = Vec::new();
        for topic in mem::take(&mut self.busy) {
            // The topic may have been removed meanwhile, or be here twice.
            for index in 0..self.list.get(topic).map_or(0, |topic| topic.members.len()) {
                let member = &self.list[topic].members[index];
                let (key, position) = (member.subscriber, member.position);
                let mut places = mem::take(&mut self.subscribers[key].pending);
                let is_first = places.is_empty();
                self.gather(key, &self.subscribers[key].subscriptions[position], &mut places);
                if is_first && !places.is_empty() {
                    waiting.push(key);
                }
                self.subscribers[key].pending = places;
            }
            if let Some(topic) = self.list.get_mut(topic) {
                topic.log.clear();
            }
        }
        for key in waiting {
            let places = mem::take(&mut self.subscribers[key].pending);
            self.hand_over(key, places, &mut deliver);
        }
        self.first = self.next();
        self.log.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.assembly = Assembly::default();
    }

    /// Returns the number of the next publication.
    fn next(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    fn position_of(&self, key: SubscriberKey, topic: TopicKey) -> Option<usize> {
        let subscriptions = &self.subscribers[key].subscriptions;
        // Most subscribers have few topics and no index, and are spared the lookup.
        if subscriptions.len() >= FEW_TOPICS
            && let Some(positions) = self.positions.get(&key)
        {
            return positions.get(&topic).copied();
        }
        subscriptions.iter().rposition(|subscription| subscription.topic == topic)
    }

    /// Adds a subscriber's last subscription to its index, and makes the index if the subscriber has enough topics for one.
    fn index_last(&mut self, key: SubscriberKey) {
        let subscriptions = &self.subscribers[key].subscriptions;
        let (Some(last), count) = (subscriptions.last(), subscriptions.len()) else { return };
        if count < FEW_TOPICS {
            return;
        }
        if let Some(positions) = self.positions.get_mut(&key) {
            positions.insert(last.topic, count - 1);
        } else if count >= MANY_TOPICS {
            let topics = subscriptions.iter().map(|subscription| subscription.topic);
            self.positions.insert(key, topics.enumerate().map(|(position, topic)| (topic, position)).collect());
        }
    }

    /// Returns whether a subscriber receives a publication.
    fn is_for(&self, key: SubscriberKey, place: usize) -> bool {
        let Publication { topic, sender, .. } = &self.log[place];
        let subscriber = &self.subscribers[key];
        // A publication to a removed topic, whose key another topic has now, is older than all subscriptions to the latter.
        let is_since = |position: usize| subscriber.subscriptions[position].since <= self.first + place as u64;
        *sender != Some(subscriber.id) && self.position_of(key, *topic).is_some_and(is_since)
    }

    /// Ends a subscription in constant time.
    fn leave(&mut self, key: SubscriberKey, position: usize) -> (Rc<[u8]>, Change) {
        let subscriptions = &mut self.subscribers[key].subscriptions;
        let count = subscriptions.len();
        let Subscription { topic: topic_key, position: member, .. } = subscriptions.swap_remove(position);
        // Both lists have moved their last entry into the gap; the counterparts of those entries have to know.
        let moved = subscriptions.get(position);
        if let Some(moved) = moved {
            self.list[moved.topic].members[moved.position].position = position;
        }
        if count == FEW_TOPICS {
            self.positions.remove(&key);
        } else if count > FEW_TOPICS
            && let Some(positions) = self.positions.get_mut(&key)
        {
            positions.remove(&topic_key);
            if let Some(moved) = moved {
                positions.insert(moved.topic, position);
            }
        }
        let topic = &mut self.list[topic_key];
        topic.members.swap_remove(member);
        if let Some(moved) = topic.members.get(member) {
            self.subscribers[moved.subscriber].subscriptions[moved.position].position = member;
        }
        let name = Rc::clone(&topic.name);
        let new = topic.members.len();
        if new == 0 {
            self.list.remove(topic_key);
            self.names.remove(&name);
        }
        (name, Change { new, old: new + 1 })
    }

    fn forget(&mut self, id: u32) {
        if let Some(key) = self.keys.remove(&id) {
            self.subscribers.remove(key);
        }
    }

    /// Appends the places of the publications that a subscriber has yet to receive from one topic.
    fn gather(&self, key: SubscriberKey, subscription: &Subscription, places: &mut Vec<usize>) {
        let subscriber = &self.subscribers[key];
        let from = subscription.since.max(subscriber.cursor).saturating_sub(self.first) as usize;
        let log = &self.list[subscription.topic].log;
        let news = &log[log.partition_point(|place| *place < from)..];
        places.extend(news.iter().filter(|place| self.log[**place].sender != Some(subscriber.id)));
    }

    fn hand_over(&mut self, key: SubscriberKey, mut places: Vec<usize>, deliver: impl FnOnce(u32, Delivery<'_, T>)) {
        // The places of a single topic are in order already.
        if !places.is_sorted() {
            places.sort_unstable();
        }
        let id = self.subscribers[key].id;
        if let (Some(first), Some(last)) = (places.first(), places.last()) {
            let bytes = if last - first + 1 == places.len() {
                &self.bytes[self.log[*first].range.start..self.log[*last].range.end]
            } else {
                self.assembly.put_together(&places, &self.log, &self.bytes)
            };
            deliver(id, Delivery { bytes, log: &self.log, places: &places });
        }
        places.clear();
        places.shrink_to(KEPT_PLACES);
        self.subscribers[key].pending = places;
    }
}

impl Assembly {
    fn put_together<T>(&mut self, places: &[usize], log: &[Publication<T>], bytes: &[u8]) -> &[u8] {
        if self.places != places {
            self.places.clear();
            self.places.extend_from_slice(places);
            self.bytes.clear();
            for place in places {
                self.bytes.extend_from_slice(&bytes[log[*place].range.clone()]);
            }
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
