//! Panics, in handlers and in each layer below: one connection ends, and no other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use milliways_net::{Layer, SendStatus, Stats, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{
    self, BINARY, CLOSE, Client, Event, GET, GET_WAIT, NOTHING, PING, PONG, Server, TEXT, UPGRADE, bytes_of, frame,
    masked, ok, target,
};

/// A server whose handler panics on demand.
fn fragile() -> Server {
    let server = Server::websocket(
        WebSocketSettings { max_backpressure: 0, ..WebSocketSettings::default() },
        |server, event| {
            let told_to = |what: &[u8]| what.windows(4).any(|word| word == b"boom");
            match event {
                Event::Request { id, request, .. } => {
                    if target(request).contains("wait") {
                        server.reactor.await_response(*id).expect("a request");
                    }
                    if target(request).contains("half") {
                        server.reactor.write_header(*id, b"a", b"b").expect("good");
                    }
                    assert!(!told_to(target(request).as_bytes()), "boom in request");
                    if !target(request).contains("wait") && !target(request).contains("forget") {
                        server.respond(*id, "x");
                    }
                }
                Event::Unanswered { .. } => panic!("boom in unanswered"),
                Event::Open { request, .. } => assert!(!told_to(target(request).as_bytes()), "boom in open"),
                Event::Message { id, payload, .. } => {
                    if bytes_of(payload) == b"boom while corked" {
                        server.reactor.cork(*id).expect("an open WebSocket");
                    }
                    assert!(!told_to(bytes_of(payload)), "boom in message");
                    assert!(bytes_of(payload) != b"formatted", "formatted {}", payload.len());
                    if bytes_of(payload) == b"no text" {
                        std::panic::panic_any(7);
                    }
                    server.send(*id, Opcode::Text, bytes_of(payload));
                }
                Event::Ping { payload, .. } => assert!(!told_to(bytes_of(payload)), "boom in ping"),
                Event::Pong { payload, .. } => assert!(!told_to(bytes_of(payload)), "boom in pong"),
                Event::Close { reason, .. } => assert!(!told_to(reason), "boom in close"),
                Event::Drain { .. } => panic!("boom in drain"),
                Event::Aborted { .. } => panic!("boom in aborted"),
                Event::Data { data, .. } => {
                    assert!(!told_to(data), "boom in data");
                }
                Event::Writable { .. } => panic!("boom in writable"),
                Event::Connected { .. } => panic!("boom in connected"),
                Event::Disconnected { .. } => panic!("boom in disconnected"),
                Event::Dropped { .. } => panic!("boom in dropped"),
                Event::Subscription { topic, .. } => assert!(!told_to(topic), "boom in unsubscribed"),
                Event::Upgrade { .. }
                | Event::Collected { .. }
                | Event::Answered { .. }
                | Event::MissingServerName { .. }
                | Event::ShutDown { .. }
                | Event::Panicked { .. } => {}
            }
        },
    );
    server.route("/http/*");
    server.websocket_route("/boom", WebSocketSettings::default());
    server
}

#[test]
fn a_handler_that_panics_ends_its_connection_and_no_other() {
    let server = fragile();
    let other = server.open();
    let other_id = server.last_id();
    let waiting = server.connect();
    waiting.send(GET_WAIT);
    server.expect(&["request GET /http/wait"]);
    let waiting_id = server.last_id();
    let get = |path: &str| GET.replace("GET /", &format!("GET {path}")).into_bytes();
    let upgrade = |path: &str| UPGRADE.replace("GET /", &format!("GET {path}")).into_bytes();

    for (is_websocket, input, log) in [
        (false, get("/http/boom"), vec!["request GET /http/boom", "panicked boom in request"]),
        (false, get("/http/half/boom"), vec!["request GET /http/half/boom", "panicked boom in request"]),
        (
            // `aborted` follows, and its handler panics as well.
            false,
            get("/http/wait/boom"),
            vec!["request GET /http/wait/boom", "aborted", "panicked boom in request"],
        ),
        (
            false,
            get("/http/forget"),
            vec!["request GET /http/forget", "unanswered GET /http/forget", "panicked boom in unanswered"],
        ),
        (false, upgrade("/boom"), vec!["open GET /boom", "close 1006 ", "panicked boom in open"]),
        (true, masked(TEXT, b"boom"), vec!["text boom", "close 1006 ", "panicked boom in message"]),
        (
            true,
            masked(TEXT, b"boom while corked"),
            vec!["text boom while corked", "close 1006 ", "panicked boom in message"],
        ),
        (true, masked(TEXT, b"formatted"), vec!["text formatted", "close 1006 ", "panicked formatted 9"]),
        (true, masked(TEXT, b"no text"), vec!["text no text", "close 1006 ", "panicked "]),
        (true, masked(PING, b"boom"), vec!["ping boom", "close 1006 ", "panicked boom in ping"]),
        (true, masked(PONG, b"boom"), vec!["pong boom", "close 1006 ", "panicked boom in pong"]),
        (true, masked(CLOSE, b"\x03\xe8boom"), vec!["close 1000 boom", "panicked boom in close"]),
    ] {
        let (before, errors) = (server.stats(), server.count("internalErrors"));
        let client = if is_websocket { server.open() } else { server.connect() };
        client.send(&input);
        server.expect(&log);
        server.until("the end of the connection", || server.stats() == before);
        client.read_rest().ok();
        assert_eq!(server.count("internalErrors"), errors + 1, "{log:?}");

        other.send(masked(TEXT, b"still here"));
        other.expect(frame(TEXT, b"still here"));
        server.expect(&["text still here"]);
        assert!(!server.reactor.is_corked(other_id));
    }

    server.respond(waiting_id, "still here, too");
    waiting.expect_response(&ok("still here, too"));
}

#[test]
fn a_handler_that_panics_when_it_is_told_of_the_end() {
    let server = fragile();
    let other = server.open();

    let client = server.connect();
    client.send(GET_WAIT);
    server.expect(&["request GET /http/wait"]);
    client.reset();
    server.expect(&["aborted", "panicked boom in aborted"]);

    let client = server.connect_with_small_buffer();
    client.upgrade();
    let id = server.last_id();
    while server.send(id, Opcode::Binary, &vec![0; 60_000]) != SendStatus::Backpressure {}
    server.until("drain", || {
        client.read_some();
        !server.log_lines().is_empty()
    });
    server.expect(&["drain", "close 1006 ", "panicked boom in drain"]);

    other.send(masked(TEXT, b"still here"));
    other.expect(frame(TEXT, b"still here"));
    server.expect(&["text still here"]);
    assert_eq!(server.stats(), Stats { connections: 1, websockets: 1, listeners: 1 });
}

fn fragile_when_closing_first() -> Server {
    let settings = WebSocketSettings { idle_timeout: 8, send_pings: false, ..WebSocketSettings::default() };
    Server::websocket(settings, |server, event| {
        if let Event::Close { .. } = event {
            assert!(server.log_lines().len() != 1, "boom in the first close");
        }
    })
}

#[test]
fn a_handler_that_panics_at_a_deadline() {
    let server = fragile_when_closing_first();
    let clients: Vec<_> = (0..5).map(|_| server.open()).collect();
    server.pass_seconds(10);
    let mut log = server.take_log();
    log.sort_unstable();
    let timed_out = "close 1006 WebSocket timed out from inactivity";
    assert_eq!(log, [timed_out, timed_out, timed_out, timed_out, timed_out, "panicked boom in the first close"]);
    for client in clients {
        client.read_rest().ok();
        client.finish();
    }
    server.expect_empty();
}

#[test]
fn a_handler_that_panics_while_the_app_closes() {
    let server = fragile_when_closing_first();
    let clients: Vec<_> = (0..5).map(|_| server.open()).collect();
    server.close_app(server.app);
    assert_eq!(server.stats(), NOTHING);
    let mut log = server.take_log();
    log.sort_unstable();
    assert_eq!(log[..5], ["close 1006 "; 5]);
    assert_eq!(log[5..], ["panicked boom in the first close"]);
    for client in clients {
        client.expect_gone();
    }
}

/// The log without the stated reason of provoked panics.
fn taken(server: &Server) -> Vec<String> {
    let shorten = |line: String| if line.starts_with("panicked a test") { "panicked".to_owned() } else { line };
    server.take_log().into_iter().map(shorten).collect()
}

/// Checks that a WebSocket still answers, and takes the log.
fn expect_echo(server: &Server, client: &Client<'_>) {
    server.take_log();
    client.send(masked(TEXT, b"still here"));
    client.expect(frame(TEXT, b"still here"));
    server.expect(&["text still here"]);
}

#[test]
fn a_panic_while_a_connection_is_active_ends_that_one() {
    let server = Server::echo(WebSocketSettings::default());
    server.route("/http");
    let other = server.open();
    let get = GET.replace("GET /", "GET /http");
    for (layer, is_websocket, input, log) in [
        (Layer::Read, true, masked(TEXT, b"x"), vec!["close 1006 ", "panicked"]),
        (Layer::WebSocket, true, masked(TEXT, b"x"), vec!["close 1006 ", "panicked"]),
        (Layer::Send, true, masked(TEXT, b"x"), vec!["text x", "close 1006 ", "panicked"]),
        (Layer::Settle, true, masked(TEXT, b"x"), vec!["text x", "close 1006 ", "panicked"]),
        (Layer::Read, false, get.clone().into_bytes(), vec!["panicked"]),
        (Layer::Http, false, get.clone().into_bytes(), vec!["panicked"]),
        (Layer::Route, false, get.into_bytes(), vec!["panicked"]),
        (Layer::Response, false, GET.replace("GET /", "GET /none").into_bytes(), vec!["panicked"]),
    ] {
        let victim = if is_websocket { server.open() } else { server.connect() };
        server.take_log();
        server.reactor.provoke(layer);
        victim.send(input);
        server.until("the panic", || server.log_lines().len() >= log.len());
        server.settle();
        assert_eq!(taken(&server), log, "{layer:?}");
        let _ = victim.read_rest();
        expect_echo(&server, &other);
        assert_eq!(server.stats(), Stats { connections: 1, websockets: 1, listeners: 1 }, "{layer:?}");
    }
}

#[test]
fn a_panic_while_a_connection_is_accepted_loses_that_one_alone() {
    let server = Server::echo(WebSocketSettings::default());
    let (first, second, third) =
        (server.connect_without_waiting(), server.connect_without_waiting(), server.connect_without_waiting());
    server.reactor.provoke(Layer::Accept);
    server.until("the others", || server.stats().connections == 2);
    assert_eq!(taken(&server), ["panicked"]);
    first.expect_gone();
    second.upgrade();
    third.upgrade();
    expect_echo(&server, &server.open());
}

#[test]
fn a_panic_over_a_command_loses_that_one_alone() {
    let server = Server::echo(WebSocketSettings::default());
    let client = server.open();
    server.subscribe(server.last_id(), "news");
    let remote = server.reactor.remote(server.app).expect("a descriptor");
    server.reactor.provoke(Layer::Command);
    for message in ["lost", "one", "two"] {
        remote.send(support::publication("news", Opcode::Text, message)).expect("an app");
    }
    client.expect([frame(TEXT, b"one"), frame(TEXT, b"two")].concat());
    assert_eq!(taken(&server), ["panicked"]);
}

#[test]
fn a_panic_over_one_subscriber_keeps_the_topic_and_the_others() {
    let server = Server::echo(WebSocketSettings { tells_subscriptions: false, ..WebSocketSettings::default() });
    let clients = [server.open(), server.open(), server.open()];
    for client in &clients {
        client.send(masked(TEXT, b"x"));
        client.expect(frame(TEXT, b"x"));
        server.subscribe(server.last_id(), "news");
    }
    server.take_log();
    server.reactor.provoke(Layer::Publish);
    assert!(server.publish("news", b"to all"));
    server.settle();
    let mut log = taken(&server);
    log.sort_unstable();
    assert_eq!(log, ["close 1006 ", "panicked"]);
    assert_eq!(server.reactor.subscribers(server.app, b"news"), 2);
    assert!(server.publish("news", b"again"));
    let expected = [frame(BINARY, b"to all"), frame(BINARY, b"again")].concat();
    let received: Vec<_> = clients
        .iter()
        .map(|client| {
            server.settle();
            client.read_some().and_then(Result::ok).unwrap_or_default()
        })
        .collect();
    assert_eq!(received.iter().filter(|bytes| **bytes == expected).count(), 2, "{received:?}");
    assert_eq!(received.iter().filter(|bytes| bytes.is_empty()).count(), 1);
}

#[test]
fn a_panic_at_a_deadline_ends_one_connection_and_the_others_have_theirs() {
    let settings = WebSocketSettings { idle_timeout: 8, send_pings: false, ..WebSocketSettings::default() };
    let server = Server::websocket(settings, |_, _| {});
    let clients = [server.open(), server.open()];
    server.reactor.provoke(Layer::Deadline);
    server.pass_seconds(10);
    let mut log = taken(&server);
    log.sort_unstable();
    assert_eq!(log, ["close 1006 ", "close 1006 WebSocket timed out from inactivity", "panicked"]);
    for client in clients {
        let _ = client.read_rest();
        client.finish();
    }
    server.expect_empty();
}

#[test]
fn a_panic_while_output_is_sent_between_events_ends_that_connection() {
    let server = Server::echo(WebSocketSettings::default());
    let clients = [server.open(), server.open()];
    let first = server.last_id();
    clients[0].send(masked(TEXT, b"x"));
    clients[0].expect(frame(TEXT, b"x"));
    let second = server.last_id();
    server.take_log();
    server.send(first, Opcode::Text, b"to the second client");
    server.send(second, Opcode::Text, b"to the first client");
    server.reactor.provoke(Layer::Settle);
    server.pump();
    assert_eq!(taken(&server), ["close 1006 ", "panicked"]);
    assert_eq!(server.stats(), Stats { connections: 1, websockets: 1, listeners: 1 });
    // The message had reached the socket, or is lost with its connection. The other one has its own.
    let received: Vec<_> = clients.iter().map(|client| client.read_some().and_then(Result::ok)).collect();
    assert!(received.iter().flatten().any(|bytes| !bytes.is_empty()), "{received:?}");
}

#[test]
fn a_panic_during_a_shutdown_ends_one_connection_and_the_others_are_asked() {
    let server = Server::echo(WebSocketSettings::default());
    let clients = [server.open(), server.open(), server.open()];
    server.reactor.provoke(Layer::Visit);
    server.causing(|reactor| reactor.shut_down(server.app, 1001, b"", None)).expect("a code");
    server.settle();
    let mut log = taken(&server);
    log.sort_unstable();
    assert_eq!(log, ["close 1001 ", "close 1001 ", "close 1006 ", "panicked"]);
    for client in &clients {
        client.try_send(&masked(CLOSE, b""));
        client.finish();
    }
    server.expect(&["shut down 3 0"]);
    server.expect_empty();
}

#[test]
fn a_call_that_panics_ends_the_connection_that_it_was_about() {
    let server = Server::echo(WebSocketSettings::default());
    let (other, victim) = (server.open(), server.open());
    let id = server.last_id();
    server.take_log();
    server.reactor.mark();
    server.reactor.provoke(Layer::Send);
    let call = || server.reactor.send(id, Opcode::Text, true, b"half a message");
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    let mark = server.reactor.give_up_call();
    server.reactor.run_caused(mark, |event| assert!(matches!(event, Event::Close { code: 1006, .. })));
    server.settle();
    victim.expect_gone();
    assert_eq!(server.stats().websockets, 1);
    // No call has named a connection since.
    server.reactor.give_up_call();
    assert_eq!(server.stats().websockets, 1);
    expect_echo(&server, &other);
}
