//! Whatever is subscribed, unsubscribed, published and delivered in whatever order, each subscriber gets what a list kept
//! for it says.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::topics::{Change, Delivery, Topics};

/// Few subscribers and topics, so that they meet.
#[derive(Arbitrary, Debug)]
enum Operation {
    Subscribe(u8, u8),
    Unsubscribe(u8, u8),
    /// The connection closes.
    Leave(u8),
    Publish {
        sender: Option<u8>,
        topic: u8,
        length: u8,
    },
    /// Something is sent to it directly.
    DeliverTo(u8),
    Deliver,
}

#[derive(Default)]
struct Model {
    subscriptions: BTreeSet<(u32, u8)>,
    expected: BTreeMap<u32, Vec<Vec<u8>>>,
    received: BTreeMap<u32, Vec<Vec<u8>>>,
}

impl Model {
    fn count(&self, topic: u8) -> usize {
        self.subscriptions.iter().filter(|(_, other)| *other == topic).count()
    }

    fn note(&mut self, id: u32, delivery: &Delivery<'_, usize>) {
        let mut all = Vec::new();
        for (bytes, length) in delivery.publications() {
            assert_eq!(bytes.len(), *length);
            all.extend_from_slice(bytes);
            self.received.entry(id).or_default().push(bytes.to_vec());
        }
        assert_eq!(all, delivery.bytes);
    }
}

fuzz_target!(|operations: Vec<Operation>| {
    let (mut topics, mut model) = (Topics::default(), Model::default());
    for (step, operation) in operations.iter().enumerate() {
        match *operation {
            Operation::Subscribe(id, topic) => {
                let (id, topic) = (u32::from(id % 5), topic % 5);
                let is_new = model.subscriptions.insert((id, topic));
                let new = model.count(topic);
                let expected = is_new.then(|| Change { new, old: new - 1 });
                assert_eq!(topics.subscribe(id, &[topic]), expected);
            }
            Operation::Unsubscribe(id, topic) => {
                let (id, topic) = (u32::from(id % 5), topic % 5);
                topics.deliver_to(id, |delivery| model.note(id, &delivery));
                let was = model.subscriptions.remove(&(id, topic));
                let new = model.count(topic);
                assert_eq!(topics.unsubscribe(id, &[topic]), was.then(|| Change { new, old: new + 1 }));
            }
            Operation::Leave(id) => {
                let id = u32::from(id % 5);
                topics.deliver_to(id, |delivery| model.note(id, &delivery));
                while let Some((name, change)) = topics.leave_one(id) {
                    assert!(model.subscriptions.remove(&(id, name[0])));
                    let new = model.count(name[0]);
                    assert_eq!(change, Change { new, old: new + 1 });
                }
                assert!(model.subscriptions.iter().all(|(other, _)| *other != id));
            }
            Operation::Publish { sender, topic, length } => {
                let (sender, topic) = (sender.map(|sender| u32::from(sender % 6)), topic % 5);
                let message = vec![step as u8; length.into()];
                let to = model.subscriptions.iter().filter(|(id, other)| *other == topic && Some(*id) != sender);
                let to: Vec<u32> = to.map(|(id, _)| *id).collect();
                for id in &to {
                    model.expected.entry(*id).or_default().push(message.clone());
                }
                let append = |output: &mut Vec<u8>| output.extend_from_slice(&message);
                assert_eq!(topics.publish(sender, &[topic], message.len(), append), !to.is_empty());
            }
            Operation::DeliverTo(id) => {
                let id = u32::from(id % 5);
                topics.deliver_to(id, |delivery| model.note(id, &delivery));
            }
            Operation::Deliver => topics.deliver(|id, delivery| model.note(id, &delivery)),
        }
        for id in 0..5 {
            let names: BTreeSet<u8> = topics.topics_of(id).map(|name| name[0]).collect();
            let expected = model.subscriptions.iter().filter(|(other, _)| *other == id).map(|(_, topic)| *topic);
            assert!(names.into_iter().eq(expected));
        }
    }
    topics.deliver(|id, delivery| model.note(id, &delivery));
    assert!(!topics.has_undelivered());
    assert_eq!(model.received, model.expected);
});
