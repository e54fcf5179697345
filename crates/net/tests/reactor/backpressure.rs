//! Clients that read more slowly than the server sends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use milliways_net::{ConnectionId, SendStatus, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{
    BINARY, CLOSE, Client, Event, GET, Server, TEXT, UPGRADE, UPGRADED, bytes_of, frame, masked, noise, ok,
};

/// More bytes than the kernel buffers for a client with a small receive buffer.
const PLENTY: usize = 16 << 20;

fn unlimited() -> WebSocketSettings {
    WebSocketSettings { max_backpressure: 0, max_payload: 1 << 20, ..WebSocketSettings::default() }
}

fn open_slow(server: &Server) -> (Client<'_>, ConnectionId) {
    let client = server.connect_with_small_buffer();
    client.upgrade();
    (client, server.last_id())
}

/// Messages that all differ, and the frames that a client has to receive.
struct Stream {
    frames: Vec<u8>,
    count: u64,
}

impl Stream {
    fn new() -> Self {
        Self { frames: Vec::new(), count: 0 }
    }

    fn next(&mut self, length: usize) -> Vec<u8> {
        self.count += 1;
        noise(length, self.count)
    }

    fn sent(&mut self, payload: &[u8]) {
        self.frames.extend(frame(BINARY, payload));
    }

    /// Sends messages until the socket takes no more.
    fn fill(&mut self, server: &Server, id: ConnectionId) {
        loop {
            let payload = self.next(10_000);
            let status = server.send(id, Opcode::Binary, &payload);
            assert_ne!(status, SendStatus::Dropped);
            self.sent(&payload);
            server.pump();
            assert!(self.frames.len() < PLENTY, "the kernel takes whatever comes");
            if server.reactor.buffered_amount(id).expect("an open WebSocket") > 0 {
                return;
            }
        }
    }
}

#[test]
fn a_message_is_dropped_only_when_more_than_the_limit_waits_already() {
    const LIMIT: usize = 100_000;
    let settings = WebSocketSettings { max_backpressure: LIMIT, tells_dropped: false, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |_, _| {});
    let (client, id) = open_slow(&server);
    let mut stream = Stream::new();
    stream.fill(&server, id);
    let buffered = || server.reactor.buffered_amount(id).expect("an open WebSocket");

    while buffered() <= LIMIT {
        let before = buffered();
        let payload = stream.next(30_000);
        assert_eq!(server.send(id, Opcode::Binary, &payload), SendStatus::Backpressure);
        stream.sent(&payload);
        assert_eq!(buffered(), before + payload.len() + 4);
    }
    let before = buffered();
    for length in [0, 1, 100_000] {
        assert_eq!(server.send(id, Opcode::Binary, &vec![0; length]), SendStatus::Dropped);
    }
    assert_eq!(
        server.reactor.send_with(id, Opcode::Text, true, |_| unreachable!("it is dropped")),
        Ok(SendStatus::Dropped)
    );
    assert_eq!(
        server.reactor.send_compressed(id, Opcode::Text, || unreachable!("it is dropped")),
        Ok(SendStatus::Dropped)
    );
    assert_eq!(server.reactor.ping(id, b""), Ok(SendStatus::Dropped));
    assert_eq!(buffered(), before);
    server.pump();
    server.expect_nothing();

    // Everything that was not dropped arrives, in order.
    client.expect(&stream.frames);
    client.expect_silence();
    assert_eq!(buffered(), 0);
    let log = server.take_log();
    assert!(!log.is_empty() && log.iter().all(|line| line == "drain"), "{log:?}");
    assert_eq!(server.send(id, Opcode::Binary, b"again"), SendStatus::Sent);
    server.pump();
    client.expect(frame(BINARY, b"again"));
    server.expect_nothing();
}

#[test]
fn drain_is_told_whenever_the_socket_has_taken_something() {
    let amounts = Rc::new(RefCell::new(Vec::new()));
    let server = Server::websocket(unlimited(), {
        let amounts = Rc::clone(&amounts);
        move |server, event| {
            if let Event::Drain { id, .. } = event {
                amounts.borrow_mut().push(server.reactor.buffered_amount(*id).expect("an open WebSocket"));
            }
        }
    });
    let (client, id) = open_slow(&server);
    let mut stream = Stream::new();
    stream.fill(&server, id);
    let payload = stream.next(3 << 20);
    assert_eq!(server.send(id, Opcode::Binary, &payload), SendStatus::Backpressure);
    stream.sent(&payload);
    let mut before = server.reactor.buffered_amount(id).expect("an open WebSocket");
    server.expect_nothing();
    client.expect(&stream.frames);
    server.settle();
    let amounts = amounts.take();
    assert!(amounts.len() > 1, "{amounts:?}");
    for amount in &amounts {
        assert!(*amount < before, "{amounts:?}");
        before = *amount;
    }
    assert_eq!(before, 0);
}

#[test]
fn a_sender_that_goes_on_at_each_drain() {
    const MESSAGES: u64 = 400;
    let stream = Rc::new(RefCell::new(Stream::new()));
    let server = Server::websocket(WebSocketSettings::default(), {
        let stream = Rc::clone(&stream);
        move |server, event| {
            if let Event::Open { id, .. } | Event::Drain { id, .. } = event {
                let mut stream = stream.borrow_mut();
                while stream.count < MESSAGES && server.reactor.buffered_amount(*id) == Ok(0) {
                    let length = if stream.count.is_multiple_of(3) { 50_000 } else { 500 };
                    let payload = stream.next(length);
                    assert_ne!(server.send(*id, Opcode::Binary, &payload), SendStatus::Dropped);
                    stream.sent(&payload);
                }
            }
        }
    });
    let client = server.connect_with_small_buffer();
    client.send(UPGRADE);
    client.expect_response(UPGRADED);
    let mut received = Vec::new();
    server.until("all messages", || {
        while let Some(Ok(piece)) = client.read_some() {
            received.extend_from_slice(&piece);
        }
        let stream = stream.borrow();
        stream.count == MESSAGES && received.len() >= stream.frames.len()
    });
    assert!(received == stream.borrow().frames);
}

#[test]
fn a_websocket_over_the_limit_is_closed_if_its_settings_say_so() {
    let server = Server::websocket(
        WebSocketSettings { close_on_backpressure_limit: true, tells_dropped: false, ..WebSocketSettings::default() },
        |_, _| {},
    );
    let (client, id) = open_slow(&server);
    let other = server.open();
    let mut stream = Stream::new();
    stream.fill(&server, id);
    while server.send(id, Opcode::Binary, &[0; 10_000]) != SendStatus::Dropped {}
    // The WebSocket is closed in the next turn, so the id does not become stale while its owner is sending.
    assert_eq!(server.send(id, Opcode::Binary, b""), SendStatus::Dropped);
    assert_eq!(server.take_log(), [""; 0]);
    assert!(server.reactor.has_work());
    server.pump();
    assert_eq!(server.take_log(), ["close 1006 "]);
    assert!(server.reactor.buffered_amount(id).is_err());
    let received = client.read_rest().unwrap_or_default();
    assert!(received.len() < stream.frames.len() + 100_000);
    other.expect_silence();
    assert_eq!(server.stats().websockets, 1);
}

#[test]
fn a_websocket_over_the_limit_may_close_in_another_way_first() {
    let server = Server::websocket(
        WebSocketSettings { close_on_backpressure_limit: true, tells_dropped: false, ..WebSocketSettings::default() },
        |_, _| {},
    );
    let (_client, id) = open_slow(&server);
    Stream::new().fill(&server, id);
    while server.send(id, Opcode::Binary, &[0; 10_000]) != SendStatus::Dropped {}
    server.end(id, 4000, "first");
    server.pump();
    assert_eq!(server.take_log(), ["close 4000 first"]);
    server.expect_nothing();
}

#[test]
fn no_limit_means_none() {
    let server = Server::websocket(unlimited(), |_, _| {});
    let (client, id) = open_slow(&server);
    let mut stream = Stream::new();
    while stream.frames.len() < PLENTY {
        let payload = stream.next(200_000);
        assert_ne!(server.send(id, Opcode::Binary, &payload), SendStatus::Dropped);
        stream.sent(&payload);
    }
    client.expect(&stream.frames);
}

/// Sizes around those from which on payloads are passed to the kernel without being copied and output is written at
/// once.
const SIZES: [usize; 14] = [10, 40_000, 5, 32_767, 0, 32_768, 32_769, 1, 65_535, 65_536, 65_537, 125, 300_000, 126];

#[test]
fn large_and_small_messages_keep_their_order_inside_a_handler() {
    let stream = Rc::new(RefCell::new(Stream::new()));
    let server = Server::websocket(unlimited(), {
        let stream = Rc::clone(&stream);
        move |server, event| {
            if let Event::Message { id, .. } = event {
                let mut stream = stream.borrow_mut();
                for length in SIZES.iter().chain(SIZES.iter().rev()) {
                    let payload = stream.next(*length);
                    if length % 2 == 0 {
                        server.send(*id, Opcode::Binary, &payload);
                    } else {
                        let append = |output: &mut Vec<u8>| output.extend_from_slice(&payload);
                        server.reactor.send_with(*id, Opcode::Binary, true, append).expect("an open WebSocket");
                    }
                    stream.sent(&payload);
                }
            }
        }
    });
    for slow in [false, true] {
        let client = if slow { server.connect_with_small_buffer() } else { server.connect() };
        client.upgrade();
        stream.borrow_mut().frames.clear();
        client.send(masked(TEXT, b"go").repeat(3));
        server.until("all commands", || server.log_lines().iter().filter(|line| *line == "text go").count() == 3);
        client.expect(&stream.borrow().frames);
        client.expect_silence();
        client.reset();
        server.expect_empty();
        server.take_log();
    }
}

#[test]
fn large_and_small_messages_keep_their_order_outside_of_events() {
    let server = Server::websocket(unlimited(), |_, _| {});
    for slow in [false, true] {
        let client = if slow { server.connect_with_small_buffer() } else { server.connect() };
        client.upgrade();
        let id = server.last_id();
        let mut stream = Stream::new();
        for length in SIZES.iter().chain(SIZES.iter().rev()) {
            let payload = stream.next(*length);
            server.send(id, Opcode::Binary, &payload);
            stream.sent(&payload);
        }
        client.expect(&stream.frames);
        client.expect_silence();
        client.reset();
        server.expect_empty();
        server.take_log();
    }
}

#[test]
fn many_small_messages_of_one_event_arrive() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Message { id, .. } = event {
            for _ in 0..2000 {
                assert_eq!(server.send(*id, Opcode::Binary, &[7; 100]), SendStatus::Sent);
            }
            // This is far more than is gathered before it is written, and the socket has taken it all.
            assert_eq!(server.reactor.buffered_amount(*id), Ok(0));
        }
    });
    let client = server.open();
    client.send(masked(TEXT, b"go"));
    client.expect(frame(BINARY, &[7; 100]).repeat(2000));
    server.expect(&["text go"]);
}

#[test]
fn a_client_that_sends_without_reading_gets_its_echoes_in_the_end() {
    let server = Server::echo(unlimited());
    let (client, _) = open_slow(&server);
    let mut stream = Stream::new();
    for _ in 0..300 {
        let payload = stream.next(20_000);
        client.send(masked(BINARY, &payload));
        stream.sent(&payload);
    }
    client.expect(&stream.frames);
}

#[test]
fn draining_is_told_while_paused_with_messages_that_wait() {
    let server = Server::websocket(unlimited(), |server, event| {
        if let Event::Drain { id, .. } = event {
            server.reactor.resume_websocket(*id).expect("an open WebSocket");
        }
    });
    let (client, id) = open_slow(&server);
    let mut stream = Stream::new();
    stream.fill(&server, id);
    server.reactor.pause_websocket(id).expect("an open WebSocket");
    client.send(masked(TEXT, b"what waits"));
    server.settle();
    client.expect(&stream.frames);
    server.until("the message", || server.log_lines().iter().any(|line| line == "text what waits"));
}

#[test]
fn ending_delivers_what_waits_and_then_finishes() {
    let server = Server::websocket(unlimited(), |_, _| {});
    let (client, id) = open_slow(&server);
    let mut stream = Stream::new();
    stream.fill(&server, id);
    let payload = stream.next(2 << 20);
    server.send(id, Opcode::Binary, &payload);
    stream.sent(&payload);
    server.end(id, 4000, "done");
    assert_eq!(server.take_log(), ["close 4000 done"]);
    server.settle();
    // Whatever the client sends now, it still receives everything that was sent before.
    client.send(masked(TEXT, b"late"));
    server.settle();
    client.expect(&stream.frames);
    client.expect(frame(CLOSE, b"\x0f\xa0done"));
    client.answer_close();
    client.finish();
    server.expect_empty();
    server.expect_nothing();
}

#[test]
fn ending_delivers_what_waits_to_a_client_that_has_finished() {
    let server = Server::websocket(unlimited(), |_, _| {});
    let (client, id) = open_slow(&server);
    let mut stream = Stream::new();
    stream.fill(&server, id);
    server.end(id, 1000, "");
    client.finish();
    server.settle();
    client.expect(&stream.frames);
    client.expect(frame(CLOSE, b"\x03\xe8"));
    client.expect_end();
    server.expect_empty();
}

#[test]
fn a_response_is_delivered_before_its_connection_is_closed() {
    let body = "0123456789abcdef".repeat(1 << 17);
    let response = ok(&body).replace("Date", "Connection: close\r\nDate");
    let server = Server::http(move |server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.respond(*id, body.as_bytes(), true).expect("a request");
        }
    });
    let client = server.connect_with_small_buffer();
    client.send(GET);
    server.settle();
    client.expect_response(&response);
    client.expect_end();
    client.finish();
    server.expect_empty();
}

#[test]
fn a_slow_reader_does_not_hold_up_the_others() {
    let seen = Rc::new(Cell::new(0));
    let server = Server::websocket(unlimited(), {
        let seen = Rc::clone(&seen);
        move |server, event| {
            if let Event::Message { id, payload, .. } = event {
                seen.set(seen.get() + 1);
                server.send(*id, Opcode::Binary, bytes_of(payload));
            }
        }
    });
    let (_slow, id) = open_slow(&server);
    Stream::new().fill(&server, id);
    let quick = server.open();
    for _ in 0..100 {
        quick.send(masked(BINARY, b"hello"));
        quick.expect(frame(BINARY, b"hello"));
    }
    assert_eq!(seen.get(), 100);
    // The slow client is written to when it reads, not whenever another client is active.
    assert!(server.reactor.buffered_amount(id).expect("an open WebSocket") > 0);
}

#[test]
fn a_message_in_fragments_is_dropped_as_a_whole_or_not_at_all() {
    const LIMIT: usize = 10_000;
    let server =
        Server::websocket(WebSocketSettings { max_backpressure: LIMIT, ..WebSocketSettings::default() }, |_, _| {});
    let (client, id) = open_slow(&server);
    let mut stream = Stream::new();
    stream.fill(&server, id);
    let send = |opcode, fin, payload: &[u8]| server.reactor.send(id, opcode, fin, payload).expect("in order");
    // A message that begins below the limit may exceed it.
    assert_eq!(send(Opcode::Binary, false, b"first"), SendStatus::Backpressure);
    assert_eq!(send(Opcode::Continuation, false, &vec![7; 2 * LIMIT]), SendStatus::Backpressure);
    assert_eq!(send(Opcode::Continuation, true, b"last"), SendStatus::Backpressure);
    // A message that begins above the limit is dropped completely.
    for (opcode, fin) in [(Opcode::Binary, false), (Opcode::Continuation, false), (Opcode::Continuation, true)] {
        assert_eq!(send(opcode, fin, b"dropped"), SendStatus::Dropped);
    }
    stream.frames.extend(frame(0x02, b"first"));
    stream.frames.extend(frame(0x00, &vec![7; 2 * LIMIT]));
    stream.frames.extend(frame(0x80, b"last"));
    client.expect(&stream.frames);
    assert_eq!(send(Opcode::Binary, false, b"a"), SendStatus::Sent);
    assert_eq!(send(Opcode::Continuation, true, b"b"), SendStatus::Sent);
    server.pump();
    client.expect([frame(0x02, b"a"), frame(0x80, b"b")].concat());
}
