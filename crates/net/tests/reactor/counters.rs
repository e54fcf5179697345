//! What is counted, and by whom it can be read. The tests in JavaScript cover each number with real clients.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use milliways_net::{AppSettings, Kind, Reactor, SendStatus, WebSocketSettings, descriptions, process_counts};
use milliways_proto::ws::{Opcode, Violation};

use crate::support::{BINARY, CLOSE, Event, GET, GET_WAIT, PING, PONG, Server, TEXT, UPGRADE, masked, noise};

/// Checks numbers of the server's app by their paths.
#[track_caller]
fn expect(server: &Server, expected: &[(&str, u64)]) {
    for (path, count) in expected {
        assert_eq!(server.count(path), *count, "{path}");
    }
}

fn index_of(path: &str) -> usize {
    descriptions().iter().position(|description| description.path == path).expect("a path")
}

#[test]
fn a_connection_is_counted_in_the_phase_in_which_it_is() {
    let server = Server::echo(WebSocketSettings::default());
    expect(&server, &[("listeners", 1), ("connections.plain.http.open", 0)]);
    let client = server.connect();
    expect(&server, &[("connections.plain.http.open", 1), ("connections.plain.http.total", 1)]);
    client.upgrade();
    expect(
        &server,
        &[
            ("connections.plain.http.open", 0),
            ("connections.plain.http.total", 1),
            ("connections.plain.webSocket.open", 1),
            ("connections.plain.webSocket.total", 1),
            ("http.requests", 1),
            ("http.upgradeRequests", 1),
            ("http.activeRequests.plain", 0),
            ("http.responses.1xx", 1),
        ],
    );
    server.end(server.last_id(), 1000, "");
    expect(
        &server,
        &[
            ("connections.plain.webSocket.open", 0),
            ("connections.plain.closing", 1),
            ("ended.webSocket.closedByServer", 1),
        ],
    );
    client.read(4);
    client.answer_close();
    drop(client);
    server.expect_empty();
    expect(&server, &[("connections.plain.closing", 0), ("connections.plain.webSocket.total", 1)]);
}

#[test]
fn a_connection_that_is_cut_is_counted_no_more() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    server.close(server.last_id());
    expect(&server, &[("connections.plain.webSocket.open", 0), ("connections.plain.closing", 0)]);
    client.expect_gone();
    server.expect_empty();
    expect(&server, &[("ended.webSocket.cut", 1)]);
}

#[test]
fn frames_are_counted_by_what_they_carry() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    client.send([masked(TEXT, b"hello"), masked(BINARY, b"ab"), masked(PING, b"p"), masked(PONG, b"")].concat());
    // A message in two fragments.
    client.send([masked(0x01, b"frag"), masked(0x80, b"ment")].concat());
    server.until("all frames", || server.count("webSocket.received.messages") == 3);
    server.settle();
    expect(
        &server,
        &[
            ("webSocket.received.bytes", 5 + 2 + 8),
            ("webSocket.received.pings", 1),
            ("webSocket.received.pongs", 1),
            ("webSocket.sent.messages", 3),
            ("webSocket.sent.bytes", 5 + 2 + 8),
            ("webSocket.sent.pings", 0),
        ],
    );
    let id = server.last_id();
    server.reactor.ping(id, b"are you there").expect("an open WebSocket");
    let parts = [(Opcode::Text, false), (Opcode::Continuation, false), (Opcode::Continuation, true)];
    for (opcode, fin) in parts {
        expect(&server, &[("webSocket.sent.messages", 3)]);
        server.reactor.send(id, opcode, fin, b"part").expect("an open WebSocket");
    }
    expect(
        &server,
        &[("webSocket.sent.pings", 1), ("webSocket.sent.messages", 4), ("webSocket.sent.bytes", 15 + 3 * 4)],
    );
}

#[test]
fn bytes_of_sockets_are_what_the_client_sends_and_receives() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    let (received, sent) = (server.count("sockets.bytesReceived"), server.count("sockets.bytesSent"));
    assert_eq!(received, UPGRADE.len() as u64);
    let frame = masked(BINARY, &[7; 1000]);
    client.send(&frame);
    client.read(1004);
    expect(&server, &[("sockets.bytesReceived", received + frame.len() as u64), ("sockets.bytesSent", sent + 1004)]);
}

#[test]
fn each_violation_is_counted_by_its_name() {
    let long = |first: u8, length: &[u8]| [&[first], length].concat();
    let server = Server::echo(WebSocketSettings::default());
    let cases: Vec<(Vec<u8>, Violation)> = vec![
        (vec![0xA1, 0x80], Violation::ReservedBits),
        (vec![0xC1, 0x80], Violation::Compressed),
        (vec![0x83, 0x80], Violation::ReservedOpcode(3)),
        (vec![0x81, 0x00], Violation::Unmasked),
        (vec![0x09, 0x80], Violation::FragmentedControl),
        (vec![0x89, 0xFE, 0, 126], Violation::LongControl),
        (long(0x82, &[0xFE, 0, 1]), Violation::LengthNotMinimal),
        (long(0x82, &[0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), Violation::LengthOver63Bits),
        (masked(0x80, b"x"), Violation::NothingToContinue),
        ([masked(0x01, b"a"), masked(TEXT, b"b")].concat(), Violation::Interrupts),
        (masked(TEXT, &[0xFF]), Violation::InvalidUtf8),
        (masked(CLOSE, &[3]), Violation::CloseOfOneByte),
        (masked(CLOSE, &[3, 0xED]), Violation::CloseCode(1005)),
        (masked(CLOSE, &[3, 0xE8, 0xFF]), Violation::CloseReason),
        (masked(BINARY, &noise(16 * 1024 + 1, 1)), Violation::TooBig),
    ];
    for (number, (bytes, violation)) in cases.iter().enumerate() {
        let client = server.open();
        client.send(bytes);
        let path = format!("webSocket.errors.{}", violation.name());
        server.until(&path, || server.count(&path) == 1);
        expect(&server, &[("ended.webSocket.protocolError", number as u64 + 1)]);
        drop(client);
        server.expect_empty();
        server.take_log();
    }
    expect(&server, &[("limits.maxPayloadLength", 1)]);
}

#[test]
fn responses_are_counted_by_the_class_of_their_status() {
    let server = Server::http(|server, event| {
        let Event::Request { id, request, .. } = event else { return };
        match request.request.path() {
            "/http/wait" => server.reactor.await_response(*id).expect("a request"),
            "/nothing" => {}
            path => {
                server.reactor.write_status(*id, &path.as_bytes()[1..]).expect("a status");
                server.respond(*id, "body");
            }
        }
    });
    let client = server.connect();
    for (path, class) in [("/200", "2xx"), ("/302", "3xx"), ("/404", "4xx"), ("/503", "5xx"), ("/999", "other")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.read_until("body");
        expect(&server, &[(&format!("http.responses.{class}"), 1), ("http.activeRequests.plain", 0)]);
    }
    expect(&server, &[("http.requests", 5), ("http.responseBodyBytes", 5 * 4), ("http.aborted", 0)]);
    client.send(GET_WAIT);
    server.until("a request", || server.count("http.activeRequests.plain") == 1);
    client.reset();
    server.expect_empty();
    expect(&server, &[("http.aborted", 1), ("http.requests", 6)]);
    let client = server.connect();
    client.send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
    server.until("an error", || server.count("http.errors.NO_RESPONSE") == 1);
    expect(&server, &[("http.responses.5xx", 2), ("http.aborted", 1), ("ended.http.refused", 1)]);
    drop(client);
    server.expect_empty();
    let client = server.connect();
    client.send("GET / HTTP/1.1\r\n\r\n");
    server.until("an error", || server.count("http.errors.MISSING_HOST") == 1);
    expect(&server, &[("http.responses.4xx", 2), ("http.requests", 7), ("ended.http.refused", 2)]);
}

#[test]
fn waiting_bytes_are_those_that_sockets_have_refused() {
    let settings = WebSocketSettings { max_backpressure: 100_000, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |_, _| {});
    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    let mut sent = 0;
    while server.send(id, Opcode::Binary, &noise(50_000, sent)) != SendStatus::Dropped {
        sent += 1;
        server.pump();
        let waiting = server.reactor.buffered_amount(id).expect("an open WebSocket");
        expect(&server, &[("sockets.bytesWaiting", waiting as u64), ("webSocket.sent.messages", sent)]);
    }
    expect(&server, &[("webSocket.dropped", 1), ("limits.maxBackpressure", 1), ("webSocket.sent.messages", sent)]);
    assert!(server.count("sockets.bytesWaiting") > 100_000);
    client.reset();
    // Its gauges are checked there.
    server.expect_empty();
}

#[test]
fn a_delivery_is_counted_for_each_subscriber_that_gets_it() {
    let settings = WebSocketSettings { max_backpressure: 1000, tells_dropped: false, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |_, _| {});
    let slow = server.connect_with_small_buffer();
    slow.upgrade();
    let slow_id = server.last_id();
    let clients: Vec<_> = (0..3).map(|_| (server.open(), server.last_id())).collect();
    for (_, id) in &clients {
        server.subscribe(*id, "all");
    }
    server.subscribe(clients[0].1, "few");
    expect(&server, &[("pubSub.topics", 2), ("pubSub.subscriptions", 4)]);
    assert!(!server.publish("nobody", b"is there"));
    server.publish("all", b"one");
    // The client that has both topics gets them together, the others only what comes before and after.
    server.publish("few", b"three");
    server.publish_from(clients[1].1, "all", b"fifteen");
    server.pump();
    expect(
        &server,
        &[
            ("pubSub.published", 4),
            ("pubSub.delivered", 3 + 1 + 2),
            ("webSocket.sent.messages", 6),
            ("webSocket.sent.bytes", 3 * 3 + 5 + 2 * 7),
        ],
    );
    // A subscriber with too much to take gets nothing.
    server.subscribe(slow_id, "slow");
    while server.reactor.buffered_amount(slow_id).expect("an open WebSocket") <= 1000 {
        server.send(slow_id, Opcode::Binary, &noise(100_000, 1));
        server.pump();
    }
    let delivered = server.count("pubSub.delivered");
    server.publish("slow", b"in vain");
    server.publish("slow", &noise(40_000, 1));
    server.pump();
    expect(&server, &[("pubSub.delivered", delivered), ("webSocket.dropped", 2), ("pubSub.published", 6)]);
    for (_, id) in clients {
        server.close(id);
    }
    server.settle();
    expect(&server, &[("pubSub.topics", 1), ("pubSub.subscriptions", 1)]);
}

#[test]
fn time_that_has_passed_is_counted_by_what_was_awaited() {
    let server = Server::with(AppSettings::default(), |server, event| {
        if let Event::Request { id, request, .. } = event
            && request.request.path() == "/upload"
        {
            server.reactor.await_response(*id).expect("a request");
            server.reactor.receive_body(*id).expect("a body");
        }
        if let Event::Request { id, request, .. } = event
            && request.request.path() != "/upload"
        {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    server.route("/*");
    server.websocket_route("/ws", WebSocketSettings { max_lifetime: 1, ..WebSocketSettings::default() });
    let post =
        |path: &str, length: usize| format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    let silent = server.connect();
    let slow_head = server.connect();
    slow_head.send("GET / HT");
    let slow_body = server.connect();
    slow_body.send(post("/upload", 10));
    let unclaimed = server.connect();
    unclaimed.send([post("/wait", 1 << 20).as_bytes(), &noise(200_000, 1)].concat());
    server.settle();
    server.pass_seconds(11);
    expect(
        &server,
        &[
            ("timeouts.httpIdle", 1),
            ("timeouts.httpHead", 1),
            ("timeouts.httpBody", 1),
            ("timeouts.unclaimedBody", 1),
            ("ended.http.timedOut", 3),
        ],
    );
    drop((silent, slow_head, slow_body, unclaimed));
    server.expect_empty();
    let upgrade = UPGRADE.replacen("GET /", "GET /ws", 1);
    let old = server.connect();
    old.send(&upgrade);
    server.until("a WebSocket", || server.stats().websockets == 1);
    for _ in 0..6 {
        server.pass_seconds(10);
        old.send(masked(PONG, b""));
    }
    expect(&server, &[("webSocket.sent.pings", 0)]);
    server.pass_seconds(1);
    expect(&server, &[("timeouts.webSocketLifetime", 1), ("ended.webSocket.lifetime", 1), ("timeouts.closing", 0)]);
    // It does not answer the Close frame.
    server.pass_seconds(11);
    expect(&server, &[("timeouts.closing", 1), ("connections.plain.closing", 0)]);
}

#[test]
fn automatic_pings_and_silent_websockets_are_counted() {
    let server = Server::echo(WebSocketSettings { idle_timeout: 8, ..WebSocketSettings::default() });
    let client = server.open();
    server.pass_seconds(5);
    expect(&server, &[("webSocket.sent.pings", 1), ("timeouts.webSocketIdle", 0)]);
    server.pass_seconds(5);
    expect(&server, &[("webSocket.sent.pings", 1), ("timeouts.webSocketIdle", 1), ("ended.webSocket.timedOut", 1)]);
    drop(client);
    server.expect_empty();
}

#[test]
fn text_over_the_longest_string_is_counted_as_a_limit() {
    let server = Server::echo(WebSocketSettings { max_text: 3, ..WebSocketSettings::default() });
    let client = server.open();
    client.send(masked(TEXT, b"four"));
    server.until("an error", || server.count("webSocket.errors.TEXT_TOO_LONG") == 1);
    expect(&server, &[("limits.stringLength", 1), ("limits.maxPayloadLength", 0)]);
    drop(client);
}

#[test]
fn a_client_that_does_not_take_a_response_is_counted() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.respond(*id, &noise(8 << 20, 1), false).expect("a request");
        }
    });
    let client = server.connect_with_small_buffer();
    client.send(GET);
    server.until("back pressure", || server.count("sockets.bytesWaiting") > 0);
    server.pass_seconds(12);
    expect(&server, &[("timeouts.httpResponse", 1), ("timeouts.httpIdle", 0), ("ended.http.timedOut", 1)]);
    drop(client);
}

#[test]
fn a_client_that_leaves_while_it_waits_is_counted() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    let client = server.connect();
    client.send(GET);
    server.settle();
    client.finish();
    server.settle();
    server.pass_seconds(6);
    expect(&server, &[("timeouts.halfClosed", 1), ("http.aborted", 1), ("ended.http.timedOut", 1)]);
}

#[test]
fn other_threads_read_what_a_thread_has_counted_and_nothing_is_lost_when_it_ends() {
    let of_thread = |number: u32| process_counts().threads.into_iter().find(|thread| thread.thread == number);
    let messages = index_of("webSocket.received.messages");
    let before = process_counts().counts[messages];
    let (counted, wait_for_counted) = channel();
    let (go_on, wait_to_go_on) = channel();
    let thread = thread::spawn(move || {
        let server = Server::echo(WebSocketSettings::default());
        server.reactor.set_thread(4_000_001);
        let client = server.open();
        for _ in 0..10 {
            client.send(masked(TEXT, b"hello"));
            client.read(7);
        }
        counted.send(()).expect("a listener");
        wait_to_go_on.recv().expect("a signal");
        drop(client);
    });
    wait_for_counted.recv().expect("a thread that counts");
    let counts = of_thread(4_000_001).expect("a thread that has not ended").counts;
    assert_eq!(counts[messages], 10);
    assert_eq!(counts[index_of("connections.plain.webSocket.open")], 1);
    assert!(counts[index_of("memory.connections")] > 0);
    go_on.send(()).expect("a thread");
    thread.join().expect("no panic");
    assert_eq!(of_thread(4_000_001), None);
    // Tests in other threads count as well.
    assert!(process_counts().counts[messages] >= before + 10);
}

#[test]
fn the_memory_of_a_busy_connection_is_counted_until_it_ends() {
    let server = Server::echo(WebSocketSettings::default());
    server.reactor.set_thread(4_000_004);
    let memory = || {
        let threads = process_counts().threads;
        let own = threads.into_iter().find(|thread| thread.thread == 4_000_004).expect("this thread");
        own.counts[index_of("memory.busyConnections")]
    };
    let frame = masked(BINARY, &[0; 8_000]);
    let close_in_the_middle_of_a_message = || {
        let client = server.open();
        let idle = memory();
        client.send(&frame[..6_000]);
        server.until("half a message", || memory() >= idle + 4_000);
        server.end(server.last_id(), 1000, "");
        server.expect(&["close 1000 "]);
        client.read(4);
        drop(client);
        server.expect_empty();
    };
    close_in_the_middle_of_a_message();
    let before = memory();
    close_in_the_middle_of_a_message();
    close_in_the_middle_of_a_message();
    assert_eq!(memory(), before);
}

#[test]
fn what_an_app_has_counted_stays_with_its_thread() {
    let reactor = Reactor::new(Instant::now()).expect("a poll");
    reactor.set_thread(4_000_002);
    let errors = index_of("handlerErrors");
    let of_thread = || {
        let threads = process_counts().threads;
        threads.into_iter().find(|thread| thread.thread == 4_000_002).expect("this thread").counts[errors]
    };
    let first = reactor.add_app(AppSettings::default());
    let second = reactor.add_app(AppSettings::default());
    reactor.note_handler_error(first, None);
    reactor.note_handler_error(first, None);
    reactor.note_handler_error(second, None);
    assert_eq!(of_thread(), 3);
    reactor.remove_app(first);
    assert_eq!(of_thread(), 3);
    // Its number is used again, and what is counted under it is another app's.
    let third = reactor.add_app(AppSettings::default());
    assert_eq!(reactor.app_counts(third)[errors], 0);
    reactor.note_handler_error(third, None);
    assert_eq!(of_thread(), 4);
}

#[test]
fn reactors_with_the_same_number_are_one_thread() {
    let reactors = [(); 2].map(|()| Reactor::new(Instant::now()).expect("a poll"));
    for reactor in &reactors {
        reactor.set_thread(4_000_003);
        reactor.note_handler_error(reactor.add_app(AppSettings::default()), None);
    }
    let threads: Vec<_> = process_counts().threads.into_iter().filter(|thread| thread.thread == 4_000_003).collect();
    assert_eq!(threads.len(), 1);
    assert_eq!(threads[0].counts[index_of("handlerErrors")], 2);
}

#[test]
fn gauges_of_an_app_that_is_closed_are_zero() {
    let server = Server::echo(WebSocketSettings::default());
    let clients: Vec<_> = (0..5).map(|_| server.open()).collect();
    server.subscribe(server.last_id(), "topic");
    let waiting = server.connect();
    waiting.send(GET);
    waiting.read_until("404");
    server.close_app(server.app);
    server.settle();
    for (description, count) in descriptions().iter().zip(server.reactor.app_counts(server.app)) {
        assert!(description.kind == Kind::Counter || count == 0, "{} is {count}", description.path);
    }
    drop(clients);
}

#[test]
fn a_response_that_its_handler_fails_to_complete_is_cut_and_not_refused() {
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.write_chunk(*id, b"abc").expect("a request");
            server.reactor.abandon_response(*id);
        }
    });
    let client = server.connect();
    client.send(GET);
    client.read_until("abc\r\n");
    client.expect_end();
    expect(
        &server,
        &[
            ("ended.http.cut", 1),
            ("http.aborted", 1),
            ("http.responses.2xx", 1),
            ("ended.http.refused", 0),
            ("http.errors.NO_RESPONSE", 0),
        ],
    );
}

#[test]
fn connections_of_a_reactor_that_ends_are_counted_as_cut() {
    let total = |path: &str| process_counts().counts[index_of(path)];
    let paths = ["ended.http.cut", "ended.webSocket.cut", "http.aborted"];
    let before = paths.map(total);
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    server.websocket_route("/", WebSocketSettings::default());
    let (idle, open, pending) = (server.connect(), server.open(), server.connect());
    pending.send(GET_WAIT);
    server.until("a request", || server.count("http.activeRequests.plain") == 1);
    let streams = [idle, open, pending].map(|client| client.stream.try_clone().expect("a descriptor"));
    drop(server);
    drop(streams);
    let after = paths.map(total);
    // Other tests count at the same time.
    for ((path, before), after) in paths.into_iter().zip(before).zip(after) {
        let least = if path == "ended.http.cut" { 2 } else { 1 };
        assert!(after >= before + least, "{path}: {before}, {after}");
    }
}
