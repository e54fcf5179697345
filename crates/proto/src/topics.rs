//! Publish and subscribe: who gets what is published, and in which order.
//!
//! What is published is kept, once, until the owner has it delivered, all of a turn together: publishing costs the same
//! whatever the number of subscribers, and each gets what concerns it as one run of bytes. Subscribers who get the same
//! get the very same bytes.

use std::collections::HashMap;
use std::mem;
use std::ops::Range;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use slab::Slab;

/// How the number of a topic's subscribers has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// How many there are now.
    pub new: usize,
    /// How many there were.
    pub old: usize,
}

/// Topics, who has subscribed to them, and what has been published and not been delivered.
///
/// A subscriber is a number of the owner's. `T` is what the owner wants to know of a publication when it is delivered.
pub struct Topics<T> {
    /// With a hash that nobody can foresee: names may be chosen by peers.
    names: HashMap<Rc<[u8]>, TopicKey>,
    list: Slab<Topic>,
    keys: FxHashMap<u32, SubscriberKey>,
    subscribers: Slab<Subscriber>,
    /// Of subscribers with many topics: where each of those is in the list. Others have none.
    positions: FxHashMap<SubscriberKey, FxHashMap<TopicKey, usize>>,
    /// What has been published since the last delivery.
    log: Vec<Publication<T>>,
    /// The bytes of the log, one publication behind the other.
    bytes: Vec<u8>,
    /// Which publication the first of the log is, counted from the beginning of all.
    first: u64,
    /// Topics that have something in the log; maybe more than once, or no more.
    busy: Vec<TopicKey>,
    /// The last ones: the next subscriber often gets the same.
    assembly: Assembly,
}

type TopicKey = usize;
type SubscriberKey = usize;

struct Topic {
    name: Rc<[u8]>,
    members: Vec<Member>,
    /// What has been published here since the last delivery, as places in the log.
    log: Vec<usize>,
}

/// One subscriber of a topic. The other side is a [`Subscription`]; each knows where the other is.
struct Member {
    subscriber: SubscriberKey,
    position: usize,
}

struct Subscriber {
    id: u32,
    subscriptions: Vec<Subscription>,
    /// Publications before this one have been delivered, or are not for it.
    cursor: u64,
    /// Places in the log, gathered for delivery.
    pending: Vec<usize>,
}

struct Subscription {
    topic: TopicKey,
    position: usize,
    /// The first publication that counts.
    since: u64,
}

struct Publication<T> {
    /// The topic, as long as it has not been removed since.
    topic: TopicKey,
    sender: Option<u32>,
    range: Range<usize>,
    about: T,
}

/// What one subscriber gets, in the order in which it was published.
pub struct Delivery<'d, T> {
    /// All of it, one publication behind the other.
    pub bytes: &'d [u8],
    log: &'d [Publication<T>],
    places: &'d [usize],
}

impl<'d, T> Delivery<'d, T> {
    /// The publications one by one: their bytes, and what was said about them.
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

/// Publications put together because they do not stand together in the log.
#[derive(Default)]
struct Assembly {
    places: Vec<usize>,
    bytes: Vec<u8>,
}

/// From so many topics on a subscriber has them indexed. Going through fewer takes no longer than a look into an index.
const MANY_TOPICS: usize = 64;

/// With fewer than so many the index goes.
const FEW_TOPICS: usize = MANY_TOPICS / 2;

/// A subscriber keeps memory for so many places.
const KEPT_PLACES: usize = 8;

/// And the log for so many bytes.
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
    /// Subscribes to a topic, any bytes; `None` when that has been done before. What was published before does not
    /// count.
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

    /// Ends a subscription; `None` when there is none. What has been published already and not been delivered is lost,
    /// so have it delivered first ([`Topics::deliver_to`]).
    pub fn unsubscribe(&mut self, id: u32, name: &[u8]) -> Option<Change> {
        let key = *self.keys.get(&id)?;
        let position = self.position_of(key, *self.names.get(name)?)?;
        let (_, change) = self.leave(key, position);
        if self.subscribers[key].subscriptions.is_empty() {
            self.forget(id);
        }
        Some(change)
    }

    /// Whether there is such a subscription.
    pub fn is_subscribed(&self, id: u32, name: &[u8]) -> bool {
        let (Some(key), Some(topic)) = (self.keys.get(&id), self.names.get(name)) else { return false };
        self.position_of(*key, *topic).is_some()
    }

    /// The topics of a subscriber, in no particular order.
    pub fn topics_of(&self, id: u32) -> impl Iterator<Item = &[u8]> {
        let subscriptions = self.keys.get(&id).map(|key| &self.subscribers[*key].subscriptions[..]);
        subscriptions.unwrap_or_default().iter().map(|subscription| &*self.list[subscription.topic].name)
    }

    /// Ends one subscription of a subscriber, any of them; `None` when none is left. As with [`Topics::unsubscribe`],
    /// what has not been delivered is lost.
    pub fn leave_one(&mut self, id: u32) -> Option<(Rc<[u8]>, Change)> {
        let key = *self.keys.get(&id)?;
        let last = self.subscribers[key].subscriptions.len() - 1;
        let left = self.leave(key, last);
        if last == 0 {
            self.forget(id);
        }
        Some(left)
    }

    /// How many have subscribed to a topic.
    pub fn subscribers_of(&self, name: &[u8]) -> usize {
        self.names.get(name).map_or(0, |topic| self.list[*topic].members.len())
    }

    /// Those who get what a sender publishes.
    pub fn receivers_of(&self, sender: Option<u32>, name: &[u8]) -> impl Iterator<Item = u32> {
        let members = self.names.get(name).into_iter().flat_map(|topic| &self.list[*topic].members);
        members.map(|member| self.subscribers[member.subscriber].id).filter(move |id| Some(*id) != sender)
    }

    /// Publishes what `append` appends, which must not touch what is there, to all who have subscribed but the sender.
    /// False when that is nobody; then `append` is not called.
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

    /// Bytes that are to be delivered, each counted once.
    pub fn undelivered(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is something to be delivered to anyone.
    pub fn has_undelivered(&self) -> bool {
        !self.log.is_empty()
    }

    /// Delivers to one subscriber what has been published for it so far, if anything.
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

    /// Delivers everything that has been published, to one subscriber after the other, and forgets it.
    pub fn deliver(&mut self, mut deliver: impl FnMut(u32, Delivery<'_, T>)) {
        let mut waiting = Vec::new();
        for topic in mem::take(&mut self.busy) {
            // It may have gone meanwhile, or stand here twice.
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

    /// The number of the next publication.
    fn next(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    fn position_of(&self, key: SubscriberKey, topic: TopicKey) -> Option<usize> {
        let subscriptions = &self.subscribers[key].subscriptions;
        // Most have few, and need not be looked for in vain.
        if subscriptions.len() >= FEW_TOPICS
            && let Some(positions) = self.positions.get(&key)
        {
            return positions.get(&topic).copied();
        }
        subscriptions.iter().rposition(|subscription| subscription.topic == topic)
    }

    /// Has the index, if there is to be one, know the last subscription of a subscriber.
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

    /// Whether a publication is for one of the subscribers of its topic.
    fn is_for(&self, key: SubscriberKey, place: usize) -> bool {
        let Publication { topic, sender, .. } = &self.log[place];
        let subscriber = &self.subscribers[key];
        // One of a topic that was removed, and whose key another has, was before all subscriptions of that.
        let is_since = |position: usize| subscriber.subscriptions[position].since <= self.first + place as u64;
        *sender != Some(subscriber.id) && self.position_of(key, *topic).is_some_and(is_since)
    }

    /// Ends a subscription, in time that does not depend on how many there are.
    fn leave(&mut self, key: SubscriberKey, position: usize) -> (Rc<[u8]>, Change) {
        let subscriptions = &mut self.subscribers[key].subscriptions;
        let count = subscriptions.len();
        let Subscription { topic: topic_key, position: member, .. } = subscriptions.swap_remove(position);
        // Both lists have moved their last entry into the gap; the other side of each has to know.
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

    /// Appends the places of what was published to a topic for one of its subscribers.
    fn gather(&self, key: SubscriberKey, subscription: &Subscription, places: &mut Vec<usize>) {
        let subscriber = &self.subscribers[key];
        let from = subscription.since.max(subscriber.cursor).saturating_sub(self.first) as usize;
        let log = &self.list[subscription.topic].log;
        let news = &log[log.partition_point(|place| *place < from)..];
        places.extend(news.iter().filter(|place| self.log[**place].sender != Some(subscriber.id)));
    }

    fn hand_over(&mut self, key: SubscriberKey, mut places: Vec<usize>, deliver: impl FnOnce(u32, Delivery<'_, T>)) {
        // From one topic they come in order.
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
