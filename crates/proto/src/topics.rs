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
        Some(Change { new: members.len(), old: members.len() - 1 })
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
        self.log.push(Publication { sender, range: start..self.bytes.len(), about });
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
        for subscription in &self.subscribers[key].subscriptions {
            self.gather(key, subscription, &mut places);
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
        self.subscribers[key].subscriptions.iter().rposition(|subscription| subscription.topic == topic)
    }

    /// Ends a subscription, in time that does not depend on how many there are.
    fn leave(&mut self, key: SubscriberKey, position: usize) -> (Rc<[u8]>, Change) {
        let subscriptions = &mut self.subscribers[key].subscriptions;
        let Subscription { topic: topic_key, position: member, .. } = subscriptions.swap_remove(position);
        // Both lists have moved their last entry into the gap; the other side of each has to know.
        if let Some(moved) = subscriptions.get(position) {
            self.list[moved.topic].members[moved.position].position = position;
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
mod tests {
    use std::collections::HashSet;

    use super::*;

    type Received = HashMap<u32, Vec<String>>;

    fn publish(topics: &mut Topics<u8>, sender: Option<u32>, name: &str, text: &str) -> bool {
        topics.publish(sender, name.as_bytes(), 0, |output| output.extend_from_slice(text.as_bytes()))
    }

    fn note(received: &mut Received, id: u32, delivery: &Delivery<'_, u8>) {
        let parts: Vec<_> =
            delivery.publications().map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert_eq!(parts.concat().as_bytes(), delivery.bytes);
        received.entry(id).or_default().extend(parts);
    }

    fn deliver(topics: &mut Topics<u8>) -> Received {
        let mut received = Received::new();
        topics.deliver(|id, delivery| note(&mut received, id, &delivery));
        assert!(!topics.has_undelivered());
        received
    }

    fn expect(received: &Received, expected: &[(u32, &[&str])]) {
        let expected: Received =
            expected.iter().map(|(id, texts)| (*id, texts.iter().map(|text| (*text).to_owned()).collect())).collect();
        assert_eq!(*received, expected);
    }

    #[test]
    fn subscribers_get_what_is_published_in_its_order() {
        let mut topics = Topics::default();
        assert_eq!(topics.subscribe(1, b"a"), Some(Change { new: 1, old: 0 }));
        assert_eq!(topics.subscribe(2, b"a"), Some(Change { new: 2, old: 1 }));
        assert_eq!(topics.subscribe(2, b"a"), None);
        assert_eq!(topics.subscribe(2, b""), Some(Change { new: 1, old: 0 }));
        for (name, text) in [("a", "1"), ("", "2"), ("a", "3")] {
            assert!(publish(&mut topics, None, name, text));
        }
        assert!(!publish(&mut topics, None, "b", "nobody"));
        expect(&deliver(&mut topics), &[(1, &["1", "3"]), (2, &["1", "2", "3"])]);
        expect(&deliver(&mut topics), &[]);
    }

    #[test]
    fn senders_do_not_get_their_own() {
        let mut topics = Topics::default();
        topics.subscribe(1, b"a");
        assert!(!publish(&mut topics, Some(1), "a", "alone"));
        assert!(publish(&mut topics, Some(9), "a", "from outside"));
        topics.subscribe(2, b"a");
        assert!(publish(&mut topics, Some(1), "a", "x"));
        assert!(publish(&mut topics, Some(2), "a", "y"));
        expect(&deliver(&mut topics), &[(1, &["from outside", "y"]), (2, &["x"])]);
    }

    #[test]
    fn what_was_published_before_does_not_count_nor_what_has_been_delivered() {
        let mut topics = Topics::default();
        topics.subscribe(1, b"a");
        publish(&mut topics, None, "a", "1");
        topics.subscribe(2, b"a");
        publish(&mut topics, None, "a", "2");
        let mut received = Received::new();
        topics.deliver_to(1, |delivery| note(&mut received, 1, &delivery));
        topics.deliver_to(1, |_| panic!("there is nothing left"));
        topics.deliver_to(3, |_| panic!("it has not subscribed"));
        expect(&received, &[(1, &["1", "2"])]);
        publish(&mut topics, None, "a", "3");
        expect(&deliver(&mut topics), &[(1, &["3"]), (2, &["2", "3"])]);
    }

    #[test]
    fn subscriptions_end_one_by_one_or_all() {
        let mut topics: Topics<u8> = Topics::default();
        for name in ["a", "b", "c"] {
            topics.subscribe(1, name.as_bytes());
            topics.subscribe(2, name.as_bytes());
        }
        assert_eq!(topics.unsubscribe(1, b"a"), Some(Change { new: 1, old: 2 }));
        assert_eq!(topics.unsubscribe(1, b"a"), None);
        assert_eq!(topics.unsubscribe(1, b"d"), None);
        let mut names: Vec<_> = topics.topics_of(1).map(<[u8]>::to_vec).collect();
        names.sort();
        assert_eq!(names, [b"b", b"c"]);
        assert_eq!((topics.subscribers_of(b"a"), topics.subscribers_of(b"b"), topics.subscribers_of(b"d")), (1, 2, 0));
        let mut left = Vec::new();
        while let Some((name, change)) = topics.leave_one(2) {
            left.push((name[0], change.new, change.old));
        }
        left.sort_unstable();
        assert_eq!(left, [(b'a', 0, 1), (b'b', 1, 2), (b'c', 1, 2)]);
        assert_eq!(topics.topics_of(2).count(), 0);
        while topics.leave_one(1).is_some() {}
        assert!(topics.list.is_empty() && topics.names.is_empty() && topics.subscribers.is_empty());
    }

    #[test]
    fn a_topic_may_go_and_come_again_while_something_is_to_be_delivered() {
        let mut topics = Topics::default();
        topics.subscribe(1, b"a");
        publish(&mut topics, None, "a", "lost");
        topics.leave_one(1);
        topics.subscribe(1, b"b");
        publish(&mut topics, None, "b", "seen");
        expect(&deliver(&mut topics), &[(1, &["seen"])]);
    }

    #[test]
    fn subscribers_who_get_the_same_get_the_same_bytes() {
        let mut topics = Topics::default();
        for id in 0..10 {
            topics.subscribe(id, b"a");
        }
        topics.subscribe(10, b"b");
        for (name, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
            publish(&mut topics, None, name, text);
        }
        let mut places = Vec::new();
        topics.deliver(|id, delivery| {
            if id < 10 {
                places.push(delivery.bytes.as_ptr());
            }
        });
        assert_eq!(places.len(), 10);
        assert!(places.iter().all(|place| *place == places[0]));
    }

    /// Against a model that keeps a list of what each subscriber is to get.
    #[test]
    fn any_sequence_behaves_as_lists_would() {
        let mut state = 1_u32;
        let mut next = move |limit: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % limit
        };
        let (mut topics, mut model, mut expected, mut received) =
            (Topics::default(), HashSet::<(u32, u32)>::new(), Received::new(), Received::new());
        for step in 0..20_000 {
            let (id, name) = (next(6), next(5));
            let bytes = [b'a' + name as u8];
            match next(8) {
                0 | 1 => {
                    let is_new = model.insert((id, name));
                    assert_eq!(topics.subscribe(id, &bytes).is_some(), is_new);
                }
                2 => {
                    topics.deliver_to(id, |delivery| note(&mut received, id, &delivery));
                    let was = model.remove(&(id, name));
                    assert_eq!(topics.unsubscribe(id, &bytes).is_some(), was);
                }
                3 => topics.deliver_to(id, |delivery| note(&mut received, id, &delivery)),
                4 => topics.deliver(|id, delivery| note(&mut received, id, &delivery)),
                _ => {
                    let sender = (next(2) == 0).then_some(id);
                    let to: Vec<u32> =
                        (0..6).filter(|to| Some(*to) != sender && model.contains(&(*to, name))).collect();
                    let text = format!("{step} ");
                    for to in &to {
                        expected.entry(*to).or_default().push(text.clone());
                    }
                    let published =
                        topics.publish(sender, &bytes, 0, |output| output.extend_from_slice(text.as_bytes()));
                    assert_eq!(published, !to.is_empty());
                }
            }
            let count = model.iter().filter(|(_, other)| *other == name).count();
            assert_eq!(topics.subscribers_of(&bytes), count);
        }
        topics.deliver(|id, delivery| note(&mut received, id, &delivery));
        assert!(received.len() == 6 && received == expected);
    }
}
