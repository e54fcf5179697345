//! Topics: publications reach their subscribers, in order with everything else that is sent to them.

use milliways_net::{AppSettings, ConnectionId, SendError, SendStatus, Stale, SubscribeError, WebSocketSettings};
use milliways_proto::topics::Change;
use milliways_proto::ws::Opcode;

use crate::support::{BINARY, CLOSE, Client, Event, Server, TEXT, frame, masked, noise};

fn open<'s>(server: &'s Server, topics: &[&str]) -> (Client<'s>, ConnectionId) {
    let client = server.open();
    let id = server.last_id();
    for topic in topics {
        assert!(server.subscribe(id, topic).is_some());
    }
    server.take_log();
    (client, id)
}

fn server() -> Server {
    Server::websocket(WebSocketSettings::default(), |_, _| {})
}

#[test]
fn subscribers_get_what_is_published_and_others_do_not() {
    let server = server();
    let (a, _) = open(&server, &["x", "y"]);
    let (b, id) = open(&server, &["y"]);
    let (c, _) = open(&server, &[]);
    assert!(server.publish("x", b"1"));
    assert!(server.publish("y", b"2"));
    assert!(!server.publish("z", b"nobody"));
    assert!(server.reactor.has_work());
    assert!(server.publish_from(id, "y", b"3"));
    assert!(!server.publish_from(id, "z", b"nobody"));
    server.pump();
    a.expect([frame(BINARY, b"1"), frame(BINARY, b"2"), frame(TEXT, b"3")].concat());
    b.expect(frame(BINARY, b"2"));
    assert_eq!(server.reactor.subscribers(server.app, b"y"), 2);
    assert_eq!(server.reactor.subscribers(server.app, b"z"), 0);
    for client in [a, b, c] {
        client.expect_silence();
    }
}

#[test]
fn what_is_sent_and_what_is_published_keep_their_order() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Message { id, .. } = event {
            server.publish("x", b"p1");
            server.send(*id, Opcode::Text, b"s1");
            server.publish("x", b"p2");
            server.publish("x", b"p3");
            server.send(*id, Opcode::Text, b"s2");
            server.publish("x", b"p4");
        }
    });
    let (client, id) = open(&server, &["x"]);
    let (other, _) = open(&server, &["x"]);
    client.send(masked(TEXT, b"go"));
    let published = |text: &str| frame(BINARY, text.as_bytes());
    let sent = |text: &str| frame(TEXT, text.as_bytes());
    client
        .expect([published("p1"), sent("s1"), published("p2"), published("p3"), sent("s2"), published("p4")].concat());
    other.expect(["p1", "p2", "p3", "p4"].map(published).concat());
    // Outside of events as well, and before a Ping.
    server.publish("x", b"p5");
    assert_eq!(server.reactor.ping(id, b""), Ok(SendStatus::Sent));
    server.publish("x", b"p6");
    server.pump();
    client.expect([published("p5"), vec![0x89, 0], published("p6")].concat());
}

#[test]
fn subscriptions_begin_and_end_where_they_stand_among_publications() {
    let server = server();
    let (client, id) = open(&server, &[]);
    assert_eq!(server.subscribe(id, "x"), Some(Change { new: 1, old: 0 }));
    assert_eq!(server.subscribe(id, "x"), None);
    server.publish("x", b"1");
    assert_eq!(server.reactor.unsubscribe(id, b"x"), Ok(Some(Change { new: 0, old: 1 })));
    assert_eq!(server.reactor.unsubscribe(id, b"x"), Ok(None));
    assert!(!server.publish("x", b"2"));
    server.subscribe(id, "x");
    server.publish("x", b"3");
    server.pump();
    client.expect([frame(BINARY, b"1"), frame(BINARY, b"3")].concat());
    client.expect_silence();
    assert_eq!(server.reactor.is_subscribed(id, b"x"), Ok(true));
    assert_eq!(server.reactor.is_subscribed(id, b"y"), Ok(false));
    server.subscribe(id, "");
    let mut topics = server.reactor.topics(id).expect("an open WebSocket");
    topics.sort();
    assert_eq!(topics, [Box::from(*b""), Box::from(*b"x")]);
}

#[test]
fn a_close_frame_comes_behind_what_has_been_published() {
    let server = server();
    let (client, id) = open(&server, &["x"]);
    server.publish("x", b"last");
    server.end(id, 1000, "");
    server.expect(&["unsubscribed x 0 1", "close 1000 "]);
    client.expect([frame(BINARY, b"last"), frame(CLOSE, &1000_u16.to_be_bytes())].concat());
    client.answer_close();
}

#[test]
fn subscriptions_end_with_their_websocket_whatever_ends_it() {
    for end in 0..4 {
        let server = server();
        let (other, _) = open(&server, &["x"]);
        let (client, id) = open(&server, &["x", "y"]);
        // If this can no longer be delivered to the client, it must not reach the next connection in its slot.
        server.publish("x", b"1");
        match end {
            0 => server.close(id),
            1 => client.reset(),
            2 => client.finish(),
            _ => server.close_app(server.app),
        }
        server.until("the end", || server.log_lines().iter().any(|line| line.starts_with("close")));
        let log = server.take_log();
        let mut left: Vec<_> = log.iter().filter(|line| line.starts_with("unsubscribed")).cloned().collect();
        left.sort();
        let expected: &[&str] = if end == 3 {
            &["unsubscribed x 0 1", "unsubscribed x 1 2", "unsubscribed y 0 1"]
        } else {
            &["unsubscribed x 1 2", "unsubscribed y 0 1"]
        };
        assert_eq!(left, expected, "{log:?}");
        assert_eq!(server.reactor.subscribers(server.app, b"y"), 0);
        assert_eq!(server.reactor.subscribe(id, b"x"), Err(SubscribeError::Stale));
        assert_eq!(server.reactor.publish_from(id, b"x", Opcode::Text, b"", false), Err(Stale));
        if end < 3 {
            other.expect(frame(BINARY, b"1"));
            // The next connection in the slot has no subscriptions.
            let (next, _) = open(&server, &[]);
            assert!(server.publish("x", b"2"));
            server.pump();
            other.expect(frame(BINARY, b"2"));
            next.expect_silence();
        }
    }
}

#[test]
fn what_has_happened_before_the_end_is_told_before_it() {
    let settings = WebSocketSettings { max_backpressure: 1000, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |server, event| {
        if let Event::Dropped { id, .. } = event {
            server.end(*id, 4000, "slow");
        }
    });
    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    for topic in ["x", "y"] {
        server.subscribe(id, topic);
    }
    server.send(id, Opcode::Binary, &noise(4 << 20, 1));
    server.take_log();
    server.publish("x", b"too much");
    // What was published is delivered first. It is dropped, and the handler of that ends the WebSocket.
    server.causing(|reactor| reactor.unsubscribe(id, b"y")).expect("an open WebSocket");
    let expected = ["dropped binary too much", "unsubscribed y 0 1", "unsubscribed x 0 1", "close 4000 slow"];
    assert_eq!(server.take_log(), expected);
}

#[test]
fn one_who_reads_nothing_costs_the_others_nothing() {
    const LIMIT: usize = 64 * 1024;
    let server =
        Server::websocket(WebSocketSettings { max_backpressure: LIMIT, ..WebSocketSettings::default() }, |_, _| {});
    let slow = server.connect_with_small_buffer();
    slow.upgrade();
    let slow_id = server.last_id();
    server.subscribe(slow_id, "x");
    let (fast, _) = open(&server, &["x"]);
    let mut expected = Vec::new();
    let mut dropped = 0;
    for round in 0..2000_u32 {
        let message = round.to_be_bytes().repeat(2000);
        assert!(server.publish("x", &message));
        server.pump();
        fast.expect(frame(BINARY, &message));
        let waiting = server.reactor.buffered_amount(slow_id).expect("an open WebSocket");
        assert!(waiting <= LIMIT + message.len() + 4, "{waiting} bytes wait");
        match &server.take_log()[..] {
            [] if dropped == 0 => expected.extend(frame(BINARY, &message)),
            [line] => {
                assert!(line.starts_with("dropped binary"), "{line}");
                dropped += 1;
            }
            log => panic!("{log:?} in round {round}"),
        }
        if dropped > 10 {
            break;
        }
    }
    assert!(dropped > 10);
    slow.expect(&expected);
    slow.expect_silence();
}

#[test]
fn a_handler_that_publishes_what_is_dropped_again_does_not_keep_the_turn_from_ending() {
    let settings = WebSocketSettings { max_backpressure: 1, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |server, event| {
        if let Event::Dropped { .. } = event {
            server.publish("x", b"somebody is slow");
        }
    });
    let slow = server.connect_with_small_buffer();
    slow.upgrade();
    let id = server.last_id();
    server.subscribe(id, "x");
    server.until("backpressure", || {
        server.publish("x", &vec![0; 100_000]);
        server.pump();
        server.reactor.buffered_amount(id).expect("an open WebSocket") > 1
    });
    server.publish("x", b"one too many");
    server.take_log();
    for _ in 0..3 {
        server.pump();
        assert!(server.take_log()[0].starts_with("dropped"));
        assert!(server.reactor.has_work(), "the next turn has the next one");
    }
}

#[test]
fn a_subscriber_over_the_limit_is_closed_where_that_is_asked_for() {
    let settings =
        WebSocketSettings { max_backpressure: 1, close_on_backpressure_limit: true, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |_, _| {});
    let slow = server.connect_with_small_buffer();
    slow.upgrade();
    server.subscribe(server.last_id(), "x");
    server.take_log();
    server.until("the end of the slow one", || {
        server.publish("x", &vec![0; 100_000]);
        server.pump();
        server.log_lines().iter().any(|line| line == "close 1006 ")
    });
    assert_eq!(server.reactor.subscribers(server.app, b"x"), 0);
}

#[test]
fn what_no_subscriber_takes_and_nobody_wants_to_see_is_not_kept() {
    let settings = WebSocketSettings { max_backpressure: 1000, tells_dropped: false, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |_, _| {});
    let slow = server.connect_with_small_buffer();
    slow.upgrade();
    let slow_id = server.last_id();
    server.subscribe(slow_id, "x");
    let (quick, quick_id) = open(&server, &[]);
    assert_eq!(server.reactor.publish_in_vain(server.app, b"x"), None);
    assert_eq!(server.reactor.publish_in_vain(server.app, b"nobody has subscribed"), Some(false));
    while server.send(slow_id, Opcode::Binary, &vec![0; 10_000]) != SendStatus::Dropped {
        server.pump();
    }
    let waiting = server.reactor.buffered_amount(slow_id);

    assert_eq!(server.reactor.publish_in_vain(server.app, b"x"), Some(true));
    assert_eq!(server.reactor.publish_in_vain_from(quick_id, b"x"), Ok(Some(true)));
    // The publisher is the only subscriber.
    assert_eq!(server.reactor.publish_in_vain_from(slow_id, b"x"), Ok(Some(false)));
    let message = vec![1; 100_000];
    assert!(server.publish("x", &message));
    assert!(!server.reactor.has_work(), "there is nothing to be delivered");
    assert!(!server.publish_from(slow_id, "x", &message));
    assert!(server.publish("x", b"short"));
    server.pump();
    assert_eq!(server.reactor.buffered_amount(slow_id), waiting);
    server.expect_nothing();

    // The message is needed as soon as one subscriber takes it.
    server.subscribe(quick_id, "x");
    assert_eq!(server.reactor.publish_in_vain(server.app, b"x"), None);
    assert!(server.publish("x", &message));
    quick.expect(frame(BINARY, &message));
    assert_eq!(server.reactor.buffered_amount(slow_id), waiting);
    server.expect_nothing();
}

#[test]
fn much_is_delivered_before_the_end_of_the_turn() {
    let server = server();
    let (client, _) = open(&server, &["x"]);
    let message = vec![b'm'; 64 * 1024];
    server.publish("x", &message);
    assert!(!server.reactor.has_work());
    client.expect(frame(BINARY, &message));
}

#[test]
fn topics_belong_to_an_app() {
    let server = server();
    let (client, _) = open(&server, &["x"]);
    let other = server.reactor.add_app(AppSettings::default());
    assert!(!server.reactor.publish(other, b"x", Opcode::Text, b"1", false));
    server.pump();
    client.expect_silence();
}

#[test]
fn a_handler_of_dropped_messages_may_publish_and_close() {
    let settings = WebSocketSettings { max_backpressure: 1, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |server, event| {
        if let Event::Dropped { id, .. } = event {
            server.publish("log", b"slow");
            server.close(*id);
        }
    });
    let slow = server.connect_with_small_buffer();
    slow.upgrade();
    server.subscribe(server.last_id(), "x");
    let (watcher, _) = open(&server, &["log"]);
    server.until("a message that is dropped", || {
        server.publish("x", &vec![0; 100_000]);
        server.pump();
        !server.log_lines().is_empty()
    });
    let log = server.take_log();
    assert!(log[0].starts_with("dropped binary"), "{log:?}");
    assert_eq!(log[1..], ["unsubscribed x 0 1", "close 1006 "]);
    watcher.expect(frame(BINARY, b"slow"));
}

#[test]
fn nobody_is_told_what_a_websocket_did_not_get_that_has_closed_meanwhile() {
    for closes_at_first in [false, true] {
        let settings = WebSocketSettings { max_backpressure: 1, ..WebSocketSettings::default() };
        let server = Server::websocket(settings, move |server, event| {
            if let Event::Dropped { id, message, .. } = event
                && message[..] == *b"1"
                && closes_at_first
            {
                server.close(*id);
            }
        });
        let slow = server.connect_with_small_buffer();
        slow.upgrade();
        let id = server.last_id();
        server.subscribe(id, "x");
        server.until("a message that is dropped", || {
            server.publish("x", &vec![0; 100_000]);
            server.pump();
            !server.log_lines().is_empty()
        });
        server.take_log();
        for message in [b"1", b"2"] {
            server.publish("x", message);
        }
        if closes_at_first {
            // The publications are delivered first, inside of the call.
            server.causing(|reactor| reactor.ping(id, b"")).expect("an open WebSocket");
            server.pump();
            assert_eq!(server.take_log(), ["dropped binary 1", "unsubscribed x 0 1", "close 1006 "]);
        } else {
            server.end(id, 4000, "");
            server.pump();
            assert_eq!(server.take_log(), ["unsubscribed x 0 1", "close 4000 "]);
        }
    }
}

#[test]
fn what_is_published_waits_for_the_end_of_a_message_in_fragments() {
    let server = server();
    let (client, id) = open(&server, &["x"]);
    let send = |opcode, fin, payload: &[u8]| server.reactor.send(id, opcode, fin, payload);
    server.publish("x", b"before");
    assert_eq!(send(Opcode::Text, false, b"a"), Ok(SendStatus::Sent));
    server.publish("x", b"within");
    server.pump();
    client.expect([frame(BINARY, b"before"), frame(0x01, b"a")].concat());
    client.expect_silence();
    assert_eq!(send(Opcode::Text, true, b"x"), Err(SendError::Interrupts));
    assert_eq!(send(Opcode::Binary, false, b"x"), Err(SendError::Interrupts));
    assert_eq!(server.reactor.ping(id, b""), Ok(SendStatus::Sent));
    assert_eq!(send(Opcode::Continuation, false, b"b"), Ok(SendStatus::Sent));
    server.publish("x", b"too");
    assert_eq!(send(Opcode::Continuation, true, b"c"), Ok(SendStatus::Sent));
    assert_eq!(send(Opcode::Continuation, true, b"d"), Err(SendError::NoFirstFragment));
    server.publish("x", b"behind");
    server.pump();
    client.expect([vec![0x89, 0], frame(0x00, b"b"), frame(0x80, b"c")].concat());
    client.expect(["within", "too", "behind"].map(|text| frame(BINARY, text.as_bytes())).concat());
    assert_eq!(send(Opcode::Text, true, b"whole"), Ok(SendStatus::Sent));
}
