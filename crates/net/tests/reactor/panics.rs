//! Handlers that panic: their connection ends, and no other.

use milliways_net::{SendStatus, Stats, WebSocketSettings};
use milliways_proto::ws::Opcode;

use crate::support::{
    CLOSE, Event, GET, GET_WAIT, NOTHING, PING, PONG, Server, TEXT, UPGRADE, bytes_of, frame, masked, ok, target,
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
        let before = server.stats();
        let client = if is_websocket { server.open() } else { server.connect() };
        client.send(&input);
        server.expect(&log);
        server.until("the end of the connection", || server.stats() == before);
        client.read_rest().ok();

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
