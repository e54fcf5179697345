use std::collections::HashSet;

use super::*;

type Received = HashMap<u32, Vec<String>>;

fn publish(topics: &mut Topics<u8>, sender: Option<u32>, name: &str, text: &str) -> bool {
    topics.publish(sender, name.as_bytes(), 0, |output| output.extend_from_slice(text.as_bytes()))
}

fn note(received: &mut Received, id: u32, delivery: &Delivery<'_, u8>) {
    let parts: Vec<_> = delivery.publications().map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned()).collect();
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

#[test]
fn a_subscriber_has_an_index_while_it_has_many_topics() {
    let name = |number: usize| number.to_string().into_bytes();
    let mut topics: Topics<u8> = Topics::default();
    let has_index = |topics: &Topics<u8>| topics.positions.contains_key(&topics.keys[&1]);
    for number in 0..MANY_TOPICS - 1 {
        topics.subscribe(1, &name(number));
    }
    assert!(!has_index(&topics) && topics.positions.capacity() == 0);
    topics.subscribe(1, &name(MANY_TOPICS - 1));
    assert!(has_index(&topics));
    for number in 0..MANY_TOPICS - FEW_TOPICS {
        assert!(topics.unsubscribe(1, &name(number)).is_some());
        assert!(has_index(&topics));
    }
    assert!(topics.unsubscribe(1, &name(MANY_TOPICS - 1)).is_some());
    assert!(!has_index(&topics) && topics.positions.is_empty());
    let left = topics.topics_of(1).count();
    assert_eq!((left, topics.is_subscribed(1, &name(MANY_TOPICS - 2))), (FEW_TOPICS - 1, true));
}

#[test]
fn what_was_published_is_delivered_before_other_things_however_many_topics_there_are() {
    let name = |number: usize| number.to_string().into_bytes();
    let mut topics = Topics::default();
    for number in 0..10 * MANY_TOPICS {
        topics.subscribe(1, &name(number));
    }
    publish(&mut topics, None, "5", "a");
    publish(&mut topics, Some(1), "6", "its own");
    publish(&mut topics, None, "7", "b");
    topics.subscribe(2, b"other");
    publish(&mut topics, None, "other", "another's");
    // A topic is removed, and another takes its place.
    topics.unsubscribe(1, b"7");
    topics.subscribe(1, b"8, and none of 7");
    let mut received = Received::new();
    topics.deliver_to(1, |delivery| note(&mut received, 1, &delivery));
    expect(&received, &[(1, &["a"])]);
    topics.deliver_to(1, |_| panic!("there is nothing left"));
    publish(&mut topics, None, "5", "c");
    expect(&deliver(&mut topics), &[(1, &["c"]), (2, &["another's"])]);
}

/// Compares with a model that keeps a list of what each subscriber should receive.
#[test]
fn any_sequence_behaves_as_lists_would() {
    // Run with few topics, and with so many that some subscribers have an index at times.
    for names in [5, 2 * MANY_TOPICS as u32] {
        behaves_as_lists_would(names);
    }
}

fn behaves_as_lists_would(names: u32) {
    let mut state = 1_u32;
    let mut next = move |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % limit
    };
    let (mut topics, mut model, mut expected, mut received) =
        (Topics::default(), HashSet::<(u32, u32)>::new(), Received::new(), Received::new());
    for step in 0..20_000 {
        let (id, name) = (next(6), next(names));
        let bytes = [b'a'.wrapping_add(name as u8)];
        // The number of subscriptions grows for a while and then shrinks.
        let kind = if names > 5 && step % 10_000 < 2_000 { next(2) } else { next(8) };
        match kind {
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
                let to: Vec<u32> = (0..6).filter(|to| Some(*to) != sender && model.contains(&(*to, name))).collect();
                let text = format!("{step} ");
                for to in &to {
                    expected.entry(*to).or_default().push(text.clone());
                }
                let published = topics.publish(sender, &bytes, 0, |output| output.extend_from_slice(text.as_bytes()));
                assert_eq!(published, !to.is_empty());
            }
        }
        assert_eq!(topics.is_subscribed(id, &bytes), model.contains(&(id, name)));
        let count = model.iter().filter(|(_, other)| *other == name).count();
        assert_eq!(topics.subscribers_of(&bytes), count);
    }
    topics.deliver(|id, delivery| note(&mut received, id, &delivery));
    assert!(received.len() == 6 && received == expected);
}
