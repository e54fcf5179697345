//! Clients that send their FIN while a request is pending: they may still read the response, or be gone. Also clients
//! that vanish without a FIN.

use std::time::Duration;

use milliways_net::{AppSettings, ConnectionId, TryEnd, WebSocketSettings};

use crate::http::{get, waiting_server};
use crate::support::{Client, Event, GET, Server, UPGRADE, UPGRADED, ok, target};

/// Seconds after which a client is considered gone whose FIN came with its request, if nothing is written to it.
const PATIENCE: u64 = 6;
/// How long a client whose FIN comes while it waits may go on waiting.
const BRIEFLY: Duration = Duration::from_millis(500);

/// Connects a client that sends a request and then its FIN. Returns the client and the id of the request.
fn pending(server: &Server, request: impl AsRef<[u8]>) -> (Client<'_>, ConnectionId) {
    let client = server.connect();
    client.send(request);
    client.finish();
    server.until("a request", || !server.log_lines().is_empty());
    server.settle();
    (client, server.last_id())
}

#[test]
fn a_request_with_a_fin_behind_it_is_answered_later() {
    let server = waiting_server();
    for seconds in [0, 3, PATIENCE - 1] {
        let (client, id) = pending(&server, get("/wait"));
        server.pass_seconds(seconds);
        client.expect_silence();
        server.respond(id, "late");
        server.pump();
        client.expect_response(&ok("late"));
        client.expect_end();
        server.expect(&["request GET /wait"]);
        server.expect_empty();
    }
}

#[test]
fn requests_behind_it_are_answered_too_and_what_is_no_request_ends_with_it() {
    let server = waiting_server();
    let (client, id) =
        pending(&server, [get("/1"), get("/wait"), get("/2"), get("/wait"), "GET /part".to_owned()].concat());
    client.expect_response(&ok("/1"));
    client.expect_silence();
    server.respond(id, "first");
    server.pump();
    client.expect_response(&[ok("first"), ok("/2")].concat());
    server.until("the second", || server.log_lines().len() == 4);
    client.expect_silence();
    server.respond(server.last_id(), "second");
    server.pump();
    client.expect_response(&ok("second"));
    client.expect_end();
    server.expect(&["request GET /1", "request GET /wait", "request GET /2", "request GET /wait"]);
    server.expect_empty();
}

#[test]
fn a_client_that_is_written_nothing_is_taken_for_gone() {
    for idle_timeout in [0, 10, 960] {
        let server = Server::with(AppSettings { idle_timeout, ..AppSettings::default() }, |server, event| {
            if let Event::Request { id, .. } = event {
                server.reactor.await_response(*id).expect("a request");
            }
        });
        server.route("/*");
        let (client, _) = pending(&server, GET);
        server.pass_seconds(PATIENCE - 1);
        assert_eq!(server.log_lines(), ["request GET /"]);
        server.pass_seconds(1);
        server.expect(&["request GET /", "aborted"]);
        client.expect_end();
        server.expect_empty();
        // A client that sends its FIN while it waits has most likely gone.
        let client = server.connect();
        client.send(GET);
        server.expect(&["request GET /"]);
        server.pass_seconds(100);
        client.finish();
        server.settle();
        server.pass(BRIEFLY * 9 / 10);
        server.expect_nothing();
        server.pass(BRIEFLY / 10);
        server.expect(&["aborted"]);
        client.expect_end();
        server.expect_empty();
    }
}

#[test]
fn all_that_is_written_to_a_client_that_finishes_while_it_waits_shows_that_it_is_there() {
    for (head, goes_on) in [
        (
            "Content-Length: 3\r\n\r\n",
            (|server, id| {
                assert!(server.reactor.try_end(id, b"x", 3, false).expect("a response").is_taken);
            }) as fn(&Server, ConnectionId),
        ),
        ("Transfer-Encoding: chunked\r\n\r\n", |server, id| server.reactor.begin_chunks(id).expect("a response")),
    ] {
        let server = waiting_server();
        let clients = leaving(&server, 1);
        let (client, id) = &clients[0];
        goes_on(&server, *id);
        server.pump();
        client.read_until(head);
        server.pass_seconds(PATIENCE - 2);
        server.expect_nothing();
    }
    // These writes send nothing: a part of a body that answers HEAD, and an empty part.
    for request in [get("/wait").replace("GET", "HEAD"), get("/wait")] {
        let server = waiting_server();
        let client = server.connect();
        client.send(&request);
        server.expect(&[&format!("request {} /wait", &request[..4].trim_end())]);
        let id = server.last_id();
        server.reactor.write_chunk(id, b"x").expect("a response");
        server.pass_seconds(1);
        client.finish();
        for _ in 0..3 {
            server.settle();
            let _ = server.reactor.write_chunk(id, if request.starts_with("HEAD") { b"x" } else { b"" });
            server.pump();
            server.pass(BRIEFLY / 2);
        }
        server.expect(&["aborted"]);
    }
}

#[test]
fn what_waits_before_a_fin_has_come_with_it() {
    let server = waiting_server();
    // The next request is still in the kernel's buffer.
    let client = server.connect();
    client.send(get("/wait"));
    server.expect(&["request GET /wait"]);
    let id = server.last_id();
    server.pass_seconds(1);
    client.send(get("/next"));
    client.finish();
    server.settle();
    server.pass_seconds(PATIENCE - 2);
    server.respond(id, "waited");
    server.pump();
    client.expect_response(&[ok("waited"), ok("/next")].concat());
    client.expect_end();
    server.expect(&["request GET /next"]);
    server.expect_empty();
}

#[test]
fn a_request_behind_a_long_response_is_answered_though_a_fin_is_behind_it() {
    let body = "x".repeat(LENGTH);
    for path in ["/next", "/wait"] {
        let server = {
            let body = body.clone();
            Server::http(move |server, event| {
                if let Event::Request { id, request, .. } = event {
                    match target(request).as_str() {
                        "GET /" => server.respond(*id, &body),
                        "GET /next" => server.respond(*id, "next"),
                        _ => server.reactor.await_response(*id).expect("a request"),
                    }
                }
            })
        };
        let client = server.connect_with_small_buffer();
        client.send([GET, &get(path)].concat());
        client.finish();
        server.settle();
        client.expect_response(&ok(&body));
        server.expect(&["request GET /", &format!("request GET {path}")]);
        if path == "/wait" {
            server.pass_seconds(PATIENCE - 2);
            server.respond(server.last_id(), "next");
            server.pump();
        }
        client.expect_response(&ok("next"));
        client.expect_end();
        server.expect_empty();
    }
}

/// Returns clients with pending requests whose FINs have come while they waited.
fn leaving(server: &Server, count: usize) -> Vec<(Client<'_>, ConnectionId)> {
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let client = server.connect();
            client.send(get("/wait"));
            server.expect(&["request GET /wait"]);
            (client, server.last_id())
        })
        .collect();
    for (client, _) in &clients {
        client.finish();
        server.settle();
        server.pass(BRIEFLY / 10);
    }
    clients
}

#[test]
fn a_client_that_finishes_while_it_waits_is_answered_in_time() {
    let server = waiting_server();
    let clients = leaving(&server, 3);
    let [(first, first_id), (second, second_id), (third, _)] = &clients[..] else { unreachable!() };
    // A client that does not answer output with a reset is still there.
    server.reactor.write_chunk(*second_id, b"x").expect("a response");
    server.pump();
    second.read_until("1\r\nx\r\n");
    server.respond(*first_id, "answered");
    server.pump();
    first.expect_response(&ok("answered"));
    first.expect_end();
    server.expect_nothing();
    server.pass(BRIEFLY * 9 / 10);
    server.expect(&["aborted"]);
    third.expect_end();
    server.pass_seconds(PATIENCE - 2);
    server.expect_nothing();
    server.respond(*second_id, "");
    server.pump();
    second.expect("0\r\n\r\n");
    second.expect_end();
    server.expect_empty();
}

#[test]
fn what_becomes_of_those_that_leave_meanwhile_harms_nobody() {
    let server = waiting_server();
    let mut clients = leaving(&server, 4);
    // Others reuse their slots.
    let (_, closed) = clients.remove(2);
    server.causing(|reactor| reactor.close_response(closed)).expect("a request");
    clients.remove(1).0.reset();
    server.expect(&["aborted", "aborted"]);
    let (other, _) = (server.connect(), server.connect());
    other.send(get("/wait"));
    server.expect(&["request GET /wait"]);
    let id = server.last_id();
    server.pass_seconds(1);
    server.expect(&["aborted", "aborted"]);
    server.pass_seconds(3);
    server.expect_nothing();
    server.respond(id, "here");
    server.pump();
    other.expect_response(&ok("here"));
}

#[test]
fn the_next_of_its_requests_has_as_much_time() {
    let server = waiting_server();
    let (client, id) = pending(&server, [get("/wait"), get("/wait")].concat());
    server.pass_seconds(PATIENCE - 1);
    server.respond(id, "first");
    server.pump();
    client.expect_response(&ok("first"));
    server.pass_seconds(PATIENCE - 2);
    assert_eq!(server.take_log(), ["request GET /wait", "request GET /wait"]);
    server.pass_seconds(20);
    server.expect(&["aborted"]);
    server.expect_empty();
}

#[test]
fn a_response_in_parts_goes_on_as_long_as_parts_come() {
    let server = waiting_server();
    let (client, id) = pending(&server, get("/wait"));
    client.expect_silence();
    for _ in 0..5 {
        server.pass_seconds(PATIENCE - 1);
        server.reactor.write_chunk(id, b"x").expect("a response");
        server.pump();
        client.read_until("1\r\nx\r\n");
    }
    server.respond(id, "");
    server.pump();
    client.expect("0\r\n\r\n");
    client.expect_end();
    server.expect(&["request GET /wait"]);
    server.expect_empty();
}

#[test]
fn a_client_that_has_gone_is_noticed_as_soon_as_something_is_written_to_it() {
    let server = waiting_server();
    let (client, id) = pending(&server, get("/wait"));
    drop(client);
    server.settle();
    assert_eq!(server.take_log(), ["request GET /wait"]);
    // The client's kernel answers with a reset.
    server.reactor.write_chunk(id, b"x").expect("a response");
    server.pump();
    server.expect(&["aborted"]);
    server.expect_empty();
    // A client that resets the connection itself is noticed at once.
    let (client, _) = pending(&server, get("/wait"));
    client.reset();
    server.expect(&["request GET /wait", "aborted"]);
    server.expect_empty();
}

/// The length in bytes of a response that exceeds the kernel's buffers.
const LENGTH: usize = 4 << 20;

/// Writes as much of such a response as the socket takes.
fn offer(server: &Server, id: ConnectionId) {
    let piece = vec![b'x'; 256 << 10];
    loop {
        let outcome = server.reactor.try_end(id, &piece, LENGTH as u64, false).expect("a response");
        if outcome.is_complete || outcome == (TryEnd { is_taken: false, is_complete: false }) {
            return;
        }
    }
}

#[test]
fn a_long_response_reaches_a_slow_reader_that_has_finished() {
    for idle_timeout in [0, 10] {
        let settings = AppSettings { idle_timeout, ..AppSettings::default() };
        let server = Server::with(settings, |server, event| match event {
            Event::Request { id, .. } => {
                server.reactor.await_response(*id).expect("a request");
                server.reactor.want_writable(*id).expect("a request");
                offer(server, *id);
            }
            Event::Writable { id, .. } => offer(server, *id),
            _ => {}
        });
        server.route("/*");
        let client = server.connect_with_small_buffer();
        client.send(GET);
        client.finish();
        server.settle();
        client.read_until("\r\n\r\n");
        let mut read = 0;
        while read < LENGTH {
            server.pass_seconds(2);
            for _ in 0..20 {
                if let Some(piece) = client.read_some() {
                    read += piece.expect("no reset").len();
                }
                server.turn();
            }
        }
        client.expect_end();
        let log = server.take_log();
        assert!(!log.contains(&"aborted".to_owned()), "{idle_timeout}: {log:?}");
        server.expect_empty();
        // A client that reads nothing is subject to the idle timeout.
        let client = server.connect_with_small_buffer();
        client.send(GET);
        client.finish();
        server.settle();
        server.pass_seconds(60);
        assert_eq!(server.take_log().contains(&"aborted".to_owned()), idle_timeout > 0);
    }
}

/// A server that asks for bodies and pauses them.
fn pausing() -> Server {
    Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
            server.reactor.receive_body(*id).expect("a request");
            server.reactor.pause_body(*id).expect("a request");
        }
    })
}

const PUT: &str = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n";

#[test]
fn an_end_behind_a_body_that_is_paused_is_noticed() {
    let server = pausing();
    for with_body in [true, false] {
        let client = server.connect();
        client.send(PUT);
        server.expect(&["request PUT /"]);
        if with_body {
            client.send(vec![b'x'; 50_000]);
        }
        client.finish();
        server.settle();
        server.pass_seconds(PATIENCE - 1);
        server.expect_nothing();
        server.pass_seconds(1);
        server.expect(&["aborted"]);
        server.expect_empty();

        let client = server.connect();
        client.send(PUT);
        server.expect(&["request PUT /"]);
        if with_body {
            client.send(vec![b'x'; 50_000]);
        }
        client.reset();
        server.expect(&["aborted"]);
        server.expect_empty();
    }
}

#[test]
fn a_body_that_is_paused_with_an_end_behind_it_can_be_read_and_answered() {
    let server = pausing();
    let client = server.connect();
    client.send(PUT);
    server.expect(&["request PUT /"]);
    let id = server.last_id();
    client.send(vec![b'x'; 50_000]);
    client.finish();
    server.settle();
    server.pass_seconds(PATIENCE - 1);
    server.reactor.resume_body(id).expect("a request");
    server.pump();
    server.until("the end of the body", || server.log_lines().last().is_some_and(|line| line.ends_with(" 0")));
    server.take_log();
    server.pass_seconds(PATIENCE - 2);
    server.respond(id, "read");
    server.pump();
    client.expect_response(&ok("read"));
    client.expect_end();
    server.expect_empty();
    // An incomplete body can never be completed.
    let client = server.connect();
    client.send(PUT);
    server.expect(&["request PUT /"]);
    client.send(vec![b'x'; 40_000]);
    client.finish();
    server.settle();
    server.reactor.resume_body(server.last_id()).expect("a request");
    server.pump();
    server.until("the end", || server.log_lines().last().is_some_and(|line| line == "aborted"));
    server.expect_empty();
}

#[test]
fn an_upgrade_that_comes_too_late_is_told_of_the_end() {
    let server = Server::new(|server, event| {
        if let Event::Upgrade { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    server.upgrade_route("/", WebSocketSettings::default(), true);
    let (client, id) = pending(&server, UPGRADE);
    let behavior = milliways_net::BehaviorId(0);
    server.reactor.upgrade(id, behavior, b"dGhlIHNhbXBsZSBub25jZQ==", b"", b"").expect("a request");
    server.pump();
    client.expect_response(UPGRADED);
    server.expect(&["upgrade GET /", "close 1006 Received TCP FIN before WebSocket close frame"]);
    server.expect_empty();
}

/// Returns whether keep-alive probes are enabled: the kernel then has a timer for the server's end of the connection.
#[cfg(target_os = "linux")]
fn is_looked_after(server: &Server, client: &Client<'_>) -> bool {
    let port = |address: std::net::SocketAddr| format!(":{:04X}", address.port());
    let (local, remote) = (port(server.address()), port(client.stream.local_addr().expect("a socket")));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of the kernel's");
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The fields: sl, local address, remote address, st, tx_queue:rx_queue, tr:tm->when.
    let mut own = fields.filter(|fields| fields[1].ends_with(&local) && fields[2].ends_with(&remote));
    own.next().expect("the connection")[5].starts_with("02:")
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_looks_after_the_client_of_a_request_that_is_pending_for_long_and_of_nothing_else() {
    for idle_timeout in [0, 10, 960] {
        let server =
            Server::with(AppSettings { idle_timeout, ..AppSettings::default() }, |server, event| match event {
                Event::Request { id, .. } | Event::Upgrade { id, .. } => {
                    server.reactor.await_response(*id).expect("a request");
                }
                _ => {}
            });
        server.route("/*");
        server.upgrade_route("/", WebSocketSettings::default(), true);
        let client = server.connect();
        client.send(get("/wait"));
        server.expect(&["request GET /wait"]);
        server.pass_seconds(4);
        assert!(!is_looked_after(&server, &client));
        server.pass_seconds(7);
        assert!(is_looked_after(&server, &client), "{idle_timeout}");
        assert_eq!(server.next_deadline(), None);

        // WebSockets are not probed, whether their requests were pending for long or not.
        for seconds in [20, 0] {
            let client = server.connect();
            client.send(UPGRADE);
            server.expect(&["upgrade GET /"]);
            server.pass_seconds(seconds);
            assert_eq!(is_looked_after(&server, &client), seconds > 0);
            let behavior = milliways_net::BehaviorId(0);
            let id = server.last_id();
            server.reactor.upgrade(id, behavior, b"dGhlIHNhbXBsZSBub25jZQ==", b"", b"").expect("a request");
            server.pump();
            client.expect_response(UPGRADED);
            server.pass_seconds(20);
            assert!(!is_looked_after(&server, &client));
            drop(client);
            server.until("its end", || server.stats().connections == 1);
            server.take_log();
        }
    }
}
