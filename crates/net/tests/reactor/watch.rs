//! What observers of a reactor are told. The tests in JavaScript cover more, with real clients.

use milliways_net::{AppSettings, Fact, Watching, WebSocketSettings, What, descriptions};
use milliways_proto::ws::Opcode;

use crate::support::{GET, PING, Server, masked};

/// Takes the facts of a server, as lines.
fn facts(server: &Server) -> Vec<String> {
    let line = |Fact { app, slot, what }: Fact| {
        assert_eq!(app, server.app);
        let slot = slot.map_or("-".to_owned(), |slot| slot.0.to_string());
        let what = match what {
            What::Connected { peer, is_secure } => {
                assert!(peer.is_some_and(|peer| peer.ip().is_loopback()) && !is_secure);
                "connected".to_owned()
            }
            What::Client { peer, proxied, is_secure } => {
                // A connection that has failed does not know its peer any more.
                assert!(peer.is_none_or(|peer| peer.ip().is_loopback()) && !is_secure);
                format!("client {}", proxied.map(|client| client.to_string()).unwrap_or_default())
            }
            What::Requested(method) => format!("requested {method}"),
            What::Upgraded { is_compressed } => format!("upgraded {is_compressed}"),
            What::Closed(code) => format!("closed {code}"),
            What::Removed => "removed".to_owned(),
            What::Refused { number, peer } => {
                assert!(peer.is_some_and(|peer| peer.ip().is_loopback()));
                format!("refused {}", descriptions()[number].path)
            }
            What::Counted { number, count } => format!("{} {count}", descriptions()[number].path),
        };
        format!("{slot} {what}")
    };
    server.reactor.take_facts().into_iter().map(line).collect()
}

/// A WebSocket that violates the protocol, and then a request for which there is no route.
fn misbehave(server: &Server) {
    let client = server.open();
    client.send(masked(PING & 0x7F, b"a fragment of a Ping"));
    server.until("the end of the WebSocket", || server.count("ended.webSocket.protocolError") > 0);
    drop(client);
    server.expect_empty();
    let client = server.connect();
    client.send(GET.replace("GET / ", "POST /nothing "));
    client.read_until("404");
    client.finish();
    client.read_rest().expect("a FIN");
    drop(client);
    server.expect_empty();
    server.take_log();
}

const CONNECTIONS: &[&str] = &[
    "0 connected",
    "0 client ",
    "0 upgraded false",
    "0 client ",
    "0 webSocket.errors.FRAGMENTED_CONTROL_FRAME 1",
    "0 ended.webSocket.protocolError 1",
    "0 closed 1006",
    "0 removed",
    "0 connected",
    "0 client ",
    "0 ended.http.fin 1",
    "0 removed",
];

#[test]
fn nothing_is_noted_unless_somebody_watches() {
    let server = Server::echo(WebSocketSettings::default());
    misbehave(&server);
    assert!(!server.reactor.has_facts());
    server.reactor.watch(Watching::Connections);
    server.connect();
    server.expect_empty();
    assert!(server.reactor.has_facts());
    server.reactor.watch(Watching::Nothing);
    assert!(!server.reactor.has_facts());
    misbehave(&server);
    assert_eq!(facts(&server), [""; 0]);
}

#[test]
fn connections_are_noted_in_the_order_of_what_happens_to_them() {
    let server = Server::echo(WebSocketSettings::default());
    server.reactor.watch(Watching::Connections);
    misbehave(&server);
    assert_eq!(facts(&server), CONNECTIONS);
    assert_eq!(facts(&server), [""; 0]);
}

#[test]
fn requests_are_noted_for_those_who_want_to_know() {
    let server = Server::echo(WebSocketSettings::default());
    server.reactor.watch(Watching::Requests);
    misbehave(&server);
    let mut expected = CONNECTIONS.to_vec();
    expected.insert(1, "0 requested GET");
    let end = expected.len() - 3;
    expected.splice(end..end, ["0 requested POST", "0 http.responses.4xx 1"]);
    assert_eq!(facts(&server), expected);
}

#[test]
fn messages_that_are_dropped_in_a_row_are_one_fact() {
    let server =
        Server::websocket(WebSocketSettings { max_backpressure: 1, ..WebSocketSettings::default() }, |_, _| {});
    let _client = server.open();
    server.reactor.watch(Watching::Connections);
    let id = server.last_id();
    server.send(id, Opcode::Binary, &vec![0; 1 << 24]);
    for _ in 0..5 {
        server.send(id, Opcode::Binary, b"dropped");
    }
    assert_eq!(facts(&server), ["0 limits.maxBackpressure 5"]);
}

#[test]
fn a_client_behind_a_proxy_is_named() {
    let settings = AppSettings { proxy_protocol: true, ..AppSettings::default() };
    let server = Server::with(settings, |_, _| {});
    server.reactor.watch(Watching::Connections);
    let client = server.connect();
    client.send(format!("PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n{GET}"));
    client.read_until("404");
    client.finish();
    client.read_rest().expect("a FIN");
    drop(client);
    server.expect_empty();
    let expected = ["0 connected", "0 client 192.0.2.7:4711", "0 ended.http.fin 1", "0 removed"];
    assert_eq!(facts(&server), expected);
}

#[test]
fn a_connection_that_is_refused_is_named() {
    let settings = AppSettings { max_connections: 1, ..AppSettings::default() };
    let server = Server::with(settings, |_, _| {});
    server.reactor.watch(Watching::Connections);
    let _first = server.connect();
    let second = server.connect_without_waiting();
    second.expect_gone();
    assert_eq!(facts(&server), ["0 connected", "- refused limits.maxConnections"]);
}
