//! Upgrades that a handler decides about, requests that handlers pass on, and the addresses of peers.

use std::cell::Cell;
use std::net::SocketAddr;

use milliways_net::{AppSettings, UpgradeError, WebSocketSettings, descriptions};
use milliways_proto::router::RouteKind;
use milliways_proto::ws::{InvalidAcceptance, Opcode};

use crate::support::{Event, GET, Server, TEXT, UPGRADE, UPGRADED, bytes_of, frame, masked, ok, target};

const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

/// A server with a WebSocket route at `/`. `act` decides about upgrades.
fn asking(act: impl Fn(&Server, &Event<'_>) + 'static) -> Server {
    let server = Server::new(act);
    server.upgrade_route("/", WebSocketSettings::default(), true);
    server
}

#[test]
fn an_upgrade_now() {
    let server = asking(|server, event| match event {
        Event::Upgrade { id, behavior, .. } => {
            let websocket = server.reactor.upgrade(*id, *behavior, KEY, b"a, b", b"").expect("a request");
            assert_eq!(server.reactor.upgrade(*id, *behavior, KEY, b"", b""), Err(UpgradeError::Stale));
            server.send(websocket, Opcode::Text, b"welcome");
        }
        Event::Message { id, payload, .. } => _ = server.send(*id, Opcode::Text, bytes_of(payload)),
        _ => {}
    });
    let client = server.connect();
    client.send([UPGRADE.as_bytes(), &masked(TEXT, b"early")].concat());
    let with_protocol = UPGRADED.replace("Date", "Sec-WebSocket-Protocol: a\r\nDate");
    client.expect_response(&with_protocol);
    client.expect(frame(TEXT, b"welcome"));
    client.expect(frame(TEXT, b"early"));
    // There is no `open`, because the caller of `upgrade` knows.
    server.expect(&["upgrade GET /", "text early"]);
    assert_eq!(server.stats().websockets, 1);
}

#[test]
fn an_upgrade_with_the_behavior_of_another_app_passes_the_connection_on() {
    let server = asking(|server, event| match event {
        Event::Upgrade { id, .. } => server.reactor.await_response(*id).expect("a request"),
        Event::Message { id, payload, .. } => _ = server.send(*id, Opcode::Text, bytes_of(payload)),
        _ => {}
    });
    let other = server.reactor.add_app(AppSettings::default());
    let behavior = server.reactor.add_behavior(other, WebSocketSettings::default(), true);
    let count = |app, path: &str| {
        let index = descriptions().iter().position(|description| description.path == path);
        server.reactor.app_counts(app)[index.expect("a path")]
    };
    let client = server.connect();
    client.send(UPGRADE);
    server.expect(&["upgrade GET /"]);
    server.causing(|reactor| reactor.upgrade(server.last_id(), behavior, KEY, b"", b"")).expect("a request");
    server.pump();
    client.expect_response(UPGRADED);
    client.send(masked(TEXT, b"hello"));
    client.expect(frame(TEXT, b"hello"));
    assert!(!server.reactor.is_quiet(other));
    for (app, counts) in [(server.app, [0, 0, 1, 0]), (other, [0, 1, 0, 1])] {
        let paths = [
            "connections.plain.http.open",
            "connections.plain.webSocket.open",
            "http.requests",
            "webSocket.received.messages",
        ];
        assert_eq!(paths.map(|path| count(app, path)), counts);
    }
    assert!(count(other, "sockets.bytesReceived") > 0);
    client.reset();
    server.expect_empty();
    assert!(server.reactor.is_quiet(other));
    assert_eq!(count(other, "connections.plain.webSocket.open"), 0);
    server.reactor.close_listener(server.listener);
    assert!(server.reactor.is_quiet(server.app));
}

#[test]
fn an_upgrade_later_with_headers_and_the_frames_that_came_meanwhile() {
    let server = asking(|server, event| {
        if let Event::Upgrade { id, .. } = event {
            server.reactor.await_response(*id).expect("a request");
        }
    });
    let mut clients = Vec::new();
    // With and without a status. 101 is the only one that is allowed.
    for early in [true, false] {
        let client = server.connect();
        client.send(UPGRADE);
        if early {
            client.send(masked(TEXT, b"early"));
        }
        server.expect(&["upgrade GET /"]);
        let id = server.last_id();
        let behavior = milliways_net::BehaviorId(0);
        if early {
            server.reactor.write_status(id, b"101 Switching Protocols").expect("a request");
        }
        server.reactor.write_header(id, b"A", b"b").expect("a request");
        for (key, protocol, invalid) in [
            (KEY, &b"a\r\nX: y"[..], InvalidAcceptance::Protocol),
            (b"dGhlIHNhbXBsZSBub25jZQ=\n", b"", InvalidAcceptance::Key),
        ] {
            let upgraded = server.reactor.upgrade(id, behavior, key, protocol, b"");
            assert_eq!(upgraded, Err(UpgradeError::Invalid(invalid)));
        }
        server.reactor.upgrade(id, behavior, KEY, b"", b"").expect("a request");
        server.pump();
        client.expect_response(&UPGRADED.replace("Upgrade: w", "A: b\r\nUpgrade: w"));
        if !early {
            client.send(masked(TEXT, b"early"));
        }
        server.expect(&["text early"]);
        clients.push(client);
    }
}

#[test]
fn headers_without_a_status_wait_until_that_is_decided() {
    let server = asking(|server, event| match event {
        Event::Upgrade { id, .. } | Event::Request { id, .. } => {
            server.reactor.write_header(*id, b"A", b"b").expect("a request");
            server.reactor.await_response(*id).expect("a request");
        }
        _ => {}
    });
    server.route("/*");
    let behavior = milliways_net::BehaviorId(0);
    let client = server.connect();
    client.send([GET, GET].concat());
    for end in [&b"first"[..], b"second"] {
        server.expect(&["request GET /"]);
        let id = server.last_id();
        server.reactor.write_header(id, b"C", b"d").expect("a request");
        // Writing the first header has settled on 200, so this is ignored.
        server.reactor.write_status(id, b"404 Not Found").expect("a request");
        server.reactor.respond(id, end, false).expect("a request");
        let text = std::str::from_utf8(end).expect("ASCII");
        server.pump();
        client.expect_response(&ok(text).replace("Date", "A: b\r\nC: d\r\nDate"));
    }
    client.send(UPGRADE);
    server.expect(&["upgrade GET /"]);
    let id = server.last_id();
    server.reactor.write_header(id, b"C", b"d").expect("a request");
    assert!(server.reactor.upgrade(id, behavior, b"", b"", b"").is_err());
    server.reactor.upgrade(id, behavior, KEY, b"", b"").expect("a request");
    server.pump();
    client.expect_response(&UPGRADED.replace("Upgrade: w", "A: b\r\nC: d\r\nUpgrade: w"));
    client.send(masked(TEXT, b"hello"));
    server.expect(&["text hello"]);
}

#[test]
fn an_upgrade_refused_forgotten_and_aborted() {
    let server = asking(|server, event| {
        if let Event::Upgrade { id, request, .. } = event {
            match target(request).as_str() {
                "upgrade GET /?refuse" | "GET /?refuse" => {
                    server.reactor.write_status(*id, b"401 Unauthorized").expect("a request");
                    server.respond(*id, "no");
                }
                "GET /?other" => {
                    let behavior = milliways_net::BehaviorId(0);
                    server.reactor.write_status(*id, b"200 OK").expect("a request");
                    assert_eq!(server.reactor.upgrade(*id, behavior, KEY, b"", b""), Err(UpgradeError::OtherStatus));
                    server.respond(*id, "");
                }
                "GET /?wait" => server.reactor.await_response(*id).expect("a request"),
                "GET /?body" => {
                    server.reactor.write_chunk(*id, b"x").expect("a request");
                    let behavior = milliways_net::BehaviorId(0);
                    assert_eq!(server.reactor.upgrade(*id, behavior, KEY, b"", b""), Err(UpgradeError::HasBegun));
                    server.respond(*id, "");
                }
                _ => {}
            }
        }
    });
    let ask = |query: &str| UPGRADE.replace("GET / ", &format!("GET /?{query} "));
    let client = server.connect();
    client.send([&*ask("refuse"), GET].concat());
    client.expect_response("HTTP/1.1 401 Unauthorized\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: 2\r\n\r\nno");
    client.send(ask("other"));
    client.read_until("Content-Length: 0\r\n\r\n");
    client.send(ask("body"));
    client.read_until("0\r\n\r\n");
    server.take_log();
    let client = server.connect();
    client.send(ask("forget"));
    client.read_until("500 Internal Server Error");
    server.expect(&["upgrade GET /?forget", "unanswered GET /?forget"]);
    let client = server.connect();
    client.send(ask("wait"));
    server.expect(&["upgrade GET /?wait"]);
    client.reset();
    server.expect(&["aborted"]);
    // No handler is asked about a request that cannot become a WebSocket.
    let client = server.connect();
    client.send(UPGRADE.replace("Version: 13", "Version: 8"));
    client.read_until("426 Upgrade Required");
    server.expect_nothing();
}

#[test]
fn a_request_is_passed_on_until_somebody_keeps_it() {
    let visits = Cell::new(0);
    let server = Server::passing(move |server, id, request| {
        visits.set(visits.get() + 1);
        match (visits.get(), request.parameter_at(0), request.parameter("name")) {
            (1, None, None) => request.set_yield(true),
            (2, Some("b"), Some("b")) => {
                request.set_yield(true);
                request.set_yield(false);
                server.respond(id, "second");
            }
            other => panic!("{other:?}"),
        }
    });
    for (kind, pattern) in [(RouteKind::Any, "/*"), (RouteKind::Any, "/a/:name"), (RouteKind::Any, "/a/b")] {
        server.route_kind(kind, pattern);
    }
    let client = server.connect();
    client.send("GET /a/b HTTP/1.1\r\nHost: h\r\n\r\n");
    client.expect_response(&ok("second"));
}

#[test]
fn a_request_that_everybody_passes_on_finds_nothing() {
    let server = Server::passing(|_, _, request| request.set_yield(true));
    server.route_kind(RouteKind::Any, "/*");
    server.route_kind(RouteKind::Any, "/a");
    let client = server.connect();
    client.send(["GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
    client.read_until("File Not Found</h1>");
    client.read_until("File Not Found</h1>");
}

/// A PROXY header of version 2 with the source address `192.0.2.1:8080`.
const PROXY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x1f\x90\x01\xbb";

#[test]
fn a_proxy_says_who_is_at_its_other_end() {
    let settings = AppSettings { proxy_protocol: true, ..AppSettings::default() };
    let source: SocketAddr = "192.0.2.1:8080".parse().expect("an address");
    let bytes = [PROXY, GET.as_bytes(), GET.as_bytes()].concat();
    for split in 0..bytes.len() {
        let server = Server::with(settings, move |server, event| {
            if let Event::Request { id, .. } = event {
                assert_eq!(server.reactor.proxied_remote_address(*id), Ok(Some(source)));
                let direct = server.reactor.remote_address(*id).expect("a request").expect("TCP");
                assert!(direct.ip().is_loopback());
                server.respond(*id, "x");
            }
        });
        server.route("/*");
        let client = server.connect();
        client.send_pieces(&[&bytes[..split], &bytes[split..]]);
        client.expect_response(&[ok("x"), ok("x")].concat());
    }
}

#[test]
fn a_proxy_header_is_optional_where_it_is_allowed_and_refused_elsewhere() {
    for (proxy_protocol, bytes, status) in [
        (true, GET.as_bytes().to_vec(), "200 OK"),
        (true, [PROXY, PROXY, GET.as_bytes()].concat(), "400 Bad Request"),
        (true, [&PROXY[..12], b"\x11"].concat(), "400 Bad Request"),
        (false, [PROXY, GET.as_bytes()].concat(), "400 Bad Request"),
    ] {
        let settings = AppSettings { proxy_protocol, ..AppSettings::default() };
        let server = Server::with(settings, |server, event| {
            if let Event::Request { id, .. } = event {
                assert_eq!(server.reactor.proxied_remote_address(*id), Ok(None));
                server.respond(*id, "x");
            }
        });
        server.route("/*");
        let client = server.connect();
        let mut bytes = bytes;
        if bytes.len() == 13 {
            bytes.extend_from_slice(&[0; 3]);
        }
        client.send(&bytes);
        client.read_until(status);
    }
}

#[test]
fn connections_are_counted_when_they_come_and_go_whatever_becomes_of_them() {
    let server = Server::echo(WebSocketSettings::default());
    server.reactor.count_connections(server.app);
    let silent = server.connect_without_waiting();
    server.expect(&["connected"]);
    drop(silent);
    server.expect(&["disconnected"]);
    let websocket = server.connect();
    server.expect(&["connected"]);
    websocket.upgrade();
    websocket.reset();
    server.expect(&["close 1006 ", "disconnected"]);
}

#[test]
fn a_unix_socket_is_served_like_any_other() {
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;

    let folder = std::env::temp_dir().join(format!("milliways-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("socket");
    let server = Server::http(|server, event| {
        if let Event::Request { id, .. } = event {
            assert_eq!(server.reactor.remote_address(*id), Ok(None));
            server.respond(*id, "x");
        }
    });
    for _ in 0..2 {
        // The second listener replaces the first.
        let listener = server.reactor.listen_unix(server.app, &path).expect("a path");
        assert_eq!(server.reactor.local_port(listener), None);
        assert_eq!(std::fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o700);
        let mut client = std::os::unix::net::UnixStream::connect(&path).expect("someone listens");
        client.write_all(GET.as_bytes()).expect("it takes that");
        server.until("an answer", || !server.log_lines().is_empty());
        server.take_log();
        server.settle();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
    assert!(server.reactor.listen_unix(server.app, &folder).is_err(), "a folder is no socket");
    std::fs::remove_dir_all(&folder).expect("ours");
}
